"""`make mutants`: weaken the schema in one place, run the fast database tests, see whether they notice.

    python -m tests.database.mutants                # a fixed sample of every family, and every edited body
    python -m tests.database.mutants --all          # every mutant there is (hours)
    python -m tests.database.mutants --only trigger # those whose family or name holds the word

Each mutant is a database on one server; the tests run on copies of it, in a pytest process of its own which stops at
its first failure. The unchanged schema comes first and must pass. Ends with 1 if fewer than 95 % are noticed.
"""

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import psycopg
import typer
from psycopg.rows import dict_row

from infra.local.postgres import EmbeddedServer, apply_sql
from tests.database.mutants.bodies import body_mutants
from tests.database.mutants.catalog import Mutant, all_mutants

REPOSITORY = Path(__file__).parents[3]
BASE = "base"
REQUIRED_SHARE = 0.95
SAMPLE = 5  # of each family
# Those that read the catalog come first: they notice most, and soonest.
TESTS = [
    "test_access_catalog.py", "test_diagram.py", "test_schema.py", "test_access_matrix.py", "test_ownership.py",
    "test_provisioning.py", "test_quotas.py", "test_quota_races.py", "test_vault.py", "test_hostile_input.py",
    "test_audited_changes.py", "test_audit.py", "test_sync.py",
]  # fmt: skip


def sample(every: list[Mutant]) -> list[Mutant]:
    """Of each family as many as SAMPLE, evenly spread; of edited bodies all."""
    families: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in every:
        families[mutant.family].append(mutant)
    chosen: list[Mutant] = []
    for family, members in families.items():
        step = 1 if family == "edit a body" else max(1, len(members) // SAMPLE)
        chosen += members[::step] if step == 1 else members[::step][:SAMPLE]
    return chosen


@contextmanager
def template_server() -> Iterator[EmbeddedServer]:
    """A server with the database BASE: sql/ as it is."""
    with tempfile.TemporaryDirectory(prefix="streamvibe-mutants-") as folder:
        Path(folder).chmod(0o755)
        with EmbeddedServer.start(Path(folder)) as server:
            server.create_database(BASE)
            apply_sql(server.dsn(BASE, "postgres"))
            yield server
            server.remove()


def killer(server: EmbeddedServer, mutant: Mutant) -> str | None:
    """The test that notices the mutant, or None if none does."""
    template = f"mutant_{uuid4().hex}"
    server.clone_database(template, BASE)
    try:
        with server.connect(template) as superuser:
            superuser.execute(mutant.statements.encode())
        return failing_test(server, template)
    finally:
        server.drop_database(template)


def failing_test(server: EmbeddedServer, template: str) -> str | None:
    """The first of TESTS that fails on copies of this database, or None."""
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "--no-header", "-k", "not canaries", *TESTS],
        cwd=REPOSITORY / "tests" / "database",
        env={
            **os.environ,
            "STREAMVIBE_TEST_PORT": str(server.port),
            "STREAMVIBE_TEST_TEMPLATE": template,
            "STREAMVIBE_TEST_SERVERS": "18-current",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode == 0:
        return None
    found = [line for line in answer.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return found[0].split(" - ")[0] if found else answer.stdout[-300:] + answer.stderr[-300:]


def main(
    everything: Annotated[bool, typer.Option("--all", help="every mutant, not a sample")] = False,
    only: Annotated[str, typer.Option(help="those whose family or name holds this")] = "",
    jobs: Annotated[int, typer.Option(help="at the same time")] = 2,
    show: Annotated[bool, typer.Option("--list", help="print them and stop")] = False,
) -> None:
    """Run the mutants and print which ones the tests noticed."""
    with template_server() as server:
        run(server, everything=everything, only=only, jobs=jobs, show=show)


def run(server: EmbeddedServer, *, everything: bool, only: str, jobs: int, show: bool) -> None:
    """Choose mutants, run them, print and judge."""
    with psycopg.connect(server.dsn(BASE), row_factory=dict_row) as session:
        every = [*all_mutants(session), *body_mutants(session)]
    control = None if show else failing_test(server, BASE)
    if control:
        typer.echo(f"The tests fail without any mutation: {control}")
        raise typer.Exit(1)
    chosen = [m for m in (every if everything or only else sample(every)) if only in f"{m.family} {m.name}"]
    typer.echo(f"{len(chosen)} mutants of {len(every)}")
    if show:
        typer.echo("\n".join(f"{mutant.family}: {mutant.name}" for mutant in chosen))
        return
    survivors = []
    with ThreadPoolExecutor(jobs) as pool:
        for mutant, noticed in zip(chosen, pool.map(partial(killer, server), chosen), strict=True):
            typer.echo(f"{'SURVIVED' if noticed is None else 'noticed '} {mutant.family}: {mutant.name}")
            if noticed is None:
                survivors.append(mutant)
            else:
                typer.echo(f"           by {noticed}")
    noticed_share = 1 - len(survivors) / len(chosen)
    typer.echo(
        f"{len(chosen) - len(survivors)} of {len(chosen)} noticed ({noticed_share:.1%}; {REQUIRED_SHARE:.0%} required)"
    )
    for mutant in survivors:
        typer.echo(f"  survived: {mutant.family}: {mutant.name}")
    if noticed_share < REQUIRED_SHARE:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
