"""All five platforms: connected, synced whole, synced again, disconnected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.creators import Creator

PLATFORMS = ("youtube", "instagram", "tiktok", "facebook", "twitter")


@pytest.fixture(scope="module")
def creators(sign_up: Callable[[], Creator]) -> Callable[[str], tuple[Creator, dict[str, Any]]]:
    """A creator of their own for each platform (a free plan has room for two accounts), connected once."""
    made: dict[str, tuple[Creator, dict[str, Any]]] = {}

    def creator(platform: str) -> tuple[Creator, dict[str, Any]]:
        if platform not in made:
            someone = sign_up()
            made[platform] = someone, someone.connect(platform)
        return made[platform]

    return creator


@pytest.mark.parametrize("platform", PLATFORMS)
def test_connects_and_syncs_everything(
    creators: Callable[[str], tuple[Creator, dict[str, Any]]], platform: str
) -> None:
    creator, connected = creators(platform)
    assert connected["connection"]["platform"] == platform
    assert connected["missing_scopes"] == connected["cannot"] == []
    account_id = connected["accounts"][0]["id"]
    first = creator.sync(account_id)
    assert first["status"] == "succeeded", first
    stored = creator.items(account_id)
    assert len(stored) == first["items_created"] == first["items_seen"] > 10
    again = creator.sync(account_id)
    assert (again["status"], again["items_created"]) == ("succeeded", 0)
    for item in stored:
        assert item["platform_url"].startswith("https://"), item
        assert item["published_at"]
        assert item["title"] or item["description"] or item["media"], item


@pytest.mark.parametrize("platform", PLATFORMS)
def test_reconnecting_keeps_identity(creators: Callable[[str], tuple[Creator, dict[str, Any]]], platform: str) -> None:
    creator, connected = creators(platform)
    again = creator.connect(platform)
    assert again["connection"]["id"] == connected["connection"]["id"]
    assert [a["id"] for a in again["accounts"]] == [a["id"] for a in connected["accounts"]]
