"""What holds for every table: unique keys, checks, `updated_at`, the rows of the lookups."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from tests.database.world import FRESH, World, build_world, insert, key_of
from tests.databases import Connection, Database

LOOKUPS = {
    "platform": {"youtube", "instagram", "tiktok", "facebook", "twitter"},
    "content_type": {"long_video", "short_video", "image", "carousel", "story", "reel", "post"},
    "subscription_tier": {"free", "basic", "premium"},
    "subscription_status": {"active", "trialing", "past_due", "canceled", "paused"},
    "account_status": {"active", "inactive", "suspended", "disconnected"},
    "ai_provider": {"openai", "anthropic", "google", "local"},
    "search_engine": {"google", "bing", "yandex", "indexnow"},
}
UNIQUE = {
    ("ai_model", "model_name,provider_id"),
    ("ai_suggestion", "content_item_id,version"),
    ("ai_suggestion_application", "applied_field,suggestion_id"),
    ("content_item", "platform_content_id,social_account_id"),
    ("notification", "dedupe_key,user_id"),
    ("platform_connection", "platform_id,platform_user_id,user_id"),
    ("platform_connection", "vault_secret_name"),
    ("quota_usage_history", "idempotency_key,user_id"),
    ("seo_connection", "search_engine_id,site_url,user_id"),
    ("seo_connection", "vault_secret_name"),
    ("social_account", "platform_account_id,platform_id,user_id"),
    ("subscription", "stripe_customer_id"),
    ("subscription", "stripe_subscription_id"),
    ("subscription", "user_id"),
    ("subscription_tier", "stripe_price_id"),
    ("sync_run", "social_account_id"),  # where active
    ("user_role", "role,user_id"),
    *((table, "slug") for table in LOOKUPS),
}


@pytest.fixture(scope="module")
def world(database: Database) -> World:
    return build_world(database)


@pytest.fixture
def owner(world: World) -> Iterator[Connection]:
    with world.database.as_owner() as connection, connection.transaction(force_rollback=True):
        yield connection


@pytest.mark.parametrize("table", list(LOOKUPS))
def test_lookups_hold_their_rows(new_owner: Connection, table: str) -> None:
    rows = new_owner.execute(sql.SQL("select slug from public.{}").format(sql.Identifier(table))).fetchall()
    assert {row["slug"] for row in rows} == LOOKUPS[table]


@pytest.fixture(scope="module")
def new_owner(databases: object, database: Database) -> Iterator[Connection]:
    """The owner of a database in which nobody has added anything."""
    with database.as_owner() as connection:
        yield connection


def test_tiers_cost_and_allow_what_is_published(new_owner: Connection) -> None:
    rows = new_owner.execute(
        """
        select slug, max_social_accounts, max_syncs_per_month, max_ai_analyses_per_month, max_seo_submissions_per_month,
            price_cents, currency
        from subscription_tier where slug = any('{free,basic,premium}') order by price_cents
        """
    ).fetchall()
    assert [tuple(row.values()) for row in rows] == [
        ("free", 2, 30, 10, 20, 0, "usd"),
        ("basic", 10, 500, 200, 500, 1900, "usd"),
        ("premium", 50, None, 5000, 10000, 4900, "usd"),
    ]


def test_what_is_unique(new_owner: Connection) -> None:
    """Besides primary keys and the pairs that composite foreign keys point at."""
    rows = new_owner.execute(
        """
        select c.relname as table, (
            select string_agg(a.attname, ',' order by a.attname) from pg_catalog.pg_attribute as a
            where a.attrelid = i.indrelid and a.attnum = any(i.indkey)
        ) as columns
        from pg_catalog.pg_index as i join pg_catalog.pg_class as c on c.oid = i.indrelid
        where c.relnamespace = 'public'::regnamespace and i.indisunique and not i.indisprimary
        """
    ).fetchall()
    # A pair that begins with the primary key only serves composite foreign keys.
    found = {(row["table"], row["columns"]) for row in rows if "id" not in row["columns"].split(",")}
    assert found == UNIQUE


# Ids that point at nothing in particular, or whose owner is kept right by a trigger.
LOOSE = {
    ("ai_suggestion", "user_id"),
    ("audit_log", "entity_id"),
    ("notification", "related_entity_id"),
    ("quota_usage_history", "related_entity_id"),
}


def test_every_id_is_a_foreign_key(new_owner: Connection) -> None:
    rows = new_owner.execute(
        """
        select c.relname as table, a.attname as column from pg_catalog.pg_attribute as a
        join pg_catalog.pg_class as c on c.oid = a.attrelid
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0
            and a.atttypid = 'uuid'::regtype and a.attname like '%\\_id' and not exists (
                select from pg_catalog.pg_constraint as k
                where k.conrelid = c.oid and k.contype = 'f' and a.attnum = any(k.conkey)
            )
        """
    ).fetchall()
    assert {(row["table"], row["column"]) for row in rows} == LOOSE


def stamped_tables() -> list[str]:
    return [table for table in FRESH if table not in {
        "subscription_status", "account_status", "user_role", "quota_usage_history", "content_revision", "audit_log",
        "ai_suggestion_application", "ai_usage", "seo_usage", "trending_keyword",
    }]  # fmt: skip


@pytest.mark.parametrize("table", stamped_tables())
def test_updates_are_stamped(world: World, owner: Connection, table: str) -> None:
    """By trigger; a statement that sets updated_at itself (a hot path, a test that ages a row) keeps its value."""
    changed = sql.SQL("update public.{} set created_at = created_at where {} = %s returning updated_at").format(
        sql.Identifier(table), sql.Identifier(key_of(table))
    )
    aged = sql.SQL("update public.{} set updated_at = '2000-01-01' where {} = %s returning updated_at").format(
        sql.Identifier(table), sql.Identifier(key_of(table))
    )
    key = [world.at(world.owner, table)]
    old = owner.execute(aged, key).fetchone()
    new = owner.execute(changed, key).fetchone()
    assert old is not None
    assert new is not None
    assert old["updated_at"].year == 2000
    assert new["updated_at"] >= world.rows[world.owner][table]["created_at"]


def test_every_table_with_updated_at_is_stamped(new_owner: Connection) -> None:
    rows = new_owner.execute(
        "select table_name from information_schema.columns where table_schema = 'public' and column_name = 'updated_at'"
    ).fetchall()
    assert {row["table_name"] for row in rows} == set(stamped_tables())


REFUSED_VALUES = [
    ("subscription", "syncs_used", -1),
    ("subscription", "ai_analyses_used", -1),
    ("quota_usage_history", "amount", 0),
    ("quota_usage_history", "amount", -1),
    ("quota_usage_history", "operation", "forget"),
    ("quota_usage_history", "quota_type", "other"),
    ("quota_usage_history", "current_value", -1),
    ("subscription_tier", "max_syncs_per_month", -1),
    ("subscription_tier", "price_cents", -1),
    ("subscription_tier", "currency", "USD"),
    ("social_account", "follower_count", -1),
    ("content_item", "views_count", -1),
    ("content_item", "duration_seconds", -1),
    ("content_item", "title", "x" * 2001),
    ("content_item", "tags", [None]),
    ("content_revision", "change_source", "nobody"),
    ("sync_run", "status", "lost"),
    ("sync_run", "items_seen", -1),
    ("sync_run", "trigger", "magic"),
    ("ai_suggestion", "prompt_tokens", -1),
    ("ai_suggestion", "version", 0),
    ("ai_usage", "cost_cents", -1),
    ("trending_keyword", "search_volume", -1),
    ("seo_connection", "site_url", "javascript:alert(1)"),
    ("seo_submission", "retry_count", -1),
    ("seo_submission", "status", "maybe"),
    ("seo_submission", "submitted_url", "x" * 2049),
    ("seo_usage", "urls_count", -1),
    ("users", "avatar_url", "javascript:alert(1)"),
    ("users", "language", "klingon language"),
    ("user_setting", "sync_frequency_hours", 0),
    ("user_setting", "sync_frequency_hours", 721),
    ("user_ai_setting", "tone", ""),
    *((table, "slug", "No Slug") for table in LOOKUPS),
    ("ai_model", "max_context_tokens", 0),
    ("ai_model", "input_cost_per_1k_tokens", -1),
    ("cache_store", "key", ""),
]  # fmt: skip


@pytest.mark.parametrize(("table", "column", "value"), REFUSED_VALUES)
def test_impossible_values_are_refused_to_the_owner_too(
    world: World, owner: Connection, table: str, column: str, value: object
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation), owner.transaction():
        owner.execute(
            sql.SQL("update public.{} set {} = %s where {} = %s").format(
                *map(sql.Identifier, (table, column, key_of(table)))
            ),
            [value, world.at(world.owner, table)],
        )


def test_a_charge_is_not_settled_and_released(world: World, owner: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation), owner.transaction():
        owner.execute("update quota_usage_history set settled_at = now(), released_at = now() where true")


def test_suggestions_are_numbered(world: World, owner: Connection) -> None:
    rows = [insert(owner, "ai_suggestion", world.new_row("ai_suggestion", world.owner)) for _ in range(3)]
    assert [row["version"] for row in rows] == [2, 3, 4]


def test_read_at_follows_is_read(world: World, owner: Connection) -> None:
    key = [world.at(world.owner, "notification")]
    for is_read in (True, False):
        row = owner.execute(
            "update notification set is_read = %s where id = %s returning read_at is not null as stamped",
            [is_read, *key],
        ).fetchone()
        assert row == {"stamped": is_read}


def test_only_active_runs_exclude_each_other(world: World, owner: Connection) -> None:
    row = world.new_row("sync_run", world.owner)
    insert(owner, "sync_run", row)
    insert(owner, "sync_run", row | {"status": "queued"})
    with pytest.raises(psycopg.errors.UniqueViolation), owner.transaction():
        insert(owner, "sync_run", row | {"status": "running"})


def test_search_vectors_weigh_title_tags_and_description(world: World, owner: Connection) -> None:
    row = world.new_row("content_item", world.owner) | {
        "title": "Élan vital", "tags": ["Größe"], "hashtags": ["#cafe"], "description": "東京 naïve"}  # fmt: skip
    stored = insert(owner, "content_item", row)
    vector = str(stored["search_vector"])
    for word in ("'elan':1A", "'grosse'", "'cafe'", "'naive'"):
        assert word in vector, vector
    assert vector.count("B") == 2
    assert vector.count("C") == 2


def test_runs_stop_with_their_grant(world: World, owner: Connection) -> None:
    run = insert(owner, "sync_run", world.new_row("sync_run", world.owner) | {"status": "running"})
    owner.execute(
        "update platform_connection set is_active = false where id = %s",
        [world.at(world.owner, "platform_connection")],
    )
    stopped = owner.execute("select status, error_code from sync_run where id = %s", [run["id"]]).fetchone()
    assert stopped == {"status": "failed", "error_code": "reconnect_needed"}
