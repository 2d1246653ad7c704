"""`make package` refuses what would start slowly or is too large."""

from __future__ import annotations

import compileall
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from infra.package import __main__ as command
from infra.package import artefact
from infra.package.artefact import RUNTIME_VERSION, PackagingError


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("COLUMNS", "200")
    return CliRunner()


def run(program: CliRunner, folder: Path) -> tuple[int, str]:
    application = typer.Typer()
    application.command()(command.main)
    result = program.invoke(application, ["--directory", str(folder)])
    return result.exit_code, result.output


def test_a_module_without_bytecode_fails_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(compileall, "compile_dir", lambda *_, **__: True)
    with pytest.raises(PackagingError, match=rf"Bytecode for Python {RUNTIME_VERSION} is missing, .*module\.py"):
        artefact._compile(tmp_path)


def test_a_module_that_does_not_compile_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("def", encoding="utf-8")
    with pytest.raises(PackagingError, match="does not compile"):
        artefact._compile(tmp_path)


@pytest.mark.parametrize(("megabytes", "code"), [(14.9, 0), (15.1, 1)])
def test_a_package_over_its_budget_fails_the_command(
    megabytes: float, code: int, program: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(name: str, handler: str, architecture: str, directory: Path) -> Path:
        assert (architecture, handler) == ("arm64", command.handlers()[name])
        made = directory / f"{name}.zip"
        with made.open("wb") as file:
            file.truncate(int((megabytes if name == "stripe_webhook" else 1) * command.MEGABYTE))
        return made

    monkeypatch.setattr(command, "build", build)
    exit_code, output = run(program, tmp_path)
    assert exit_code == code
    assert ("Over budget: stripe_webhook." in output) == bool(code)
    assert f"{megabytes:.1f}" in output
    assert json.loads((tmp_path / "runtime.json").read_text())["runtime"] == f"python{RUNTIME_VERSION}"


def test_what_cannot_be_built_is_one_sentence(
    program: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object) -> Path:
        raise PackagingError("x has no usable wheel.")

    monkeypatch.setattr(command, "build", build)
    exit_code, output = run(program, tmp_path)
    assert (exit_code, output.strip()) == (1, "x has no usable wheel.")
