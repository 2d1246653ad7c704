"""The Stripe simulator, driven by Stripe's own library and checked by its verifier."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import stripe

SECRET = "whsec_of_this_test"
DAY_SECONDS = 86_400


class Receiver:
    """A webhook endpoint that answers as it is told and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, str]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((body, self.headers["stripe-signature"]))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/stripe/webhook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def events(self) -> list[stripe.Event]:
        return [stripe.Webhook.construct_event(body, header, SECRET) for body, header in self.got]


@pytest.fixture
def receiver(client: httpx.Client) -> Iterator[Receiver]:
    made = Receiver()
    client.post("/_sim/stripe/webhooks", json={"url": made.url, "secret": SECRET})
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def library(upstream_url: str, client: httpx.Client) -> stripe.StripeClient:
    """Stripe's library, pointed at the simulator; the second fixture resets it afterwards."""
    return stripe.StripeClient("sk_test_x", base_addresses={"api": f"{upstream_url}/api.stripe.com"})


@pytest.fixture
def price(library: stripe.StripeClient) -> str:
    product = library.v1.products.create({"name": "Premium"})
    made = library.v1.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 4900, "recurring": {"interval": "month"}}
    )
    return made.id


def settled(client: httpx.Client) -> list[dict[str, Any]]:
    """Deliveries, once nothing is under way any more."""
    deadline = time.monotonic() + 90
    while (state := client.get("/_sim/stripe/deliveries").json())["pending"]:
        assert time.monotonic() < deadline
    return list(state["deliveries"])


def test_a_subscription_by_stripes_library(library: stripe.StripeClient, price: str) -> None:
    customer = library.v1.customers.create({"email": "a@example.com", "metadata": {"user_id": "u"}})
    made = library.v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": price}], "metadata": {"user_id": "u"}}
    )
    assert made.status == "active"
    item = made.items.data[0]
    assert item.current_period_end - item.current_period_start == 30 * DAY_SECONDS
    read = library.v1.subscriptions.retrieve(made.id, {"expand": ["latest_invoice", "customer"]})
    assert isinstance(read.latest_invoice, stripe.Invoice)
    assert read.latest_invoice.status == "paid"
    assert read.latest_invoice.parent is not None
    assert read.latest_invoice.parent.subscription_details is not None
    assert read.latest_invoice.parent.subscription_details.subscription == made.id
    ended = library.v1.subscriptions.cancel(made.id)
    assert (ended.status, ended.ended_at is not None) == ("canceled", True)
    assert [one.id for one in library.v1.subscriptions.list({"customer": customer.id, "status": "all"}).data] == [
        made.id
    ]
    assert library.v1.subscriptions.list({"customer": customer.id}).data == []


def test_events_are_signed_retried_and_redelivered(
    library: stripe.StripeClient, client: httpx.Client, receiver: Receiver
) -> None:
    receiver.answers = [500]
    customer = library.v1.customers.create({"email": "a@example.com"})
    log = settled(client)
    assert [(one["type"], one["statuses"]) for one in log] == [("customer.created", [500, 200])]
    first, second = receiver.events()
    assert first.id == second.id == log[0]["event"]
    assert first.data.object["id"] == customer.id
    assert first.api_version == stripe.api_version
    client.post("/_sim/stripe/deliveries", json={"event": first.id})
    settled(client)
    assert len(receiver.got) == 3


def test_disorder_repeats_and_shuffles_but_loses_nothing(
    library: stripe.StripeClient, client: httpx.Client, receiver: Receiver, price: str
) -> None:
    settled(client)
    receiver.got.clear()
    client.post("/_sim/stripe/webhooks", json={"url": receiver.url, "secret": SECRET, "disorder": 7})
    customer = library.v1.customers.create({"email": "a@example.com"})
    library.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price}]})
    settled(client)
    written = [one.id for one in reversed(library.v1.events.list({"limit": 7}).data)]
    arrived = [one.id for one in receiver.events()]
    assert set(arrived) == set(written)
    assert len(arrived) > len(written)
    assert list(dict.fromkeys(arrived)) != written


def test_an_old_endpoint_gets_old_shapes(
    library: stripe.StripeClient, client: httpx.Client, receiver: Receiver, price: str
) -> None:
    client.post("/_sim/stripe/webhooks", json={"url": receiver.url, "secret": SECRET, "api_version": "2024-06-20"})
    customer = library.v1.customers.create({"email": "a@example.com"})
    library.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price}]})
    settled(client)
    bodies = {(event := json.loads(body))["type"]: event["data"]["object"] for body, _ in receiver.got}
    subscription, invoice = bodies["customer.subscription.created"], bodies["invoice.paid"]
    assert subscription["current_period_end"] > subscription["current_period_start"]
    assert "current_period_end" not in subscription["items"]["data"][0]
    assert (invoice["subscription"], invoice["paid"], "parent" in invoice) == (subscription["id"], True, False)


def test_idempotency_keys(library: stripe.StripeClient) -> None:
    options: stripe.RequestOptions = {"idempotency_key": "k"}
    first = library.v1.customers.create({"email": "a@example.com"}, options)
    assert library.v1.customers.create({"email": "a@example.com"}, options).id == first.id
    with pytest.raises(stripe.IdempotencyError):
        library.v1.customers.create({"email": "b@example.com"}, options)


def test_a_year_on_a_test_clock(library: stripe.StripeClient, client: httpx.Client, price: str) -> None:
    """Renewal, refusal, dunning and the end, each at its own time."""
    start = 1_800_000_000
    clock = library.v1.test_helpers.test_clocks.create({"frozen_time": start})
    customer = library.v1.customers.create({"test_clock": clock.id, "payment_method": "pm_card_visa"})
    made = library.v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": price}], "trial_period_days": 14}
    )
    assert made.status == "trialing"

    def at_day(day: int) -> stripe.Subscription:
        library.v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": start + day * DAY_SECONDS})
        return library.v1.subscriptions.retrieve(made.id)

    assert at_day(12).status == "trialing"
    assert at_day(15).status == "active"
    assert at_day(45).items.data[0].current_period_start == start + 44 * DAY_SECONDS
    client.post("/_sim/stripe/card", json={"customer": customer.id, "card": "declined"})
    assert at_day(75).status == "past_due"
    assert at_day(95).status == "canceled"
    kinds = [one.type for one in library.v1.events.list({"limit": 100}).data]
    assert kinds.count("customer.subscription.trial_will_end") == 1
    assert kinds.count("invoice.payment_failed") == 4
    assert kinds.count("customer.subscription.deleted") == 1


def test_checkout_portal_and_meters(library: stripe.StripeClient, client: httpx.Client, price: str) -> None:
    customer = library.v1.customers.create({"email": "a@example.com"})
    session = library.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": customer.id,
            "line_items": [{"price": price, "quantity": 1}],
            "success_url": "http://app.test/ok?session={CHECKOUT_SESSION_ID}",
            "subscription_data": {"metadata": {"user_id": "u"}},
        }
    )
    assert (session.status, session.payment_status) == ("open", "unpaid")
    assert session.url is not None
    assert httpx.get(session.url, params={"card": "declined"}).status_code == 402
    assert httpx.get(session.url).headers["location"] == f"http://app.test/ok?session={session.id}"
    session = library.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription"]})
    assert (session.status, session.payment_status) == ("complete", "paid")
    assert isinstance(session.subscription, stripe.Subscription)
    assert session.subscription.metadata is not None
    assert session.subscription.metadata["user_id"] == "u"
    portal = library.v1.billing_portal.sessions.create({"customer": customer.id, "return_url": "http://app.test/"})
    assert httpx.get(portal.url).status_code == 200
    assert httpx.get(portal.url, params={"do": "cancel"}).headers["location"] == "http://app.test/"
    assert library.v1.subscriptions.retrieve(session.subscription.id).cancel_at_period_end

    meter = library.v1.billing.meters.create(
        {"display_name": "M", "event_name": "m_of_this_test", "default_aggregation": {"formula": "sum"}}
    )

    def report(identifier: str, at: int) -> None:
        payload = {"stripe_customer_id": customer.id, "value": "25"}
        library.v1.billing.meter_events.create(
            {"event_name": "m_of_this_test", "payload": payload, "identifier": identifier, "timestamp": at}
        )

    now = int(time.time())
    report("one", now)
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        report("one", now)
    with pytest.raises(stripe.InvalidRequestError, match="timestamp"):
        report("old", now - 36 * DAY_SECONDS)
    summary = library.v1.billing.meters.event_summaries.list(
        meter.id, {"customer": customer.id, "start_time": 0, "end_time": 1 << 40}
    )
    assert summary.data[0].aggregated_value == 25


def test_what_stripe_refuses(library: stripe.StripeClient, upstream_url: str) -> None:
    misspelt: Any = {"emial": "a@example.com"}
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        library.v1.customers.create(misspelt)
    assert (unknown.value.code, unknown.value.param) == ("parameter_unknown", "emial")
    with pytest.raises(stripe.InvalidRequestError) as missing:
        library.v1.subscriptions.retrieve("sub_nowhere")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    wrong = stripe.StripeClient("pk_test_x", base_addresses={"api": f"{upstream_url}/api.stripe.com"})
    with pytest.raises(stripe.AuthenticationError):
        wrong.v1.customers.list()
