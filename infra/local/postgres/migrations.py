"""Applies `sql/*.sql` in name order, each file in one transaction, as the role `postgres`.

The ledger is the one of the Supabase CLI (`supabase_migrations.schema_migrations`), so `supabase db push` and this
module can take turns on a database. The CLI does not notice that an applied file was edited; here a checksum beside its
ledger does.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from infra.local.problems import StackError

SQL_FOLDER = Path(__file__).parents[3] / "sql"
LEDGER = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
create table if not exists supabase_migrations.local_checksums (
    version text not null primary key, sha256 text not null
);
"""


@dataclass(frozen=True)
class Migration:
    """One file of sql/."""

    version: str
    name: str
    path: Path
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


class EditedError(StackError):
    """A file was changed after it had been applied; only a rebuilt database can follow."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__(f"{', '.join(names)} changed after being applied to this database: it has to be built anew.")


def migrations(folder: Path = SQL_FOLDER) -> tuple[Migration, ...]:
    """The files of `folder` in the order of their names."""
    found = []
    for path in sorted(folder.glob("[0-9]*_*.sql"), key=lambda path: path.name):
        version, _, name = path.stem.partition("_")
        found.append(Migration(version, name, path, path.read_text()))
    return tuple(found)


def fingerprint(folder: Path = SQL_FOLDER) -> str:
    """Changes whenever a file is added, removed, renamed or edited."""
    digest = hashlib.sha256()
    for migration in migrations(folder):
        digest.update(f"{migration.path.name}\0{migration.sha256}\n".encode())
    return digest.hexdigest()[:16]


def apply_sql(dsn: str, folder: Path = SQL_FOLDER) -> tuple[str, ...]:
    """Apply what is missing to the database at `dsn` (role `postgres`) and answer the names of the files applied.

    EditedError if an applied file differs from what was applied; StackError, naming file and line, if one fails
    (the files before it stay applied).
    """
    applied = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        # The CLI's session: no time limits, the role's own search_path.
        connection.execute("set statement_timeout = 0; set lock_timeout = 0")
        connection.execute("set client_min_messages = warning")
        connection.execute(LEDGER)
        done = _applied(connection)
        known = migrations(folder)
        edited = [m.path.name for m in known if done.get(m.version) not in (None, "", m.sha256)]
        gone = sorted(set(done) - {m.version for m in known})
        if edited or gone:
            raise EditedError([*edited, *gone])
        for migration in known:
            if migration.version not in done:
                _apply(connection, migration)
                applied.append(migration.path.name)
    return tuple(applied)


def _applied(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """version -> checksum, empty where the CLI applied it."""
    rows = connection.execute(
        "select version, coalesce(sha256, '') from supabase_migrations.schema_migrations"
        " left join supabase_migrations.local_checksums using (version)"
    )
    return {str(version): str(checksum) for version, checksum in rows}


def _apply(connection: psycopg.Connection[Any], migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.text.encode())
            connection.execute(
                "insert into supabase_migrations.schema_migrations (version, statements, name) values (%s, %s, %s)",
                [migration.version, [migration.text], migration.name],
            )
            connection.execute(
                "insert into supabase_migrations.local_checksums (version, sha256) values (%s, %s)",
                [migration.version, migration.sha256],
            )
    except psycopg.Error as error:
        position = error.diag.statement_position
        line = migration.text.encode()[: int(position)].count(b"\n") + 1 if position else "?"
        context = f" ({error.diag.context})" if error.diag.context else ""
        raise StackError(f"sql/{migration.path.name}:{line}: {error.diag.message_primary or error}{context}") from error
