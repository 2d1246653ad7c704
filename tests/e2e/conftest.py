"""End-to-end tests share one stack (see the fixture `stack` in tests/conftest.py) and may drive it with supabase-js."""

import fcntl
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.stack import Stack
from tests.e2e.creators import Creator

SCRIPTS = Path(__file__).parent / "js"
SCRIPT_SECONDS = 120


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The locked npm packages, installed once; skips where Node is absent."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("Node and npm are not installed: nothing drives supabase-js")
    lock = SCRIPTS / "package-lock.json"
    installed = SCRIPTS / "node_modules" / ".package-lock.json"
    with (SCRIPTS / ".install.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # one of the parallel test processes installs
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(command, cwd=SCRIPTS, check=True, timeout=SCRIPT_SECONDS)
    return SCRIPTS / "node_modules"


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
    with httpx.Client(timeout=60, verify=False) as client:
        yield lambda: Creator.sign_up(stack, client)
