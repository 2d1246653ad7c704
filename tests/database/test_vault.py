"""Secrets: one for each connection, read by service functions only, gone with the row, seen nowhere else."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from infra.local.postgres import EmbeddedServer, Generation
from infra.local.postgres.binaries import SYSTEM_15
from tests.databases import Connection, Database, DatabaseFactory

CANARIES = 50
PROFILE = {
    "platform_user_id": "U1",
    "username": "ada",
    "accounts": [{"platform_account_id": "C1", "account_name": "A"}],
}


def names_of_secrets(database: Database) -> set[str]:
    with database.as_superuser() as superuser:
        return {row["name"] for row in superuser.execute("select name from vault.secrets")}


def connect(database: Database, user_id: UUID, access_token: str, platform: str = "youtube") -> dict[str, Any]:
    """A connection made as the functions make it; its row."""
    token = {"access_token": access_token, "refresh_token": f"{access_token}-refresh", "lifetime_seconds": 3600}
    with database.as_service() as service:
        row = service.execute(
            "select complete_connection(%s, %s, %s, %s) as made",
            [user_id, platform, Jsonb(token), Jsonb(PROFILE)],
        ).fetchone()
    assert row is not None
    return connection_row(database, row["made"]["connection"]["id"])


def connection_row(database: Database, connection_id: UUID | str) -> dict[str, Any]:
    with database.as_owner() as owner:
        row = owner.execute("select * from platform_connection where id = %s", [connection_id]).fetchone()
    assert row is not None
    return row


def connect_engine(database: Database, user_id: UUID, secret: str) -> dict[str, Any]:
    with database.as_user(user_id) as own:
        own.execute("select connect_search_engine('bing', 'https://creator.example', %s)", [Jsonb({"api_key": secret})])
        row = own.execute("select * from seo_connection").fetchone()
    assert row is not None
    return row


def test_a_connection_has_one_secret_named_by_its_row(database: Database) -> None:
    user_id = database.create_user()
    row = connect(database, user_id, "first")
    again = connect(database, user_id, "second")
    assert (again["id"], again["vault_secret_name"]) == (row["id"], row["vault_secret_name"])
    with database.as_superuser() as superuser:
        stored = superuser.execute(
            "select decrypted_secret from vault.decrypted_secrets where name = %s", [row["vault_secret_name"]]
        ).fetchall()
    assert len(stored) == 1
    assert "second" in stored[0]["decrypted_secret"]
    assert "first" not in stored[0]["decrypted_secret"]


Goodbye = Callable[[Database, UUID, dict[str, Any]], None]


def by_disconnecting(database: Database, user_id: UUID, row: dict[str, Any]) -> None:
    with database.as_service() as service:
        service.execute("select disconnect(%s, %s, false)", [user_id, row["id"]])


def by_deleting_the_row(database: Database, user_id: UUID, row: dict[str, Any]) -> None:
    with database.as_owner() as owner:
        owner.execute("delete from platform_connection where id = %s", [row["id"]])


def by_deleting_the_auth_user(database: Database, user_id: UUID, row: dict[str, Any]) -> None:
    database.delete_user(user_id)


def by_deleting_the_profile(database: Database, user_id: UUID, row: dict[str, Any]) -> None:
    with database.as_owner() as owner:
        owner.execute("delete from users where id = %s", [user_id])


def by_renaming(database: Database, user_id: UUID, row: dict[str, Any]) -> None:
    with database.as_owner() as owner:
        owner.execute("update platform_connection set vault_secret_name = 'another' where id = %s", [row["id"]])


def by_the_sweep(database: Database, user_id: UUID, row: dict[str, Any]) -> None:
    """The row goes with triggers off; the sweep leaves the secret while it is young."""
    with database.as_superuser() as superuser, superuser.transaction():
        superuser.execute("set local session_replication_role = replica")
        superuser.execute("delete from platform_connection where id = %s", [row["id"]])
    with database.as_service() as service:
        service.execute("select purge_expired()")
    assert row["vault_secret_name"] in names_of_secrets(database)
    with database.as_superuser() as superuser:
        superuser.execute("update vault.secrets set created_at = created_at - interval '2 hours'")
    with database.as_service() as service:
        service.execute("select purge_expired()")


@pytest.mark.parametrize(
    "goodbye",
    [
        by_disconnecting,
        by_deleting_the_row,
        by_deleting_the_auth_user,
        by_deleting_the_profile,
        by_renaming,
        by_the_sweep,
    ],
)
def test_a_secret_goes_with_its_connection(database: Database, goodbye: Goodbye) -> None:
    user_id, bystander = database.create_user(), database.create_user()
    row, other = connect(database, user_id, "leaving"), connect(database, bystander, "staying")
    assert {row["vault_secret_name"], other["vault_secret_name"]} <= names_of_secrets(database)
    goodbye(database, user_id, row)
    assert row["vault_secret_name"] not in names_of_secrets(database)
    assert other["vault_secret_name"] in names_of_secrets(database)


def test_a_search_engines_secret_goes_too(database: Database) -> None:
    user_id = database.create_user()
    row = connect_engine(database, user_id, "k" * 32)
    assert row["vault_secret_name"] in names_of_secrets(database)
    with database.as_user(user_id) as own:
        own.execute("select disconnect_search_engine(%s)", [row["id"]])
    assert row["vault_secret_name"] not in names_of_secrets(database)
    row = connect_engine(database, user_id, "k" * 32)
    database.delete_user(user_id)
    assert row["vault_secret_name"] not in names_of_secrets(database)


def test_the_sweep_takes_nobody_elses_secret(database: Database) -> None:
    with database.as_owner() as owner:
        owner.execute("select vault.create_secret('x', 'an operator''s own')")
        owner.execute("select vault.create_secret('x')")
    with database.as_superuser() as superuser:
        superuser.execute("update vault.secrets set created_at = created_at - interval '1 year'")
    kept = connect(database, database.create_user(), "kept")
    with database.as_service() as service:
        service.execute("select purge_expired()")
    assert {"an operator's own", None, kept["vault_secret_name"]} <= names_of_secrets(database)


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_clients_reach_no_secret(database: Database, role: str) -> None:
    user_id = database.create_user()
    name = connect(database, user_id, "mine")["vault_secret_name"]
    statements = [
        sql.SQL("select * from vault.secrets"),
        sql.SQL("select * from vault.decrypted_secrets"),
        sql.SQL("select vault.create_secret('x', 'y')"),
        sql.SQL("select vault.update_secret(%(id)s::uuid, 'x')"),
        sql.SQL("select private.vault_get(%(name)s)"),
        sql.SQL("select private.vault_put(%(name)s, 'x')"),
        sql.SQL("select private.vault_drop(%(name)s)"),
        sql.SQL("select private.begin_token_refresh(%(id)s::uuid, 0, null)"),
        sql.SQL("select begin_token_refresh(%(id)s::uuid, 0, null)"),
        sql.SQL("select private.sweep_secrets(10)"),
        sql.SQL("select * from private.revocation"),
    ]
    with database.as_role(role, {"sub": str(user_id)}) as client:
        for statement in statements:
            with pytest.raises(psycopg.errors.InsufficientPrivilege), client.transaction():
                client.execute(statement, {"name": name, "id": uuid4()})
    assert name in names_of_secrets(database)


def test_the_service_reads_a_token_only_through_its_connection(database: Database) -> None:
    row = connect(database, database.create_user(), "through the connection")
    with database.as_service() as service:
        found = service.execute("select begin_token_refresh(%s, 0) as answer", [row["id"]]).fetchone()
        assert found is not None
        assert found["answer"]["token"]["access_token"] == "through the connection"
        for function in ("vault_get(%s)", "vault_put(%s, 'x')", "vault_drop(%s)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), service.transaction():
                service.execute(sql.SQL("select private." + function), [row["vault_secret_name"]])
        gone = service.execute("select begin_token_refresh(%s, 0) as answer", [uuid4()]).fetchone()
        assert gone == {"answer": {"status": "gone"}}


# Canaries: fifty tokens through their whole life, then a search of everything that keeps text.


@pytest.fixture(scope="module")
def watched(server_name: str, generation: Generation) -> Iterator[Database]:
    """A database on a server of its own that logs errors with their statements and keeps statement statistics."""
    folder = Path(tempfile.mkdtemp(prefix="streamvibe-canary-"))
    folder.chmod(0o755)
    server = EmbeddedServer.start(
        folder,
        binaries=SYSTEM_15 if server_name.startswith("15") else None,
        # As hosted projects log: errors with their statement, DDL, slow statements not at all.
        extra=("shared_preload_libraries=pg_stat_statements", "log_min_error_statement=error", "log_statement=ddl"),
    )
    factory = DatabaseFactory(server, generation)
    database = factory.new()
    with database.as_superuser() as superuser:
        superuser.execute("create extension pg_stat_statements schema extensions")
    yield database
    server.remove()
    for leftover in folder.iterdir():
        leftover.unlink()
    folder.rmdir()


def live(database: Database, canary: str, number: int, errors: list[str]) -> None:
    """Connect, use, refresh, fail, reconnect, and end in one of three ways."""
    user_id = database.create_user()
    row = connect(database, user_id, canary)
    connect_engine(database, user_id, f"{canary}-engine")
    with database.as_service() as service:
        service.execute("select begin_token_refresh(%s, 0)", [row["id"]])
        lease = service.execute("select begin_token_refresh(%s, 999999) as answer", [row["id"]]).fetchone()
        assert lease is not None
        assert lease["answer"]["status"] == "refresh"
        service.execute(
            "select finish_token_refresh(%s, %s, %s, %s)",
            [
                row["id"],
                lease["answer"]["lease"],
                lease["answer"]["version"],
                Jsonb({"access_token": f"{canary}-new", "lifetime_seconds": 60}),
            ],
        )
    complete = "select complete_connection(%s, %s, %s, %s)"
    token, profile = Jsonb({"access_token": canary}), Jsonb(PROFILE)
    failing: list[tuple[LiteralString, list[Any]]] = [
        (complete, [user_id, "youtube", Jsonb({"access_token": canary, "scopes": canary}), profile]),
        (complete, [user_id, "youtube", Jsonb({"access_token": canary, "lifetime_seconds": "soon"}), profile]),
        (complete, [user_id, "nowhere", token, profile]),
        (complete, [uuid4(), "youtube", token, profile]),
        (
            "select finish_token_refresh(%s, null, %s, %s)",
            [row["id"], row["token_version"] + 1, Jsonb({"refresh_token": canary})],
        ),
    ]
    for statement, values in failing:
        with database.as_service() as service, pytest.raises(psycopg.Error) as refusal, service.transaction():
            service.execute(statement, values)
        errors.append(f"{refusal.value} {refusal.value.diag.message_detail} {refusal.value.diag.context}")
    with database.as_user(user_id) as own, pytest.raises(psycopg.Error) as refused, own.transaction():
        own.execute("select connect_search_engine('bing', 'no url', %s)", [Jsonb({"api_key": canary})])
    errors.append(str(refused.value))
    if number % 3 == 0:
        by_disconnecting(database, user_id, row)
    elif number % 3 == 1:
        database.delete_user(user_id)


def everything_stored(superuser: Connection) -> Iterator[tuple[str, str]]:
    """(where, text) of every row of every table and view, what the planner has sampled and what runs included."""
    tables = superuser.execute(
        """
        select n.nspname, c.relname from pg_catalog.pg_class as c
        join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm') and n.nspname !~ '^(pg_|information_schema)'
            and (n.nspname, c.relname) <> ('vault', 'decrypted_secrets')
            or c.oid = any('{pg_stats,pg_stat_activity}'::regclass[])
        """
    ).fetchall()
    for table in tables:
        name = sql.Identifier(table["nspname"], table["relname"])
        for row in superuser.execute(sql.SQL("select t::text as text from {} as t").format(name)):
            yield f"{table['nspname']}.{table['relname']}", row["text"]


def test_canaries_are_seen_in_vault_only(watched: Database) -> None:
    canaries = [f"canary{number:02d}{uuid4().hex}" for number in range(CANARIES)]
    errors: list[str] = []
    for number, canary in enumerate(canaries):
        live(watched, canary, number, errors)
    pattern = re.compile("canary[0-9]{2}[0-9a-f]{16}")
    with watched.as_superuser() as superuser:
        control = superuser.execute("select decrypted_secret from vault.decrypted_secrets").fetchall()
        assert len(pattern.findall(str(control))) >= CANARIES // 3, "the search would find one"
        superuser.execute("analyze")
        found = [where for where, text in everything_stored(superuser) if pattern.search(text or "")]
        statements = superuser.execute("select query from extensions.pg_stat_statements").fetchall()
    assert found == []
    assert len(statements) > 20
    assert not pattern.search(str(statements))
    assert not pattern.search("\n".join(errors)), next(error for error in errors if pattern.search(error))
    log = (watched.server.folder.parent / f"{watched.server.folder.name}.log").read_text()
    assert "complete_connection" in log, "failed statements are logged"
    assert not pattern.search(log)
