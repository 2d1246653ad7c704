"""What every test may ask for: databases like a hosted project's, recorded upstream answers. See tests/README.md."""

import inspect
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import hypothesis
import pytest

from infra.local import environment, leash
from infra.local.hosted import VARIABLES, HostedProject
from infra.local.ports import free_port
from infra.local.postgres import EmbeddedServer, Generation
from infra.local.postgres.binaries import SYSTEM_15
from infra.local.stack import Stack
from tests import serverless_offline
from tests.databases import Database, DatabaseFactory

REPOSITORY = Path(__file__).parents[1]

# `make test` runs the same examples every time, `make soak` new ones; how long one takes is no verdict on either.
hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True)
hypothesis.settings.register_profile("soak", deadline=None)
hypothesis.settings.load_profile("soak" if os.environ.get("STREAMVIBE_PROFILE") == "soak" else "fixed")

# httpx gives up after five seconds; how loaded a machine is must not decide about a test's own requests. Each function
# and client of httpx has this one object as its default. The product's client says how long it waits.
_PATIENCE = inspect.signature(httpx.get).parameters["timeout"].default
for _phase in ("connect", "read", "write", "pool"):
    setattr(_PATIENCE, _phase, 60.0)


def database_servers() -> tuple[str, ...]:
    """The servers that tests/database runs on, as `version-generation`, from STREAMVIBE_TEST_SERVERS or what is there.

    Both generations of default privileges are always covered: the second one by PostgreSQL 15 where that is installed.
    """
    chosen = os.environ.get("STREAMVIBE_TEST_SERVERS")
    if chosen:
        return tuple(name.strip() for name in chosen.split(","))
    second = "15-legacy" if (SYSTEM_15 / "postgres").exists() else "18-legacy"
    return ("18-current", second)


def pytest_report_header() -> list[str]:
    lines = [f"database tests run on: {', '.join(database_servers())} (STREAMVIBE_TEST_SERVERS chooses others)"]
    if not (SYSTEM_15 / "postgres").exists():
        lines.append(f"PostgreSQL 15 is not installed ({SYSTEM_15}): nothing runs on it")
    project = HostedProject.from_environment()
    given = project.url if project else f"the local stack ({', '.join(VARIABLES)} name another one)"
    gateway = "serverless-offline" if serverless_offline.is_chosen() else "our runner (or STREAMVIBE_FUNCTIONS)"
    lines.append(f"tests of the whole run on {given}; the functions are called by {gateway}")
    return lines


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test under tests/database once for each server; all others on the first one."""
    if (
        "server_name" in metafunc.fixturenames
        and (REPOSITORY / "tests" / "database") in metafunc.definition.path.parents
    ):
        metafunc.parametrize("server_name", database_servers(), scope="session", indirect=True)


@pytest.fixture(scope="session")
def server_name(request: pytest.FixtureRequest) -> str:
    """`version-generation` of the server in use, e.g. "18-current"."""
    return str(getattr(request, "param", "18-current"))


@pytest.fixture(scope="session")
def postgres_server(server_name: str) -> Iterator[EmbeddedServer]:
    """A server for this test process, gone with it."""
    version = server_name.partition("-")[0]
    if version not in ("15", "18"):
        raise pytest.UsageError(f"STREAMVIBE_TEST_SERVERS: {server_name} is not 18 or 15, - and current or legacy")
    if port := os.environ.get("STREAMVIBE_TEST_PORT"):  # `make mutants` keeps one server for all its runs
        yield EmbeddedServer(host="127.0.0.1", port=int(port))
        return
    folder = Path(tempfile.mkdtemp(prefix="streamvibe-test-"))
    folder.chmod(0o755)  # as root the server is another account
    leash.shared().hold_folder(folder)
    server = EmbeddedServer.start(folder, binaries=SYSTEM_15 if version == "15" else None)
    yield server
    server.remove()
    shutil.rmtree(folder)
    leash.shared().release_folder(folder)


@pytest.fixture(scope="session")
def generation(server_name: str) -> Generation:
    """The default privileges that databases of this run have: "current" or "legacy"."""
    return "legacy" if server_name.endswith("legacy") else "current"


@pytest.fixture(scope="session")
def databases(postgres_server: EmbeddedServer, generation: Generation) -> DatabaseFactory:
    """Makes databases: `databases.new()` with sql/ applied, `databases.empty()` without."""
    return DatabaseFactory(postgres_server, generation)


@pytest.fixture(scope="module")
def database(databases: DatabaseFactory) -> Iterator[Database]:
    """A fresh database for this module, sql/ applied, without users."""
    fresh = databases.new()
    yield fresh
    databases.drop(fresh)


@pytest.fixture
def new_database(databases: DatabaseFactory) -> Iterator[Callable[[], Database]]:
    """Call it for a database of this test's own (about 0.1 s)."""
    made: list[Database] = []

    def make() -> Database:
        made.append(databases.new())
        return made[-1]

    yield make
    for fresh in made:
        databases.drop(fresh)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The whole local stack on free ports; schedules are fired by hand (`/_local/invoke/...`).

    With SUPABASE_URL, both keys and DATABASE_URL given, that Supabase takes the place of the stack's own; with
    STREAMVIBE_FUNCTIONS=serverless-offline, that gateway calls the functions.
    """
    project = HostedProject.from_environment()
    if not serverless_offline.is_chosen():
        with Stack.temporary(project=project) as running:
            yield running
        return
    port = free_port()
    with (
        Stack.temporary(project=project, functions_url=environment.url(port)) as running,
        serverless_offline.serving(running, port),
    ):
        yield running


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in this hook too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need the stack share one: they go to the same test process."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("stack"))


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Answers recorded from the real APIs; tests that read them are skipped where they are not at hand."""
    folder = REPOSITORY.parent / "shared" / "recordings"
    if not folder.is_dir():
        pytest.skip("the recorded answers of the real APIs are not on this machine")
    return folder
