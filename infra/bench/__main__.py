"""`python -m infra.bench`: run the benchmarks, print the ratios side by side, write infra/bench/latest.json."""

from __future__ import annotations

import importlib
import json
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra.bench.ratio import Ratio

FOLDER = Path(__file__).parent
console = Console()


def main(
    only: Annotated[
        list[str] | None, typer.Argument(help="Names of benchmarks (bench_<name>.py); all if none.")
    ] = None,
) -> None:
    """Run the benchmarks, all or the named ones."""
    known = {path.stem.removeprefix("bench_"): path.stem for path in sorted(FOLDER.glob("bench_*.py"))}
    unknown = set(only or ()) - set(known)
    if unknown:
        console.print(f"[red]No such benchmark: {', '.join(sorted(unknown))}. There are: {', '.join(known)}.[/red]")
        raise typer.Exit(2)
    table = Table("benchmark", "ratio", "goal", "baseline", "note", title="Ratios to their baselines, median of pairs")
    results: dict[str, list[dict[str, object]]] = {}
    for name in only or known:
        with console.status(f"{name} ...") as status:
            began = time.monotonic()
            module = importlib.import_module(f"infra.bench.{known[name]}")
            ratios: list[Ratio] = module.run(lambda text, name=name: status.update(f"{name}: {text}"))
        console.print(f"{name}: {time.monotonic() - began:.0f} s")
        results[name] = [ratio.as_json() for ratio in ratios]
        for ratio in ratios:
            table.add_row(f"{name}: {ratio.name}", f"{ratio.ratio:.2f}", ratio.goal, ratio.baseline, ratio.note)
    console.print(table)
    record = {"at": datetime.now(UTC).isoformat(), "python": platform.python_version(), "results": results}
    (FOLDER / "latest.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
