"""What the tests of the deployment share: osls, and the template it makes of serverless.yml."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.node import installed

ROOT = Path(__file__).parents[2]
NODE = ROOT / "infra" / "node"
STAGE = "test"


@pytest.fixture(scope="session")
def service() -> dict[str, Any]:
    """serverless.yml as it is written."""
    read: dict[str, Any] = yaml.safe_load((ROOT / "serverless.yml").read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="session")
def osls() -> Path:
    """The pinned osls, installed once; skips where Node is absent."""
    return installed(NODE, "serverless.yml is not packaged") / ".bin" / "osls"


@pytest.fixture(scope="session")
def packaged(osls: Path, service: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project packaged with empty artefacts (test_artefacts.py builds real ones); the folder of what osls made."""
    project = tmp_path_factory.mktemp("project")
    shutil.copyfile(ROOT / "serverless.yml", project / "serverless.yml")
    shutil.copytree(ROOT / "infra" / "resources", project / "infra" / "resources")
    (project / "build").mkdir()
    (project / "build" / "runtime.json").write_text('{"runtime": "python3.13"}', encoding="utf-8")
    for name in service["functions"]:
        with zipfile.ZipFile(project / "build" / f"{name}.zip", "w") as archive:
            archive.writestr("empty.py", "")
    done = osls_run(osls, "package", project)
    assert done.returncode == 0, done.stdout + done.stderr
    return project / ".serverless"


def osls_run(
    osls: Path, command: str, project: Path, account: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`osls package` or `osls deploy` in `project`, with nothing of this machine's environment."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(project),
        "APP_URL": "https://app.example",
        **(account or {}),
    }
    return subprocess.run(
        ["node", str(osls), command, "--stage", STAGE],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="session")
def template_file(packaged: Path) -> Path:
    """The CloudFormation template that a deployment would send."""
    return packaged / "cloudformation-template-update-stack.json"


@pytest.fixture
def template(template_file: Path) -> dict[str, Any]:
    """The same, parsed; a copy for each test."""
    read: dict[str, Any] = json.loads(template_file.read_text(encoding="utf-8"))
    return read
