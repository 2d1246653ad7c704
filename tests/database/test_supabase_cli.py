"""The official CLI applies sql/ to an empty hosted-like database, and its advisors and linter find nothing.

`supabase db push`, `db advisors` and `db lint` as an operator runs them, as the role `postgres`.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.postgres import apply_sql
from infra.local.postgres.migrations import migrations
from tests.databases import Database, DatabaseFactory

pytestmark = pytest.mark.node

REPOSITORY = Path(__file__).parents[2]
PACKAGE = "supabase@3.1.0"
TIMEOUT_SECONDS = 170


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="session")
def cli() -> str:
    """The CLI's path in npm's cache, fetched once; skips where it cannot be had."""
    if not shutil.which("npx"):
        pytest.skip("Node and npm are not installed: nothing runs the Supabase CLI")
    answer = run("npx", "--yes", f"--package={PACKAGE}", "-c", "command -v supabase")
    if answer.returncode != 0:
        pytest.skip(f"the Supabase CLI cannot be fetched: {answer.stderr.strip().splitlines()[-1:]}")
    return answer.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def pushed(cli: str, databases: DatabaseFactory) -> Iterator[Database]:
    """An empty database to which the CLI has pushed sql/."""
    database = databases.empty()
    answer = run(cli, "db", "push", "--workdir", "infra", "--yes", f"--remote={url(database)}")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    yield database
    databases.drop(database)


def url(database: Database) -> str:
    return f"{database.dsn('postgres')}?sslmode=disable"


def findings(answer: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    """The JSON array that advisors and lint print; nothing is printed where nothing was found."""
    start = answer.stdout.find("[")
    found: list[dict[str, Any]] = json.loads(answer.stdout[start:]) if start >= 0 else []
    return found


def test_push_applies_every_file_and_then_none(cli: str, pushed: Database) -> None:
    with pushed.as_owner() as owner:
        ledger = owner.execute("select version from supabase_migrations.schema_migrations order by version").fetchall()
    assert [row["version"] for row in ledger] == [migration.version for migration in migrations()]
    again = run(cli, "db", "push", "--workdir", "infra", "--yes", f"--remote={url(pushed)}")
    assert (again.returncode, "up to date" in again.stdout + again.stderr) == (0, True)


def test_what_the_cli_applied_the_stack_takes_as_applied(pushed: Database) -> None:
    assert apply_sql(pushed.dsn()) == ()


def test_push_and_the_stack_make_the_same_database(pushed: Database, database: Database) -> None:
    described = []
    for one in (pushed, database):
        with one.as_superuser() as admin:
            described.append(
                admin.execute(
                    """
                    select n.nspname || '.' || c.relname as name, c.relkind::text, c.relacl::text, c.relrowsecurity
                    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
                    where n.nspname in ('public', 'private') order by 1
                    """
                ).fetchall()
            )
    assert described[0]
    assert described[0] == described[1]


def test_the_advisors_find_nothing(cli: str, pushed: Database) -> None:
    answer = run(cli, "db", "advisors", "--workdir", "infra", "--level", "info", f"--remote={url(pushed)}")
    assert answer.returncode == 0, answer.stderr
    # An index that nothing has used yet is no finding on a database without rows.
    assert [one["detail"] for one in findings(answer) if one["name"] != "unused_index"] == []


def test_the_linter_finds_nothing(cli: str, pushed: Database) -> None:
    with pushed.as_superuser() as admin:
        if not admin.execute("select from pg_extension where extname = 'plpgsql_check'").rowcount:
            pytest.skip("this server has no plpgsql_check (Debian: postgresql-15-plpgsql-check)")
    answer = run(cli, "db", "lint", "--workdir", "infra", "--fail-on", "warning", f"--remote={url(pushed)}")
    assert answer.returncode == 0, answer.stdout


def test_the_advisors_would_find_something(cli: str, new_database: Any) -> None:
    broken = new_database()
    with broken.as_owner() as owner:
        owner.execute("create table public.open (id int primary key); grant select on public.open to anon")
    answer = run(cli, "db", "advisors", "--workdir", "infra", "--level", "error", f"--remote={url(broken)}")
    assert "rls_disabled_in_public" in {one["name"] for one in findings(answer)}
