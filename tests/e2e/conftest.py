"""End-to-end tests share one stack (see the fixture `stack` in tests/conftest.py) and may drive it with supabase-js."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from functions.core import http, queues
from infra.local.stack import Stack
from tests.e2e.creators import LIMITS, Creator
from tests.node import installed

SCRIPTS = Path(__file__).parent / "js"
SCRIPT_SECONDS = 120


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The locked npm packages, installed once; skips where Node is absent."""
    return installed(SCRIPTS, "nothing drives supabase-js")


@pytest.fixture(scope="session")
def run_script(node_modules: Path, stack: Stack) -> Callable[..., Any]:
    """`run_script("journey.mjs", NAME="value")` -> the JSON that the script printed."""
    assert node_modules.is_dir()

    def run(name: str, **settings: str) -> Any:
        environment = {**stack.child_environment(), **settings, "NODE_NO_WARNINGS": "1"}
        finished = subprocess.run(
            ["node", name],
            cwd=SCRIPTS,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)

    return run


@pytest.fixture(scope="session")
def sign_up(stack: Stack) -> Iterator[Callable[[], Creator]]:
    """Signs up a new creator at each call."""
    with httpx.Client(timeout=60, verify=False, limits=LIMITS) as client:
        yield lambda: Creator.sign_up(stack, client)


@pytest.fixture(scope="module")
def db(stack: Stack) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """Runs SQL as superuser, to arrange and to look behind the scenes."""
    with psycopg.connect(stack.admin_dsn, autocommit=True, row_factory=dict_row) as connection:

        def run(query: str, *params: Any) -> list[dict[str, Any]]:
            cursor = connection.execute(query.encode(), params)
            return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def sim(stack: Stack) -> Iterator[Callable[..., Any]]:
    """The simulators' controls: `sim("POST", "faults", host=…)`; faults end with the test."""
    with httpx.Client(timeout=30, verify=False, limits=LIMITS, base_url=f"{stack.env['UPSTREAM_URL']}/_sim/") as client:

        def control(method: str, control_path: str, /, **fields: Any) -> Any:
            asks = method in {"GET", "DELETE"}
            answer = client.request(
                method, control_path, params=fields if asks else None, json=None if asks else fields
            )
            assert answer.is_success, answer.text
            return answer.json() if answer.content else None

        yield control
        client.delete("faults")


@pytest.fixture
def in_process(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The functions' settings in this process, so that tests call handlers as Lambda does."""
    for name, value in stack.child_environment().items():
        monkeypatch.setenv(name, value)
    # Made here, so that threads that begin together do not make several; closed here, because pytest counts sockets.
    sqs = queues._client()
    yield
    sqs.close()
    queues._client.cache_clear()
    http.forget_client()


@pytest.fixture
def new_account(sim: Callable[..., Any]) -> Callable[..., str]:
    """`new_account(size, platform="youtube")`: somebody with so many items there; the slug, for `login_hint`."""

    def make(size: int, platform: str = "youtube") -> str:
        slug = f"acc-{uuid4().hex[:12]}"
        sim("POST", f"{platform}/accounts", slug=slug, name=slug, size=size)
        return slug

    return make
