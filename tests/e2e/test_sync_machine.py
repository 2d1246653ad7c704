"""The sync machine under pressure: killed workers, copies, bad batches, expired tokens, dead grants, deletions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from functions.core.errors import UpstreamError
from infra.local.stack import Stack
from tests.e2e.creators import Creator
from tests.metrics import recorded

KILLED_AFTER = (1, 3, 2, 5, 4, 1)
WORKER = "import json, sys; from functions.sync.handler import worker; print(worker(json.loads(sys.argv[1]), None))"
ROUNDS = int(os.environ.get("STREAMVIBE_PROFILE") == "soak") * 44 + 6
WORKERS = 10

Db = Callable[..., list[dict[str, Any]]]
Sim = Callable[..., Any]
SignUp = Callable[[], Creator]
NewAccount = Callable[..., str]


def start_unsent(db: Db, creator: Creator, account_id: str) -> str:
    """A run whose message is never sent, so that the stack's own worker does not take it."""
    (row,) = db("select public.start_sync_run(%s, %s) as answer", creator.id, account_id)
    return str(row["answer"]["run_id"])


def message(body: Any) -> dict[str, str]:
    return {"messageId": uuid4().hex, "body": body if isinstance(body, str) else json.dumps(body)}


def age_leases(db: Db, run_id: str) -> None:
    db("update private.sync_job set lease_until = now() - interval '1 second' where run_id = %s", run_id)


def test_a_worker_may_be_killed_anywhere(
    stack: Stack, db: Db, sim: Sim, sign_up: SignUp, new_account: NewAccount
) -> None:
    creator = sign_up()
    account_id = creator.connect("youtube", new_account(400))["accounts"][0]["id"]
    run_id = start_unsent(db, creator, account_id)
    host = "www.googleapis.com"
    sim("POST", "faults", host=host, times=None, delay_seconds=0.03)
    command = [sys.executable, "-c", WORKER, json.dumps({"Records": [message({"run_id": run_id})]})]
    # Each worker is killed once it has made so many requests: before a page, inside of one, between pages.
    for requests in KILLED_AFTER:
        seen = len(sim("GET", "requests", host=host))
        process = subprocess.Popen(command, env=stack.child_environment(), stdout=subprocess.DEVNULL)
        while len(sim("GET", "requests", host=host)) < seen + requests:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        age_leases(db, run_id)
    subprocess.run(command, env=stack.child_environment(), stdout=subprocess.DEVNULL, check=True, timeout=60)
    run = creator.run(run_id)
    assert (run["status"], run["items_seen"], run["items_created"]) == ("succeeded", 400, 400), run
    items = creator.items(account_id)
    assert len({item["platform_content_id"] for item in items}) == len(items) == 400
    assert creator.used() == 1
    charges = db("select operation, settled_at from quota_usage_history where user_id = %s", creator.id)
    assert [(c["operation"], c["settled_at"] is not None) for c in charges] == [("increment", True)]


@pytest.mark.usefixtures("in_process")
def test_one_message_ten_times_in_parallel(db: Db, sim: Sim, sign_up: SignUp, new_account: NewAccount) -> None:
    from functions.sync.handler import worker

    creator = sign_up()
    account_id = creator.connect("youtube", new_account(120))["accounts"][0]["id"]
    run_id = start_unsent(db, creator, account_id)
    event = {"Records": [message({"run_id": run_id})]}
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: worker(event, None), range(10)))
    assert answers == [{"batchItemFailures": []}] * 10
    run = creator.wait_for_run(run_id)
    assert (run["status"], run["items_seen"], run["items_created"]) == ("succeeded", 120, 120)
    assert len(creator.items(account_id)) == 120
    assert creator.used() == 1


@pytest.mark.usefixtures("in_process")
def test_of_a_batch_exactly_the_poison_and_the_transient_message_are_reported(
    db: Db, sim: Sim, sign_up: SignUp, new_account: NewAccount
) -> None:
    from functions.sync.handler import worker

    creators = [sign_up() for _ in range(5)]
    slugs = [new_account(20) for _ in range(8)]
    accounts = [
        (creator, creator.connect("youtube", slug)["accounts"][0]["id"])
        for creator, slug in zip([c for c in creators for _ in range(2)], slugs, strict=False)
    ]
    tiktok = creators[4].connect("tiktok", new_account(20, "tiktok"))["accounts"][0]["id"]
    runs = [start_unsent(db, creator, account_id) for creator, account_id in accounts]
    transient = start_unsent(db, creators[4], tiktok)
    sim("POST", "faults", host="open.tiktokapis.com", path="/v2/video", times=None, status=503, body="down")
    records = [message({"run_id": run_id}) for run_id in runs]
    records[3:3] = [message("{not json"), message({"run_id": transient})]
    reported = {failure["itemIdentifier"] for failure in worker({"Records": records}, None)["batchItemFailures"]}
    assert reported == {records[3]["messageId"], records[4]["messageId"]}
    assert {creator.run(run_id)["status"] for (creator, _), run_id in zip(accounts, runs, strict=True)} == {"succeeded"}
    waiting = creators[4].run(transient)
    assert (waiting["status"], waiting["pages_done"]) == ("queued", 0)
    assert waiting["waiting_until"]

    before = db("select count(*) as count from content_item")
    again = worker({"Records": records}, None)["batchItemFailures"]
    assert {failure["itemIdentifier"] for failure in again} == {records[3]["messageId"]}  # the other one has to wait
    assert db("select count(*) as count from content_item") == before
    sim("DELETE", "faults")
    db("update sync_run set waiting_until = null where id = %s", transient)
    assert worker({"Records": [records[4]]}, None) == {"batchItemFailures": []}
    assert creators[4].run(transient)["status"] == "succeeded"
    assert [creator.used() for creator in creators] == [2, 2, 2, 2, 1]


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("pages_done", [0, 1])
def test_a_run_that_fails_once_too_often_has_ended(
    db: Db,
    sim: Sim,
    sign_up: SignUp,
    new_account: NewAccount,
    pages_done: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from functions.sync.handler import worker

    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "false")
    creator = sign_up()
    account_id = creator.connect("tiktok", new_account(20, "tiktok"))["accounts"][0]["id"]
    run_id = start_unsent(db, creator, account_id)
    if pages_done:
        # As if a page had been stored before.
        db("update sync_run set pages_done = 1 where id = %s", run_id)
        db("select public.settle_quota(%s, %s)", creator.id, f"sync_run:{run_id}")
    db("update private.sync_job set failures = 7 where run_id = %s", run_id)
    db("update social_account set sync_failures = 2 where id = %s", account_id)
    sim("POST", "faults", host="open.tiktokapis.com", path="/v2/video", times=None, status=503, body="down")
    event = {"Records": [message({"run_id": run_id})]}
    # There is nothing to deliver again: neither the message nor the run comes back.
    assert worker(event, None) == {"batchItemFailures": []}
    assert worker(event, None) == {"batchItemFailures": []}
    run = creator.run(run_id)
    assert (run["status"], run["error_code"]) == ("partial" if pages_done else "failed", "upstream_unavailable")
    assert run["finished_at"]
    assert not run["waiting_until"]
    assert creator.used() == pages_done  # what brought nothing costs nothing
    (account,) = creator.rest("social_account")
    assert account["last_sync_status"] == run["status"]
    (planned,) = db(
        """select next_sync_at - now() between interval '3 hours' and interval '5 hours' as is_soon
           from social_account where id = %s""",
        account_id,
    )
    assert planned["is_soon"]
    assert len(creator.rest("notification?type=eq.sync_failed")) == 1
    assert "SyncInterruptions" not in capsys.readouterr().out  # nothing goes on later


@pytest.mark.usefixtures("in_process")
def test_a_page_that_the_database_refuses_is_tried_ever_later(
    db: Db, sign_up: SignUp, new_account: NewAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functions.sync import worker as run_worker
    from functions.sync.handler import worker

    creator = sign_up()
    account_id = creator.connect("youtube", new_account(20))["accounts"][0]["id"]
    run_id = start_unsent(db, creator, account_id)
    make_row = run_worker.content_row
    monkeypatch.setattr(run_worker, "content_row", lambda record: {**make_row(record), "title": "x" * 3000})
    event = {"Records": [message({"run_id": run_id})]}
    assert len(worker(event, None)["batchItemFailures"]) == 1
    run = creator.run(run_id)
    assert (run["status"], run["pages_done"]) == ("queued", 0)
    assert run["waiting_until"]
    (job,) = db("select failures, lease_until from private.sync_job where run_id = %s", run_id)
    assert job == {"failures": 1, "lease_until": None}
    assert creator.items(account_id) == []


@pytest.mark.usefixtures("in_process")
def test_ten_workers_on_one_expired_rotating_token(db: Db, sim: Sim, sign_up: SignUp, new_account: NewAccount) -> None:
    from functions.sync import tokens

    creator = sign_up()
    slug = new_account(20, "tiktok")
    connection_id = creator.connect("tiktok", slug)["connection"]["id"]
    start = threading.Barrier(WORKERS)

    def use(_: int) -> tuple[int, str]:
        start.wait()
        held = tokens.use("tiktok", connection_id)
        return held.version, held.token.access_token

    with ThreadPoolExecutor(WORKERS) as pool:
        for number in range(1, ROUNDS + 1):
            db("update platform_connection set token_expires_at = now() where id = %s", connection_id)
            results = set(pool.map(use, range(WORKERS)))
            assert len(results) == 1
            (grant,) = sim("GET", "tiktok/grants", account=slug)
            assert (grant["refreshes"], grant["reuse_events"]) == (number, 0)
            (stored,) = db(
                """select s.decrypted_secret::jsonb as token from vault.decrypted_secrets as s
                   join platform_connection as c on c.vault_secret_name = s.name where c.id = %s""",
                connection_id,
            )
            assert stored["token"]["refresh_token"] == grant["refresh_token"]
            assert results.pop()[1] == stored["token"]["access_token"] == grant["access_token"]


@pytest.mark.usefixtures("in_process")
def test_what_becomes_of_tokens_is_recorded_once(
    db: Db,
    sim: Sim,
    sign_up: SignUp,
    new_account: NewAccount,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from functions.sync import tokens

    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "false")
    slug = new_account(20)
    connection_id = sign_up().connect("youtube", slug)["connection"]["id"]

    def use() -> list[str]:
        """The outcomes that are recorded when somebody wants the token."""
        db("update platform_connection set token_expires_at = now() where id = %s", connection_id)
        db("update private.token_state set retry_at = null where connection_id = %s", connection_id)
        with suppress(UpstreamError):
            tokens.use("youtube", connection_id)
        written = recorded(capsys.readouterr().out)
        assert all((name, labels["platform"]) == ("TokenRefreshes", "youtube") for name, _, labels in written)
        return [labels["outcome"] for _, _, labels in written]

    assert use() == ["renewed"]
    sim("POST", "faults", host="oauth2.googleapis.com", path="/token", times=None, status=503)
    assert use() == ["failed"]
    sim("DELETE", "faults")
    sim("DELETE", "youtube/grants", account=slug)
    assert use() == ["dead"]
    assert use() == []


def test_an_access_token_that_is_not_taken_is_renewed_in_passing(
    db: Db, sim: Sim, sign_up: SignUp, new_account: NewAccount
) -> None:
    creator = sign_up()
    slug = new_account(20)
    account = creator.connect("youtube", slug)["accounts"][0]
    sim("POST", "faults", host="www.googleapis.com", path="/youtube/v3/playlistItems", status=401,
        body={"error": {"code": 401, "errors": [{"reason": "authError"}]}})  # fmt: skip
    assert creator.sync(account["id"])["status"] == "succeeded"
    (grant,) = sim("GET", "youtube/grants", account=slug)
    assert grant["refreshes"] == 1


def test_a_dead_grant_stops_the_jobs_and_is_told_once(
    db: Db, sim: Sim, sign_up: SignUp, new_account: NewAccount
) -> None:
    creator = sign_up()
    slug = new_account(20)
    account_id = creator.connect("youtube", slug)["accounts"][0]["id"]
    sim("DELETE", "youtube/grants", account=slug)
    run = creator.sync(account_id)
    assert (run["status"], run["error_code"]) == ("failed", "reconnect_needed")
    assert creator.used() == 0
    (account,) = creator.rest(f"social_account?id=eq.{account_id}&select=*,account_status(slug)")
    assert (account["account_status"]["slug"], account["next_sync_at"]) == ("disconnected", None)
    (told,) = creator.rest("notification?type=eq.connection_problem")
    assert told["related_entity_id"] == account["connection_id"]
    refused = creator.call("POST", "/sync", json={"social_account_id": account_id})
    assert (refused.status_code, refused.json()["code"]) == (409, "reconnect_needed")
    # Connecting again brings it all back, under the same ids.
    assert creator.connect("youtube", slug)["accounts"][0]["id"] == account_id
    assert creator.sync(account_id)["status"] == "succeeded"


def test_a_passing_failure_disconnects_nobody(db: Db, sim: Sim, sign_up: SignUp, new_account: NewAccount) -> None:
    creator = sign_up()
    account = creator.connect("youtube", new_account(20))["accounts"][0]
    db("update platform_connection set token_expires_at = now() where id = %s", account["connection_id"])
    sim("POST", "faults", host="oauth2.googleapis.com", path="/token", times=None, status=503)
    run_id = creator.start_sync(account["id"])
    for _ in range(1200):
        run = creator.run(run_id)
        if run["waiting_until"]:
            break
        threading.Event().wait(0.05)
    assert run["status"] == "queued", run
    (connection,) = creator.rest("platform_connection")
    assert connection["is_active"] is True
    assert creator.rest("notification?type=eq.connection_problem") == []
    sim("DELETE", "faults")
    db("update private.token_state set retry_at = null where connection_id = %s", account["connection_id"])
    db("update sync_run set waiting_until = null where id = %s", run_id)
    db("update private.sync_job set resend_at = now() where run_id = %s", run_id)
    creator.http.post(creator.stack.runner_url + "/_local/invoke/sync_dispatch")
    assert creator.wait_for_run(run_id)["status"] == "succeeded"


def test_what_is_gone_upstream_is_marked_at_the_second_answer(
    db: Db, sim: Sim, sign_up: SignUp, new_account: NewAccount
) -> None:
    creator = sign_up()
    slug = new_account(60)
    account_id = creator.connect("youtube", slug)["accounts"][0]["id"]
    creator.sync(account_id)
    items = creator.items(account_id)
    gone, private, own = items[3], items[5], items[7]
    sim("POST", "youtube/content", account=slug, action="delete", id=gone["platform_content_id"])
    sim("POST", "youtube/content", account=slug, action="edit", id=private["platform_content_id"], privacy="private")
    creator.rest(f"content_item?id=eq.{own['id']}", "PATCH", json={"deleted_at": "2026-11-24T00:00:00Z"})

    def look(item: dict[str, Any]) -> dict[str, Any]:
        (row,) = creator.rest(f"content_item?id=eq.{item['id']}")
        found: dict[str, Any] = row
        return found

    assert creator.sync(account_id)["status"] == "succeeded"
    assert (look(gone)["upstream_deleted_at"], look(gone)["missing_count"]) == (None, 1)
    assert (look(private)["visibility"], look(private)["missing_count"]) == ("private", 0)
    creator.sync(account_id)
    assert look(gone)["upstream_deleted_at"]
    assert look(gone)["deleted_at"] is None
    assert look(own)["deleted_at"]
    assert look(own)["upstream_deleted_at"] is None

    sim("POST", "youtube/content", account=slug, action="restore", id=gone["platform_content_id"])
    sim("POST", "youtube/content", account=slug, action="edit", id=own["platform_content_id"], title="Changed")
    creator.sync(account_id)
    assert (look(gone)["upstream_deleted_at"], look(gone)["missing_count"]) == (None, 0)
    assert look(own)["deleted_at"]  # what its owner deleted stays deleted
    assert look(own)["title"] == "Changed"


def test_an_edit_here_is_kept_and_the_change_there_is_flagged(
    sim: Sim, sign_up: SignUp, new_account: NewAccount
) -> None:
    creator = sign_up()
    slug = new_account(20)
    account_id = creator.connect("youtube", slug)["accounts"][0]["id"]
    creator.sync(account_id)
    item = creator.items(account_id)[0]
    creator.rest(f"content_item?id=eq.{item['id']}", "PATCH", json={"title": "Mine"})

    def look() -> dict[str, Any]:
        (row,) = creator.rest(f"content_item?id=eq.{item['id']}")
        found: dict[str, Any] = row
        return found

    creator.sync(account_id)
    unchanged = look()
    assert (unchanged["title"], unchanged["upstream_changed_at"]) == ("Mine", None)
    sim("POST", "youtube/content", account=slug, action="edit", id=item["platform_content_id"],
        title="Theirs", description="New words")  # fmt: skip
    creator.sync(account_id)
    changed = look()
    assert (changed["title"], changed["description"]) == ("Mine", "New words")
    assert changed["upstream"]["title"] == "Theirs"
    assert changed["upstream_changed_at"]
    revisions = creator.rest(f"content_revision?content_item_id=eq.{item['id']}&field_name=eq.title&order=created_at")
    assert [(r["change_source"], r["old_value"], r["new_value"]) for r in revisions] == [
        ("manual", item["title"], "Mine"),
        ("sync", item["title"], "Theirs"),
    ]
    assert len(creator.rest("notification?type=eq.content_changed_upstream")) == 1
    flagged_at = changed["upstream_changed_at"]
    creator.sync(account_id)
    assert look()["upstream_changed_at"] == flagged_at  # told once


def test_quota_ends_a_creators_syncs_with_402(sign_up: SignUp, db: Db, sim: Sim, new_account: NewAccount) -> None:
    creator = sign_up()
    account_id = creator.connect("youtube", new_account(20))["accounts"][0]["id"]
    db("update subscription set syncs_used = 30 where user_id = %s", creator.id)
    refused = creator.call("POST", "/sync", json={"social_account_id": account_id})
    assert (refused.status_code, refused.json()["code"]) == (402, "quota_exceeded")
    assert (
        refused.json().items()
        >= {"allowed": False, "quota_type": "sync", "used": 30, "max": 30, "remaining": 0}.items()
    )


def test_an_idempotency_key_names_one_run(sign_up: SignUp, sim: Sim, new_account: NewAccount) -> None:
    creator = sign_up()
    account_id = creator.connect("youtube", new_account(20))["accounts"][0]["id"]
    first = creator.start_sync(account_id, **{"Idempotency-Key": "once"})
    creator.wait_for_run(first)
    assert creator.start_sync(account_id, **{"Idempotency-Key": "once"}) == first
    assert creator.used() == 1
    second = creator.start_sync(account_id, **{"Idempotency-Key": "twice"})
    assert second != first
    creator.wait_for_run(second)
    assert creator.used() == 2


@pytest.mark.parametrize("stream", ["drip", "endless", "gzip_bomb", "reset", "hang"])
@pytest.mark.usefixtures("in_process")
def test_a_hostile_upstream_does_not_outlive_the_workers_deadline(
    db: Db, sim: Sim, sign_up: SignUp, monkeypatch: pytest.MonkeyPatch, stream: str, new_account: NewAccount
) -> None:
    from functions.sync import worker as run_worker
    from functions.sync.handler import worker

    monkeypatch.setattr(run_worker, "LEAST_SECONDS", 2.0)
    monkeypatch.setattr(run_worker, "STORE_SECONDS", 2.0)

    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 4_000

    creator = sign_up()
    account_id = creator.connect("youtube", new_account(20))["accounts"][0]["id"]
    run_id = start_unsent(db, creator, account_id)
    trouble = {"delay_seconds": 300} if stream == "hang" else {"stream": stream}
    sim("POST", "faults", host="www.googleapis.com", path="/youtube/v3", times=None, **trouble)
    event = {"Records": [message({"run_id": run_id})]}
    answers: list[Any] = []
    working = threading.Thread(target=lambda: answers.append(worker(event, Context())))
    working.start()
    working.join(60)  # the upstream would go on for longer; how loaded this machine is must not matter
    assert answers == [{"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}]
    assert creator.run(run_id)["status"] == "queued"


@pytest.mark.usefixtures("in_process")
def test_dead_messages_are_given_another_chance(
    stack: Stack, db: Db, sim: Sim, sign_up: SignUp, new_account: NewAccount
) -> None:
    import boto3

    from functions.sync.__main__ import main

    creator = sign_up()
    account_id = creator.connect("youtube", new_account(20))["accounts"][0]["id"]
    run_id = start_unsent(db, creator, account_id)
    sqs = boto3.client("sqs", endpoint_url=stack.env["AWS_ENDPOINT_URL"])
    policy = sqs.get_queue_attributes(QueueUrl=os.environ["SYNC_QUEUE_URL"], AttributeNames=["RedrivePolicy"])
    dead = json.loads(policy["Attributes"]["RedrivePolicy"])["deadLetterTargetArn"].rpartition(":")[2]
    dead_url = sqs.get_queue_url(QueueName=dead)["QueueUrl"]
    sqs.send_message(QueueUrl=dead_url, MessageBody=json.dumps({"run_id": run_id}))
    assert main(["redrive"]) == "1 messages moved back to sync"
    assert main(["redrive"]) == "0 messages moved back to sync"
    assert creator.wait_for_run(run_id)["status"] == "succeeded"
    sqs.close()


def test_a_pages_own_token_is_had_anew(sign_up: SignUp, db: Db, sim: Sim, new_account: NewAccount) -> None:
    creator = sign_up()
    account_id = creator.connect("facebook", new_account(20, "facebook"))["accounts"][0]["id"]
    db(
        """select vault.update_secret(s.id, jsonb_set(d.decrypted_secret::jsonb, '{extra}', (
               select jsonb_object_agg(key, 'a token that is not good any more')
               from jsonb_each(d.decrypted_secret::jsonb -> 'extra')))::text)
           from vault.secrets as s join vault.decrypted_secrets as d on d.id = s.id
           join platform_connection as c on c.vault_secret_name = s.name where c.user_id = %s""",
        creator.id,
    )
    assert creator.sync(account_id)["status"] == "succeeded"
    (connection,) = creator.rest("platform_connection")
    assert connection["is_active"] is True


def test_tokens_are_renewed_ahead_of_their_end(sign_up: SignUp, db: Db, sim: Sim, new_account: NewAccount) -> None:
    creator = sign_up()
    slug = new_account(20, "tiktok")
    connection_id = creator.connect("tiktok", slug)["connection"]["id"]
    db("update platform_connection set token_expires_at = null where id <> %s", connection_id)
    url = creator.stack.runner_url + "/_local/invoke/maintenance"
    assert creator.http.post(url).json()["tokens_refreshed"] == 0
    db("update platform_connection set token_expires_at = now() + interval '5 minutes' where id = %s", connection_id)
    assert creator.http.post(url).json()["tokens_refreshed"] == 1
    (grant,) = sim("GET", "tiktok/grants", account=slug)
    assert grant["refreshes"] == 1


def test_an_almost_used_up_app_stops_everybody(sign_up: SignUp, db: Db, sim: Sim, new_account: NewAccount) -> None:
    creator = sign_up()
    account_id = creator.connect("instagram", new_account(60, "instagram"))["accounts"][0]["id"]
    usage = json.dumps({"call_count": 97, "total_time": 20, "total_cputime": 20})
    sim("POST", "faults", host="graph.instagram.com", path="/v26.0/me", times=1, headers={"x-app-usage": usage})
    run_id = creator.start_sync(account_id)
    for _ in range(1200):
        run = creator.run(run_id)
        if run["waiting_until"]:
            break
        threading.Event().wait(0.05)
    assert (run["status"], run["pages_done"]) == ("queued", 1), run
    (health,) = db(
        """select stopped_until > now() + interval '9 minutes' as stopped from private.platform_health
           where platform_id = (select id from platform where slug = 'instagram')"""
    )
    assert health["stopped"]
    db("delete from private.platform_health where true")
    db("update sync_run set waiting_until = null where id = %s", run_id)
    db("update private.sync_job set resend_at = now() where run_id = %s", run_id)
    creator.http.post(creator.stack.runner_url + "/_local/invoke/sync_dispatch")
    assert creator.wait_for_run(run_id)["status"] == "succeeded"


def test_a_long_lived_token_renews_itself(sign_up: SignUp, db: Db, sim: Sim, new_account: NewAccount) -> None:
    creator = sign_up()
    slug = new_account(20, "instagram")
    connected = creator.connect("instagram", slug)
    connection_id, account_id = connected["connection"]["id"], connected["accounts"][0]["id"]
    db("update platform_connection set token_expires_at = now() + interval '5 days' where id = %s", connection_id)
    # A young one is left alone: the platform would refuse.
    assert creator.sync(account_id)["status"] == "succeeded"
    (grant,) = sim("GET", "instagram/grants", account=slug)
    assert grant["refreshes"] == 0
    db("update private.token_state set refresh_not_before = now() where connection_id = %s", connection_id)
    sim("POST", "clock", advance_seconds=86_500)
    try:
        assert creator.sync(account_id)["status"] == "succeeded"
    finally:
        sim("POST", "clock", advance_seconds=-86_500)  # the stack is everybody's
    (grant,) = sim("GET", "instagram/grants", account=slug)
    assert grant["refreshes"] == 1
    (connection,) = db(
        """select token_version, token_expires_at > now() + interval '59 days' as renewed
           from platform_connection where id = %s""",
        connection_id,
    )
    assert connection == {"token_version": 2, "renewed": True}
