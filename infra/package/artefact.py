"""From needs to a zip: locked wheels for the target machine, our modules, bytecode compiled in."""

from __future__ import annotations

import compileall
import py_compile
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from infra.package import needs

RUNTIME_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
PLATFORMS = {"arm64": "aarch64", "x86_64": "x86_64"}
# What no function reads at run time.
LEFT_OUT = re.compile(r"(^|/)(tests?|testing|__pycache__|bin|include)(/|$)|\.(pyi|pxd|pyx|c|h|md|rst)$|(^|/)py\.typed$")
# Parts of Powertools that would only serve other event sources and its own web framework: two thirds of it.
UNUSED_PARTS = tuple(
    f"aws_lambda_powertools/{part}"
    for part in (
        "event_handler",
        "utilities/batch",
        "utilities/data_classes",
        "utilities/data_masking",
        "utilities/idempotency",
        "utilities/kafka",
        "utilities/parser",
        "utilities/streaming",
        "utilities/validation",
    )
)
KEPT_TESTING = ("starlette", "fastapi")
ZIP_TIME = (2020, 1, 1, 0, 0, 0)  # the same input gives the same bytes


class PackagingError(Exception):
    """A package cannot be built; the message says what to do."""


def build(name: str, handler: str, architecture: str, directory: Path) -> Path:
    """Build `<directory>/<name>.zip` for `handler` on `arm64` or `x86_64`; returns its path."""
    machine = PLATFORMS[architecture]
    wanted = needs.of(handler, machine)
    staging = directory / name
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    _install(wanted.distributions, machine, staging, directory)
    for module in wanted.modules:
        target = staging / module
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(needs.ROOT / module, target)
    _prune(staging)
    _compile(staging)
    return _zip(staging, directory / f"{name}.zip")


def _install(distributions: tuple[str, ...], machine: str, target: Path, directory: Path) -> None:
    """Install exactly the locked versions, checked against the locked hashes, as wheels for the target machine."""
    cache = directory / "wheels" / machine
    for distribution in distributions:
        wheel = cache / distribution
        if not wheel.is_dir():
            _download(distribution, machine, wheel)
        shutil.copytree(wheel, target, dirs_exist_ok=True)


def _download(distribution: str, machine: str, target: Path) -> None:
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    requirements = partial.parent / f"{distribution}.requirements"
    requirements.write_text(_locked(distribution), encoding="utf-8")
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in (17, 28, 34)]
    platforms.append(f"--platform=manylinux2014_{machine}")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-compile",
    ]
    command += ["--require-hashes", "--only-binary=:all:", f"--python-version={RUNTIME_VERSION}", "--implementation=cp"]
    command += [*platforms, f"--target={partial}", f"--requirement={requirements}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise PackagingError(f"{distribution} has no usable wheel for {machine}, Python {RUNTIME_VERSION}: {reason}")
    partial.rename(target)


def _locked(distribution: str) -> str:
    """The lines of requirements.lock for one distribution, hashes included."""
    lock = (needs.ROOT / "requirements.lock").read_text(encoding="utf-8")
    entry = re.search(rf"^{re.escape(distribution)}==[^\n]*(?:\n    --hash[^\n]*)*", lock, re.MULTILINE)
    if entry is None:
        raise PackagingError(f"{distribution} is not in requirements.lock; run `make lock`.")
    return re.sub(r" ;[^\\\n]*", "", entry.group()) + "\n"


def _prune(staging: Path) -> None:
    for path in sorted(staging.rglob("*"), reverse=True):
        relative = path.relative_to(staging).as_posix()
        in_kept = "testing" in relative and relative.startswith(KEPT_TESTING)
        unused = relative.startswith(UNUSED_PARTS)
        if unused or (LEFT_OUT.search(relative) and not in_kept and ".dist-info" not in relative):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _compile(staging: Path) -> None:
    """Compile in the bytecode; without it every cold start would compile again, for /var/task is read-only."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(staging, quiet=2, workers=0, invalidation_mode=mode, stripdir=str(staging)):
        raise PackagingError(f"A module under {staging} does not compile.")
    missing = [path for path in staging.rglob("*.py") if not _bytecode(path).is_file()]
    if missing:
        raise PackagingError(f"Bytecode for Python {RUNTIME_VERSION} is missing, first of all of {missing[0]}.")


def _bytecode(source: Path) -> Path:
    return source.parent / "__pycache__" / f"{source.stem}.cpython-{RUNTIME_VERSION.replace('.', '')}.pyc"


def _zip(staging: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(staging.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(staging).as_posix(), ZIP_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (0o755 if path.suffix == ".so" else 0o644) << 16
                archive.writestr(entry, path.read_bytes())
    return target
