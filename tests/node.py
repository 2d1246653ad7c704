"""Locked npm packages for tests that drive Node programs; where they cannot be had, those are skipped and say so."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL_SECONDS = 170
OLDEST_NODE = (20, 19)


def installed(folder: Path, what: str) -> Path:
    """`node_modules` of `folder`, installed from its lock file once; skips with "<what>" as what is left out."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip(f"Node and npm are not installed: {what}")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(map(int, version.removeprefix("v").split(".")[:2])) < OLDEST_NODE:
        pytest.skip(f"Node {version} is too old: {what}")
    lock, modules = folder / "package-lock.json", folder / "node_modules"
    mark = modules / ".package-lock.json"
    with (folder / ".install.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # one of the parallel test processes installs
        if not mark.exists() or mark.stat().st_mtime < lock.stat().st_mtime:
            done = _npm(folder, "ci", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retry-maxtimeout=5000")
            if done.returncode and _npm(folder, "view", "osls", "version", "--fetch-retries=0").returncode:
                pytest.skip(f"no npm registry answers: {what}")
            assert done.returncode == 0, done.stderr
    return modules


def _npm(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["npm", *arguments], cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
