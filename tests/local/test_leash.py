"""Children end with whoever started them, even if that one is killed."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

STARTER = """
import signal, subprocess, sys
from pathlib import Path
from infra.local import leash
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
leash.shared().hold(child.pid, signal.SIGTERM)
leash.shared().hold_folder(Path(sys.argv[1]))
print(child.pid, flush=True)
signal.pause()
"""


def test_a_killed_starter_takes_its_children_and_folders_along(tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    (folder / "inner").mkdir(parents=True)
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(folder)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert starter.stdout is not None
    child = os.pidfd_open(int(starter.stdout.readline()))
    assert select.select([child], [], [], 0) == ([], [], [])  # it runs
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    ended, _, _ = select.select([child], [], [], 20)
    os.close(child)
    assert ended == [child]
    deadline = time.monotonic() + 60
    while folder.exists():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.02)
