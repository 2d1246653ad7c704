"""seo_poll: waits obeyed and capped, client errors tried once, breakers, budgets, index status, credentials."""

from __future__ import annotations

import json
import os
import tracemalloc
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from functions.database.client import rpc
from tests.endpoints.seo_submit.conftest import SITE, Creator, Newsroom
from tests.metrics import recorded

Row = dict[str, Any]
PAGE = f"{SITE}videos/5"
MINUTE, HOUR = 60, 3600
DUE = 100_000 if os.environ.get("STREAMVIBE_PROFILE") == "soak" else 10_000


def seconds_until(moment: datetime) -> float:
    return (moment - datetime.now(UTC)).total_seconds()


def wait_after(newsroom: Newsroom, submission: Row) -> float:
    """By the database's clock alone: how long this process took since is not counted."""
    row = newsroom.submission(submission["id"])
    assert row["next_retry_at"] is not None
    return float((row["next_retry_at"] - row["updated_at"]).total_seconds())


def in_two_minutes() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)


# ---------------------------------------------------------------------------------------------------------- retries


def test_each_outcome_is_recorded_once(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "false")
    creator = newsroom.creator("indexnow")
    newsroom.execute("update seo_submission set next_retry_at = null where user_id <> %s", creator.id)  # of other tests
    newsroom.fault("indexnow", status=503, times=1)
    newsroom.submit(creator, PAGE)
    assert recorded(capsys.readouterr().out) == [("Submissions", 1, {"engine": "indexnow", "outcome": "pending"})]
    newsroom.make_due(creator)
    newsroom.poll()
    newsroom.poll()
    assert recorded(capsys.readouterr().out) == [("Submissions", 1, {"engine": "indexnow", "outcome": "submitted"})]


@pytest.mark.parametrize(
    ("retry_after", "shortest", "longest"),
    [
        ("5", 4, 6),
        (None, 40, 80),  # the first wait of our own: a minute, with jitter
        ("999999", 6 * HOUR - 5, 6.7 * HOUR),
        ("-1", 40, 80),
        ("soon", 40, 80),
        ("in two minutes", 100, 140),
    ],
)
def test_retry_after_is_obeyed_and_capped(
    newsroom: Newsroom, retry_after: str | None, shortest: float, longest: float
) -> None:
    creator = newsroom.creator("indexnow")
    value = in_two_minutes() if retry_after == "in two minutes" else retry_after
    newsroom.fault("indexnow", status=429, headers={"Retry-After": value} if value else {})
    (found,) = newsroom.submit(creator, PAGE)
    assert (found["status"], found["error_code"], found["retry_count"]) == ("pending", "throttled", 1)
    assert shortest < wait_after(newsroom, found) < longest
    if shortest > MINUTE / 2:  # five seconds may be over by now
        newsroom.poll()  # nothing is due yet
        assert len(newsroom.requests("indexnow", "POST")) == 1
    newsroom.make_due(creator)
    newsroom.poll()
    row = newsroom.submission(found["id"])
    assert (row["status"], row["retry_count"], row["error_message"]) == ("submitted", 0, None)
    assert (newsroom.used(creator), newsroom.unsettled(creator)) == (1, 0)


def test_waits_double_with_jitter_until_the_submission_has_failed(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow")
    newsroom.execute("""update private.setting set value = '1000' where key = 'seo.breaker_failures'""")
    newsroom.fault("indexnow", status=503, times=None)
    (found,) = newsroom.submit(creator, PAGE)
    waits = [wait_after(newsroom, found)]
    for _ in range(6):
        newsroom.make_due(creator)
        newsroom.poll()
        waits.append(wait_after(newsroom, found))
    for number, wait in enumerate(waits):
        assert 0.7 * MINUTE * 2**number < wait < 1.3 * MINUTE * 2**number
    assert newsroom.unsettled(creator) == 1
    newsroom.make_due(creator)
    newsroom.poll()
    row = newsroom.submission(found["id"])
    assert (row["status"], row["next_retry_at"]) == ("failed", None)
    assert (newsroom.used(creator), newsroom.unsettled(creator)) == (0, 0)
    assert len(newsroom.requests("indexnow", "POST")) == 8
    newsroom.execute("""update private.setting set value = '5' where key = 'seo.breaker_failures'""")
    (notice,) = newsroom.notifications(creator)
    assert (notice["type"], notice["related_entity_id"]) == ("seo_failed", row["id"])


@pytest.mark.parametrize("engine", ["bing", "indexnow", "yandex", "google"])
def test_client_errors_are_final_tried_once_and_refunded(newsroom: Newsroom, engine: str) -> None:
    creator = newsroom.creator(engine)
    newsroom.execute("update seo_connection set next_verification_at = null where user_id = %s", creator.id)
    path = {"yandex": "/v4/user/", "google": "/v3/", "bing": "/webmaster", "indexnow": "/"}[engine]
    for number, status in enumerate((400, 401, 403, 404, 422), start=1):
        newsroom.clear_faults()
        newsroom.fault(engine, status=429, path=path, headers={"Retry-After": "5"})
        newsroom.fault(engine, status=status, path=path, times=None)
        (found,) = newsroom.submit(creator, f"{SITE}videos/5?n={number}")
        assert found["status"] == "pending"
        newsroom.make_due(creator)
        newsroom.poll()
        row = newsroom.submission(found["id"])
        assert (row["status"], row["next_retry_at"], row["response_status"]) == ("failed", None, status)
        assert row["error_message"]
        asked = [request["status"] for request in newsroom.requests(engine) if request["path"].startswith(path)]
        assert asked.count(status) == 1
        connection = newsroom.row("select * from seo_connection where user_id = %s", creator.id)
        assert not connection["is_verified"]
        if status in {401, 403}:
            assert connection["last_error"] == row["error_message"]
    newsroom.make_due(creator)
    assert newsroom.poll()["polled"] == 0
    assert len(newsroom.rows("select 1 from seo_submission where user_id = %s", creator.id)) == 5
    assert (newsroom.used(creator), newsroom.unsettled(creator)) == (0, 0)
    assert [notice["type"] for notice in newsroom.notifications(creator)] == ["seo_failed"] * 5


@pytest.mark.parametrize(
    ("engine", "path", "body", "status"),
    [
        ("bing", "/webmaster", "<html>Back soon</html>", "pending"),
        ("yandex", "/v4/user/", "<html>Back soon</html>", "pending"),
        ("yandex", "/v4/user/", '{"task_id": "a\\u0000\\ud800b", "quota_remainder": 9e99, "x": NaN}', "submitted"),
        ("yandex", "/v4/user/", '{"task_id": "a", "quota_remainder": 1000000000000}', "submitted"),
        ("indexnow", "/indexnow", '{"success": false, "message": "a\\u0000b"}', "failed"),
        ("indexnow", "/indexnow", '{"success": true, "message": "a\\u0000\\ud800b"}', "submitted"),
    ],
)
def test_what_an_engine_makes_up_is_stored_without_harm_or_asked_for_again(
    newsroom: Newsroom, engine: str, path: str, body: str, status: str
) -> None:
    creator = newsroom.creator(engine)
    newsroom.fault(engine, status=200, path=path, body=body)
    (found,) = newsroom.submit(creator, PAGE)
    assert found["status"] == status
    row = newsroom.submission(found["id"])
    assert (row["status"], row["lease_token"]) == (status, None)
    if status == "pending":
        assert row["error_code"] == "unreadable_answer"
        newsroom.make_due(creator)
        newsroom.poll()
        assert newsroom.submission(found["id"])["status"] == "submitted"
    assert (newsroom.used(creator), newsroom.unsettled(creator)) == (0 if status == "failed" else 1, 0)


def test_many_charges_are_given_back_at_once_with_a_row_of_history_each(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow", tier="premium")
    many(newsroom, creator, "indexnow", 50)
    newsroom.execute(
        """
        select private.consume_quota(user_id, 'seo_submission', 1, 'seo:' || id, 'seo_submission', id, 'test')
        from seo_submission where user_id = %s
        """,
        creator.id,
    )
    assert newsroom.used(creator) == 50
    newsroom.fault("indexnow", status=403)
    newsroom.poll()
    assert (newsroom.used(creator), newsroom.unsettled(creator)) == (0, 0)
    released = newsroom.rows(
        "select current_value, amount from quota_usage_history where user_id = %s and operation = 'decrement'",
        creator.id,
    )
    assert sorted(row["current_value"] for row in released) == list(range(50))


def test_a_charge_that_was_given_back_meanwhile_is_made_anew(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow")
    newsroom.fault("indexnow", status=429, headers={"Retry-After": "7200"})
    newsroom.submit(creator, PAGE)
    newsroom.execute("select reap_quota(interval '0')")
    assert newsroom.used(creator) == 0
    newsroom.make_due(creator)
    newsroom.poll()
    assert (newsroom.used(creator), newsroom.unsettled(creator)) == (1, 0)


def test_a_key_that_is_still_being_checked_is_pending_and_told_again_later(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow")
    newsroom.control(
        "/search_indexnow/keys", host="creator.example", key="0123456789abcdef0123456789abcdef", pending_seconds=900
    )
    (found,) = newsroom.submit(creator, PAGE)
    assert (found["status"], found["error_code"]) == ("pending", "key_check_pending")
    assert wait_after(newsroom, found) > 9 * MINUTE
    newsroom.advance(1000)
    newsroom.make_due(creator)
    newsroom.poll()
    assert newsroom.submission(found["id"])["status"] == "submitted"


def test_a_missing_key_file_ends_it_before_the_engine_is_asked(newsroom: Newsroom) -> None:
    creator = newsroom.creator()
    newsroom.connect(creator.id, "indexnow", key="another-key-that-is-not-there")
    (found,) = newsroom.submit(creator, PAGE)
    assert (found["status"], found["error_code"]) == ("failed", "key_file_missing")
    assert newsroom.requests("indexnow") == []
    assert newsroom.used(creator) == 0


def test_an_address_that_yandex_has_already_is_done(newsroom: Newsroom) -> None:
    first, second = newsroom.creator("yandex"), newsroom.creator("yandex")
    newsroom.submit(first, PAGE)
    (found,) = newsroom.submit(second, PAGE)
    assert (found["status"], found["error_code"]) == ("submitted", "already_added")
    newsroom.advance(HOUR)
    newsroom.make_due()
    newsroom.poll()
    assert newsroom.submission(found["id"])["status"] == "crawled"  # found in the queue, without a task id


# ---------------------------------------------------------------------------------------------------- breaker, budget


def test_an_engine_that_is_down_costs_few_calls_and_the_others_nothing(newsroom: Newsroom) -> None:
    creator = newsroom.creator("yandex", "bing", tier="premium")
    newsroom.control("/search_yandex/quota", limit=1000)
    newsroom.fault("yandex", drop=True, times=None)
    many(newsroom, creator, "yandex", 200)
    many(newsroom, creator, "bing", 200)
    for _ in range(3):
        newsroom.poll()
    assert len(newsroom.requests("yandex")) <= 8
    states = "select status, count(*) as count, max(retry_count) as tries from seo_submission s join search_engine e "
    states += "on e.id = s.search_engine_id where user_id = %s and e.slug = %s group by status"
    assert newsroom.rows(states, creator.id, "bing") == [{"status": "submitted", "count": 200, "tries": 0}]
    (waiting,) = newsroom.rows(states, creator.id, "yandex")
    assert (waiting["status"], waiting["count"]) == ("pending", 200)
    assert waiting["tries"] <= 2  # those that were not asked have not lost a try
    # It is still down: one call a pause, however many wait.
    newsroom.make_due(creator)
    for _ in range(4):
        newsroom.execute("update private.engine_health set open_until = now() where open_until is not null")
        asked = len(newsroom.requests("yandex"))
        newsroom.poll()
        assert len(newsroom.requests("yandex")) == asked + 1
    # It comes back: the one call closes the breaker, the rest follows in the same round.
    newsroom.clear_faults()
    newsroom.make_due(creator)
    newsroom.execute("update private.engine_health set open_until = now() where open_until is not null")
    newsroom.poll()
    assert [row["status"] for row in newsroom.rows(states, creator.id, "yandex")] == ["submitted"]
    assert newsroom.rows("select * from private.engine_health where failures > 0") == []


def test_requests_are_taken_while_an_engine_is_down(newsroom: Newsroom) -> None:
    creator = newsroom.creator("yandex", "indexnow")
    newsroom.execute(
        """
        insert into private.engine_health (search_engine_id, failures, open_until)
        select id, 5, now() + interval '1 minute' from search_engine where slug = 'yandex'
        """
    )
    indexnow, yandex = newsroom.submit(creator, PAGE)
    assert (indexnow["status"], yandex["status"]) == ("submitted", "pending")
    assert newsroom.requests("yandex") == []
    assert (newsroom.used(creator), newsroom.unsettled(creator)) == (2, 1)


def test_bings_daily_quota_is_shared_and_the_rest_waits_for_tomorrow(newsroom: Newsroom) -> None:
    newsroom.control("/search_bing/quota", limit=30)
    one, other = newsroom.creator("bing", tier="premium"), newsroom.creator("bing", tier="premium")
    many(newsroom, one, "bing", 20)
    many(newsroom, other, "bing", 20)
    newsroom.poll()
    counts = newsroom.rows(
        """
        select status, error_code, count(*) as count from seo_submission
        where user_id = any(%s) group by 1, 2 order by 1
        """,
        [one.id, other.id],
    )
    assert [(row["status"], row["error_code"], row["count"]) for row in counts] == [
        ("pending", "daily_quota", 10),
        ("submitted", None, 30),
    ]
    waits = newsroom.rows(
        "select next_retry_at, retry_count from seo_submission where user_id = any(%s) and status = 'pending'",
        [one.id, other.id],
    )
    assert all(0 < seconds_until(row["next_retry_at"]) < 25.5 * HOUR and row["retry_count"] == 0 for row in waits)
    # A third user of the same site is not even sent to the engine today.
    asked = len(newsroom.requests("bing"))
    third = newsroom.creator("bing")
    (found,) = newsroom.submit(third, PAGE)
    assert found["status"] == "pending"
    assert len(newsroom.requests("bing")) == asked


def test_googles_daily_budget_is_counted_in_the_database(newsroom: Newsroom) -> None:
    newsroom.execute("update private.engine_limit set per_day = 3 where engine = 'google' and operation = 'submit'")
    creator = newsroom.creator("google", tier="premium")
    many(newsroom, creator, "google", 1000)
    done = newsroom.poll()
    assert done["polled"] == 100  # the first batch found the end; the rest was put off with it
    newsroom.execute("update private.engine_limit set per_day = 200 where engine = 'google' and operation = 'submit'")
    assert len(newsroom.requests("google", "POST")) == 3
    query = (
        "select status, count(*) as count, min(next_retry_at) as due from seo_submission where user_id = %s group by 1"
    )
    pending, submitted = sorted(newsroom.rows(query, creator.id), key=lambda row: str(row["status"]))
    assert (submitted["count"], pending["count"]) == (3, 997)
    assert seconds_until(pending["due"]) > 0


# ------------------------------------------------------------------------------------------------------- index status


def test_a_page_is_watched_until_google_has_indexed_it(newsroom: Newsroom) -> None:
    creator = newsroom.creator("google")
    (found,) = newsroom.submit(creator, PAGE)
    seen = [found["status"]]
    waits = [wait_after(newsroom, found)]
    for seconds in (10 * MINUTE, HOUR, 3 * HOUR):
        newsroom.advance(seconds)
        newsroom.make_due(creator)
        newsroom.poll()
        row = newsroom.submission(found["id"])
        seen.append(row["status"])
        if row["next_retry_at"]:
            waits.append(seconds_until(row["next_retry_at"]))
    assert seen == ["submitted", "submitted", "crawled", "indexed"]
    assert waits == sorted(waits)
    assert 0.8 * HOUR < waits[0] < 1.2 * HOUR
    assert 20 * HOUR < waits[2] < 28 * HOUR
    assert (row["coverage_state"], row["next_retry_at"], row["check_count"]) == ("Submitted and indexed", None, 3)
    assert row["index_status_url"].startswith("https://search.google.com/search-console/inspect")
    assert row["indexed_at"] is not None
    assert row["status_checked_at"] is not None
    newsroom.poll()
    assert len(newsroom.requests("searchconsole.googleapis.com")) == 3
    (notice,) = newsroom.notifications(creator)
    assert (notice["type"], notice["metadata"]["url"]) == ("seo_indexed", PAGE)
    assert newsroom.used(creator) == 1


def test_what_people_read_decides_nothing(newsroom: Newsroom) -> None:
    creator = newsroom.creator("google")
    (found,) = newsroom.submit(creator, PAGE)
    said = {"verdict": "NEUTRAL", "coverageState": "Submitted and indexed"}
    newsroom.fault("searchconsole.googleapis.com", status=200, body={"inspectionResult": {"indexStatusResult": said}})
    newsroom.make_due(creator)
    newsroom.poll()
    row = newsroom.submission(found["id"])
    assert (row["status"], row["coverage_state"]) == ("submitted", "Submitted and indexed")


def test_bing_and_yandex_never_claim_more_than_a_crawl_and_indexnow_no_more_than_the_submission(
    newsroom: Newsroom,
) -> None:
    creator = newsroom.creator("bing", "yandex", "indexnow")
    found = {one["search_engine"]: one for one in newsroom.submit(creator, PAGE)}
    assert found["indexnow"]["next_retry_at"] is None
    newsroom.advance(10 * HOUR)
    newsroom.make_due(creator)
    newsroom.poll()
    statuses = {engine: newsroom.submission(one["id"]) for engine, one in found.items()}
    assert {engine: row["status"] for engine, row in statuses.items()} == {
        "bing": "crawled", "yandex": "crawled", "indexnow": "submitted",
    }  # fmt: skip
    assert all(row["next_retry_at"] is None for row in statuses.values())


def test_a_page_that_yandex_cannot_load_has_failed_and_stays_paid(newsroom: Newsroom) -> None:
    newsroom.control("/search_yandex/pages", url=PAGE, state="broken")
    creator = newsroom.creator("yandex")
    (found,) = newsroom.submit(creator, PAGE)
    newsroom.advance(HOUR)
    newsroom.make_due(creator)
    newsroom.poll()
    row = newsroom.submission(found["id"])
    assert (row["status"], row["error_code"]) == ("failed", "page_not_loaded")
    assert newsroom.used(creator) == 1
    assert [notice["type"] for notice in newsroom.notifications(creator)] == ["seo_failed"]


@pytest.mark.parametrize(("status", "due_again"), [(503, True), (429, True), (403, False), (404, False)])
def test_a_question_that_is_not_answered_says_nothing_about_the_page(
    newsroom: Newsroom, status: int, due_again: bool
) -> None:
    creator = newsroom.creator("google")
    (found,) = newsroom.submit(creator, PAGE)
    newsroom.fault("searchconsole.googleapis.com", status=status)
    newsroom.make_due(creator)
    newsroom.poll()
    row = newsroom.submission(found["id"])
    assert (row["status"], row["next_retry_at"] is not None) == ("submitted", due_again)
    assert (newsroom.used(creator), newsroom.notifications(creator)) == (1, [])


def test_bad_credentials_end_the_questions_and_mended_ones_begin_them_again(newsroom: Newsroom) -> None:
    creator = newsroom.creator()
    key_file = newsroom.control("/search_google/service_accounts")
    newsroom.connect(creator.id, "google", access_token=None, **key_file)
    (found,) = newsroom.submit(creator, PAGE)
    assert found["status"] == "submitted"
    newsroom.advance(3 * HOUR)
    newsroom.fault("oauth2.googleapis.com", status=400, body={"error": "invalid_grant"})
    newsroom.make_due(creator)
    newsroom.poll()
    row = newsroom.submission(found["id"])
    assert (row["status"], row["next_retry_at"], row["error_code"]) == ("submitted", None, "credentials_refused")
    connection = newsroom.row("select * from seo_connection where user_id = %s", creator.id)
    assert (connection["is_verified"], connection["last_error"]) == (False, row["error_message"])
    assert (newsroom.used(creator), newsroom.notifications(creator)) == (1, [])
    newsroom.connect(creator.id, "google", access_token=None, **key_file)
    newsroom.poll()
    row = newsroom.submission(found["id"])
    assert (row["status"], row["error_code"]) == ("indexed", None)


def test_the_waits_end(newsroom: Newsroom) -> None:
    newsroom.control("/search_google/pages", url=PAGE, state="ignore")
    creator = newsroom.creator("google")
    (found,) = newsroom.submit(creator, PAGE)
    for _ in range(10):
        newsroom.make_due(creator)
        newsroom.poll()
    row = newsroom.submission(found["id"])
    assert (row["status"], row["check_count"], row["next_retry_at"]) == ("submitted", 7, None)


# ------------------------------------------------------------------------------------------------ credentials, orphans


@pytest.mark.parametrize("engine", ["google", "bing", "yandex", "indexnow"])
def test_new_credentials_are_tried_by_the_poll_and_verified_only_if_they_are_good(
    newsroom: Newsroom, engine: str
) -> None:
    good, bad = newsroom.creator(engine), newsroom.creator()
    wrong = {"google": "access_token", "bing": "api_key", "yandex": "access_token", "indexnow": "key"}[engine]
    made = newsroom.connect(bad.id, engine, **{wrong: "invalid-credentials"})
    assert made["is_verified"] is False
    newsroom.poll()
    query = "select * from seo_connection where user_id = %s"
    verified, refused = newsroom.row(query, good.id), newsroom.row(query, bad.id)
    assert verified["is_verified"]
    assert (verified["last_error"], verified["next_verification_at"]) == (None, None)
    assert not refused["is_verified"]
    assert refused["last_error"]
    assert refused["last_verified_at"] is None
    assert seconds_until(refused["next_verification_at"]) > 0


def test_a_service_account_is_used_with_a_signed_assertion(newsroom: Newsroom) -> None:
    key_file = newsroom.control("/search_google/service_accounts", client_email="me@project.iam.gserviceaccount.com")
    creator = newsroom.creator()
    with newsroom.database.as_user(creator.id) as session:
        session.execute("select connect_search_engine('google', %s, %s::jsonb)", [SITE, json.dumps(key_file)])
    secret = newsroom.row(
        """
        select s.decrypted_secret as secret from vault.decrypted_secrets s join seo_connection c
        on c.vault_secret_name = s.name where c.user_id = %s
        """,
        creator.id,
    )["secret"]
    assert "token_uri" not in secret  # nobody chooses where the assertion goes
    (found,) = newsroom.submit(creator, PAGE)
    assert found["status"] == "submitted"
    (asked,) = newsroom.requests("oauth2.googleapis.com")
    assert "jwt-bearer" in asked["body"]
    newsroom.submit(creator, f"{SITE}videos/10")
    assert len(newsroom.requests("oauth2.googleapis.com")) == 1  # the token is kept
    newsroom.advance(2 * HOUR)  # and renewed when Google does not take it any more
    newsroom.make_due(creator)
    newsroom.poll()
    assert len(newsroom.requests("oauth2.googleapis.com")) == 2
    assert newsroom.submission(found["id"])["status"] == "indexed"


def test_a_disconnected_site_is_called_off_refunded_and_its_secret_gone(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow")
    newsroom.fault("indexnow", status=503)
    (found,) = newsroom.submit(creator, PAGE)
    name = newsroom.row("select vault_secret_name as name from seo_connection where user_id = %s", creator.id)["name"]
    with newsroom.database.as_user(creator.id) as session:
        session.execute("select disconnect_search_engine(%s)", [found["connection_id"]])
    row = newsroom.submission(found["id"])
    assert (row["status"], row["error_code"], row["connection_id"]) == ("refused", "disconnected", None)
    assert newsroom.used(creator) == 0
    assert newsroom.rows("select 1 from vault.secrets where name = %s", name) == []


def test_an_engine_that_is_switched_off_is_not_called_and_loses_nothing(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow")
    many(newsroom, creator, "indexnow", 1)
    newsroom.execute("update search_engine set is_active = false where slug = 'indexnow'")
    newsroom.poll()
    newsroom.execute("update search_engine set is_active = true where slug = 'indexnow'")
    assert newsroom.requests("indexnow") == []
    newsroom.poll()
    assert len(newsroom.requests("indexnow", "POST")) == 1


def test_a_site_without_credentials_fails_with_a_reason(newsroom: Newsroom) -> None:
    creator = newsroom.creator("bing")
    name = newsroom.row("select vault_secret_name as name from seo_connection where user_id = %s", creator.id)["name"]
    newsroom.execute("delete from vault.secrets where name = %s", name)
    (found,) = newsroom.submit(creator, PAGE)
    assert (found["status"], found["error_code"]) == ("failed", "credentials_missing")
    assert newsroom.used(creator) == 0
    assert newsroom.requests("bing") == []


def test_a_connection_that_was_switched_off_is_not_used_any_more(newsroom: Newsroom) -> None:
    creator = newsroom.creator("indexnow")
    newsroom.fault("indexnow", status=503)
    (found,) = newsroom.submit(creator, PAGE)
    newsroom.execute("update seo_connection set is_active = false where user_id = %s", creator.id)
    newsroom.make_due(creator)
    newsroom.poll()
    assert newsroom.submission(found["id"])["status"] == "refused"
    assert newsroom.used(creator) == 0
    assert len(newsroom.requests("indexnow", "POST")) == 1


# ---------------------------------------------------------------------------------------------------------- big counts


def test_ten_thousand_addresses_go_to_indexnow_in_one_request_and_much_more_in_bounded_steps(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(function: str, **params: Any) -> Any:
        calls.append(function)
        return rpc(function, **params)

    monkeypatch.setattr("functions.database.submissions.rpc", counted)
    creator = newsroom.creator("indexnow", tier="premium")
    many(newsroom, creator, "indexnow", DUE)
    tracemalloc.start()
    done = newsroom.poll(seconds=3000)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert done["polled"] == DUE
    batches = DUE // 10_000
    posts = newsroom.requests("indexnow", "POST")
    assert [len(json.loads(post["body"])["urlList"]) for post in posts] == [10_000] * batches
    assert calls.count("claim_submissions") == batches + 4  # each engine says once that nothing is due any more
    assert calls.count("complete_submissions") == batches * 5
    assert peak_bytes < 48 * 1024 * 1024  # of one batch, whatever is due
    query = "select status, count(*) as count from seo_submission where user_id = %s group by 1"
    assert newsroom.rows(query, creator.id) == [{"status": "submitted", "count": DUE}]
    usage = newsroom.row("select sum(urls_count) as sum from seo_usage where user_id = %s", creator.id)
    assert usage["sum"] == DUE


def test_batches_bound_the_calls_of_the_other_engines_too(newsroom: Newsroom) -> None:
    creator = newsroom.creator("bing", tier="premium")
    newsroom.control("/search_bing/quota", limit=100_000)
    many(newsroom, creator, "bing", 1_200)
    assert newsroom.poll()["polled"] == 1_200
    assert [len(json.loads(post["body"])["urlList"]) for post in newsroom.requests("bing", "POST")] == [500, 500, 200]


def many(newsroom: Newsroom, creator: Creator, engine: str, count: int) -> None:
    """Due submissions of distinct pages, inserted as rows."""
    pages = {"google": "videos/5?n="}.get(engine, "p/")
    newsroom.execute(
        f"""
        insert into seo_submission (content_item_id, user_id, connection_id, search_engine_id, submitted_url)
        select %s, c.user_id, c.id, c.search_engine_id, %s || n
        from seo_connection c join search_engine e on e.id = c.search_engine_id, generate_series(1, {count}) as n
        where c.user_id = %s and e.slug = %s
        """,
        creator.item,
        f"{SITE}{pages}",
        creator.id,
        engine,
    )
