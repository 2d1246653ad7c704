"""Signing up gives everything that each user has, Auth's changes follow, and nothing is believed that a user says."""

from typing import Any
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from tests.databases import Database

OWN = {
    "users": "id",
    "user_setting": "user_id",
    "user_ai_setting": "user_id",
    "user_role": "user_id",
    "subscription": "user_id",
}
SETTINGS_ON = {
    "is_email_notifications_enabled",
    "is_weekly_digest_enabled",
    "is_auto_sync_enabled",
    "is_analytics_enabled",
}


def rows_of(database: Database, user_id: object) -> dict[str, list[dict[str, Any]]]:
    with database.as_owner() as owner:
        return {
            table: owner.execute(f"select * from {table} where {column} = %s", [user_id]).fetchall()
            for table, column in OWN.items()
        }


def test_a_new_user_has_one_row_of_each(database: Database) -> None:
    user_id = database.create_user("ada@example.com", full_name="Ada", avatar_url="https://example.com/ada.png")
    rows = rows_of(database, user_id)
    assert {table: len(found) for table, found in rows.items()} == dict.fromkeys(OWN, 1)
    assert rows["users"][0]["email"] == "ada@example.com"
    assert rows["users"][0]["full_name"] == "Ada"
    assert rows["users"][0]["avatar_url"] == "https://example.com/ada.png"
    assert rows["user_role"][0]["role"] == "user"
    settings = rows["user_setting"][0]
    assert {name for name, value in settings.items() if value is True} == SETTINGS_ON
    assert settings["sync_frequency_hours"] == 24


def test_a_new_user_is_free_and_active(database: Database) -> None:
    user_id = database.create_user()
    with database.as_user(user_id) as own:
        row = own.execute(
            """
            select t.slug as tier, s.slug as status, syncs_used, ai_analyses_used, seo_submissions_used,
                cycle_start_date <= now() and cycle_end_date = cycle_start_date + interval '1 month' as runs
            from subscription
            join subscription_tier as t on t.id = tier_id
            join subscription_status as s on s.id = status_id
            """
        ).fetchone()
    assert row == {
        "tier": "free",
        "status": "active",
        "syncs_used": 0,
        "ai_analyses_used": 0,
        "seo_submissions_used": 0,
        "runs": True,
    }


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        [],
        "text",
        {"full_name": "x" * 1_000_000, "avatar_url": "y" * 1_000_000},
        {"full_name": {"a": 1}, "avatar_url": "javascript:alert(1)", "language": "'; drop table users; --"},
        {"role": "admin", "app_role": "admin", "tier": "premium", "user_role": "admin", "is_admin": True},
    ],
)
def test_no_metadata_stops_a_signup_or_raises_rights(database: Database, metadata: object) -> None:
    user_id = uuid4()
    with database.connect("supabase_auth_admin") as auth:
        auth.execute(
            "insert into auth.users (id, email, raw_user_meta_data) values (%s, null, %s)", [user_id, Jsonb(metadata)]
        )
    rows = rows_of(database, user_id)
    assert {table: len(found) for table, found in rows.items()} == dict.fromkeys(OWN, 1)
    assert rows["user_role"][0]["role"] == "user"
    assert rows["users"][0]["avatar_url"] is None
    with database.as_owner() as owner:
        tier = owner.execute(
            "select slug from subscription_tier where id = %s", [rows["subscription"][0]["tier_id"]]
        ).fetchone()
    assert tier == {"slug": "free"}


def test_a_changed_email_follows(database: Database) -> None:
    user_id = database.create_user("before@example.com")
    with database.connect("supabase_auth_admin") as auth:
        auth.execute("update auth.users set email = 'after@example.com' where id = %s", [user_id])
        auth.execute("update auth.users set last_sign_in_at = now() where id = %s", [user_id])
    assert rows_of(database, user_id)["users"][0]["email"] == "after@example.com"


def test_users_from_before_the_schema_are_provisioned(database: Database) -> None:
    user_id = database.create_user("old@example.com")
    with database.as_owner() as owner:
        owner.execute("delete from users where id = %s", [user_id])
        for _ in range(2):  # safe to call again
            owner.execute(
                "select private.provision_user(id, email, raw_user_meta_data) from auth.users where id = %s", [user_id]
            )
    assert {table: len(found) for table, found in rows_of(database, user_id).items()} == dict.fromkeys(OWN, 1)


def test_a_deleted_user_leaves_nothing(database: Database) -> None:
    user_id = database.create_user()
    database.delete_user(user_id)
    assert {table: len(found) for table, found in rows_of(database, user_id).items()} == dict.fromkeys(OWN, 0)


def test_onboarding_sets_its_time_once(database: Database) -> None:
    user_id = database.create_user()
    times = []
    for done in (True, False, True):
        with database.as_user(user_id) as own:
            own.execute("update users set is_onboarded = %s where id = %s", [done, user_id])
            row = own.execute("select onboarded_at from users").fetchone()
            assert row is not None
            times.append(row["onboarded_at"])
    assert times[0] is not None
    assert len(set(times)) == 1
