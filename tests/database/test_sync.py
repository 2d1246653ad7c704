"""Sync in SQL: who gets which run, what may be spent, what a page writes. Races are real sessions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests import factories
from tests.databases import Connection, Database

ACCOUNTS = 60


@pytest.fixture(scope="module")
def owner(database: Database) -> Iterator[Connection]:
    with database.as_superuser() as connection:
        yield connection


@pytest.fixture(autouse=True)
def nothing_else_is_due(owner: Connection) -> None:
    owner.execute("update social_account set next_sync_at = null where next_sync_at is not null")
    owner.execute("delete from sync_run where true")
    owner.execute("delete from private.platform_budget where true")
    owner.execute("delete from private.platform_health where true")


def due_account(
    owner: Connection, user_id: UUID, platform: str = "facebook", age: str = "1 hour", **columns: Any
) -> UUID:
    account_id = factories.account(owner, user_id, platform, **columns)
    owner.execute("update social_account set next_sync_at = now() - %s::interval where id = %s", [age, account_id])
    return account_id


def value(connection: Connection, query: str, *params: Any) -> Any:
    row = connection.execute(query.encode(), params).fetchone()
    return next(iter(row.values())) if row else None


def dispatch(database: Database, most: int = 10) -> list[str]:
    with database.as_service() as service:
        return list(value(service, "select due_sync_runs(%s)", most)["run_ids"])


def accounts_of(owner: Connection, run_ids: list[str]) -> list[UUID]:
    rows = owner.execute("select social_account_id from sync_run where id = any(%s::uuid[])", [run_ids]).fetchall()
    return [row["social_account_id"] for row in rows]


def claim(database: Database, run_id: str) -> dict[str, Any]:
    with database.as_service() as service:
        answer: dict[str, Any] = value(service, "select claim_sync_run(%s)", run_id)
        return answer


def start(database: Database, user_id: UUID, account_id: UUID, key: str | None = None) -> dict[str, Any]:
    with database.as_service() as service:
        answer: dict[str, Any] = value(service, "select start_sync_run(%s, %s, %s)", user_id, account_id, key)
        return answer


def item(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "platform_content_id": f"v{number}",
        "content_type": "long_video",
        "title": f"Video {number}",
        "visibility": "public",
        "published_at": "2026-01-01T00:00:00Z",
        "views_count": 1,
        **fields,
    }


def apply(
    database: Database, run_id: str, lease: str, page: int, items: list[dict[str, Any]], cursor: str | None = None
) -> dict[str, Any]:
    with database.as_service() as service:
        answer: dict[str, Any] = value(
            service,
            "select apply_content_page(%s, %s, %s, %s::jsonb, %s, %s)",
            run_id, lease, page, json.dumps(items), cursor, cursor is None,
        )  # fmt: skip
        return answer


def whole_run(database: Database, user_id: UUID, account_id: UUID, items: list[dict[str, Any]]) -> dict[str, Any]:
    run_id = start(database, user_id, account_id)["run_id"]
    assert apply(database, run_id, claim(database, run_id)["lease"], 0, items) == {"status": "done"}
    with database.as_service() as service:
        row = service.execute("select * from sync_run where id = %s", [run_id]).fetchone()
    assert row is not None
    return dict(row)


def test_five_dispatchers_give_each_account_to_one(database: Database, owner: Connection) -> None:
    users = [database.create_user() for _ in range(20)]
    accounts = [due_account(owner, users[number % 20]) for number in range(ACCOUNTS)]

    def until_empty(_: int) -> list[str]:
        found: list[str] = []
        while run_ids := dispatch(database):
            assert len(run_ids) <= 10
            found += run_ids
        return found

    with ThreadPoolExecutor(5) as pool:
        run_ids = [run_id for found in pool.map(until_empty, range(5)) for run_id in found]
    run_ids += until_empty(0)  # what the others left because a row was locked
    assert Counter(accounts_of(owner, run_ids)) == Counter(accounts)
    assert len(run_ids) == ACCOUNTS
    assert value(owner, "select count(*) from quota_usage_history where quota_type = 'sync'") >= ACCOUNTS
    assert dispatch(database) == []


def test_users_take_turns(database: Database, owner: Connection) -> None:
    busy, modest = database.create_user(), database.create_user()
    for _ in range(12):
        due_account(owner, busy, age="5 hours")
    late = due_account(owner, modest, age="1 minute")
    assert late in accounts_of(owner, dispatch(database, 5))


def test_a_run_that_nobody_took_up_is_sent_again_after_a_while(database: Database, owner: Connection) -> None:
    user = database.create_user()
    due_account(owner, user)
    (run_id,) = dispatch(database)
    assert dispatch(database) == []
    owner.execute("update private.sync_job set resend_at = now() where run_id = %s", [run_id])
    assert dispatch(database) == [run_id]
    # A worker that died: its lease ends, and with it the silence.
    assert claim(database, run_id)["status"] == "claimed"
    owner.execute("update private.sync_job set resend_at = now() where run_id = %s", [run_id])
    assert dispatch(database) == []
    owner.execute("update private.sync_job set lease_until = now() where run_id = %s", [run_id])
    assert dispatch(database) == [run_id]


@pytest.mark.parametrize(
    "condition",
    ["is_auto_sync_enabled", "sync_mode", "deleted_at", "disabled_by_plan_at", "is_active", "quota"],
)
def test_what_is_not_dispatched(database: Database, owner: Connection, condition: str) -> None:
    user = database.create_user()
    account_id = due_account(owner, user)
    statements = {
        "is_auto_sync_enabled": "update user_setting set is_auto_sync_enabled = false where user_id = %(user)s",
        "sync_mode": "update social_account set sync_mode = 'manual' where id = %(account)s",
        "deleted_at": "update social_account set deleted_at = now() where id = %(account)s",
        "disabled_by_plan_at": "update social_account set disabled_by_plan_at = now() where id = %(account)s",
        "is_active": "update platform_connection set is_active = false where user_id = %(user)s",
        "quota": "update subscription set syncs_used = 30 where user_id = %(user)s",
    }
    owner.execute(statements[condition], {"user": user, "account": account_id})
    assert dispatch(database) == []
    assert value(owner, "select count(*) from sync_run where social_account_id = %s", account_id) == 0


def test_ten_starts_at_once_are_one_run_and_one_charge(database: Database, owner: Connection) -> None:
    user = database.create_user()
    account_id = factories.account(owner, user, "facebook")
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: start(database, user, account_id), range(10)))
    assert len({answer["run_id"] for answer in answers}) == 1
    assert sum(answer["created"] for answer in answers) == 1
    assert value(owner, "select syncs_used from subscription where user_id = %s", user) == 1


def test_a_key_of_another_account_is_a_conflict(database: Database, owner: Connection) -> None:
    user = database.create_user()
    first, second = (factories.account(owner, user, "facebook") for _ in range(2))
    run = start(database, user, first, "key")
    assert start(database, user, first, "key")["run_id"] == run["run_id"]
    with pytest.raises(Exception, match="another account") as caught:
        start(database, user, second, "key")
    assert getattr(caught.value, "sqlstate", None) == "PT409"


def test_only_the_holder_of_the_lease_writes(database: Database, owner: Connection) -> None:
    user = database.create_user()
    account_id = factories.account(owner, user, "facebook")
    run_id = start(database, user, account_id)["run_id"]
    first = claim(database, run_id)
    assert claim(database, run_id)["status"] == "busy"
    owner.execute("update private.sync_job set lease_until = now() where run_id = %s", [run_id])
    second = claim(database, run_id)
    assert (second["status"], second["cursor"], second["page_number"]) == ("claimed", None, 0)
    assert apply(database, run_id, first["lease"], 0, [item(1)], "next") == {"status": "lost"}
    assert value(owner, "select count(*) from content_item where social_account_id = %s", account_id) == 0
    assert apply(database, run_id, second["lease"], 0, [item(1)], "next")["status"] == "next"
    # The same page again, as after an answer that got lost.
    assert apply(database, run_id, second["lease"], 0, [item(1)], "next") == {"status": "lost"}
    assert value(owner, "select items_seen from sync_run where id = %s", run_id) == 1
    assert value(owner, "select cursor from private.sync_job where run_id = %s", run_id) == "next"


def test_one_message_looks_again_for_a_busy_run(database: Database, owner: Connection) -> None:
    user = database.create_user()
    run_id = start(database, user, factories.account(owner, user, "facebook"))["run_id"]
    claim(database, run_id)
    answers = [claim(database, run_id) for _ in range(5)]
    assert sum("look_again_in" in answer for answer in answers) == 1
    assert 0 < answers[0]["look_again_in"] <= 20
    owner.execute("update private.sync_job set look_again_at = now() where run_id = %s", [run_id])
    assert "look_again_in" in claim(database, run_id)


def test_where_reading_costs_money_scheduled_runs_read_what_is_new(database: Database, owner: Connection) -> None:
    user = database.create_user()
    account_id = factories.account(owner, user, "twitter")
    posts = [item(number, published_at=f"2026-01-0{number}T00:00:00Z") for number in (1, 2, 3)]
    whole_run(database, user, account_id, posts)
    stamp = value(owner, "select last_full_sync_at from social_account where id = %s", account_id)
    owner.execute("update social_account set next_sync_at = now() where id = %s", [account_id])
    (run_id,) = dispatch(database)
    claimed = claim(database, run_id)
    assert claimed["account"]["sync_hint"]["newest_id"] == "v3"
    assert apply(database, run_id, claimed["lease"], 0, [item(4)]) == {"status": "done"}
    rows = owner.execute("select missing_count from content_item where social_account_id = %s", [account_id]).fetchall()
    assert [row["missing_count"] for row in rows] == [0, 0, 0, 0]
    assert value(owner, "select last_full_sync_at from social_account where id = %s", account_id) == stamp
    # Its owner's own wish, and a week later, mean everything.
    run_id = start(database, user, account_id)["run_id"]
    claimed = claim(database, run_id)
    assert "newest_id" not in claimed["account"]["sync_hint"]
    apply(database, run_id, claimed["lease"], 0, posts)
    owner.execute(
        "update social_account set next_sync_at = now(), last_full_sync_at = now() - interval '8 days' where id = %s",
        [account_id],
    )
    (run_id,) = dispatch(database)
    assert "newest_id" not in claim(database, run_id)["account"]["sync_hint"]


def test_an_unchanged_page_writes_no_item(database: Database, owner: Connection) -> None:
    user = database.create_user()
    account_id = factories.account(owner, user, "facebook")
    items = [
        item(number, tags=["a", "b"], media=[{"type": "image", "url": "https://x.example/1"}]) for number in range(50)
    ]
    first = whole_run(database, user, account_id, items)
    assert (first["items_created"], first["status"]) == (50, "succeeded")
    before = owner.execute(
        "select id, xmin::text from content_item where social_account_id = %s order by id", [account_id]
    )
    rows = before.fetchall()
    again = whole_run(database, user, account_id, items)
    assert (again["items_created"], again["items_updated"], again["items_unchanged"]) == (0, 0, 50)
    after = owner.execute(
        "select id, xmin::text from content_item where social_account_id = %s order by id", [account_id]
    )
    assert after.fetchall() == rows
    # Not vacuous: what differs is written.
    items[7] = item(7, tags=["a", "c"], media=items[7]["media"])
    items[8] = items[8] | {"views_count": 2}
    assert whole_run(database, user, account_id, items)["items_updated"] == 2


def test_a_page_with_copies_and_what_was_not_asked(database: Database, owner: Connection) -> None:
    user = database.create_user()
    account_id = factories.account(owner, user, "instagram")
    run = whole_run(database, user, account_id, [item(1, views_count=9), item(1, views_count=9), item(2)])
    assert (run["items_seen"], run["items_created"]) == (2, 2)
    again = whole_run(
        database, user, account_id, [item(1, views_count=None, not_asked=["views_count"]), item(2, views_count=None)]
    )
    assert (again["items_updated"], again["items_unchanged"]) == (1, 1)
    rows = owner.execute(
        "select views_count from content_item where social_account_id = %s order by platform_content_id", [account_id]
    ).fetchall()
    assert [row["views_count"] for row in rows] == [9, None]


def test_a_listing_with_a_cap_says_nothing_about_what_is_older(database: Database, owner: Connection) -> None:
    owner.execute("update private.setting set value = '2' where key = 'sync.history_cap.twitter'")
    user = database.create_user()
    account_id = factories.account(owner, user, "twitter")
    old = item(1, published_at="2020-01-01T00:00:00Z")
    newer = [item(number, published_at=f"2026-01-0{number}T00:00:00Z") for number in (2, 3, 4)]
    whole_run(database, user, account_id, [old, *newer])
    whole_run(database, user, account_id, [newer[0], newer[2]])
    rows = owner.execute(
        "select missing_count from content_item where social_account_id = %s order by platform_content_id", [account_id]
    ).fetchall()
    assert [row["missing_count"] for row in rows] == [0, 0, 1, 0]


def test_a_listing_that_picks_some_of_a_year_says_nothing_about_the_others(
    database: Database, owner: Connection
) -> None:
    user = database.create_user()
    account_id = factories.account(owner, user, "facebook")
    crowded = [item(number, published_at=f"2025-1{number}-01T00:00:00Z") for number in (0, 1, 2)]
    beside, quiet = item(4, published_at="2026-06-01T00:00:00Z"), item(5, published_at="2020-06-01T00:00:00Z")
    owner.execute("update private.setting set value = '2' where key = 'sync.ranked_a_year.facebook'")
    try:
        whole_run(database, user, account_id, [*crowded, beside, quiet])
        whole_run(database, user, account_id, crowded[1:])
    finally:
        owner.execute("update private.setting set value = '600' where key = 'sync.ranked_a_year.facebook'")
    rows = owner.execute(
        "select platform_content_id, missing_count from content_item where social_account_id = %s", [account_id]
    ).fetchall()
    assert {row["platform_content_id"] for row in rows if row["missing_count"]} == {"v5"}


def test_a_charge_that_was_reaped_while_the_run_waited_is_made_again(database: Database, owner: Connection) -> None:
    user = database.create_user()
    account_id = factories.account(owner, user, "facebook")
    run_id = start(database, user, account_id)["run_id"]
    with database.as_service() as service:
        assert value(service, "select reap_quota('0')") >= 1
    assert value(owner, "select syncs_used from subscription where user_id = %s", user) == 0
    assert apply(database, run_id, claim(database, run_id)["lease"], 0, [item(1)])["status"] == "done"
    assert value(owner, "select syncs_used from subscription where user_id = %s", user) == 1


def test_a_run_that_brings_nothing_costs_nothing(database: Database, owner: Connection) -> None:
    user = database.create_user()
    run_id = start(database, user, factories.account(owner, user, "facebook"))["run_id"]
    lease = claim(database, run_id)["lease"]
    with database.as_service() as service:
        answer = value(service, "select release_sync_run(%s, %s, 'forbidden', 'No.', null, true)", run_id, lease)
    assert answer == {"status": "done"}
    assert value(owner, "select status from sync_run where id = %s", run_id) == "failed"
    assert value(owner, "select syncs_used from subscription where user_id = %s", user) == 0


def budget(owner: Connection, limit: int, window: str = "day", zone: str = "UTC") -> None:
    rule = json.dumps({"limit": limit, "window": window, "time_zone": zone, "page": 1, "profile": 0})
    owner.execute("update private.setting set value = %s::jsonb where key = 'budget.tiktok'", [rule])


def test_twenty_workers_never_spend_more_than_the_budget(database: Database, owner: Connection) -> None:
    budget(owner, 10)
    runs = []
    for _ in range(20):
        user = database.create_user()
        account_id = factories.account(owner, user, "tiktok")
        runs.append(start(database, user, account_id)["run_id"])
    with ThreadPoolExecutor(20) as pool:
        answers = Counter(answer["status"] for answer in pool.map(lambda run_id: claim(database, run_id), runs))
    assert answers == {"claimed": 10, "waiting": 10}
    assert value(owner, "select used from private.platform_budget") == 10
    waiting = owner.execute("select waiting_until from sync_run where status = 'queued'").fetchall()
    assert {row["waiting_until"] for row in waiting} == {
        value(owner, "select date_trunc('day', now(), 'UTC') + interval '1 day'")
    }


def test_a_page_is_paid_once_when_a_run_changes_hands(database: Database, owner: Connection) -> None:
    budget(owner, 10)
    user = database.create_user()
    run_id = start(database, user, factories.account(owner, user, "tiktok"))["run_id"]
    lease = claim(database, run_id)["lease"]
    assert apply(database, run_id, lease, 0, [item(1)], "next")["status"] == "next"
    with database.as_service() as service:
        assert value(service, "select release_sync_run(%s, %s)", run_id, lease) == {"status": "next"}
    assert value(owner, "select used from private.platform_budget") == 2
    lease = claim(database, run_id)["lease"]
    assert value(owner, "select used from private.platform_budget") == 2
    assert apply(database, run_id, lease, 1, [item(2)], "last")["status"] == "next"
    assert value(owner, "select used from private.platform_budget") == 3


def test_a_share_is_kept_for_new_connections_and_backfill_stands_back(database: Database, owner: Connection) -> None:
    budget(owner, 10)
    user = database.create_user()

    def next_status(*, is_first: bool, page: int) -> str:
        account_id = factories.account(owner, user, "tiktok", last_synced_at=None if is_first else "2026-01-01")
        run_id = start(database, user, account_id)["run_id"]
        owner.execute("update private.sync_job set page_number = %s where run_id = %s", [page, run_id])
        return str(claim(database, run_id)["status"])

    def use(amount: int) -> None:
        owner.execute(
            """insert into private.platform_budget as b (platform_id, window_start, used)
               select id, date_trunc('day', now(), 'UTC'), %s from platform where slug = 'tiktok'
               on conflict on constraint platform_budget_pkey do update set used = excluded.used""",
            [amount],
        )

    use(7)
    assert next_status(is_first=False, page=50) == "waiting"
    assert next_status(is_first=False, page=0) == "claimed"
    use(9)
    assert next_status(is_first=False, page=0) == "waiting"
    assert next_status(is_first=True, page=0) == "claimed"
    assert next_status(is_first=True, page=0) == "waiting"


def test_the_youtube_day_is_the_pacific_one(database: Database, owner: Connection) -> None:
    user = database.create_user()
    run_id = start(database, user, factories.account(owner, user, "youtube"))["run_id"]
    assert claim(database, run_id)["status"] == "claimed"
    row = owner.execute("select window_start, used from private.platform_budget").fetchone()
    assert row is not None
    assert row["used"] == 3  # the channel, a page of the playlist, its videos
    assert value(
        owner,
        "select %s at time zone 'America/Los_Angeles' = date_trunc('day', now() at time zone 'America/Los_Angeles')",
        row["window_start"],
    )


def fail(
    database: Database, run_id: str, lease: str, blame: str | None, seconds: float | None = None
) -> dict[str, Any]:
    with database.as_service() as service:
        answer: dict[str, Any] = value(
            service,
            "select release_sync_run(%s, %s, 'down', 'It is down.', %s, false, %s)",
            run_id,
            lease,
            seconds,
            blame,
        )
        return answer


def test_a_breaker_stops_everybody_and_lets_one_probe(database: Database, owner: Connection) -> None:
    user = database.create_user()
    runs = [start(database, user, factories.account(owner, user, "facebook"))["run_id"] for _ in range(8)]
    for run_id in runs[:5]:
        assert fail(database, run_id, claim(database, run_id)["lease"], "platform")["status"] == "waiting"
    assert claim(database, runs[5])["status"] == "waiting"
    owner.execute("update private.platform_health set stopped_until = now() where true")
    owner.execute("update sync_run set waiting_until = null where waiting_until is not null")
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda run_id: claim(database, run_id), runs[5:]))
    assert sorted(answer["status"] for answer in answers) == ["claimed", "waiting", "waiting"]
    (probe, lease) = next(
        (run_id, answer["lease"]) for run_id, answer in zip(runs[5:], answers, strict=True) if "lease" in answer
    )
    assert apply(database, probe, lease, 0, [item(1)])["status"] == "done"
    owner.execute("update sync_run set waiting_until = null where waiting_until is not null")
    assert claim(database, runs[0])["status"] == "claimed"


def test_a_limit_of_the_app_stops_everybody_at_once(database: Database, owner: Connection) -> None:
    user = database.create_user()
    first, second = (start(database, user, factories.account(owner, user, "facebook"))["run_id"] for _ in range(2))
    assert fail(database, first, claim(database, first)["lease"], "app_limit", 3600)["seconds"] >= 3590
    assert claim(database, second)["seconds"] >= 3500


def test_a_pause_that_the_platform_asked_for_is_not_ended_by_calls_under_way(
    database: Database, owner: Connection
) -> None:
    user = database.create_user()
    limited, failing, well, late = (
        start(database, user, factories.account(owner, user, "facebook"))["run_id"] for _ in range(4)
    )
    leases = {run_id: claim(database, run_id)["lease"] for run_id in (limited, failing, well)}
    fail(database, limited, leases[limited], "app_limit", 3600)
    fail(database, failing, leases[failing], "platform")
    assert apply(database, well, leases[well], 0, [item(1)])["status"] == "done"
    assert claim(database, late)["seconds"] >= 3500


def test_kinds_that_the_platform_does_not_list_are_not_missing(database: Database, owner: Connection) -> None:
    user = database.create_user()
    account_id = factories.account(owner, user, "facebook")
    reel, post = item(1, content_type="reel"), item(2, content_type="post")
    whole_run(database, user, account_id, [reel, post, item(3)])
    for _ in range(2):
        run_id = start(database, user, account_id)["run_id"]
        with database.as_service() as service:
            answer = value(
                service,
                "select apply_content_page(%s, %s, 0, %s::jsonb, is_last => true, not_listed => '{reel,story}')",
                run_id, claim(database, run_id)["lease"], json.dumps([item(3)]),
            )  # fmt: skip
        assert answer == {"status": "done"}
    rows = owner.execute(
        "select platform_content_id, upstream_deleted_at from content_item where social_account_id = %s", [account_id]
    ).fetchall()
    assert {row["platform_content_id"] for row in rows if row["upstream_deleted_at"]} == {"v2"}


def test_failures_widen_the_pause_until_the_run_ends(database: Database, owner: Connection) -> None:
    user = database.create_user()
    account_id = due_account(owner, user)
    (run_id,) = dispatch(database)
    pauses = []
    for _ in range(8):
        owner.execute("update sync_run set waiting_until = null where id = %s", [run_id])
        answer = fail(database, run_id, claim(database, run_id)["lease"], None)
        pauses.append(answer.get("seconds"))
    assert pauses == [15, 30, 60, 120, 240, 480, 960, None]
    row = owner.execute("select * from social_account where id = %s", [account_id]).fetchone()
    assert row is not None
    assert (row["last_sync_status"], row["sync_failures"]) == ("failed", 1)
    assert value(
        owner,
        "select next_sync_at - now() between '50 minutes' and '70 minutes' from social_account where id = %s",
        account_id,
    )


def test_a_quiet_account_is_synced_less_often(database: Database, owner: Connection) -> None:
    user = database.create_user()

    def hours(age: str, frequency: int) -> int:
        owner.execute("update user_setting set sync_frequency_hours = %s where user_id = %s", [frequency, user])
        account_id = factories.account(owner, user, "facebook")
        factories.content(owner, account_id, published_at=value(owner, "select now() - %s::interval", age))
        wait = "extract(epoch from private.next_sync_at(a) - now()) / 3600"
        query = f"select round({wait})::integer from social_account as a where id = %s"
        return int(value(owner, query, account_id))

    assert [hours("1 day", 24), hours("100 days", 24), hours("500 days", 24)] == [24, 48, 96]
    assert hours("500 days", 72) == 168  # a week at most
    assert hours("500 days", 720) == 720  # unless the owner wants less


def test_the_second_half_of_a_quota_lasts_until_the_cycle_ends(database: Database, owner: Connection) -> None:
    user = database.create_user()
    accounts = [due_account(owner, user) for _ in range(2)]

    def hours(used: int, tier: str = "free") -> int:
        owner.execute(
            """update subscription set syncs_used = %s, cycle_end_date = now() + interval '10 days',
               tier_id = (select id from subscription_tier where slug = %s) where user_id = %s""",
            [used, tier, user],
        )
        wait = "extract(epoch from private.next_sync_at(a) - now()) / 3600"
        query = f"select round({wait})::integer from social_account as a where id = %s"
        return int(value(owner, query, accounts[0]))

    # Two accounts share 30 syncs: 16 left, then 5, then one; none left is waited for elsewhere.
    assert [hours(14), hours(25), hours(29), hours(30)] == [24, 96, 168, 24]
    assert hours(5000, "premium") == 24  # unlimited


def test_nobody_but_the_service_calls_any_of_it(database: Database, owner: Connection) -> None:
    user = database.create_user()
    for query in (
        "select due_sync_runs(1)",
        f"select claim_sync_run('{uuid4()}')",
        f"select start_sync_run('{user}', '{uuid4()}')",
        f"select release_sync_run('{uuid4()}', '{uuid4()}')",
        f"select apply_content_page('{uuid4()}', '{uuid4()}', 0, '[]')",
        "select purge_sync()",
    ):
        for who in (database.as_user(user), database.as_anon()):
            with pytest.raises(Exception, match="permission denied"), who as session:
                session.execute(query.encode())


def test_its_owner_watches_a_run_and_nobody_else(database: Database, owner: Connection) -> None:
    user, stranger = database.create_user(), database.create_user()
    start(database, user, factories.account(owner, user, "facebook"))
    with database.as_user(user) as own:
        assert value(own, "select count(*) from sync_run") == 1
    with database.as_user(stranger) as other:
        assert value(other, "select count(*) from sync_run") == 0


@pytest.mark.parametrize(
    ("platform", "stamp", "is_active", "expected"),
    [
        ("youtube", "29 days", True, 1),
        ("youtube", "31 days", True, 0),
        ("facebook", "31 days", True, 1),
        ("facebook", "1 day", False, 0),
    ],
)
def test_platform_data_grows_only_so_old(
    database: Database, owner: Connection, platform: str, stamp: str, is_active: bool, expected: int
) -> None:
    user = database.create_user()
    account_id = factories.account(owner, user, platform, follower_count=5, description="About me")
    factories.content(owner, account_id)
    owner.execute(
        "update social_account set last_full_sync_at = now() - %s::interval where id = %s", [stamp, account_id]
    )
    if not is_active:
        owner.execute(
            """update platform_connection set is_active = false, updated_at = now() - interval '31 days'
               where user_id = %s""",
            [user],
        )
    with database.as_service() as service:
        value(service, "select purge_stale_content(1000)")
    assert value(owner, "select count(*) from content_item where social_account_id = %s", account_id) == expected
    account = owner.execute("select * from social_account where id = %s", [account_id]).fetchone()
    assert account is not None
    assert account["account_name"]
    assert (account["follower_count"], account["description"]) == ((5, "About me") if expected else (None, None))
