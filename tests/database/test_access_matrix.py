"""Every cell of tests/access_matrix.toml, tried with rows of two users, judged by what is stored afterwards.

A refusal counts only as "permission denied" or as no row touched: a statement that was let through and then failed on
a constraint counts as allowed. The superuser makes the same tries and must succeed; that is what makes a refusal mean
something.
"""

import json
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from tests.database.world import ONE_A_USER, Row, World, build_world, key_of
from tests.databases import Connection, Database

MATRIX: dict[str, dict[str, list[str]]] = tomllib.loads((Path(__file__).parents[1] / "access_matrix.toml").read_text())[
    "tables"
]
ACTORS = ("anon", "owner", "stranger", "admin", "expired_admin", "service")
COMMANDS = ("select", "insert", "update", "delete")
REFUSALS = ("42501", "PT403")  # no privilege or policy; the audit log's own guard
CELLS = [(entry, actor) for entry in MATRIX for actor in ACTORS]


@pytest.fixture(scope="module")
def world(database: Database) -> World:
    return build_world(database)


@pytest.fixture(scope="module")
def session(world: World) -> Iterator[Connection]:
    with world.database.connect("supabase_admin", autocommit=False) as connection:
        yield connection


def table_and_state(entry: str) -> tuple[str, str | None]:
    table, _, state = entry.partition(" ")
    return table, state.strip("()") or None


@contextmanager
def acting(session: Connection, world: World, actor: str) -> Iterator[None]:
    """Role and claims as the data API sets them, taken back at the end."""
    role = {"anon": "anon", "service": "service_role"}.get(actor, "authenticated")
    claims = {"role": role}
    if role == "authenticated":
        claims["sub"] = str(getattr(world, actor))
    session.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps(claims)])
    session.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
    try:
        yield
    finally:
        session.execute("reset role")
        session.execute("select set_config('request.jwt.claims', '', true)")


def arrange(session: Connection, world: World, table: str, state: str | None) -> None:
    """Bring the owner's row into the state that the entry is about."""
    key = world.at(world.owner, table)
    match state:
        case "inactive":
            session.execute(
                sql.SQL("update public.{} set is_active = false where id = %s").format(sql.Identifier(table)), [key]
            )
        case "expired":
            session.execute(
                "update trending_keyword set valid_from = '2000-01-01', valid_until = '2000-01-02' where id = %s", [key]
            )
        case "public":
            session.execute("update user_setting set is_profile_public = true where user_id = %s", [world.owner])


class Probe:
    """Tries one command on the owner's row of one table, as one actor, and looks at what is stored afterwards."""

    def __init__(self, session: Connection, world: World, table: str) -> None:
        self.session, self.world, self.table = session, world, table
        self.key = world.at(world.owner, table)
        self.identified = sql.SQL("{} = {}").format(sql.Identifier(key_of(table)), sql.Literal(self.key))

    def allowed(self, command: str, actor: str | None) -> bool:
        """Whether the command has its effect; everything is rolled back. Actor None is the superuser."""
        try:
            with self.session.transaction(force_rollback=True):
                return bool(getattr(self, f"_{command}")(actor))
        except psycopg.Error as error:
            if error.sqlstate in REFUSALS:
                return False
            raise

    def _run(self, actor: str | None, statement: sql.Composed, values: Row | None = None) -> psycopg.Cursor[Any]:
        if actor is None:
            return self.session.execute(statement, values)
        try:
            with acting(self.session, self.world, actor), self.session.transaction():
                return self.session.execute(statement, values)
        except psycopg.errors.IntegrityError as error:
            raise AssertionError(f"{actor} was let through to a constraint: {error}") from error

    def _select(self, actor: str | None) -> bool:
        found = self._run(
            actor, sql.SQL("select 1 from public.{} where {}").format(sql.Identifier(self.table), self.identified)
        )
        return found.rowcount == 1

    def _insert(self, actor: str | None) -> bool:
        if self.table in ONE_A_USER:
            self.session.execute(
                sql.SQL("delete from public.{} where {}").format(sql.Identifier(self.table), self.identified)
            )
        row = self.world.new_row(self.table, self.world.owner)
        columns = sql.SQL(", ").join(map(sql.Identifier, row))
        before = self._count()
        wrapped = {
            name: psycopg.types.json.Jsonb(value) if isinstance(value, dict) else value for name, value in row.items()
        }
        self._run(
            actor,
            sql.SQL("insert into public.{} ({}) values ({})").format(
                sql.Identifier(self.table), columns, sql.SQL(", ").join(map(sql.Placeholder, row))
            ),
            wrapped,
        )
        return self._count() == before + 1

    def _update(self, actor: str | None) -> bool:
        """Rewrites each column in turn with its own value: a new version of the row is an effect."""
        return any(self._updates(actor, column) for column in self._columns())

    def _updates(self, actor: str | None, column: str) -> bool:
        before = self._version()
        with suppress(psycopg.errors.InsufficientPrivilege):
            self._run(
                actor,
                sql.SQL("update public.{table} set {column} = {column} where {row}").format(
                    table=sql.Identifier(self.table), column=sql.Identifier(column), row=self.identified
                ),
            )
        return self._version() != before

    def _delete(self, actor: str | None) -> bool:
        self._run(actor, sql.SQL("delete from public.{} where {}").format(sql.Identifier(self.table), self.identified))
        return self._version() is None

    def _columns(self) -> list[str]:
        found = self.session.execute(
            """
            select attname from pg_catalog.pg_attribute
            where attrelid = ('public.' || %s)::regclass and attnum > 0 and not attisdropped and attgenerated = ''
            """,
            [self.table],
        )
        return [row["attname"] for row in found]

    def _count(self) -> int:
        row = self.session.execute(
            sql.SQL("select count(*) from public.{}").format(sql.Identifier(self.table))
        ).fetchone()
        assert row is not None
        return int(row["count"])

    def _version(self) -> object:
        return self.session.execute(
            sql.SQL("select ctid::text from public.{} where {}").format(sql.Identifier(self.table), self.identified)
        ).fetchone()


def test_the_matrix_names_every_table(world: World) -> None:
    with world.database.as_owner() as owner:
        found = owner.execute("select tablename from pg_catalog.pg_tables where schemaname = 'public'").fetchall()
    assert {table_and_state(entry)[0] for entry in MATRIX} == {row["tablename"] for row in found}
    assert all(set(cells) == set(ACTORS) for cells in MATRIX.values())
    assert all(set(commands) <= set(COMMANDS) for cells in MATRIX.values() for commands in cells.values())


@pytest.mark.parametrize(("entry", "actor"), CELLS)
def test_cells(world: World, session: Connection, entry: str, actor: str) -> None:
    table, state = table_and_state(entry)
    with session.transaction(force_rollback=True):
        arrange(session, world, table, state)
        probe = Probe(session, world, table)
        found = [command for command in COMMANDS if probe.allowed(command, actor)]
    assert found == sorted(MATRIX[entry][actor], key=COMMANDS.index)


@pytest.mark.parametrize("table", sorted({table_and_state(entry)[0] for entry in MATRIX}))
def test_the_superuser_can_do_all_of_it(world: World, session: Connection, table: str) -> None:
    """The control: what the cells refuse would work if it were not for the rights."""
    with session.transaction(force_rollback=True):
        probe = Probe(session, world, table)
        commands = [command for command in COMMANDS if probe.allowed(command, None)]
    assert commands == list(COMMANDS)


def test_nobody_reads_a_strangers_rows_by_asking_for_all(world: World, session: Connection) -> None:
    """Without any filter, a signed-in user's rows of a private table are the own ones."""
    private = [
        entry for entry, cells in MATRIX.items() if cells["owner"] and not cells["stranger"] and "(" not in entry
    ]
    for table in private:
        with session.transaction(force_rollback=True), acting(session, world, "owner"):
            rows = session.execute(
                sql.SQL("select {} as key from public.{}").format(sql.Identifier(key_of(table)), sql.Identifier(table))
            )
            keys = {row["key"] for row in rows}
        assert world.at(world.owner, table) in keys
        assert world.at(world.stranger, table) not in keys


def truncate(session: Connection, world: World, actor: str, table: str) -> str | None:
    try:
        with session.transaction(force_rollback=True), acting(session, world, actor), session.transaction():
            session.execute(sql.SQL("truncate public.{} cascade").format(sql.Identifier(table)))
    except psycopg.errors.Error as error:
        return error.sqlstate
    return None


@pytest.mark.parametrize("actor", ["anon", "owner", "admin", "service"])
def test_nobody_truncates(world: World, session: Connection, actor: str) -> None:
    tables = {table_and_state(entry)[0] for entry in MATRIX}
    assert {truncate(session, world, actor, table) for table in tables} == {"42501"}


def test_admins_are_made_by_rows_not_by_claims(world: World) -> None:
    forged: dict[str, Any] = {
        "user_role": "admin",
        "app_metadata": {"role": "admin"},
        "user_metadata": {"role": "admin"},
    }
    with world.database.as_user(world.stranger, **forged) as stranger:
        assert stranger.execute("select private.is_admin() as yes").fetchone() == {"yes": False}
        assert stranger.execute("select 1 from audit_log where user_id = %s", [world.owner]).fetchall() == []
    with world.database.as_user(world.admin) as admin:
        assert admin.execute("select private.is_admin() as yes").fetchone() == {"yes": True}


def test_an_admins_rights_end_with_the_row(world: World) -> None:
    helper: UUID = world.database.create_user()
    with world.database.as_user(world.admin) as admin:
        admin.execute(
            "insert into user_role (user_id, role, granted_by) values (%s, 'admin', 'somebody else')", [helper]
        )
    with world.database.as_user(helper) as user:
        assert user.execute("select 1 from users where id = %s", [world.owner]).fetchall()
        assert user.execute(
            "select granted_by from user_role where role = 'admin' and user_id = %s", [helper]
        ).fetchone() == {"granted_by": str(world.admin)}
    with world.database.as_user(world.admin) as admin:
        admin.execute("update user_role set expires_at = now() where user_id = %s and role = 'admin'", [helper])
    with world.database.as_user(helper) as user:
        assert user.execute("select 1 from users where id = %s", [world.owner]).fetchall() == []
