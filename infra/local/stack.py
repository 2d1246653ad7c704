"""The local stack: everything that StreamVibe runs on, on this machine. See README.md beside this file.

    with Stack.temporary() as stack:    # tests and the demo: free ports, a folder that goes away
        stack.env["FUNCTIONS_URL"]

`make up` is `infra.local.up`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3

from infra.local import environment, leash
from infra.local.app import serving_app
from infra.local.auth.keys import SigningKey
from infra.local.environment import Ports, Secrets
from infra.local.hosted import HostedProject
from infra.local.postgres import Generation
from infra.local.postgres.project import ProjectDatabase
from infra.local.problems import StackError
from infra.local.processes import REPOSITORY, Child
from infra.local.runner.service import Service, read_service

VISIBILITY_SECONDS = "15"


@dataclass
class Stack:
    """One stack. `folder` keeps data, keys and logs; `clock` fires schedules; `database_url` names another server.

    `project` is a Supabase that is there already: only what stands beside it is started then. `functions_url` is where
    another gateway than ours will serve the functions; ours is at `runner_url` all the same.
    Once it is started: `env` is what the env file says, `database` and `children` are its parts.
    """

    folder: Path
    ports: Ports
    clock: bool = True
    generation: Generation = "current"
    database_url: str | None = None
    project: HostedProject | None = None
    functions_url: str | None = None
    remedy: str = "stop it"
    env: dict[str, str] = field(default_factory=dict, init=False)
    children: dict[str, Child] = field(default_factory=dict, init=False)
    database: ProjectDatabase | HostedProject = field(init=False)

    def __post_init__(self) -> None:
        folder, port = self.folder / "postgres", self.ports.postgres
        self.database = self.project or ProjectDatabase(folder, port, self.generation, self.database_url)

    @classmethod
    @contextmanager
    def temporary(
        cls,
        *,
        clock: bool = False,
        generation: Generation = "current",
        project: HostedProject | None = None,
        functions_url: str | None = None,
    ) -> "Iterator[Stack]":
        """A stack on free ports whose folder is removed at the end. Schedules are fired by `/_local/invoke/...`."""
        folder = Path(tempfile.mkdtemp(prefix="streamvibe-stack-"))
        folder.chmod(0o755)  # as root the database server is another account
        leash.shared().hold_folder(folder)
        try:
            ports = Ports.free()
            with cls(folder, ports, clock, generation, project=project, functions_url=functions_url) as stack:
                yield stack
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            leash.shared().release_folder(folder)

    def __enter__(self) -> "Stack":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Bring everything up and return when all of it answers. StackError, and nothing left running, if it cannot."""
        self._app = ExitStack()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything, the database last."""
        for child in self.children.values():
            child.ask_to_end()
        for child in self.children.values():
            child.stop()
        self._app.close()
        self.database.stop()

    def revive(self) -> list[str]:
        """Start again what has ended, and wait for it; answers the names of those parts."""
        ended = ["database"] if self.database.revive() else []
        for child in self.children.values():
            if not child.is_running:
                ended.append(child.name)
                child.start()
                child.wait_until_ready()
        if "upstream" in ended:
            self._sell_plans()  # the simulators have forgotten them
        if "sqs" in ended:
            self._verify_sender()
        return ended

    @property
    def admin_dsn(self) -> str:
        """The database as superuser; of a project that was there already, as its owner `postgres`."""
        return self.database.dsn()

    @property
    def runner_url(self) -> str:
        """Our runner, whoever serves FUNCTIONS_URL: `/_local/*` is there."""
        return environment.url(self.ports.functions)

    def child(self, name: str) -> Child:
        """A part by name: sqs, upstream, data_api, gateway, functions, worker."""
        return self.children[name]

    def _start(self) -> None:
        self.ports.check_free(self.remedy)
        service, data_api = read_service(), data_api_command()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.signing_key = SigningKey.load(self.folder / "signing_key.json")
        self.secrets = Secrets.load(self.folder / "secrets.json")
        self.env = environment.settings(self.ports, self.secrets, service)
        if self.project:
            self.env |= self.project.settings()
        if self.functions_url:
            self.env["FUNCTIONS_URL"] = self.functions_url
        # What needs no database starts while the database does.
        early = [
            self._child("sqs", [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.ports.aws)],
                        self.ports.aws),
            self._child("upstream", [sys.executable, "-m", "infra.local.upstream", "--port", str(self.ports.upstream)],
                        self.ports.upstream),
        ]  # fmt: skip
        self.child("upstream").health_path = "/_sim/health"
        with ThreadPoolExecutor(1) as aside:
            database = aside.submit(self.database.start)
            for child in early:
                child.start()
            self._app.enter_context(serving_app(self.ports.app))
            database.result()
        late = self._late_children(service, data_api)
        for child in late:
            child.start()
        for child in (*early, *late):
            child.wait_until_ready()
        self._verify_sender()
        self._sell_plans()
        # Known to whoever uses the stack, not to the functions: they reach the database through the data API only.
        self.env["DATABASE_URL"] = self.database.dsn("postgres")

    def _verify_sender(self) -> None:
        """Make the simulated SES take e-mails from the stack's sender, as an operator does once for a domain."""
        domain = environment.SENDER.rpartition("@")[2].rstrip(">")
        client = boto3.client(
            "sesv2",
            endpoint_url=self.env["AWS_ENDPOINT_URL"],
            region_name=self.env["AWS_REGION"],
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
        )
        client.create_email_identity(EmailIdentity=domain)
        client.close()

    def _sell_plans(self) -> None:
        """Put the plans on sale at the simulated Stripe, as an operator does once for each environment."""
        command = [sys.executable, "-m", "functions.billing", "setup"]
        done = subprocess.run(
            command, env=self.child_environment(), cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise StackError(f"The plans could not be put on sale: {done.stderr.strip().splitlines()[-1:]}")

    def _late_children(self, service: Service, data_api: list[str]) -> list[Child]:
        python = [sys.executable, "-m"]
        children = [] if self.project else self._supabase(python, data_api)
        serve = [*python, "infra.local.runner", "serve", "--port", str(self.ports.functions)]
        children.append(
            self._child("functions", [*serve, "--clock" if self.clock else "--no-clock"], self.ports.functions)
        )
        if any(True for _ in service.queue_sources()):
            children.append(self._child("worker", [*python, "infra.local.runner", "work"], None))
        return children

    def _supabase(self, python: list[str], data_api: list[str]) -> list[Child]:
        """What stands in for a project's own servers."""
        authenticator = self.database.dsn("authenticator")
        gateway = {
            "AUTH_DATABASE_URL": self.database.dsn("supabase_auth_admin"),
            "SIGNING_KEY_FILE": str(self.folder / "signing_key.json"),
            "DATA_API_URL": environment.url(self.ports.data_api),
            "GATEWAY_PORT": str(self.ports.gateway),
        }
        return [
            self._child(
                "data_api",
                data_api,
                self.ports.data_api,
                environment.data_api_settings(self.ports, self.signing_key, authenticator),
            ),
            self._child("gateway", [*python, "infra.local.gateway"], self.ports.gateway, gateway),
        ]

    def _child(self, name: str, command: list[str], port: int | None, settings: dict[str, str] | None = None) -> Child:
        log = self.folder / "logs" / f"{name}.log"
        # The data API knows only its own variables, as the real one does.
        values = environment.inherited() if name == "data_api" else self.child_environment()
        child = Child(name.replace("_", " "), command, {**values, **(settings or {})}, log, port)
        self.children[name] = child
        return child

    def child_environment(self) -> dict[str, str]:
        """The environment of a function of this stack, for a script that stands beside it."""
        local = {"LOCAL_VISIBILITY_SECONDS": VISIBILITY_SECONDS, "PYTHONUNBUFFERED": "1"}
        return {**environment.inherited(), **self.env, **local}


def data_api_command() -> list[str]:
    """The real PostgREST if STREAMVIBE_POSTGREST or PATH has one, else the stand-in."""
    chosen = os.environ.get("STREAMVIBE_POSTGREST")
    if chosen:
        if not os.access(chosen, os.X_OK):
            raise StackError(f"STREAMVIBE_POSTGREST is {chosen}, which is no program that can be run.")
        return [chosen]
    found = shutil.which("postgrest")
    return [found] if found else [sys.executable, "-m", "infra.local.data_api"]
