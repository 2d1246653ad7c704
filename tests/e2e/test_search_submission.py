"""A creator's page on its way into the search engines: over HTTP, the queue and the schedule, engines simulated."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from infra.local.stack import Stack
from tests.e2e.creators import WAIT_SECONDS, Creator

SITE = "https://creator.example/"
PAGE = f"{SITE}videos/10"  # was a live stream, the one kind of these pages that Google's Indexing API takes
KEY = {"key": "0123456789abcdef0123456789abcdef"}
Db = Callable[..., list[dict[str, Any]]]
Sim = Callable[..., Any]


def connect(creator: Creator, engine: str, credentials: dict[str, Any]) -> dict[str, Any]:
    body = {"engine": engine, "site_url": SITE, "credentials": credentials}
    found: dict[str, Any] = creator.rest("rpc/connect_search_engine", "POST", json=body)
    return found


def invoke(stack: Stack, path: str) -> Any:
    answer = httpx.post(f"{stack.runner_url}/_local/{path}", timeout=60)
    assert answer.is_success, answer.text
    return answer.json()


@pytest.fixture
def creator(sign_up: Callable[[], Creator], new_account: Callable[..., str]) -> Creator:
    made = sign_up()
    account = made.connect("youtube", new_account(3))["accounts"][0]
    assert made.sync(account["id"])["status"] == "succeeded"
    return made


def newest_item(creator: Creator) -> str:
    return str(creator.rest("content_item?select=id&order=published_at.desc&limit=1")[0]["id"])


def test_a_page_is_submitted_and_watched_until_it_is_indexed(stack: Stack, creator: Creator, db: Db, sim: Sim) -> None:
    sim("POST", "reset?provider=search_google")
    connect(creator, "google", sim("POST", "search_google/service_accounts"))
    connect(creator, "indexnow", KEY)
    body = {"content_item_id": newest_item(creator), "url": PAGE}
    answer = creator.call("POST", "/seo/submit", json=body, headers={"Idempotency-Key": "submit-1"})
    assert answer.status_code == 202, answer.text
    again = creator.call("POST", "/seo/submit", json=body, headers={"Idempotency-Key": "submit-1"})
    assert again.json() == answer.json()
    assert {one["search_engine"]: one["status"] for one in answer.json()["submissions"]} == {
        "google": "submitted",
        "indexnow": "submitted",
    }

    def google() -> dict[str, Any]:
        select = "seo_submission?select=*,search_engine!inner(slug)&search_engine.slug=eq.google"
        (row,) = creator.rest(select)
        found: dict[str, Any] = row
        return found

    seen = [google()["status"]]
    for _ in range(3):
        sim("POST", "clock", advance_seconds=3600)
        db(
            "update seo_submission set next_retry_at = now() where user_id = %s and next_retry_at is not null",
            creator.id,
        )
        invoke(stack, "invoke/seo_poll")
        seen.append(google()["status"])
    assert seen == ["submitted", "crawled", "indexed", "indexed"]
    assert google()["coverage_state"] == "Submitted and indexed"
    assert creator.rest("subscription?select=seo_submissions_used") == [{"seo_submissions_used": 2}]
    assert len(creator.rest("seo_usage")) == 2
    assert "seo_indexed" in [notice["type"] for notice in creator.rest("notification?select=type")]


def test_new_items_go_through_the_queue_by_themselves(stack: Stack, creator: Creator, db: Db) -> None:
    connect(creator, "indexnow", {**KEY, "page_url": f"{SITE}videos/{{platform_content_id}}"})
    creator.rest(f"user_setting?user_id=eq.{creator.id}", "PATCH", json={"is_auto_seo_submission_enabled": True})
    item = newest_item(creator)
    db("update content_item set published_at = %s where id = %s", datetime.now(UTC), item)
    assert invoke(stack, "invoke/seo_poll")["handed_over"] >= 1

    def submitted() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = creator.rest(f"seo_submission?content_item_id=eq.{item}")
        return rows

    until = time.monotonic() + WAIT_SECONDS
    while not submitted():  # the worker process takes messages by itself, too
        assert time.monotonic() < until
        invoke(stack, "queues/seo/drain")
    (row,) = submitted()
    assert row["submitted_url"].startswith(f"{SITE}videos/")
    assert row["is_automatic"] is True
