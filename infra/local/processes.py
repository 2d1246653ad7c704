"""Child processes of the stack: started with a log file, watched until they answer, ended in order."""

import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.local import leash
from infra.local.problems import StackError

REPOSITORY = Path(__file__).parents[2]
READY_SECONDS = 60.0
STOP_SECONDS = 5.0


@dataclass
class Child:
    """One part of the stack. `port` is where it answers HTTP once it is ready; None for one that does not listen."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    port: int | None = None
    health_path: str = "/"
    folder: Path = REPOSITORY
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Begin; `wait_until_ready` says when it can be used. StackError if its program is not there."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            try:
                self.process = subprocess.Popen(
                    self.command,
                    env=dict(self.environment),
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for the supervisor, which ends its children in order
                )
            except OSError as error:
                raise StackError(f"The {self.name} cannot be started: {self.command[0]}: {error.strerror}.") from error
        leash.shared().hold(self.process.pid)

    def wait_until_ready(self) -> None:
        """Return once it answers HTTP without a server error. StackError if it ends or takes too long."""
        deadline = time.monotonic() + READY_SECONDS
        while self.port is not None and not self._answers():
            if not self.is_running:
                raise StackError(f"The {self.name} did not start: {self.last_words()} (all of it is in {self.log})")
            if time.monotonic() > deadline:
                raise StackError(f"The {self.name} does not answer on port {self.port}; its log is {self.log}")
            time.sleep(0.02)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it at once, as a crash would."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait()
        leash.shared().release(self.process.pid)

    def ask_to_end(self) -> None:
        """Tell it, and its own children, to end; `stop` waits for that."""
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask it to end, then insist."""
        if self.process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        leash.shared().release(self.process.pid)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def last_words(self) -> str:
        """The last line that it wrote."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return lines[-1].strip() if lines else "it wrote nothing"

    def _answers(self) -> bool:
        assert self.port is not None
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self.health_path)
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
