"""Analyses that nobody asked for at that moment: by the users' settings, within quota, newest items first."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from functions.database import analysis
from tests.endpoints.analysis.conftest import Row, Studio


# Imported when called: the handler asks for its settings when it is loaded.
def dispatch() -> Row:
    """One round of the schedule."""
    from functions.analyze.handler import dispatch as handle

    return dict(handle({}, None))


def worker(event: Row) -> Row:
    """One batch of the queue."""
    from functions.analyze.handler import worker as handle

    return handle(event, None)


AUTO = {"is_auto_ai_analysis_enabled": True}
APPLY = {"is_auto_apply_ai_suggestions_enabled": True}


@pytest.fixture
def sent(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs that dispatch hands to the queue."""
    taken: list[str] = []
    monkeypatch.setenv("ANALYZE_QUEUE_URL", "http://queue.test/analyze")

    def send(_: str, bodies: list[dict[str, str]]) -> int:
        taken.extend(body["run_id"] for body in bodies)
        return len(bodies)

    monkeypatch.setattr("functions.core.queues.send", send)
    # Other tests' creators have nothing due.
    studio.execute("update user_setting set is_auto_ai_analysis_enabled = false where true")
    return taken


def deliver(*run_ids: str) -> list[str]:
    """One batch of the queue; the runs that it reports as failed."""
    records = [{"messageId": run_id, "body": json.dumps({"run_id": run_id})} for run_id in run_ids]
    answer = worker({"Records": records})
    return [failed["itemIdentifier"] for failed in answer["batchItemFailures"]]


def titles(studio: Studio, run_ids: list[str]) -> list[str]:
    query = "select i.title from private.analysis_run r join content_item i on i.id = r.content_item_id where r.id = "
    return [str(row["title"]) for run_id in run_ids for row in studio.rows(f"{query} %s", run_id)]


def diary(studio: Studio, creator: UUID, count: int) -> list[UUID]:
    """Items of one account, one a day, oldest first."""
    account = studio.account(creator)
    return [
        studio.item(
            creator, f"Day {day:02d} of the bread diary", account=account, published_at=f"2026-10-{day:02d}T08:00:00Z"
        )
        for day in range(1, count + 1)
    ]


def test_dispatch_sends_the_newest_and_the_worker_does_them(studio: Studio, sent: list[str]) -> None:
    creator = studio.creator("basic", **AUTO)
    diary(studio, creator, 7)
    bystander = studio.creator("basic")
    diary(studio, bystander, 3)
    counts = dispatch()
    assert counts["queued"] == 5  # a batch
    assert titles(studio, sent) == [f"Day {day:02d} of the bread diary" for day in (7, 6, 5, 4, 3)]
    assert deliver(*sent) == []
    assert studio.used(creator) == 5
    # Delivered twice, done once; the next round brings the rest and then there is nothing left.
    assert deliver(*sent) == []
    assert studio.used(creator) == 5
    sent.clear()
    dispatch()
    assert titles(studio, sent) == ["Day 02 of the bread diary", "Day 01 of the bread diary"]
    deliver(*sent)
    sent.clear()
    dispatch()
    assert sent == []
    assert studio.used(creator) == 7
    assert studio.used(bystander) == 0


def test_not_beyond_the_quota(studio: Studio, sent: list[str]) -> None:
    creator = studio.creator("free", **AUTO)
    for item in diary(studio, creator, 12)[:7]:
        assert studio.analyse(creator, item)[0] == 201
    dispatch()
    assert titles(studio, sent) == [f"Day {day:02d} of the bread diary" for day in (12, 11, 10)]
    again = analysis.plan_analyses(100)
    assert again == []  # what is queued counts
    deliver(*sent)
    assert studio.used(creator) == 10
    assert analysis.plan_analyses(100) == []


def test_a_quota_that_is_used_up_meanwhile_ends_the_run(studio: Studio, sent: list[str]) -> None:
    creator = studio.creator("free", **AUTO)
    diary(studio, creator, 1)
    dispatch()
    studio.execute("update subscription_tier set max_ai_analyses_per_month = 0 where slug = 'free'")
    try:
        assert deliver(*sent) == []
    finally:
        studio.execute("update subscription_tier set max_ai_analyses_per_month = 10 where slug = 'free'")
    assert studio.used(creator) == 0
    # With quota again it is planned again.
    assert len(analysis.plan_analyses(100)) == 1


def test_switched_off_or_deleted_meanwhile_is_not_done(studio: Studio, sent: list[str]) -> None:
    creator = studio.creator("basic", **AUTO)
    items = diary(studio, creator, 2)
    dispatch()
    studio.execute("update content_item set deleted_at = now() where id = %s", items[1])
    studio.execute("update user_setting set is_auto_ai_analysis_enabled = false where user_id = %s", creator)
    assert deliver(*sent) == []
    assert studio.used(creator) == 0
    assert [studio.suggestions(item) for item in items] == [[], []]


def test_a_request_takes_the_queued_one_over(studio: Studio, sent: list[str]) -> None:
    creator = studio.creator("basic", **AUTO)
    (item,) = diary(studio, creator, 1)
    dispatch()
    assert studio.analyse(creator, item)[0] == 201
    assert deliver(*sent) == []
    assert studio.used(creator) == 1
    assert len(studio.suggestions(item)) == 1


def test_failures_come_again_and_then_end(studio: Studio, sent: list[str]) -> None:
    creator = studio.creator("basic", **AUTO)
    studio.execute(
        """
        insert into user_ai_setting (user_id, preferred_provider_id)
        select %s, id from ai_provider where slug = 'openai'
        on conflict (user_id) do update set preferred_provider_id = excluded.preferred_provider_id
        """,
        creator,
    )
    items = diary(studio, creator, 2)
    dispatch()
    studio.order("openai", "overloaded", times=3)
    newest, other = sent
    assert deliver(newest) == [newest]  # worth another delivery
    assert studio.used(creator) == 0
    assert deliver(newest) == []
    assert studio.used(creator) == 1
    studio.order("openai", "refusal")
    assert deliver(other) == []  # pointless to repeat
    assert studio.used(creator) == 1
    assert len(studio.suggestions(items[0])) == 0
    # Tried so often in all, then left to its owner.
    for _ in range(2):
        (again,) = analysis.plan_analyses(100)
        studio.order("openai", "refusal")
        deliver(again)
    assert analysis.plan_analyses(100) == []
    assert studio.used(creator) == 1
    tokens = studio.rows(
        "select prompt_tokens from private.analysis_run where user_id = %s and status = 'failed'", creator
    )
    assert all(row["prompt_tokens"] > 0 for row in tokens)  # the operator paid


def test_what_was_lost_is_sent_again(studio: Studio, sent: list[str]) -> None:
    creator = studio.creator("basic", **AUTO)
    diary(studio, creator, 1)
    dispatch()
    (run_id,) = sent
    assert analysis.plan_analyses(100) == []
    studio.execute("update private.analysis_run set queued_at = now() - interval '20 minutes' where id = %s", run_id)
    assert analysis.plan_analyses(100) == [run_id]
    # A worker that died in the middle: its lease ends, the run is sent again, one charge.
    begun = analysis.begin_queued_analysis(run_id, ["local"])
    assert begun["state"] == "started"
    assert analysis.begin_queued_analysis(run_id, ["local"])["state"] == "running"
    studio.execute(
        """
        update private.analysis_run
        set started_at = now() - interval '20 minutes', queued_at = now() - interval '20 minutes'
        where id = %s
        """,
        run_id,
    )
    assert analysis.plan_analyses(100) == [run_id]
    assert deliver(run_id) == []
    assert studio.used(creator) == 1


def test_suggestions_are_applied_for_those_who_want_that(studio: Studio, sent: list[str]) -> None:
    creator = studio.creator("basic", **AUTO, **APPLY)
    (item,) = diary(studio, creator, 1)
    dispatch()
    deliver(*sent)
    (suggestion,) = studio.suggestions(item)
    assert suggestion["is_applied"]
    (row,) = studio.rows("select * from content_item where id = %s", item)
    assert row["title"] == suggestion["suggested_titles"][0]
    applications = studio.rows("select * from ai_suggestion_application where suggestion_id = %s", suggestion["id"])
    assert {one["applied_by_user_id"] for one in applications} == {None}
    sources = studio.rows("select distinct change_source from content_revision where content_item_id = %s", item)
    assert sources == [{"change_source": "ai_suggestion"}]
    assert analysis.plan_analyses(100) == []  # applying is no reason to analyse again
    notices = studio.rows("select type, message, metadata from notification where user_id = %s", creator)
    assert [(one["type"], one["message"]) for one in notices] == [("suggestion_applied", "Day 01 of the bread diary")]


def test_links_are_never_applied_away(studio: Studio, sent: list[str]) -> None:
    creator = studio.creator("basic", **AUTO, **APPLY)
    kept = "My bread, step by step.\nRecipe: https://creator.example/bread"
    item = studio.item(creator, "Bread", description=kept)
    dispatch()
    deliver(*sent)
    (row,) = studio.rows("select description, title from content_item where id = %s", item)
    assert row["description"] == kept
    assert studio.suggestions(item)[0]["is_applied"]


def test_the_name_of_its_kind_is_nobodys_title(studio: Studio) -> None:
    creator = studio.creator("free", **APPLY)
    for title, description in ((None, None), ("", ""), ("\U0001f35e", "\U0001f525\U0001f525")):
        item = studio.item(creator, title, description=description)
        status, row = studio.analyse(creator, item)
        assert (status, row["suggested_titles"]) == (201, ["Video"])
        (stored,) = studio.rows("select title from content_item where id = %s", item)
        assert stored["title"] == title
    for title in ("\u0425\u043b\u0435\u0431 \u0434\u043e\u043c\u0430", "\u30d1\u30f3\u4f5c\u308a"):
        item = studio.item(creator, title, description="", tags=["bread"])
        status, row = studio.analyse(creator, item)
        (stored,) = studio.rows("select title from content_item where id = %s", item)
        assert stored["title"] == row["suggested_titles"][0] != title


def test_an_item_edited_during_its_analysis_is_left_alone(
    studio: Studio, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    creator = studio.creator("basic", **AUTO, **APPLY)
    (item,) = diary(studio, creator, 1)
    dispatch()
    finish = analysis.finish_analysis

    def edit_first(*args: Any) -> Any:
        studio.execute("update content_item set title = 'Mine' where id = %s", item)
        return finish(*args)

    monkeypatch.setattr("functions.database.analysis.finish_analysis", edit_first)
    assert deliver(*sent) == []
    (row,) = studio.rows("select title from content_item where id = %s", item)
    assert row["title"] == "Mine"
    (suggestion,) = studio.suggestions(item)
    assert not suggestion["is_applied"]
    assert studio.used(creator) == 1


def test_an_operators_feed_adds_trends(studio: Studio, sent: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"keyword": "air fryer", "platform": "youtube", "score": 80, "language": "en"},
        {"keyword": 7, "score": "high"},
        {"keyword": "steam\x00oven", "language": "pt-BR"},
        "nonsense",
    ]
    monkeypatch.setenv("TREND_FEED_URL", "https://api.openai.com/trends.json")
    account = studio.account(studio.creator())
    other = studio.account(studio.creator())
    for title, days in (("Old one", 12), ("New thing", 1), ("New thing", 2), ("New thing", 3)):
        for one in (account, other):
            item = studio.item(studio.creator(), title, account=one)
            studio.execute(
                "update content_item set published_at = now() - make_interval(days => %s) where id = %s", days, item
            )
    studio.fault("openai", path="/trends.json", body={"trends": rows}, times=1)
    studio.execute("delete from trending_keyword where true")
    assert dispatch()["trends"] >= 2
    found = studio.rows("select keyword, trending_score from trending_keyword where source = 'feed' order by keyword")
    assert [(row["keyword"], row["trending_score"]) for row in found] == [("air fryer", 80), ("steamoven", None)]
    # A feed that fails, or is none, keeps its old ones.
    for fault in ({"status": 500}, {"body": "<html>Back soon</html>"}, {"body": {"trends": None}}):
        studio.settle_down()
        studio.execute("delete from trending_keyword where source = 'own_content'")
        studio.fault("openai", path="/trends.json", times=None, **fault)
        dispatch()
        assert len(studio.rows("select id from trending_keyword where source = 'feed'")) == 2


def test_a_message_that_makes_no_sense_is_let_go(studio: Studio) -> None:
    assert worker({"Records": [{"messageId": "1", "body": "{}"}, {"messageId": "2", "body": "x"}]}) == {
        "batchItemFailures": []
    }
