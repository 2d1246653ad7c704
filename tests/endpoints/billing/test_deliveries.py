"""Deliveries: signed or not, copied, aged, disturbed; whatever happens, one effect and the right answer."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from infra.local.upstream.stripe.webhooks import payload, sign
from tests.endpoints.billing.conftest import SECRET, Answer, World, post
from tests.metrics import recorded

COPIES = 50


def body_of(answer: Answer) -> dict[str, Any]:
    return dict(json.loads(answer["body"]))


def marks(world: World, user: object) -> tuple[int, int]:
    """How often the cycle was reset and how many notices there are: what a second effect would add to."""
    with world.database.as_superuser() as connection:
        row = connection.execute(
            """
            select (select count(*) from quota_usage_history where user_id = %(u)s and operation = 'reset') as resets,
                (select count(*) from notification where user_id = %(u)s) as notices
            """,
            {"u": user},
        ).fetchone()
    assert row is not None
    return row["resets"], row["notices"]


@pytest.mark.parametrize(
    ("header", "fields"),
    [
        (None, {}),
        ("", {}),
        ("garbage", {}),
        ("t=1,v1=00", {}),
        ("wrong-secret", {}),
        ("old", {}),
        ("future", {}),
        ("good", {"body": b"{}"}),
        ("good", {"body": "!!!", "isBase64Encoded": True}),
        ("good", {"body": "half a character: \ud800"}),
    ],
)
def test_nothing_is_written_for_a_bad_signature(world: World, header: str | None, fields: dict[str, Any]) -> None:
    world.user(subscribed="premium")
    body = payload(world.events()[0], "2026-10-28.endive")
    now = int(time.time())
    made = {
        "wrong-secret": sign(body, "whsec_of_somebody_else", now),
        "old": sign(body, SECRET, now - 400),
        "future": sign(body, SECRET, now + 400),
        "good": sign(body, SECRET, now),
    }
    before = world.inbox()
    answer = post(fields.pop("body", body), made.get(header or "", header), **fields)
    assert answer["statusCode"] == 400
    assert body_of(answer)["code"] == "bad_signature"
    assert answer["headers"]["X-Request-Id"] == "request-1"
    assert world.inbox() == before


def test_a_base64_body_is_the_same_bytes(world: World) -> None:
    user = world.user(subscribed="basic")
    body = payload(world.events("customer.subscription.created")[0], "2026-10-28.endive")
    header = sign(body, SECRET, int(time.time()))
    answer = post(base64.b64encode(body).decode(), header, isBase64Encoded=True)
    assert (answer["statusCode"], body_of(answer)["outcome"]) == (200, "applied")
    assert world.row(user)["tier"] == "basic"


def test_a_body_beyond_the_cap_is_not_even_hashed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from functions.stripe_webhook import signature

    def fail(*_: object, **__: object) -> bool:
        raise AssertionError("hashed")

    monkeypatch.setattr(signature, "is_valid", fail)
    assert post("x" * (1024 * 1024 + 5), "t=1,v1=0")["statusCode"] == 413
    assert post("x" * (1500 * 1024), "t=1,v1=0", isBase64Encoded=True)["statusCode"] == 413


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'{"id": 1}', b'{"id": "evt_1"}', b"[" * 100_000])
def test_a_signed_body_that_is_no_event_is_refused(world: World, body: bytes) -> None:
    before = world.inbox()
    answer = post(body, sign(body, SECRET, int(time.time())))
    assert (answer["statusCode"], body_of(answer)["code"]) == (400, "bad_event")
    assert world.inbox() == before


def test_fields_that_make_no_sense_harm_nothing(world: World) -> None:
    user = world.user(subscribed="premium")
    event = world.events("customer.subscription.created")[0]
    moments: list[Any] = [10**30, -1, 1.5, "now", None, True, []]
    for number, created in enumerate(moments):
        answer = world.deliver({**event, "id": f"evt-odd-{number}", "created": created})
        assert answer["statusCode"] == 200
    for kind in ("customer.subscription.\0", "customer.subscription." + "x" * 500, "invoice.ü"):
        assert body_of(world.deliver({**event, "type": kind}))["outcome"] == "ignored"
    things: list[Any] = [None, [], {}, {"id": None}, {"id": "sub/../customers"}, {"id": "x" * 300}, {"id": "sub_1?a=b"}]
    for thing in things:
        body = json.dumps({**event, "data": {"object": thing}}).encode()
        answer = post(body, sign(body, SECRET, int(time.time())))
        assert (answer["statusCode"], body_of(answer)["code"]) == (400, "bad_event")
    assert world.row(user)["tier"] == "premium"


@pytest.mark.parametrize(
    "kind", ["charge.succeeded", "customer.created", "price.created", "a.b.c", "v1.billing.meter.x"]
)
def test_an_unknown_type_is_accepted_and_leaves_nothing(world: World, kind: str) -> None:
    before = world.inbox()
    event = {"id": "evt_unknown", "type": kind, "created": 1, "livemode": False, "data": {"object": {"id": "x_1"}}}
    answer = world.deliver({**event, "object": "event"})
    assert (answer["statusCode"], body_of(answer)["outcome"]) == (200, "ignored")
    assert world.inbox() == before
    assert world.journal() == []


def test_both_payload_shapes_and_thin_events_lead_to_the_same_object(world: World) -> None:
    user = world.user(subscribed="premium")
    invoice = world.events("invoice.paid")[0]
    for version in ("2024-06-20", "2026-10-28.endive"):
        answer = world.deliver({**invoice, "id": f"evt_{version[:4]}"}, version=version)
        assert body_of(answer)["outcome"] in ("applied", "unchanged")
    thin = {
        "id": "evt_thin",
        "object": "v2.core.event",
        "type": "v1.customer.subscription.updated",
        "created": "2026-11-24T00:00:00Z",
        "livemode": False,
        "related_object": {"id": world.row(user)["stripe_subscription_id"], "type": "subscription", "url": "/v1/x"},
    }
    body = json.dumps(thin).encode()
    assert body_of(post(body, sign(body, SECRET, int(time.time()))))["outcome"] == "unchanged"
    assert world.row(user)["tier"] == "premium"


def test_fifty_copies_at_once_and_again_when_the_inbox_has_aged(world: World) -> None:
    user = world.user(subscribed="premium")
    event = world.events("customer.subscription.created")[0]
    with ThreadPoolExecutor(COPIES) as pool:
        for age in ("0", "2 hours", "4 days", "31 days", "gone"):
            with world.database.as_superuser() as connection:
                if age == "gone":
                    connection.execute("delete from private.stripe_event where id = %s", [event["id"]])
                else:
                    connection.execute(
                        """
                        update private.stripe_event set received_at = received_at - %(age)s::interval,
                            attempted_at = attempted_at - %(age)s::interval, done_at = done_at - %(age)s::interval
                        where id = %(id)s
                        """,
                        {"age": age, "id": event["id"]},
                    )
            answers = list(pool.map(lambda _: world.deliver(event), range(COPIES)))
            assert {answer["statusCode"] for answer in answers} == {200}
            outcomes = [body_of(answer)["outcome"] for answer in answers]
            assert outcomes.count("applied") == (1 if age == "0" else 0), outcomes
            assert world.row(user)["tier"] == "premium"
            assert marks(world, user) == (0, 1)


def test_stripe_down_means_5xx_and_one_effect_when_it_is_delivered_again(world: World) -> None:
    user = world.user(subscribed="premium")
    event = world.events("customer.subscription.created")[0]
    for fault in ({"status": 500}, {"status": 429}, {"drop": True}, {"status": 200, "body": "<html>"}):
        world.fault(path="/v1/subscriptions", times=None, **fault)
        answer = world.deliver(event)
        world.clear_faults()
        assert answer["statusCode"] >= 500
        assert set(body_of(answer)) == {"type", "title", "status", "code", "detail", "request_id"}
        assert world.row(user)["tier"] == "free"
    assert world.inbox()[event["id"]]["attempts"] == 4
    assert body_of(world.deliver(event))["outcome"] == "applied"
    assert body_of(world.deliver(event))["outcome"] == "duplicate"
    assert world.row(user)["tier"] == "premium"
    assert marks(world, user) == (0, 1)


def test_each_effect_is_measured_once_and_each_failure_counted(
    world: World,
    maintenance: Callable[[], dict[str, int]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "false")
    user = world.user(subscribed="premium")
    event, later = world.events("customer.subscription.created")[0], {"id": "evt_later"}
    late = {**event, **later, "created": int(time.time()) - 3600}

    def names() -> list[str]:
        return [name for name, _, _ in recorded(capsys.readouterr().out)]

    post(b"{}", "t=1,v1=00")
    assert names() == ["StripeWebhookRefused"]
    world.fault(path="/v1/subscriptions", times=None, status=500)
    world.deliver(event)
    world.deliver(late)
    world.clear_faults()
    assert names() == ["StripeWebhookFailures"] * 2
    world.deliver(event)
    assert names() == ["StripeWebhookLagSeconds"]
    world.deliver(event)
    assert names() == []
    # What maintenance brings about is as late as it is.
    with world.database.as_superuser() as connection:
        of_others = (
            "update private.stripe_event set done_at = now(), outcome = 'unchanged' where done_at is null and id <> %s"
        )
        connection.execute(of_others, [late["id"]])
        connection.execute("update private.stripe_event set attempted_at = now() - interval '1 day' where true")
    maintenance()
    (lag,) = [value for name, value, _ in recorded(capsys.readouterr().out) if name == "StripeWebhookLagSeconds"]
    assert lag >= 3600
    assert world.row(user)["tier"] == "premium"


def test_a_slow_stripe_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from functions.stripe_webhook import service

    monkeypatch.setattr(service, "READ_DEADLINE_SECONDS", 0.3)
    world.user(subscribed="premium")
    event = world.events("customer.subscription.created")[0]
    world.fault(path="/v1/subscriptions", times=1, delay_seconds=30)
    assert world.deliver(event)["statusCode"] == 503
    monkeypatch.setattr(service, "READ_DEADLINE_SECONDS", 30.0)
    assert body_of(world.deliver(event))["outcome"] == "applied"


def test_live_events_are_refused_by_a_test_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    user = world.user(subscribed="premium")
    event = world.events("customer.subscription.created")[0]
    answer = world.deliver({**event, "livemode": True, "id": "evt_live"})
    assert (answer["statusCode"], body_of(answer)["outcome"]) == (200, "refused")
    assert world.inbox()["evt_live"]["outcome"] == "refused"
    monkeypatch.setenv("STRIPE_SECRET_KEY", "rk_live_key")
    assert body_of(world.deliver(event))["outcome"] == "refused"
    # The event says live and the key is live, but the object that the API gives is not.
    assert body_of(world.deliver({**event, "livemode": True, "id": "evt_live_2"}))["outcome"] == "refused"
    assert world.row(user)["tier"] == "free"


def test_an_object_that_stripe_does_not_have_takes_nothing_away(world: World) -> None:
    user = world.user(subscribed="premium")
    world.deliver_all()
    event = {
        "id": "evt_missing",
        "object": "event",
        "type": "customer.subscription.deleted",
        "created": 1,
        "livemode": False,
        "data": {"object": {"id": "sub_nowhere", "object": "subscription"}},
    }
    body = json.dumps(event).encode()
    answer = post(body, sign(body, SECRET, int(time.time())))
    assert (answer["statusCode"], body_of(answer)["outcome"]) == (200, "missing")
    assert world.row(user)["tier"] == "premium"


def test_a_held_lock_only_delays(world: World) -> None:
    """Somebody holds a SHARE lock on the very tables while events and copies arrive: all queue, none is lost."""
    users = [world.user(subscribed="premium") for _ in range(5)]
    events = world.events("customer.subscription.created", "invoice.paid")
    with ThreadPoolExecutor(20) as pool, world.database.connect("supabase_admin", autocommit=False) as holder:
        holder.execute("lock table subscription, private.stripe_subscription in share mode")
        answers = [pool.submit(world.deliver, event) for event in events * 2]
        with world.database.as_superuser() as watcher:
            while not watcher.execute(
                "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            ).fetchone():
                pass
        holder.rollback()
        assert {answer.result()["statusCode"] for answer in answers} == {200}
    for user in users:
        assert world.row(user)["tier"] == "premium"
        assert marks(world, user) == (0, 1)


def test_a_database_that_gives_up_means_5xx_and_one_effect_later(world: World) -> None:
    user = world.user(subscribed="premium")
    event = world.events("customer.subscription.created")[0]
    with ThreadPoolExecutor(1) as pool, world.database.connect("supabase_admin", autocommit=False) as holder:
        holder.execute("lock table private.stripe_event in share mode")
        answer = pool.submit(world.deliver, event)
        with world.database.as_superuser() as connection:
            while not answer.done():  # cancelled like a statement that hits its timeout, and its repetition as well
                connection.execute(
                    "select pg_cancel_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and wait_event_type = 'Lock'"
                )
        holder.rollback()
    assert answer.result()["statusCode"] == 503
    assert world.row(user)["tier"] == "free"
    assert world.deliver(event)["statusCode"] == 200
    assert world.row(user)["tier"] == "premium"
    assert marks(world, user) == (0, 1)
