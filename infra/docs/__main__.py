"""`python -m infra.docs`: write the generated documents."""

from __future__ import annotations

import tempfile
from pathlib import Path

import typer

from infra.docs import configuration, diagram, openapi
from infra.local.postgres import EmbeddedServer, apply_sql

ROOT = Path(__file__).resolve().parents[2]


def pages(dsn: str) -> dict[Path, str]:
    """Every generated document: where it lies in the project -> what it must say."""
    return {
        Path("sql/DIAGRAM.md"): diagram.page(dsn),
        Path("docs/configuration.md"): configuration.page(),
        Path("docs/openapi.json"): openapi.page(),
    }


def main() -> None:
    """Start a scratch database, apply sql/ and write what is made from it and from the code."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer.start(Path(folder)) as server:
        server.create_database("docs", "current")
        dsn = server.dsn("docs", "postgres")
        apply_sql(dsn)
        for path, text in pages(dsn).items():
            (ROOT / path).parent.mkdir(exist_ok=True)
            (ROOT / path).write_text(text, encoding="utf-8")
            typer.echo(f"wrote {path}")


if __name__ == "__main__":
    typer.run(main)
