"""What a plan covers: accounts switched off and on, the user's choice among them, and what a change would bring."""

from __future__ import annotations

from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests import factories
from tests.databases import Database


def move_to(database: Database, user: UUID, tier: str) -> None:
    """A change of plan, with what follows from it."""
    with database.as_owner() as owner:
        tier_id = factories.lookup(owner, "subscription_tier", tier)
        owner.execute("update subscription set tier_id = %s where user_id = %s", [tier_id, user])
        owner.execute("select private.enforce_account_limit(%s)", [user])


def enabled(database: Database, user: UUID) -> list[UUID]:
    """Accounts that the plan leaves on, oldest first."""
    with database.as_owner() as owner:
        rows = owner.execute(
            "select id from social_account where user_id = %s and disabled_by_plan_at is null order by created_at, id",
            [user],
        ).fetchall()
    return [row["id"] for row in rows]


@pytest.fixture
def creator(database: Database) -> tuple[UUID, list[UUID]]:
    """A user on premium with five accounts, oldest first."""
    user = database.create_user()
    move_to(database, user, "premium")
    with database.as_owner() as owner:
        connection = factories.connection(owner, user)
        accounts = [
            factories.account(owner, user, connection_id=connection, created_at=f"2026-01-0{day}")
            for day in range(1, 6)
        ]
    return user, accounts


def choose(database: Database, user: UUID, accounts: list[UUID]) -> dict[str, Any]:
    with database.as_user(user) as client:
        row = client.execute("select choose_accounts(%s) as answer", [accounts]).fetchone()
    assert row is not None
    return dict(row["answer"])


def preview(database: Database, user: UUID, tier: str) -> dict[str, Any]:
    with database.as_user(user) as client:
        row = client.execute("select preview_plan_change(%s) as answer", [tier]).fetchone()
    assert row is not None
    return dict(row["answer"])


def test_a_downgrade_switches_off_the_newest_and_an_upgrade_brings_them_back(
    database: Database, creator: tuple[UUID, list[UUID]]
) -> None:
    user, accounts = creator
    move_to(database, user, "free")
    assert enabled(database, user) == accounts[:2]
    move_to(database, user, "free")
    assert enabled(database, user) == accounts[:2]
    move_to(database, user, "basic")
    assert enabled(database, user) == accounts
    with database.as_user(user) as client:
        rows = client.execute("select type, metadata from notification order by created_at").fetchall()
    assert [row["type"] for row in rows] == ["accounts_disabled_by_plan", "accounts_restored"]
    assert rows[0]["metadata"] == {"disabled": 3, "max": 2}


def test_a_sync_under_way_ends_as_it_is_and_no_other_begins(
    database: Database, creator: tuple[UUID, list[UUID]]
) -> None:
    user, accounts = creator
    newest = accounts[4]

    def service(statement: LiteralString, *values: Any) -> Any:
        with database.as_service() as connection:
            row = connection.execute(statement, values).fetchone()
        assert row is not None
        return row["answer"]

    run = service("select start_sync_run(%s, %s) as answer", user, newest)["run_id"]
    move_to(database, user, "free")
    assert newest not in enabled(database, user)
    lease = service("select claim_sync_run(%s) as answer", run)["lease"]
    page = [{"platform_content_id": "v1", "content_type": "long_video", "title": "One", "visibility": "public"}]
    store = "select apply_content_page(%s, %s, 0, %s, null, true) as answer"
    assert service(store, run, lease, Jsonb(page)) == {"status": "done"}
    with database.as_user(user) as client:
        row = client.execute("select status, items_created from sync_run where id = %s", [run]).fetchone()
    assert row == {"status": "succeeded", "items_created": 1}
    with pytest.raises(psycopg.Error) as refused:
        service("select start_sync_run(%s, %s) as answer", user, newest)
    assert refused.value.sqlstate == "PT409"
    move_to(database, user, "premium")
    assert service("select start_sync_run(%s, %s) as answer", user, newest)["created"] is True


def test_what_the_user_switched_off_stays_off(database: Database, creator: tuple[UUID, list[UUID]]) -> None:
    user, accounts = creator
    with database.as_user(user) as client:
        client.execute("update social_account set sync_mode = 'disabled' where id = %s", [accounts[4]])
    move_to(database, user, "free")
    move_to(database, user, "premium")
    with database.as_user(user) as client:
        rows = client.execute("select id, sync_mode, disabled_by_plan_at from social_account").fetchall()
    assert {row["id"] for row in rows if row["sync_mode"] == "disabled"} == {accounts[4]}
    assert all(row["disabled_by_plan_at"] is None for row in rows)


def test_the_user_chooses_which_stay(database: Database, creator: tuple[UUID, list[UUID]]) -> None:
    user, accounts = creator
    move_to(database, user, "free")
    assert choose(database, user, [accounts[4]]) == {"disabled": 1, "restored": 1}
    assert enabled(database, user) == [accounts[0], accounts[4]]
    assert choose(database, user, [accounts[2], accounts[3]]) == {"disabled": 2, "restored": 2}
    assert enabled(database, user) == [accounts[2], accounts[3]]
    # A choice made beforehand holds when the plan changes.
    move_to(database, user, "premium")
    choose(database, user, [accounts[3], accounts[4]])
    assert enabled(database, user) == accounts
    move_to(database, user, "free")
    assert enabled(database, user) == [accounts[3], accounts[4]]
    assert choose(database, user, []) == {"disabled": 2, "restored": 2}
    assert enabled(database, user) == accounts[:2]


def test_a_choice_is_checked(database: Database, creator: tuple[UUID, list[UUID]]) -> None:
    user, accounts = creator
    stranger = database.create_user()
    with database.as_owner() as owner:
        theirs = factories.account(owner, stranger)
    move_to(database, user, "free")
    for wrong, code in (([theirs], "PT404"), ([uuid4()], "PT404"), (accounts[:3], "PT422")):
        with pytest.raises(psycopg.Error) as refused:
            choose(database, user, wrong)
        assert refused.value.sqlstate == code
    assert enabled(database, user) == accounts[:2]
    assert enabled(database, stranger) == [theirs]


def test_a_deleted_account_makes_room(database: Database, creator: tuple[UUID, list[UUID]]) -> None:
    user, accounts = creator
    move_to(database, user, "free")
    with database.as_owner() as owner:
        owner.execute("update social_account set deleted_at = now() where id = %s", [accounts[0]])
    assert enabled(database, user)[1:] == accounts[1:3]
    with database.as_owner() as owner:
        owner.execute("delete from social_account where id = %s", [accounts[1]])
    assert set(enabled(database, user)) == {accounts[0], accounts[2], accounts[3]}


def test_preview_says_what_would_happen_and_does_nothing(database: Database, creator: tuple[UUID, list[UUID]]) -> None:
    user, accounts = creator
    with database.as_service() as service:
        service.execute("select consume_quota(%s, 'ai_analysis', 12, 'k')", [user])
    seen = preview(database, user, "free")
    assert (seen["from"], seen["tier"], seen["direction"], seen["price_cents"]) == ("premium", "free", "downgrade", 0)
    resources = {one["resource"]: one for one in seen["resources"]}
    assert [one["id"] for one in resources["social_accounts"]["affected"]] == [str(one) for one in accounts[2:]]
    assert resources["ai_analysis"] == {
        "resource": "ai_analysis",
        "used": 12,
        "max_now": 5000,
        "max_then": 10,
        "policy": "nothing_granted_until_cycle_ends",
        "affected": True,
    }
    assert (resources["sync"]["max_now"], resources["sync"]["max_then"]) == (None, 30)
    assert not resources["sync"]["affected"]
    assert enabled(database, user) == accounts
    assert preview(database, user, "premium")["direction"] == "same"
    move_to(database, user, "free")
    upgraded = preview(database, user, "basic")
    assert upgraded["direction"] == "upgrade"
    assert upgraded["resources"][0]["affected"] == []


def test_preview_is_for_signed_in_users_and_known_plans(database: Database) -> None:
    user = database.create_user()
    with pytest.raises(psycopg.Error) as refused:
        preview(database, user, "platinum")
    assert refused.value.sqlstate == "PT404"
    with pytest.raises(psycopg.errors.InsufficientPrivilege), database.as_anon() as visitor:
        visitor.execute("select preview_plan_change('basic')")


def test_a_downgrade_below_use_grants_nothing_and_loses_nothing(database: Database) -> None:
    user = database.create_user()
    move_to(database, user, "premium")
    with database.as_service() as service:
        service.execute("select consume_quota(%s, 'ai_analysis', 12, 'k')", [user])
    move_to(database, user, "free")
    with database.as_service() as service:
        answer = service.execute("select consume_quota(%s, 'ai_analysis', 1, 'l') as answer", [user]).fetchone()
    assert answer is not None
    assert answer["answer"]["allowed"] is False
    with database.as_user(user) as client:
        row = client.execute("select ai_analyses_used from subscription").fetchone()
    assert row == {"ai_analyses_used": 12}
