"""`python -m infra.preflight`: check a deployment's surroundings; exit 1 if something must be mended first."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra.preflight import stage as stages
from infra.preflight.checks import ALL, Level

STYLES = {Level.OK: "green", Level.NOTE: "cyan", Level.WARN: "yellow", Level.FAIL: "red"}


def main(
    stage: Annotated[str | None, typer.Option(help="Its secrets are read from SSM, as its functions do.")] = None,
) -> None:
    """Read the environment (source your env file first), look at everything, change nothing."""
    referring = stages.environment(stage, os.environ) if stage else os.environ
    environment = stages.fetched(referring)
    findings = [finding for check in ALL for finding in check(environment)]
    table = Table("", "what", title="Preflight")
    for title in ("found", "what to do"):
        table.add_column(title, overflow="fold")  # addresses are copied from here: none is cut short
    for finding in findings:
        table.add_row(f"[{STYLES[finding.level]}]{finding.level}[/]", finding.subject, finding.text, finding.advice)
    Console().print(table)
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
