"""From export to erasure: what users take along, what goes with them, what time sweeps away, what Realtime sends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.database.waiting import blocked_sessions, wait_until
from tests.database.world import ONE_A_USER, World, build_world, insert, key_of
from tests.databases import Database

# Tables whose rows are nobody's.
UNOWNED = {
    "platform",
    "content_type",
    "subscription_tier",
    "subscription_status",
    "account_status",
    "ai_provider",
    "search_engine",
    "ai_model",
    "trending_keyword",
    "cache_store",
}
REALTIME = {"notification", "sync_run", "ai_suggestion", "seo_submission", "content_item"}


@pytest.fixture
def world(new_database: Callable[[], Database]) -> World:
    return build_world(new_database())


def owned_tables(world: World) -> list[str]:
    return [table for table in world.rows[world.owner] if table not in UNOWNED]


def everything(database: Database) -> dict[str, str]:
    """Every row of every table of ours, by table, as text."""
    with database.as_superuser() as superuser:
        tables = superuser.execute(
            """
            select format('%I.%I', n.nspname, c.relname) as name from pg_class as c
            join pg_namespace as n on n.oid = c.relnamespace
            where n.nspname in ('public', 'private', 'auth', 'vault') and c.relkind = 'r'
            """
        ).fetchall()
        return {
            name: str(superuser.execute(f"select t::text from {name} as t").fetchall())
            for name in (table["name"] for table in tables)
        }


def export(world: World, user: UUID) -> dict[str, Any]:
    with world.database.as_user(user) as request:
        row = request.execute("select export_my_data() as data").fetchone()
    assert row is not None
    return dict(row["data"])


# ------------------------------------------------------------------------------------------------------- erasure


def test_a_deleted_user_leaves_no_row_and_no_name(world: World) -> None:
    """By Auth's own deletion: whatever table a row is in, what names the user or their things is gone."""
    with world.database.as_superuser() as superuser:
        connection = world.rows[world.owner]["platform_connection"]
        superuser.execute("select vault.create_secret('a-token', %s)", [connection["vault_secret_name"]])
    names = {str(world.owner), "owner@example.com", connection["vault_secret_name"]}
    names |= {str(world.at(world.owner, table)) for table in owned_tables(world) if table != "audit_log"}
    before = everything(world.database)
    assert all(any(name in text for text in before.values()) for name in names)  # the search below is not vacuous

    world.database.delete_user(world.owner)

    left = {
        table: name
        for table, text in everything(world.database).items()
        for name in names
        # The audit log keeps which rows there were, by their ids, and nothing of what they said, nor whose they were.
        if name in text and (table != "public.audit_log" or name == str(world.owner))
    }
    assert left == {}
    with world.database.as_superuser() as superuser:
        log = str(
            superuser.execute(
                "select user_id, old_values, new_values, ip_address, user_agent from audit_log"
            ).fetchall()
        )
    assert not {name for name in names if name in log}


def test_a_deleted_user_takes_nothing_of_others_along(world: World) -> None:
    world.database.delete_user(world.owner)
    with world.database.as_superuser() as superuser:
        for table in owned_tables(world):
            kept = superuser.execute(
                f"select count(*) as n from public.{table} where {key_of(table)} = %s",
                [world.at(world.stranger, table)],
            ).fetchone()
            assert kept == {"n": 1}, table


@pytest.mark.parametrize("held", ["subscription", "user_setting", "platform_connection", "social_account"])
def test_a_deletion_waits_for_what_is_under_way_and_not_in_a_circle(world: World, held: str) -> None:
    """A charge, switch or sync holds its row and then needs the profile: deleting that first would wait in a circle."""
    database = world.database
    with ThreadPoolExecutor(1) as pool:
        with database.connect("postgres", autocommit=False) as other:
            other.execute(f"select 1 from {held} where user_id = %s for update", [world.owner])
            deletion = pool.submit(database.delete_user, world.owner)
            wait_until(lambda: blocked_sessions(database) == 1)
            insert(other, "notification", {"user_id": world.owner, "title": "Done"})
            other.commit()
        deletion.result(30)
    with database.as_superuser() as superuser:
        assert superuser.execute("select 1 from users where id = %s", [world.owner]).fetchone() is None


# -------------------------------------------------------------------------------------------------------- export


@pytest.mark.parametrize("who", ["owner", "stranger", "admin"])
def test_an_export_holds_every_own_row_and_no_other(world: World, who: str) -> None:
    user = getattr(world, who)
    data = export(world, user)
    with world.database.as_superuser() as superuser:
        for table in owned_tables(world):
            rows = data[table] if isinstance(data[table], list) else [data[table]]
            exported = {
                str(row["user_id" if table in ONE_A_USER and table != "users" else key_of(table)]) for row in rows
            }
            owner = {
                "users": "id",
                "content_item": "private.content_owner(id)",
                "ai_suggestion": "private.content_owner(content_item_id)",
            }
            owner |= {
                "ai_suggestion_application": "applied_by_user_id",
                "seo_submission": "private.content_owner(content_item_id)",
            }
            key = "user_id" if table in ONE_A_USER and table != "users" else key_of(table)
            stored = superuser.execute(
                f"select {key}::text as key from public.{table} where {owner.get(table, 'user_id')} = %s", [user]
            ).fetchall()
            assert exported == {row["key"] for row in stored}, table
            assert exported or who == "admin", table


def test_an_export_holds_no_secret_and_nothing_of_others(world: World) -> None:
    text = json.dumps(export(world, world.owner))
    for table in ("platform_connection", "seo_connection"):
        assert world.rows[world.owner][table]["vault_secret_name"] not in text
    assert str(world.stranger) not in text
    for table in owned_tables(world):
        assert str(world.at(world.stranger, table)) not in text, table


def test_visitors_export_nothing(world: World) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), world.database.as_anon() as anon:
        anon.execute("select export_my_data()")


# ------------------------------------------------------------------------------------------------------ sweeping


def test_purging_takes_what_has_expired_in_bounded_calls_and_nothing_else(world: World) -> None:
    with world.database.as_superuser() as superuser:
        superuser.execute("update cache_store set expires_at = now() + interval '1 hour' where true")
        superuser.execute(
            """
            insert into cache_store (key, value, expires_at)
            select 'old' || n, '1', now() from generate_series(1, 5) as n
            """
        )
        superuser.execute("insert into cache_store (key, value) values ('for ever', '1')")
        superuser.execute(
            "insert into notification (user_id, title, expires_at) values (%s, 'old', now())", [world.owner]
        )
        superuser.execute(
            """
            insert into private.oauth_state (state_hash, user_id, platform_id, created_at)
            select repeat(n::text, 64), %s, %s, now() - n * interval '10 minutes' from generate_series(0, 3) as n
            """,
            [world.owner, world.lookups["platform"]["youtube"]],
        )
        superuser.execute(
            """
            insert into trending_keyword (keyword, valid_until) values ('old', now() - interval '1 day')
            """
        )
    counts = []
    for _ in range(4):
        with world.database.as_service() as service:
            row = service.execute("select purge_expired(2) as gone").fetchone()
        assert row is not None
        counts.append(row["gone"])
    assert [one["cache_store"] for one in counts] == [2, 2, 1, 0]
    assert [one["notification"] for one in counts] == [1, 0, 0, 0]
    assert [one["trending_keyword"] for one in counts] == [1, 0, 0, 0]
    assert [one["oauth_state"] for one in counts] == [2, 1, 0, 0]
    with world.database.as_superuser() as superuser:
        for table, kept in (
            ("cache_store", 3),
            ("notification", 2),
            ("trending_keyword", 2),
            ("private.oauth_state", 1),
        ):
            assert superuser.execute(f"select count(*) as n from {table}").fetchone() == {"n": kept}, table


@pytest.mark.parametrize("max_rows", [0, -1, None, 2**31 - 1])
def test_purging_needs_a_bound(world: World, max_rows: int | None) -> None:
    with pytest.raises(psycopg.Error) as refusal, world.database.as_service() as service:
        service.execute("select purge_expired(%s)", [max_rows])
    assert refusal.value.sqlstate == "PT422"


# --------------------------------------------------------------------------------------------------------- cache


def test_a_cached_value_lives_as_long_as_it_should(world: World) -> None:
    def get() -> Any:
        with world.database.as_service() as service:
            row = service.execute("select cache_get('trends') as value").fetchone()
        assert row is not None
        return row["value"]

    with world.database.as_service() as service:
        service.execute("select cache_set('trends', '[1]', '1 hour', 'trends')")
        service.execute("select cache_set('trends', '[2]', '1 hour', 'trends')")
    assert get() == [2]
    with world.database.as_superuser() as superuser:
        superuser.execute("update cache_store set expires_at = now() - interval '1 second' where key = 'trends'")
    assert get() is None


@pytest.mark.parametrize("arguments", ["'k', null", "'k', '1', '0'", "'k', '1', '-1 hour'"])
def test_what_cannot_be_cached_is_refused(world: World, arguments: str) -> None:
    with pytest.raises(psycopg.Error) as refusal, world.database.as_service() as service:
        service.execute(f"select cache_set({arguments})")
    assert refusal.value.sqlstate == "PT422"


# ------------------------------------------------------------------------------------------ notices and Realtime


def test_marking_read_reaches_own_notifications_only(world: World) -> None:
    listed = [world.at(world.owner, "notification"), world.at(world.stranger, "notification")]
    with world.database.as_user(world.owner) as request:
        assert request.execute("select mark_notifications_read(%s) as n", [listed]).fetchone() == {"n": 1}
        assert request.execute("select mark_notifications_read() as n").fetchone() == {"n": 0}
    with world.database.as_superuser() as superuser:
        rows = superuser.execute("select user_id, is_read, read_at is not null as stamped from notification").fetchall()
    state = {
        row["user_id"]: (row["is_read"], row["stamped"])
        for row in rows
        if row["user_id"] in {world.owner, world.stranger}
    }
    assert state == {world.owner: (True, True), world.stranger: (False, False)}


def test_realtime_sends_what_clients_show_live_and_no_secret(world: World) -> None:
    with world.database.as_owner() as owner:
        published = owner.execute(
            "select tablename, attnames from pg_publication_tables where pubname = 'supabase_realtime'"
        ).fetchall()
    assert {row["tablename"] for row in published} == REALTIME
    columns = {name for row in published for name in row["attnames"]}
    assert not {name for name in columns if re.search("secret|password|verifier|access_token|refresh_token", name)}
