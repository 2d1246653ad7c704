"""`python -m infra.local.postgres`: a scratch server with sql/ applied, until Ctrl-C. See the package's docstring."""

import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from infra.local.postgres import EmbeddedServer, Generation, apply_sql
from infra.local.problems import StackError


def main(
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 0,
    generation: Annotated[
        Generation, typer.Option(help="default privileges of projects since, or before, 2026-05-30")
    ] = "current",
    binaries: Annotated[Path | None, typer.Option(help="folder of another server's programs")] = None,
    folder: Annotated[Path | None, typer.Option(help="keep the data here instead of dropping it")] = None,
    empty: Annotated[bool, typer.Option("--empty", help="do not apply sql/")] = False,
) -> None:
    """Run a scratch Postgres that looks like a hosted project until Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="streamvibe-") as scratch:
        Path(scratch).chmod(0o755)
        with EmbeddedServer.start(folder or Path(scratch), port=port, binaries=binaries) as server:
            if not server.has_database("app"):
                server.create_database("app", generation)
            applied = () if empty else apply_sql(server.dsn("app", "postgres"))
            print(f"{len(applied)} files of sql/ applied, generation {generation}")
            for role in ("postgres", "supabase_admin", "authenticator"):
                print(server.dsn("app", role), flush=True)
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            signal.pause()


if __name__ == "__main__":
    try:
        typer.run(main)
    except StackError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit(0)
