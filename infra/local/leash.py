"""Ends child processes whose starter is gone, however it went (SIGKILL included).

One small watcher process per starter holds the reading end of a pipe. The starter writes `+PID SIGNAL` for each child
it starts and `-PID` for each one that it has ended itself, `/FOLDER` for each temporary folder and `!FOLDER` when it
has removed it. When the pipe closes, because the starter exited or was killed, the watcher sends each remaining child
its signal, and SIGKILL to those that are still there after a while, and removes the remaining folders.
A pipe rather than PR_SET_PDEATHSIG: that one is Linux only, is bound to the starting *thread*, and is lost on setuid.
"""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

GRACE_SECONDS = 5.0


class Leash:
    """The starter's end. One for each process is enough; it needs no locking, a line is one atomic write."""

    def __init__(self) -> None:
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is for the starter, which ends its children in order
            cwd="/",
        )
        atexit.register(self.close)

    def hold(self, pid: int, number: signal.Signals = signal.SIGTERM) -> None:
        """From now on `pid` ends with us; `number` is the signal that it is asked with first."""
        self._say(f"+{pid} {int(number)}\n")

    def release(self, pid: int) -> None:
        """`pid` has ended (its number may be another process's soon)."""
        self._say(f"-{pid}\n")

    def hold_folder(self, folder: Path) -> None:
        """From now on `folder` goes away with us."""
        self._say(f"/{folder.absolute()}\n")

    def release_folder(self, folder: Path) -> None:
        """`folder` has been removed."""
        self._say(f"!{folder.absolute()}\n")

    def close(self) -> None:
        """Let go: whatever is still held is ended now."""
        atexit.unregister(self.close)
        stdin = self._watcher.stdin
        if stdin is not None and not stdin.closed:
            with contextlib.suppress(OSError):
                stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._watcher.wait(2 * GRACE_SECONDS)

    def _say(self, line: str) -> None:
        if self._watcher.stdin is not None:
            with contextlib.suppress(OSError):  # the watcher was killed; nothing is lost but the safety net
                os.write(self._watcher.stdin.fileno(), line.encode())


_shared: Leash | None = None
_making = threading.Lock()


def shared() -> Leash:
    """This process's leash, made on first use."""
    global _shared  # noqa: PLW0603 - one watcher for each process is the point
    with _making:  # a second one would be dropped, and its watcher end what it holds
        if _shared is None:
            _shared = Leash()
        return _shared


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _watch() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    held: dict[int, int] = {}
    folders: set[str] = set()
    for line in sys.stdin:
        if line.startswith("/"):
            folders.add(line[1:].rstrip("\n"))
            continue
        if line.startswith("!"):
            folders.discard(line[1:].rstrip("\n"))
            continue
        pid, _, number = line[1:].strip().partition(" ")
        if line.startswith("+"):
            held[int(pid)] = int(number)
        else:
            held.pop(int(pid), None)
    for pid, asked in held.items():
        with contextlib.suppress(OSError):
            os.kill(pid, asked)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(map(_alive, held)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in filter(_alive, held):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _watch()
