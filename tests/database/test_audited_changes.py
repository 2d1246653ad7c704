"""Which changes leave an entry in the audit log: of rights, plans, grants, visibility and the operators' tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import sql

from tests.database.world import FRESH, World, build_world, insert, key_of
from tests.databases import Connection, Database

# (table, column, new value as SQL); what else is recorded (insert, delete) is tried on each table besides.
CHANGES = [
    ("user_role", "expires_at", "now()"),
    ("users", "email", "'new@example.com'"),
    ("user_setting", "is_profile_public", "not is_profile_public"),
    ("platform_connection", "is_active", "not is_active"),
    ("platform_connection", "scopes", "'{more}'"),
    ("platform_connection", "vault_secret_name", "'another'"),
    ("seo_connection", "is_verified", "not is_verified"),
    ("seo_connection", "site_url", "'https://another.example'"),
    ("subscription", "tier_id", "(select id from public.subscription_tier where slug = 'basic')"),
    ("subscription", "stripe_customer_id", "'cus_1'"),
    ("social_account", "visibility", "'private'"),
    ("social_account", "deleted_at", "now()"),
    ("platform", "is_active", "not is_active"),
    ("content_type", "is_active", "not is_active"),
    ("subscription_tier", "price_cents", "price_cents + 1"),
    ("search_engine", "is_active", "not is_active"),
    ("ai_provider", "base_url", "'https://another.example'"),
    ("ai_model", "input_cost_per_1k_tokens", "1"),
    ("subscription_status", "is_active_state", "not is_active_state"),
    ("account_status", "display_name", "'Another'"),
]
QUIET = [
    ("subscription", "syncs_used", "syncs_used + 1"),
    ("social_account", "follower_count", "12"),
    ("content_item", "views_count", "12"),
    ("notification", "is_read", "true"),
    ("user_setting", "sync_frequency_hours", "12"),
    ("trending_keyword", "search_volume", "12"),
]
APPEARING = sorted({table for table, *_ in CHANGES} - {"user_setting", "subscription"})


@pytest.fixture(scope="module")
def world(database: Database) -> World:
    return build_world(database)


@pytest.fixture
def owner(world: World) -> Iterator[Connection]:
    with world.database.as_owner() as connection, connection.transaction(force_rollback=True):
        yield connection


def entries(owner: Connection, table: str) -> list[str]:
    found = owner.execute("select action from audit_log where entity_type = %s order by created_at, id", [table])
    return [row["action"] for row in found]


def change(owner: Connection, world: World, table: str, column: str, value: str) -> None:
    owner.execute(
        sql.SQL("update public.{} set {} = {} where {} = %s").format(
            sql.Identifier(table), sql.Identifier(column), sql.SQL(value), sql.Identifier(key_of(table))
        ),
        [world.at(world.owner, table)],
    )


@pytest.mark.parametrize(("table", "column", "value"), CHANGES)
def test_a_change_is_recorded(world: World, owner: Connection, table: str, column: str, value: str) -> None:
    before = entries(owner, table)
    change(owner, world, table, column, value)
    assert len(entries(owner, table)) == len(before) + 1


@pytest.mark.parametrize(("table", "column", "value"), QUIET)
def test_everyday_changes_are_not(world: World, owner: Connection, table: str, column: str, value: str) -> None:
    before = owner.execute("select count(*) from audit_log").fetchone()
    change(owner, world, table, column, value)
    assert owner.execute("select count(*) from audit_log").fetchone() == before


@pytest.mark.parametrize("table", APPEARING)
def test_coming_and_going_is_recorded(world: World, owner: Connection, table: str) -> None:
    assert set(APPEARING) < set(FRESH)
    if table == "users":
        owner.execute("delete from users where id = %s", [world.stranger])
    before = entries(owner, table)
    row = insert(owner, table, world.new_row(table, world.stranger))
    owner.execute(sql.SQL("delete from public.{} where id = %s").format(sql.Identifier(table)), [row["id"]])
    after = entries(owner, table)
    for action in (f"{table}.insert", f"{table}.delete"):
        assert after.count(action) == before.count(action) + 1


def test_an_admins_hand_in_trends_is_recorded(world: World) -> None:
    with world.database.as_user(world.admin) as admin:
        row = admin.execute("insert into trending_keyword (keyword) values ('pushed') returning id").fetchone()
        assert row is not None
        admin.execute("update trending_keyword set trending_score = 100 where id = %s", [row["id"]])
        admin.execute("delete from trending_keyword where id = %s", [row["id"]])
    with world.database.as_user(world.admin) as admin:
        found = admin.execute("select action, user_id from audit_log where entity_id = %s", [row["id"]]).fetchall()
    assert {entry["action"].partition(".")[2] for entry in found} == {"insert", "update", "delete"}
    assert {entry["user_id"] for entry in found} == {world.admin}


def test_operators_settings_are_recorded(owner: Connection) -> None:
    before = entries(owner, "setting")
    owner.execute("update private.setting set value = '\"2 hours\"' where key = 'quota.charge_ttl'")
    assert len(entries(owner, "setting")) == len(before) + 1
