"""POST /seo/submit: each engine for itself, one charge for what is taken, nothing twice."""

from __future__ import annotations

import json
import threading
from uuid import uuid4

import pytest

from functions.seo_submit import service
from tests.endpoints.seo_submit.conftest import SITE, Newsroom

PAGE = f"{SITE}videos/5"  # was a live stream: Google takes it
ORDINARY = f"{SITE}videos/1"
ENGINES = ("bing", "google", "indexnow", "yandex")


def test_all_connected_engines_take_a_page_and_each_is_charged_and_settled(newsroom: Newsroom) -> None:
    creator = newsroom.creator(*ENGINES)
    found = newsroom.submit(creator, PAGE)
    assert [one["search_engine"] for one in found] == list(ENGINES)
    assert {one["status"] for one in found} == {"submitted"}
    assert newsroom.used(creator) == 4
    assert newsroom.unsettled(creator) == 0
    usage = newsroom.rows("select * from seo_usage where user_id = %s", creator.id)
    assert [(row["operation_type"], row["urls_count"]) for row in usage] == [("submit", 1)] * 4
    connections = newsroom.rows("select * from seo_connection where user_id = %s", creator.id)
    assert all(row["is_verified"] and row["last_verified_at"] and row["last_error"] is None for row in connections)
    (post,) = newsroom.requests("indexnow", "POST")  # one post reaches the sharing engines
    assert json.loads(post["body"])["urlList"] == [PAGE]


def test_what_is_stored_holds_no_secret(newsroom: Newsroom) -> None:
    creator = newsroom.creator(*ENGINES)
    newsroom.submit(creator, PAGE)
    newsroom.fault("bing", status=400, body={"ErrorCode": 1, "Message": "ERROR!!! for bing-key-of-the-tests"}, times=9)
    newsroom.submit(creator, ORDINARY, "bing")
    stored = json.dumps(newsroom.rows("select * from seo_submission where user_id = %s", creator.id), default=str)
    stored += json.dumps(newsroom.rows("select * from seo_connection where user_id = %s", creator.id), default=str)
    stored += json.dumps(newsroom.notifications(creator), default=str)
    assert "***" in stored
    for secret in ("bing-key-of-the-tests", "yandex-token-of-the-tests", "ya29.of-the-tests", "0123456789abcdef"):
        assert secret not in stored
    names = newsroom.rows("select vault_secret_name as name from seo_connection where user_id = %s", creator.id)
    assert len(names) == 4
    for row in names:
        (secret_row,) = newsroom.rows("select * from vault.decrypted_secrets where name = %s", row["name"])
        assert secret_row["decrypted_secret"]


def test_google_refuses_ordinary_pages_with_advice_and_without_a_charge(newsroom: Newsroom) -> None:
    creator = newsroom.creator("google", "indexnow")
    google, indexnow = newsroom.submit(creator, ORDINARY)
    assert (google["status"], google["error_code"]) == ("refused", "page_kind_not_accepted")
    assert "sitemap" in google["error_message"]
    assert indexnow["status"] == "submitted"
    assert newsroom.requests("google") == []
    assert newsroom.used(creator) == 1
    assert newsroom.unsettled(creator) == 0
    assert newsroom.notifications(creator) == []


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://www.youtube.com/watch?v=dQw4w9WgXcQ", "platform_url"),
        ("https://youtu.be/dQw4w9WgXcQ", "platform_url"),
        ("https://www.instagram.com/p/abc/", "platform_url"),
        ("https://x.com/someone/status/1", "platform_url"),
        ("https://vm.tiktok.com/abc/", "platform_url"),
        ("https://m.facebook.com/someone", "platform_url"),
        ("http://creator.example/videos/5", "other_scheme"),
        ("https://creator.example.evil.test.com/videos/5", "other_site"),
        ("https://other.example/videos/5", "other_site"),
        ("https://xcreator.example/videos/5", "other_site"),
    ],
)
def test_pages_of_others_are_refused_with_a_reason(newsroom: Newsroom, url: str, code: str) -> None:
    creator = newsroom.creator("bing", "indexnow")
    found = newsroom.submit(creator, url)
    assert [(one["status"], one["error_code"]) for one in found] == [("refused", code)] * 2
    assert all(one["error_message"] for one in found)
    assert newsroom.used(creator) == 0
    stored = newsroom.rows("select * from seo_submission where user_id = %s", creator.id)
    assert [(row["status"], row["next_retry_at"]) for row in stored] == [("refused", None)] * 2
    assert newsroom.requests("bing") == newsroom.requests("indexnow") == []


def test_an_engine_that_is_not_connected_is_refused_and_the_other_one_taken(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow")
    bing, indexnow = newsroom.submit(creator, PAGE, "indexnow", "bing")
    assert (bing["status"], bing["error_code"], bing["id"]) == ("refused", "not_connected", None)
    assert indexnow["status"] == "submitted"
    assert newsroom.used(creator) == 1


def test_requests_that_make_no_sense(newsroom: Newsroom) -> None:
    creator, stranger = newsroom.creator("indexnow"), newsroom.creator("indexnow")
    for status, code, answer in (
        (404, "content_item_not_found", newsroom.post(creator, PAGE, content_item_id=str(stranger.item))),
        (404, "content_item_not_found", newsroom.post(creator, PAGE, content_item_id=str(uuid4()))),
        (422, "unknown_search_engine", newsroom.post(creator, PAGE, "altavista")),
        (422, "invalid_request", newsroom.post(creator, PAGE, content_item_id="1")),
        (422, "invalid_request", newsroom.post(creator, PAGE, search_engines=[])),
        (422, "url_refused", newsroom.post(creator, "http://127.0.0.1/")),
        (409, "no_search_engine", newsroom.post(newsroom.creator(), PAGE)),
        (422, "platform_url", newsroom.post(newsroom.creator(), "https://youtu.be/1")),
    ):
        assert (answer[0], answer[1]["code"]) == (status, code)
    assert newsroom.rows("select 1 from seo_submission where user_id in (%s, %s)", creator.id, stranger.id) == []


def test_the_most_specific_of_two_sites_is_used(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow")
    special = newsroom.connect(creator.id, "indexnow", f"{SITE}videos")
    (found,) = newsroom.submit(creator, PAGE)
    assert found["connection_id"] == special["id"]


def test_the_same_page_within_ten_minutes_is_the_same_submission(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow", "bing")
    first = newsroom.submit(creator, PAGE, "indexnow")
    again = newsroom.submit(creator, f"{PAGE}#top", "indexnow", "bing")
    assert [one["duplicate"] for one in again] == [False, True]
    assert again[1]["id"] == first[0]["id"]
    assert newsroom.used(creator) == 2
    assert len(newsroom.requests("indexnow", "POST")) == 1
    newsroom.execute(
        "update private.submission_debounce set created_at = created_at - interval '11 minutes' where user_id = %s",
        creator.id,
    )
    (later,) = newsroom.submit(creator, PAGE, "indexnow")
    assert later["id"] != first[0]["id"]
    assert newsroom.used(creator) == 3


def test_many_at_once_make_one_submission_and_one_charge(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow")
    ids: list[str] = []

    def submit() -> None:
        ids.append(service.submit(str(creator.id), str(creator.item), PAGE)[0]["id"])

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1
    assert newsroom.used(creator) == 1
    assert len(newsroom.requests("indexnow", "POST")) == 1


def test_the_debounce_holds_while_the_first_request_is_not_committed(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow")
    target = newsroom.row("select id from seo_connection where user_id = %s", creator.id)
    targets = json.dumps([{"search_engine": "indexnow", "connection_id": str(target["id"]), "error_code": None}])
    call = "select create_submissions(%s, %s, %s, %s::jsonb) as made"
    answers: list[str] = []

    def second() -> None:
        with newsroom.database.as_service() as session:
            row = session.execute(call, [creator.id, creator.item, PAGE, targets]).fetchone()
            assert row is not None
            answers.append(row["made"]["submissions"][0]["id"])

    with newsroom.database.as_service() as first:
        row = first.execute(call, [creator.id, creator.item, PAGE, targets]).fetchone()
        assert row is not None
        thread = threading.Thread(target=second)
        thread.start()
        while not newsroom.rows("select 1 from pg_locks where not granted"):
            assert thread.is_alive()
    thread.join()
    assert answers == [row["made"]["submissions"][0]["id"]]
    assert newsroom.used(creator) == 1


def test_an_idempotency_key_gives_the_same_submissions_for_ever(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow", "bing")
    first = newsroom.submit(creator, PAGE, key="k1")
    newsroom.execute("delete from private.submission_debounce where user_id = %s", creator.id)
    assert [one["id"] for one in newsroom.submit(creator, PAGE, key="k1")] == [one["id"] for one in first]
    assert newsroom.used(creator) == 2
    assert len(newsroom.requests("indexnow", "POST")) == 1
    for other_request in (newsroom.post(creator, ORDINARY, key="k1"), newsroom.post(creator, PAGE, "bing", key="k1")):
        assert (other_request[0], other_request[1]["code"]) == (409, "idempotency_key_reused")
    other = newsroom.creator("indexnow")
    assert newsroom.submit(other, PAGE, key="k1")[0]["id"] not in {one["id"] for one in first}


def test_a_request_is_charged_whole_or_not_at_all(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow", "bing")
    newsroom.execute("update subscription set seo_submissions_used = 19 where user_id = %s", creator.id)
    status, body = newsroom.post(creator, PAGE, key="k1")
    assert status == 402
    assert (body["code"], body["allowed"], body["used"], body["max"], body["remaining"]) == (
        "quota_exceeded", False, 19, 20, 1,
    )  # fmt: skip
    assert body["quota_type"] == "seo_submission"
    assert newsroom.rows("select 1 from seo_submission where user_id = %s", creator.id) == []
    assert newsroom.requests("indexnow") == newsroom.requests("bing") == []
    (found,) = newsroom.submit(creator, PAGE, "indexnow", key="k1")  # the key was not remembered
    assert found["status"] == "submitted"
    status, body = newsroom.post(creator, ORDINARY, "indexnow")
    assert (status, body["remaining"]) == (402, 0)
    assert "quota_reached" in {row["type"] for row in newsroom.notifications(creator)}


def test_a_killed_request_is_finished_by_the_poll_and_charged_once(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow")
    newsroom.fault("indexnow", status=503, times=1)
    (found,) = newsroom.submit(creator, PAGE)
    assert found["status"] == "pending"
    # As a process leaves it that died between the claim and the answer: leased, and the lease over.
    newsroom.execute(
        "update seo_submission set lease_token = gen_random_uuid(), next_retry_at = now() where id = %s", found["id"]
    )
    newsroom.poll()
    assert newsroom.submission(found["id"])["status"] == "submitted"
    assert (newsroom.used(creator), newsroom.unsettled(creator)) == (1, 0)


def test_a_late_answer_does_not_overwrite_what_another_worker_stored(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow")
    newsroom.fault("indexnow", status=503, times=1)
    (found,) = newsroom.submit(creator, PAGE)
    newsroom.make_due(creator)
    with newsroom.database.as_service() as session:
        slow = session.execute("select claim_submissions('indexnow', 10) as claim").fetchone()
    assert slow is not None
    assert slow["claim"]["groups"][0]["pages"][0][0] == found["id"]
    newsroom.make_due(creator)  # its lease is over
    newsroom.poll()
    results = [{"ids": [found["id"]], "is_check": False, "status": "failed", "reason": "late", "connection_id": None}]
    with newsroom.database.as_service() as session:
        row = session.execute(
            "select complete_submissions('indexnow', %s, %s::jsonb) as stored",
            [slow["claim"]["token"], json.dumps(results)],
        ).fetchone()
    assert row == {"stored": {"stored": 0, "outcomes": {}}}
    assert newsroom.submission(found["id"])["status"] == "submitted"
    assert newsroom.used(creator) == 1
