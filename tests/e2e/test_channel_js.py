"""A first channel through supabase-js: connect, sync, read, edit, search, disconnect; a stranger gets nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from infra.local.stack import Stack

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def channel(run_script: Callable[..., Any]) -> Any:
    return run_script("channel.mjs")


def test_the_browsers_way_ends_in_the_app(channel: Any, stack: Stack) -> None:
    assert (channel["started"], channel["approved"]) == (200, 302)
    assert channel["relayed"] == {"status": 303, "origin": stack.env["APP_URL"]}


def test_a_state_is_for_one_user_and_burnt_by_any_attempt(channel: Any) -> None:
    assert 400 <= channel["foreign"] < 500
    assert 400 <= channel["burnt"] < 500
    assert channel["completed"]["status"] == 201


def test_a_sync_is_charged_once_and_brings_the_whole_channel(channel: Any) -> None:
    assert channel["sync"]["status"] == channel["twice"]["status"] == 202
    assert channel["run"]["status"] == "succeeded"
    assert channel["count"] == channel["run"]["items_created"] > 0
    assert {row["quota_type"]: row["used"] for row in channel["quota"]}["sync"] == 1


def test_the_stranger_gets_nothing(channel: Any) -> None:
    assert channel["foreignSync"] == 404
    assert (channel["theirs"], channel["theirRun"], channel["stolen"]) == ([], [], [])


def test_an_edit_is_remembered_and_found(channel: Any) -> None:
    assert channel["edited"]["title"] == channel["title"]
    (revision,) = channel["revisions"]
    assert (revision["field_name"], revision["new_value"]) == ("title", channel["title"])
    assert (revision["old_value"], revision["change_source"]) == (channel["items"][0]["title"], "manual")
    assert [row["id"] for row in channel["found"]] == [channel["items"][0]["id"]]


def test_disconnecting(channel: Any) -> None:
    assert channel["disconnected"] == 204
