"""Rising terms: found where they rise, by platform, language and region, explained, never from one account alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests import factories
from tests.databases import Connection, Database

Row = dict[str, Any]


@pytest.fixture
def fresh(database: Database) -> Database:
    with database.as_superuser() as connection:
        connection.execute("delete from trending_keyword where true")
        connection.execute("delete from auth.users where true")
    return database


def publish(
    owner: Connection,
    account: UUID,
    days_ago: float,
    title: str,
    *tags: str,
    language: str | None = "en",
    **columns: Any,
) -> UUID:
    return factories.content(
        owner,
        account,
        title,
        tags=list(tags),
        language=language,
        published_at=datetime.now(UTC) - timedelta(days=days_ago),
        **columns,
    )


def accounts(database: Database, owner: Connection, count: int, platform: str = "youtube") -> list[UUID]:
    return [factories.account(owner, database.create_user(), platform) for _ in range(count)]


def refresh(database: Database, *, force: bool = True, scores_off: tuple[str, ...] = ()) -> int:
    with database.as_service() as service:
        row = service.execute("select refresh_trends(%s, %s) as count", [force, list(scores_off)]).fetchone()
    assert row is not None
    return int(row["count"])


def trends(database: Database) -> dict[str, Row]:
    with database.as_superuser() as connection:
        rows = connection.execute(
            "select k.*, p.slug as platform from trending_keyword k left join platform p on p.id = k.platform_id"
        ).fetchall()
    return {row["keyword"]: row for row in rows}


def test_a_rising_term_is_found_and_explained(fresh: Database) -> None:
    with fresh.as_owner() as owner:
        for number, account in enumerate(accounts(fresh, owner, 4)):
            publish(owner, account, 2, f"Sourdough starter {number}", "Sourdough", category="Food")
            for day in (10, 15, 20, 25):
                publish(owner, account, day, f"Dinner idea {day}", "dinner")
            publish(owner, account, 1, "Dinner with friends", "dinner")
    assert refresh(fresh) > 0
    found = trends(fresh)
    assert "dinner" not in found  # as frequent as ever
    assert "with" not in found  # a stop word
    trend = found["sourdough"]
    assert (trend["platform"], trend["language"], trend["region"]) == ("youtube", "en", None)
    assert (trend["source"], trend["category"], trend["search_volume"]) == ("own_content", "Food", None)
    details = trend["details"]
    assert (details["window_items"], details["window_total"]) == (4, 8)
    assert (details["baseline_items"], details["baseline_total"], details["accounts"]) == (0, 16, 4)
    lift = ((4 + 0.5) / 9) / ((0 + 0.5) / 17)
    assert details["lift"] == pytest.approx(lift, abs=0.001)
    assert float(trend["trending_score"]) == pytest.approx(100 * (1 - 1 / lift) * 4 / 5, abs=0.1)
    assert trend["valid_from"] < trend["valid_until"]


def test_one_account_alone_is_no_trend(fresh: Database) -> None:
    with fresh.as_owner() as owner:
        first, second = accounts(fresh, owner, 2)
        for day in range(1, 6):
            publish(owner, first, day, f"Secret project {day}", "project-x")
        publish(owner, second, 1, "Something else", "else")
        publish(owner, second, 12, "Older thing", "older")
    refresh(fresh)
    assert trends(fresh) == {}


def test_what_is_not_public_is_not_counted(fresh: Database) -> None:
    with fresh.as_owner() as owner:
        for account in accounts(fresh, owner, 3):
            publish(owner, account, 1, "Hidden launch", "launch", visibility="private")
            publish(owner, account, 1, "Deleted launch", "launch", deleted_at=datetime.now(UTC))
            publish(owner, account, 1, "Open house", "house")
            for day in (10, 20):
                publish(owner, account, day, "Garden", "garden")
    refresh(fresh)
    assert "launch" not in trends(fresh)
    assert "house" in trends(fresh)


def test_platforms_languages_and_regions_are_kept_apart(fresh: Database) -> None:
    with fresh.as_owner() as owner:
        for platform, language in (("youtube", "en-GB"), ("instagram", "pt-BR"), ("youtube", "de")):
            for account in accounts(fresh, owner, 3, platform):
                publish(owner, account, 1, "x", f"term {platform} {language}", language=language)
                publish(owner, account, 12, "y", "before", language=language)
    refresh(fresh)
    found = trends(fresh)
    assert {
        (row["platform"], row["language"], row["region"]) for name, row in found.items() if name.startswith("term")
    } == {("youtube", "en", "GB"), ("instagram", "pt", "BR"), ("youtube", "de", None)}


def test_fresh_trends_are_not_computed_again(fresh: Database) -> None:
    with fresh.as_owner() as owner:
        for account in accounts(fresh, owner, 3):
            publish(owner, account, 1, "New thing", "thing")
            publish(owner, account, 12, "Old one", "old one")
    assert refresh(fresh, force=False) > 0
    assert refresh(fresh, force=False) == 0
    before = trends(fresh)["thing"]["id"]
    with fresh.as_superuser() as connection:
        connection.execute("update trending_keyword set created_at = now() - interval '2 hours' where true")
    assert refresh(fresh, force=False) > 0
    assert trends(fresh)["thing"]["id"] != before


def test_scores_can_be_left_out(fresh: Database) -> None:
    with fresh.as_owner() as owner:
        for account in accounts(fresh, owner, 3):
            publish(owner, account, 1, "New thing", "thing")
            publish(owner, account, 12, "Old one", "old one")
    refresh(fresh, scores_off=("youtube",))
    assert trends(fresh)["thing"]["trending_score"] is None


def test_a_source_replaces_only_its_own(fresh: Database) -> None:
    rows = '[{"keyword": "air fryer", "platform": "youtube", "score": 250, "search_volume": 9000}, {"keyword": " "},'
    rows += ' {"keyword": "bad", "platform": "nowhere"}, {"keyword": "everywhere"}]'
    with fresh.as_service() as service:
        counted = service.execute("select import_trends('feed', %s) as count", [rows]).fetchone()
        service.execute("select import_trends('other', '[{\"keyword\": \"kept\"}]')")
        service.execute("select import_trends('feed', %s)", [rows])
    assert counted == {"count": 2}
    found = trends(fresh)
    assert set(found) == {"air fryer", "everywhere", "kept"}
    assert float(found["air fryer"]["trending_score"]) == 100
    with pytest.raises(psycopg.Error) as error, fresh.as_service() as service:
        service.execute("select import_trends('own_content', '[]')")
    assert error.value.sqlstate == "PT422"


def test_only_valid_trends_are_shown(fresh: Database) -> None:
    user = fresh.create_user()
    with fresh.as_superuser() as connection:
        connection.execute(
            """
            insert into trending_keyword (keyword, valid_from, valid_until) values
            ('over', now() - interval '3 days', now() - interval '1 day'),
            ('now', now() - interval '1 day', now() + interval '1 day'), ('later', now() + interval '1 day', null)
            """
        )
    with fresh.as_user(user) as own:
        assert [row["keyword"] for row in own.execute("select keyword from trending_keyword").fetchall()] == ["now"]


def test_of_many_items_a_sample_is_enough(fresh: Database) -> None:
    with fresh.as_superuser() as connection:
        connection.execute("update private.setting set value = '40' where key = 'trend.sample'")
    try:
        with fresh.as_owner() as owner:
            for account in accounts(fresh, owner, 5):
                for number in range(8):
                    publish(owner, account, 1 + number / 10, f"Sourdough {number}", "sourdough")
                    publish(owner, account, 10 + number, f"Dinner {number}", "dinner")
        refresh(fresh)
    finally:
        with fresh.as_superuser() as connection:
            connection.execute("update private.setting set value = '30000' where key = 'trend.sample'")
    details = trends(fresh)["sourdough"]["details"]
    assert 10 < details["window_total"] + details["baseline_total"] < 70  # of 80; ids are random
