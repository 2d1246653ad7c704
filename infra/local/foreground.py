"""One stack in the foreground until Ctrl-C, on the ports that PORT_BASE says; what ends is started again."""

import os
import signal
import threading
import time
from pathlib import Path

from infra.local import environment
from infra.local.environment import Ports
from infra.local.postgres import Generation
from infra.local.problems import StackError
from infra.local.stack import Stack

RESTARTS_A_MINUTE = 5
ENDING_SECONDS = 7.0  # a little more than the watcher of a killed stack gives its children


def run(run_folder: Path) -> None:
    """Run until Ctrl-C, restarting parts that end; `run_folder`/env exists while the stack can be used."""
    base = environment.port_base()
    generation = default_privileges()
    folder = run_folder / (str(base) if generation == "current" else f"{base}-{generation}")
    env_file = run_folder / "env"
    stack = Stack(
        folder,
        Ports.from_base(base),
        generation=generation,
        database_url=os.environ.get("DATABASE_URL"),
        remedy=f"stop it, or choose other ports with PORT_BASE={base + 100}",
    )
    # The file is still there after a killed run, whose parts may be ending at this moment.
    patience_seconds = ENDING_SECONDS if (folder / "env").exists() else 0.0
    stack.ports.check_free(stack.remedy, print, patience_seconds)
    env_file.unlink(missing_ok=True)  # it says "ready" to whoever waits for it
    began = time.monotonic()
    print(f"Starting the local stack on ports {base} to {base + 6} ...", flush=True)
    with stack:
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: stopped.set())
        for path in (folder / "env", env_file):
            environment.write_env_file(path, stack.env)
        _announce(stack, env_file, time.monotonic() - began)
        try:
            _watch(stack, stopped)
        finally:
            # Unless another stack of this checkout has written its own since.
            if env_file.exists() and env_file.read_text() == (folder / "env").read_text():
                env_file.unlink()
            (folder / "env").unlink()
            print("\nStopping ...", flush=True)


def default_privileges() -> Generation:
    """DEFAULT_PRIVILEGES: `current` as projects since 2026-05-30 have them, or `legacy`; each has its own data."""
    chosen = os.environ.get("DEFAULT_PRIVILEGES") or "current"
    if chosen not in ("current", "legacy"):
        raise StackError(f"DEFAULT_PRIVILEGES is {chosen!r}; it must be current or legacy.")
    return "legacy" if chosen == "legacy" else "current"


def _announce(stack: Stack, env_file: Path, seconds: float) -> None:
    for note in stack.database.notes:
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
    """Until `stopped`: start again what ended. StackError if parts keep ending."""
    restarts: list[float] = []
    while not stopped.wait(0.5):
        for name in stack.revive():
            print(f"The {name} had ended and was started again.", flush=True)
            restarts = [*(moment for moment in restarts if time.monotonic() - moment < 60), time.monotonic()]
            if len(restarts) > RESTARTS_A_MINUTE:
                raise StackError(f"The {name} keeps ending; the logs are in {stack.folder / 'logs'}.")
