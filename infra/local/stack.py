"""The local stack: everything that StreamVibe runs on, on this machine. See README.md beside this file.

python -m infra.local.stack         # make up: in the foreground until Ctrl-C

with Stack.temporary() as stack:    # tests and the demo: free ports, a folder that goes away
    stack.env["FUNCTIONS_URL"]
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.local import environment, leash
from infra.local.app import serving_app
from infra.local.auth.keys import SigningKey
from infra.local.environment import Ports, Secrets
from infra.local.postgres import EditedError, EmbeddedServer, Generation, Server, apply_sql
from infra.local.postgres.bootstrap import bootstrap_database, bootstrap_roles, is_bootstrapped
from infra.local.problems import StackError
from infra.local.processes import REPOSITORY, Child
from infra.local.runner.service import Service, read_service

RUN_FOLDER = Path(__file__).parent / ".run"
DATABASE = "postgres"
VISIBILITY_SECONDS = "15"
RESTARTS_A_MINUTE = 5


@dataclass
class Stack:
    """One stack. `folder` keeps data, keys and logs; `clock` fires schedules; `database_url` names another server."""

    folder: Path
    ports: Ports
    clock: bool = True
    generation: Generation = "current"
    database_url: str | None = None
    remedy: str = "stop it"
    notes: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def temporary(cls, *, clock: bool = False, generation: Generation = "current") -> "Iterator[Stack]":
        """A stack on free ports whose folder is removed at the end. Schedules are fired by `/_local/invoke/...`."""
        folder = Path(tempfile.mkdtemp(prefix="streamvibe-stack-"))
        folder.chmod(0o755)  # as root the database server is another account
        leash.shared().hold_folder(folder)
        try:
            with cls(folder, Ports.free(), clock=clock, generation=generation) as stack:
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
        self._resources = ExitStack()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything, the database last."""
        for child in reversed(getattr(self, "children", {}).values()):
            child.stop()
        self._resources.close()

    def revive_database(self) -> None:
        """Start Postgres again if it has ended; what was committed is there, and clients connect anew."""
        if isinstance(self.server, EmbeddedServer) and not self.server.is_running:
            self._start_server()

    @property
    def admin_dsn(self) -> str:
        """The database as superuser."""
        return self.server.dsn(self.database)

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
        self.children: dict[str, Child] = {}
        # What needs no database starts while the database does.
        early = [
            self._child("sqs", [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.ports.aws)],
                        self.ports.aws),
            self._child("upstream", [sys.executable, "-m", "infra.local.upstream", "--port", str(self.ports.upstream)],
                        self.ports.upstream),
        ]  # fmt: skip
        self.child("upstream").health_path = "/_sim/health"
        with ThreadPoolExecutor(1) as aside:
            database = aside.submit(self._start_database)
            for child in early:
                child.start()
            self._resources.enter_context(serving_app(self.ports.app))
            database.result()
        late = self._late_children(service, data_api)
        for child in late:
            child.start()
        for child in (*early, *late):
            child.wait_until_ready()
        self._sell_plans()
        # Known to whoever uses the stack, not to the functions: they reach the database through the data API only.
        self.env["DATABASE_URL"] = self.server.dsn(self.database, "postgres")

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
        authenticator = self.server.dsn(self.database, "authenticator")
        gateway = {
            "AUTH_DATABASE_URL": self.server.dsn(self.database, "supabase_auth_admin"),
            "SIGNING_KEY_FILE": str(self.folder / "signing_key.json"),
            "DATA_API_URL": environment.url(self.ports.data_api),
            "GATEWAY_PORT": str(self.ports.gateway),
        }
        serve = [*python, "infra.local.runner", "serve", "--port", str(self.ports.functions)]
        children = [
            self._child(
                "data_api",
                data_api,
                self.ports.data_api,
                environment.data_api_settings(self.ports, self.signing_key, authenticator),
            ),
            self._child("gateway", [*python, "infra.local.gateway"], self.ports.gateway, gateway),
            self._child("functions", [*serve, "--clock" if self.clock else "--no-clock"], self.ports.functions),
        ]
        if any(True for _ in service.queue_sources()):
            children.append(self._child("worker", [*python, "infra.local.runner", "work"], None))
        return children

    def _child(self, name: str, command: list[str], port: int | None, settings: dict[str, str] | None = None) -> Child:
        log = self.folder / "logs" / f"{name}.log"
        values = {**(self.child_environment() if settings is None or name == "gateway" else environment.inherited())}
        child = Child(name.replace("_", " "), command, {**values, **(settings or {})}, log, port)
        self.children[name] = child
        return child

    def child_environment(self) -> dict[str, str]:
        """The environment of a function of this stack, for a script that stands beside it."""
        local = {"LOCAL_VISIBILITY_SECONDS": VISIBILITY_SECONDS, "PYTHONUNBUFFERED": "1"}
        return {**environment.inherited(), **self.env, **local}

    def _start_database(self) -> None:
        if self.database_url:
            self.server: Server = Server.at(self.database_url)
            self.database = self.server.maintenance_database
            self._bootstrap_existing()
            apply_sql(self.server.dsn(self.database, "postgres"))
            return
        embedded = self._start_server()
        self.database = DATABASE
        with embedded.connect(DATABASE) as connection:
            is_new = not is_bootstrapped(connection)
        if is_new:
            self._build_database()
        try:
            apply_sql(embedded.dsn(DATABASE, "postgres"))
        except EditedError as edited:
            self.notes.append(
                f"{', '.join(edited.names)} changed: the local database was built anew, its rows are gone."
            )
            self._build_database()
            apply_sql(embedded.dsn(DATABASE, "postgres"))

    def _start_server(self) -> EmbeddedServer:
        embedded = EmbeddedServer.start(self.folder / "postgres", port=self.ports.postgres)
        self._resources.callback(embedded.stop)
        self.server = embedded
        return embedded

    def _build_database(self) -> None:
        # Under another name until it is complete: a start that was killed half way must not leave half a database.
        staged = f"{DATABASE}_new"
        self.server.drop_database(staged)
        self.server.create_database(staged, self.generation)
        self.server.drop_database(DATABASE)
        with self.server.connect(self.server.maintenance_database) as connection:
            connection.execute(f'alter database "{staged}" rename to "{DATABASE}"'.encode())

    def _bootstrap_existing(self) -> None:
        with self.server.connect(self.database) as connection:
            bootstrap_roles(connection)
            if not is_bootstrapped(connection):
                bootstrap_database(connection, self.generation)


def data_api_command() -> list[str]:
    """The real PostgREST if STREAMVIBE_POSTGREST or PATH has one, else the stand-in."""
    chosen = os.environ.get("STREAMVIBE_POSTGREST")
    if chosen:
        if not os.access(chosen, os.X_OK):
            raise StackError(f"STREAMVIBE_POSTGREST is {chosen}, which is no program that can be run.")
        return [chosen]
    found = shutil.which("postgrest")
    return [found] if found else [sys.executable, "-m", "infra.local.data_api"]


def run(run_folder: Path = RUN_FOLDER) -> None:
    """`make up`: run until Ctrl-C, restarting parts that end; `run_folder`/env exists while the stack can be used."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.set())
    base = environment.port_base()
    folder, env_file = run_folder / str(base), run_folder / "env"
    stack = Stack(
        folder,
        Ports.from_base(base),
        database_url=os.environ.get("DATABASE_URL"),
        remedy=f"stop it, or choose other ports with PORT_BASE={base + 100}",
    )
    stack.ports.check_free(stack.remedy, print)
    env_file.unlink(missing_ok=True)  # it says "ready" to whoever waits for it
    began = time.monotonic()
    print(f"Starting the local stack on ports {base} to {base + 6} ...", flush=True)
    with stack:
        for path in (folder / "env", env_file):
            environment.write_env_file(path, stack.env)
        _announce(stack, env_file, time.monotonic() - began)
        try:
            _watch(stack, stopped)
        finally:
            # Unless another stack of this checkout has written its own since.
            if env_file.exists() and env_file.read_text() == (folder / "env").read_text():
                env_file.unlink()
            print("\nStopping ...", flush=True)


def _announce(stack: Stack, env_file: Path, seconds: float) -> None:
    for note in stack.notes:
        print(note)
    print(f"Ready after {seconds:.1f} s.\n")
    for label, name in (
        ("Supabase (data API and Auth)", "SUPABASE_URL"),
        ("Functions", "FUNCTIONS_URL"),
        ("Client app", "APP_URL"),
        ("Simulated platforms", "UPSTREAM_URL"),
        ("SQS", "AWS_ENDPOINT_URL"),
        ("Postgres (role postgres)", "DATABASE_URL"),
    ):
        print(f"  {label:<30} {stack.env[name]}")
    print(f"\nSettings: {env_file}   Logs: {stack.folder / 'logs'}   Stop: Ctrl-C", flush=True)


def _watch(stack: Stack, stopped: threading.Event) -> None:
    """Until `stopped`: start again what ended. StackError if a part keeps ending."""
    restarts: list[float] = []
    while not stopped.wait(0.5):
        stack.revive_database()
        for child in stack.children.values():
            if child.is_running:
                continue
            now = time.monotonic()
            restarts = [*(moment for moment in restarts if now - moment < 60), now]
            if len(restarts) > RESTARTS_A_MINUTE:
                raise StackError(f"The {child.name} keeps ending: {child.last_words()} (all of it is in {child.log})")
            print(f"The {child.name} ended; starting it again.", flush=True)
            child.start()


if __name__ == "__main__":
    try:
        run()
    except StackError as problem:
        sys.exit(str(problem))
