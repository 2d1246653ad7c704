"""Hostile values in every column that clients may write and every argument of every function: 4xx, and nothing changed.

The data API turns SQLSTATEs into HTTP statuses (https://docs.postgrest.org/en/v14/references/errors.html); what would
become a 5xx fails here. NUL cannot reach Postgres as text at all: the data API's tests send it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from tests.database.world import World, build_world, key_of
from tests.databases import Connection, Database

WRITABLE: dict[str, list[str]] = tomllib.loads((Path(__file__).parents[1] / "client_writable.toml").read_text())[
    "update"
]
HUGE = "x" * 1_000_000
INJECTED = "'; drop table public.users cascade; --"
SERVER_ERROR_CLASSES = ("08", "09", "25", "2D", "38", "39", "3B", "40", "53", "54", "55", "57", "58", "F0", "HV", "XX")
# What no column or argument of the type may take; casts fail (22P02, 22003) for values that are not of the type at all.
REFUSED: dict[str, list[str | None]] = {
    "text": [HUGE],
    "text[]": ["{" + HUGE + "}", "{" + ",".join(["x"] * 100_000) + "}", "no array"],
    "integer": ["-1", "-2147483648", "2147483648", "1.5", "many", INJECTED],
    "numeric": ["many", INJECTED],
    "boolean": ["perhaps", INJECTED],
    "uuid": ["1", INJECTED, str(UUID(int=0))],
    "timestamp with time zone": ["soon", INJECTED],
}
HOSTILE: dict[str, list[str | None]] = {
    "text": [None, "", HUGE, INJECTED, "\\", "%", "\u202e", "😀" * 50_000],
    "text[]": [None, "{}", "{NULL}", "{" + HUGE + "}", "{" + ",".join(["x"] * 100_000) + "}", "{{a},{b}}"],
    "integer": [None, "-1", "0", "-2147483648", "2147483647"],
    "boolean": [None],
    "uuid": [None, str(UUID(int=0))],
    "uuid[]": [None, "{}", "{NULL}", "{" + ",".join([str(UUID(int=1))] * 10_000) + "}"],
    "jsonb": [
        None, "null", "[]", "{}", "1", '"text"', '{"a":{"b":[null]}}', '["x", null, 1]', f'{{"x":"{HUGE}"}}',
        f'"{HUGE}"'
    ],
    "timestamp with time zone": [None, "infinity", "-infinity", "4713-01-01 BC", "294276-01-01"],
    "interval": [None, "-1 second", "0", "178000000 years", "-178000000 years"],
    "double precision": [None, "NaN", "Infinity", "-1", "1e308"],
    "numeric": [None, "NaN", "Infinity", "-1", "1e1000"],
}  # fmt: skip


@pytest.fixture(scope="module")
def world(database: Database) -> World:
    return build_world(database)


def is_client_error(error: psycopg.Error) -> bool:
    """Whether PostgREST would answer 4xx."""
    state = error.sqlstate or ""
    if state.startswith("PT"):
        return state[2] == "4"
    return state == "P0001" or not (state[:2] in SERVER_ERROR_CLASSES or state[:2] == "P0" or state == "42P17")


def writable_columns(owner: Connection) -> list[tuple[str, str, str, bool]]:
    """(table, column, type, may be null) of everything that some client may update."""
    found = owner.execute(
        """
        select c.relname, a.attname, format_type(a.atttypid, a.atttypmod) as type, not a.attnotnull as nullable
        from pg_catalog.pg_attribute as a
        join pg_catalog.pg_class as c on c.oid = a.attrelid
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0
            and has_column_privilege('authenticated', c.oid, a.attnum, 'update')
        order by 1, a.attnum
        """
    )
    return [(row["relname"], row["attname"], row["type"], row["nullable"]) for row in found]


def refused_values(column_type: str, nullable: bool) -> Iterator[str | None]:
    if not nullable:
        yield None
    yield from REFUSED.get(column_type, ["no such value", INJECTED])  # enums


# Where these are values like others.
ACCEPTED: dict[tuple[str, str], tuple[str, ...]] = {
    ("ai_model", "max_context_tokens"): (),
    ("subscription_tier", "sort_order"): ("-1", "-2147483648"),
}
ACCEPTED["user_role", "granted_by"] = (HUGE,)  # overruled: it is the caller
ACCEPTED |= dict.fromkeys([(table, "id") for table in WRITABLE], (str(UUID(int=0)),))
ACCEPTED |= dict.fromkeys(
    [(table, "sort_order") for table in ("platform", "content_type", "ai_model")], ("-1", "-2147483648")
)


def test_no_writable_column_takes_a_hostile_value(world: World) -> None:
    with world.database.as_owner() as owner:
        columns = writable_columns(owner)
    assert {table for table, *_ in columns} == set(WRITABLE)
    tried, failures = 0, []
    for table, column, column_type, nullable in columns:
        # Lookups, roles and trends are the admin's to write; everything else the owner's.
        actor = world.admin if WRITABLE[table] == ["*"] else world.owner
        identified = sql.SQL("{} = {}").format(sql.Identifier(key_of(table)), sql.Literal(world.at(world.owner, table)))
        statement = sql.SQL("update public.{} set {} = %s::text::{} where {}").format(
            sql.Identifier(table), sql.Identifier(column), sql.SQL(column_type), identified
        )
        with world.database.as_user(actor) as client:
            for value in refused_values(column_type, nullable):
                if value in ACCEPTED.get((table, column), ()):
                    continue
                tried += 1
                try:
                    with client.transaction(force_rollback=True):
                        client.execute(statement, [value])
                    failures.append(f"{table}.{column} takes {str(value)[:40]!r}")
                except psycopg.Error as error:
                    if not is_client_error(error):
                        failures.append(f"{table}.{column}: {error}"[:200])
    assert not failures, "\n".join(failures)
    assert tried > 200


def test_injected_sql_is_text(world: World) -> None:
    with world.database.as_user(world.owner) as own:
        own.execute("update users set full_name = %s", [INJECTED])
        own.execute("update content_item set title = %s, tags = %s", [INJECTED, [INJECTED]])
        assert own.execute("select full_name from users").fetchone() == {"full_name": INJECTED}
        row = own.execute("select title, tags from content_item").fetchone()
        assert row == {"title": INJECTED, "tags": [INJECTED]}


def callable_functions(owner: Connection, role: str) -> list[dict[str, Any]]:
    return owner.execute(
        """
        select
            p.oid::regproc::text as name, p.proargnames[1:p.pronargs] as names,
            array(
                select format_type(a.type, null) from unnest(p.proargtypes) with ordinality as a (type, n) order by n
            ) as types
        from pg_catalog.pg_proc as p
        where p.pronamespace = 'public'::regnamespace and p.pronargs > 0
            and has_function_privilege(%s, p.oid, 'execute')
        order by 1
        """,
        [role],
    ).fetchall()


def plain_value(world: World, name: str, argument_type: str) -> str | None:
    """Something harmless for the other arguments, so that a call gets as far as the hostile one."""
    known = {
        "user_id": str(world.owner), "quota_type": "sync", "platform": "youtube", "engine": "bing", "provider": "local",
        "tier": "basic", "scope": "own", "site_url": "https://creator.example", "url": "https://creator.example/videos/1",
        "connection_id": str(world.at(world.owner, "platform_connection")), "skip": "0",
        "social_account_id": str(world.at(world.owner, "social_account")),
        "content_item_id": str(world.at(world.owner, "content_item")),
        "suggestion_id": str(world.at(world.owner, "ai_suggestion")),
        "revision_id": str(world.at(world.owner, "content_revision")),
        "run_id": str(world.at(world.owner, "sync_run")),
        "state_hash": "0" * 64, "content_type": None,
    }  # fmt: skip
    by_type = {
        "text": "x", "text[]": "{title}", "integer": "1", "boolean": "false", "uuid": str(uuid4()), "uuid[]": "{}",
        "jsonb": "{}", "timestamp with time zone": "2026-01-01", "interval": "1 hour", "double precision": "1",
        "bigint": "1",
    }  # fmt: skip
    return known[name] if name in known else by_type.get(argument_type)


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_no_function_fails_as_if_it_were_its_own_fault(world: World, role: str) -> None:
    """Every argument in turn, every hostile value of its type; calls that are let through are rolled back."""
    with world.database.as_owner() as owner:
        functions = callable_functions(owner, role)
    assert functions
    failures: list[str] = []
    claims = {"sub": str(world.owner)} if role == "authenticated" else {}
    for function in functions:
        arguments = list(zip(function["names"], function["types"], strict=True))
        statement = sql.SQL("select * from {}({})").format(
            sql.SQL(function["name"]),
            sql.SQL(", ").join(
                sql.SQL("{} => %s::text::{}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in arguments
            ),
        )
        with world.database.as_role(role, claims) as client:
            for number, (name, kind) in enumerate(arguments):
                for value in HOSTILE.get(kind, [None]):
                    values = [plain_value(world, *argument) for argument in arguments]
                    values[number] = value
                    try:
                        with client.transaction(force_rollback=True):
                            client.execute(statement, values)
                    except psycopg.Error as error:
                        if not is_client_error(error):
                            shown = str(error.diag.message_primary)[:100]
                            failures.append(
                                f"{function['name']}({name} = {str(value)[:30]!r}): {error.sqlstate} {shown}"
                            )
    assert not failures, "\n".join(failures)
