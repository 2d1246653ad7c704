"""Automatic submission: by the user's setting, through the queue, once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.endpoints.seo_submit.conftest import SITE, Creator, Newsroom

Row = dict[str, Any]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """What was handed to the queue."""
    messages: list[Row] = []

    def send(queue_url: str, bodies: list[Row]) -> int:
        assert queue_url == "http://queue.test/seo"
        messages.extend(bodies)
        return len(bodies)

    monkeypatch.setattr("functions.core.queues.send", send)
    return messages


def automatic_creator(newsroom: Newsroom) -> Creator:
    creator = newsroom.creator()
    newsroom.connect(creator.id, "indexnow", page_url=f"{SITE}videos/{{platform_content_id}}")
    newsroom.execute(
        "update content_item set platform_content_id = '7', published_at = now() where id = %s", creator.item
    )
    newsroom.execute("update user_setting set is_auto_seo_submission_enabled = true where user_id = %s", creator.id)
    return creator


def submissions(newsroom: Newsroom, creator: Creator) -> list[Row]:
    return newsroom.rows("select * from seo_submission where user_id = %s", creator.id)


def test_a_new_item_is_handed_over_once_and_submitted_once(newsroom: Newsroom, sent: list[Row]) -> None:
    creator = automatic_creator(newsroom)
    assert newsroom.poll()["handed_over"] == 1
    assert newsroom.poll()["handed_over"] == 0
    (message,) = sent
    assert set(message) == {"content_item_id", "connection_id"}
    assert newsroom.work(message, message) == {"batchItemFailures": []}
    newsroom.work(message)  # delivered again much later
    (row,) = submissions(newsroom, creator)
    assert (row["submitted_url"], row["status"], row["is_automatic"]) == (f"{SITE}videos/7", "submitted", True)
    assert newsroom.used(creator) == 1


def test_off_by_default_and_never_the_back_catalogue(newsroom: Newsroom, sent: list[Row]) -> None:
    creator = automatic_creator(newsroom)
    mine = "social_account_id in (select id from social_account where user_id = %s)"
    for statement in (
        "update user_setting set is_auto_seo_submission_enabled = false where user_id = %s",
        f"update content_item set published_at = now() - interval '30 days' where {mine}",
        f"update content_item set visibility = 'unlisted' where {mine}",
        "update seo_connection set page_url_template = null where user_id = %s",
        "update seo_connection set is_active = false where user_id = %s",
    ):
        newsroom.execute(statement, creator.id)
        newsroom.poll()
        assert sent == []
        newsroom.execute("update user_setting set is_auto_seo_submission_enabled = true where user_id = %s", creator.id)
        newsroom.execute(
            """
            update content_item set published_at = now(), visibility = 'public'
            where social_account_id in (select id from social_account where user_id = %s)
            """,
            creator.id,
        )
    newsroom.connect(creator.id, "indexnow", page_url=f"{SITE}videos/{{platform_content_id}}")
    newsroom.poll()
    assert len(sent) == 1


def test_a_link_in_the_description_is_the_items_page_where_there_is_no_template(
    newsroom: Newsroom, sent: list[Row]
) -> None:
    creator = automatic_creator(newsroom)
    newsroom.connect(creator.id, "indexnow")
    for description in (None, "No link.", f"Mine: {SITE}", "See https://other.example/videos/1"):
        newsroom.execute("update content_item set description = %s where id = %s", description, creator.item)
        newsroom.poll()
        assert sent == []
    text = f"Recipe (with pictures): https://youtu.be/1 and {SITE}videos/8, enjoy!"
    newsroom.execute("update content_item set description = %s where id = %s", text, creator.item)
    newsroom.poll()
    newsroom.work(*sent)
    (row,) = submissions(newsroom, creator)
    assert (row["submitted_url"], row["status"]) == (f"{SITE}videos/8", "submitted")
    newsroom.execute("delete from private.auto_submission where content_item_id = %s", creator.item)
    newsroom.poll()  # another item with the same link would not be handed over either
    assert len(sent) == 1


def test_who_switches_it_off_meanwhile_is_heard(newsroom: Newsroom, sent: list[Row]) -> None:
    creator = automatic_creator(newsroom)
    newsroom.poll()
    newsroom.execute("update user_setting set is_auto_seo_submission_enabled = false where user_id = %s", creator.id)
    newsroom.work(*sent)
    assert submissions(newsroom, creator) == []


def test_a_lost_message_is_handed_over_again_three_times_at_most(newsroom: Newsroom, sent: list[Row]) -> None:
    creator = automatic_creator(newsroom)
    for _ in range(5):
        newsroom.poll()
        newsroom.execute(
            "update private.auto_submission set dispatched_at = now() - interval '1 hour' where content_item_id = %s",
            creator.item,
        )
    assert len(sent) == 3
    newsroom.work(*sent)
    assert len(submissions(newsroom, creator)) == 1
    assert newsroom.used(creator) == 1


def test_without_quota_nothing_is_made_and_nothing_repeats(newsroom: Newsroom, sent: list[Row]) -> None:
    creator = automatic_creator(newsroom)
    newsroom.execute("update subscription set seo_submissions_used = 20 where user_id = %s", creator.id)
    newsroom.poll()
    assert newsroom.work(*sent) == {"batchItemFailures": []}
    assert submissions(newsroom, creator) == []
    assert newsroom.requests("indexnow") == []


def test_a_bad_message_spoils_no_other(newsroom: Newsroom, sent: list[Row]) -> None:
    creator = automatic_creator(newsroom)
    newsroom.poll()
    answer = newsroom.work({"content_item_id": "not-an-id", "connection_id": "x"}, *sent)
    assert len(submissions(newsroom, creator)) == 1
    assert answer == {"batchItemFailures": []}
