"""The official CLI applies sql/ to an empty hosted-like database, and its advisors and linter find nothing.

`make deploy-db` (`supabase db push`), `db advisors` and `db lint` as an operator runs them, as the role `postgres`.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra import push
from infra.local.postgres import apply_sql
from infra.local.postgres.migrations import migrations
from tests.databases import Database, DatabaseFactory

pytestmark = pytest.mark.node

REPOSITORY = Path(__file__).parents[2]
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
    answer = run("npx", "--yes", f"--package={push.PACKAGE}", "-c", "command -v supabase")
    if answer.returncode != 0:
        pytest.skip(f"the Supabase CLI cannot be fetched: {answer.stderr.strip().splitlines()[-1:]}")
    return answer.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def pushed(cli: str, databases: DatabaseFactory) -> Iterator[Database]:
    """An empty database to which `make deploy-db` has pushed sql/ past a password, as on a hosted project."""
    assert cli
    database = databases.empty()
    with wanting_the_password(database):
        answer = deploy_db(url(database))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    yield database
    databases.drop(database)


def deploy_db(connection_string: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", "deploy-db", f"PYTHON={sys.executable}"],
        cwd=REPOSITORY,
        env={**inherited, "DATABASE_URL": connection_string, "SUPABASE_YES": "1", "npm_config_prefer_offline": "true"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@contextmanager
def wanting_the_password(database: Database) -> Iterator[None]:
    """Local servers let everybody in; meanwhile this one asks `postgres` for its password where it opens `database`."""
    with database.as_superuser() as admin:
        shown = admin.execute("select current_setting('hba_file') as file, current_database() as name").fetchone()
    assert shown is not None
    file = Path(shown["file"])
    usual = file.read_text(encoding="utf-8")
    file.write_text(f"host {shown['name']} postgres all scram-sha-256\n{usual}", encoding="utf-8")
    try:
        _reload(database)
        wrong = database.dsn("postgres").replace(":postgres@", ":wrong@")
        until = time.monotonic() + 60
        while _lets_in(wrong):  # the server takes the file up when it comes to it
            assert time.monotonic() < until, wrong
        yield
    finally:
        file.write_text(usual, encoding="utf-8")
        _reload(database)


def _reload(database: Database) -> None:
    with database.as_superuser() as admin:
        admin.execute("select pg_reload_conf()")


def _lets_in(dsn: str) -> bool:
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError:
        return False
    return True


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
    again = deploy_db(url(pushed))
    said = again.stdout + again.stderr
    assert (again.returncode, "up to date" in said) == (0, True), said


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
