"""Real artefacts, built by the recipe of `make package` for this machine, started with nothing else on the path."""

from __future__ import annotations

import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from functions.core import settings
from infra.package.__main__ import MEGABYTE, budget_mb, handlers
from infra.package.artefact import RUNTIME_VERSION, PackagingError, build
from tests.deploy.conftest import ROOT

ARCHITECTURE = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
CACHE = ROOT / "infra" / "local" / ".cache" / "artefacts"
START = """
import importlib, sys
sys.path[:0] = [sys.argv[1]]
module = importlib.import_module(sys.argv[2])
print(module.__cached__ or "", *sorted({"boto3", "fastapi", "pydantic", "stripe", "supabase"} & set(sys.modules)))
"""
SETTINGS = {
    "SUPABASE_URL": "http://127.0.0.1:9",
    "SUPABASE_SECRET_KEY": "sb_secret_none",
    "STRIPE_SECRET_KEY": "sk_test_none",
    "STRIPE_WEBHOOK_SECRET": "whsec_none",
    "SYNC_QUEUE_URL": "http://127.0.0.1:9/sync",
    "ANALYZE_QUEUE_URL": "http://127.0.0.1:9/analyze",
    **{setting.name: "none" for setting in settings.PLATFORM_CREDENTIALS},
}

pytestmark = [
    pytest.mark.xdist_group("artefacts"),
    pytest.mark.skipif(sys.platform != "linux", reason="Lambda is Linux"),
]


def built(name: str) -> Path:
    """The zip of function `name`; wheels come from the registry once and from the cache afterwards."""
    try:
        return build(name, handlers()[name], ARCHITECTURE, CACHE)
    except PackagingError as error:
        if _registry_is_away():
            pytest.skip(f"no network for wheels: {error}")
        raise


def _registry_is_away() -> bool:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(CACHE / "probe"), "idna"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode != 0


@pytest.mark.parametrize("name", ["stripe_webhook", "sync_worker"])
def test_it_starts_from_its_artefact_alone(name: str, tmp_path: Path) -> None:
    archive = built(name)
    assert archive.stat().st_size <= budget_mb(handlers()[name]) * MEGABYTE
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path)
    module = handlers()[name].rpartition(".")[0]
    command = [sys.executable, "-I", "-S", "-B", "-c", START, str(tmp_path), module]
    done = subprocess.run(command, env=SETTINGS, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    cached, *heavy = done.stdout.split()
    assert Path(cached).is_file(), "it would be compiled at each cold start"
    assert heavy == [], "hot paths load none of these"


def test_every_module_has_its_bytecode() -> None:
    with zipfile.ZipFile(built("stripe_webhook")) as opened:
        names = set(opened.namelist())
    sources = {name for name in names if name.endswith(".py")}
    suffix = f".cpython-{RUNTIME_VERSION.replace('.', '')}.pyc"
    compiled = {name.replace("__pycache__/", "").removesuffix(suffix) + ".py" for name in names if suffix in name}
    assert sources
    assert sources <= compiled


def test_the_same_input_gives_the_same_bytes() -> None:
    first = built("stripe_webhook").read_bytes()
    assert built("stripe_webhook").read_bytes() == first
