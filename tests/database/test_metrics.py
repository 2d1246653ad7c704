"""count_metrics: what functions of many domains did, each thing in one answer, whoever asks when."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests import factories
from tests.database.quota import Ledger
from tests.database.waiting import blocked_sessions, wait_until
from tests.databases import Connection, Database

NOTHING: dict[str, Any] = {"quota": [], "sync_runs": []}


@pytest.fixture
def fresh(new_database: Callable[[], Database]) -> Database:
    """A database of this test's own that counts without lag."""
    database = new_database()
    set_lag(database, "0 seconds")
    return database


def count(session: Connection) -> Any:
    row = session.execute("select count_metrics() as counted").fetchone()
    assert row is not None
    return row["counted"]


def set_lag(database: Database, lag: str) -> None:
    with database.as_superuser() as connection:
        connection.execute("update private.setting set value = to_jsonb(%s::text) where key = 'metrics.lag'", [lag])


def test_charges_and_refunds_are_counted_once(fresh: Database) -> None:
    ledger, other = Ledger(fresh, fresh.create_user()), Ledger(fresh, fresh.create_user())
    ledger.consume("sync", 3, "a")
    ledger.consume("sync", 3, "a")  # the same call again
    ledger.consume("sync", 2, "b")
    ledger.refund("b")
    ledger.refund("b")
    other.consume("seo_submission", 4, "a")
    other.consume("ai_analysis", 9999, "does not fit")
    set_lag(fresh, "1 day")
    with fresh.as_service() as service:
        assert count(service) == NOTHING, "younger than the lag: the transaction of another may still be open"
    set_lag(fresh, "0 seconds")
    with fresh.as_service() as service:
        assert count(service)["quota"] == [
            {"quota_type": "seo_submission", "operation": "increment", "units": 4},
            {"quota_type": "sync", "operation": "decrement", "units": 2},
            {"quota_type": "sync", "operation": "increment", "units": 5},
        ]
        assert count(service) == NOTHING


def test_runs_are_counted_by_how_they_ended(fresh: Database) -> None:
    user_id = fresh.create_user()
    with fresh.as_owner() as owner:
        account = factories.account(owner, user_id)
    ends = ("succeeded", "failed", "succeeded", "canceled")
    with fresh.as_superuser() as connection:
        for status in ends:
            connection.execute(
                """
                insert into sync_run (social_account_id, user_id, status, trigger, finished_at)
                values (%s, %s, %s, 'scheduled', now())
                """,
                [account, user_id, status],
            )
        connection.execute(
            "insert into sync_run (social_account_id, user_id, status, trigger) values (%s, %s, 'queued', 'manual')",
            [account, user_id],
        )
    with fresh.as_service() as service:
        assert count(service)["sync_runs"] == [
            {"platform": "youtube", "outcome": "canceled", "runs": 1},
            {"platform": "youtube", "outcome": "failed", "runs": 1},
            {"platform": "youtube", "outcome": "succeeded", "runs": 2},
        ]


def test_two_rounds_at_once_do_not_count_the_same(fresh: Database) -> None:
    Ledger(fresh, fresh.create_user()).consume("sync", 3, "a")

    def second() -> Any:
        with fresh.as_service() as service:
            return count(service)

    with ThreadPoolExecutor(1) as aside:
        with fresh.as_service() as first:
            assert count(first)["quota"] == [{"quota_type": "sync", "operation": "increment", "units": 3}]
            answer = aside.submit(second)
            wait_until(lambda: blocked_sessions(fresh) > 0)
        assert answer.result(timeout=30) == NOTHING
