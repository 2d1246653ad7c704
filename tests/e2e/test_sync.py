"""A creator connects a channel and syncs it, on the whole stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from infra.local.stack import Stack
from tests.e2e.creators import Creator


@pytest.fixture(scope="module")
def creator(sign_up: Callable[[], Creator]) -> Creator:
    return sign_up()


@pytest.fixture(scope="module")
def connected(creator: Creator) -> dict[str, Any]:
    return creator.connect("youtube")


@pytest.fixture(scope="module")
def account_id(connected: dict[str, Any]) -> str:
    (account,) = connected["accounts"]
    return str(account["id"])


@pytest.fixture(scope="module")
def first_run(creator: Creator, account_id: str) -> dict[str, Any]:
    return creator.sync(account_id)


def upstream_items(stack: Stack, platform: str = "youtube", account: str = "") -> list[dict[str, Any]]:
    url = f"{stack.env['UPSTREAM_URL']}/_sim/{platform}/content"
    items: list[dict[str, Any]] = []
    while True:
        query = {"skip": len(items), "limit": 1000} | ({"account": account} if account else {})
        page = httpx.get(url, params=query).json()
        page = page if isinstance(page, list) else page["items"]
        if not page:
            return items
        items += page


def test_the_first_run_brings_every_video(
    stack: Stack, creator: Creator, account_id: str, first_run: dict[str, Any]
) -> None:
    assert first_run["status"] == "succeeded", first_run
    expected = {item["id"] for item in upstream_items(stack)}
    assert {item["platform_content_id"] for item in creator.items(account_id)} == expected
    assert first_run["items_created"] == first_run["items_seen"] == len(expected)
    assert creator.used() == 1


def test_the_account_is_stamped(creator: Creator, account_id: str, first_run: dict[str, Any]) -> None:
    (account,) = creator.rest(f"social_account?id=eq.{account_id}")
    assert account["last_sync_status"] == "succeeded"
    assert account["last_synced_at"] == account["last_full_sync_at"] == first_run["finished_at"]
    assert account["next_sync_at"] > account["last_synced_at"]


def test_a_second_run_writes_no_rows(creator: Creator, account_id: str, first_run: dict[str, Any]) -> None:
    before = creator.items(account_id)
    again = creator.sync(account_id)
    assert again["status"] == "succeeded"
    assert (again["items_created"], again["items_updated"]) == (0, 0)
    assert again["items_unchanged"] == first_run["items_seen"]
    assert creator.items(account_id) == before


def test_a_stranger_sees_nothing(sign_up: Callable[[], Creator], account_id: str, first_run: dict[str, Any]) -> None:
    stranger = sign_up()
    assert stranger.items(account_id) == []
    assert stranger.rest(f"sync_run?id=eq.{first_run['id']}") == []
    refused = stranger.call("POST", "/sync", json={"social_account_id": account_id})
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_account")
