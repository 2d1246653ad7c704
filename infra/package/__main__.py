"""`python -m infra.package`: build every function of serverless.yml and print the sizes against the budgets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table

from infra.package import needs
from infra.package.artefact import RUNTIME_VERSION, PackagingError, build

MEGABYTE = 1_000_000
BUDGET_MB = 25
TIGHT_BUDGET_MB = 15
TIGHT_FOLDERS = ("stripe_webhook", "sync", "seo", "oauth")

console = Console()


def handlers() -> dict[str, str]:
    """Function name -> handler of every function in serverless.yml."""
    service = yaml.safe_load((needs.ROOT / "serverless.yml").read_text(encoding="utf-8"))
    return {name: function["handler"] for name, function in service["functions"].items()}


def budget_mb(handler: str) -> int:
    """The largest zip, in MB, that a handler may become."""
    return TIGHT_BUDGET_MB if handler.split(".")[1].startswith(TIGHT_FOLDERS) else BUDGET_MB


def main(
    architecture: Annotated[str, typer.Option(help="arm64 (deployment) or x86_64 (this machine's tests).")] = "arm64",
    directory: Annotated[Path, typer.Option(help="Where the zips go.")] = needs.ROOT / "build",
) -> None:
    """Build the artefacts. Exits with 1 and one sentence if one cannot be built or is over its budget."""
    table = Table(
        "function", "handler", "zip MB", "budget MB", "unzipped MB", title=f"Lambda packages ({architecture})"
    )
    over = []
    try:
        for name, handler in track(handlers().items(), "Packaging", console=console, transient=True):
            artefact = build(name, handler, architecture, directory)
            size = artefact.stat().st_size / MEGABYTE
            unzipped = sum(path.stat().st_size for path in (directory / name).rglob("*") if path.is_file()) / MEGABYTE
            table.add_row(name, handler, f"{size:.1f}", str(budget_mb(handler)), f"{unzipped:.1f}")
            if size > budget_mb(handler):
                over.append(name)
    except PackagingError as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(1) from None
    # serverless.yml takes the runtime from here: the bytecode in the packages is for this minor version and no other.
    (directory / "runtime.json").write_text(json.dumps({"runtime": f"python{RUNTIME_VERSION}"}), encoding="utf-8")
    console.print(table)
    if over:
        console.print(f"[red]Over budget: {', '.join(over)}.[/red]")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
