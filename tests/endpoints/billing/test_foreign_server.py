"""The webhook against localstripe, a Stripe server that others wrote: its signatures, its HTTP, its old shapes.

It runs as a process of its own; nothing of it is imported. It knows neither prices nor checkout, so a plan stands in
for a price, and there is no `updated` event. localstripe is on PyPI.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from functions.database import billing
from infra.local.ports import free_port
from tests.endpoints.billing.conftest import SECRET, World, post

# Its own command listens on every interface; this is its application on loopback only.
PROGRAM = """
import sys
from aiohttp import web
from localstripe.server import app
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


@pytest.fixture(scope="module")
def foreign() -> Iterator[httpx.Client]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ending:
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(port)],
            env={**os.environ, "TMPDIR": folder},  # it keeps its state there
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ending.callback(child.wait)
        ending.callback(child.kill)
        key = {"Authorization": "Bearer sk_test_localstripe"}
        client = ending.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=key))
        wait_until(lambda: answers(client))
        yield client


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/v1/customers").is_success
    except httpx.TransportError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The webhook at a URL, as API Gateway would serve it; what it answered."""
    got: list[dict[str, Any]] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = post(body, self.headers["stripe-signature"])
            got.append({"type": json.loads(body)["type"], "status": answer["statusCode"], **json.loads(answer["body"])})
            self.send_response(answer["statusCode"])
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/stripe/webhook", got
    server.shutdown()
    server.server_close()


def made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    return dict(answer.json())


def test_a_subscription_begins_and_ends(
    world: World,
    foreign: httpx.Client,
    webhook: tuple[str, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, got = webhook
    monkeypatch.setenv("UPSTREAM_OVERRIDES", json.dumps({"https://api.stripe.com": str(foreign.base_url)}))
    user = world.user()
    product = made(foreign.post("/v1/products", data={"name": "Premium", "type": "service"}))["id"]
    plan = {"id": "plan_premium", "product": product, "amount": "4900", "currency": "usd", "interval": "month"}
    made(foreign.post("/v1/plans", data=plan))
    billing.set_tier_price("premium", "plan_premium", product)
    kinds = ["customer.subscription.created", "customer.subscription.deleted", "invoice.payment_succeeded"]
    config = {"url": url, "secret": SECRET, "events[]": kinds}
    assert foreign.post("/_config/webhooks/ours", data=config).is_success

    customer = made(foreign.post("/v1/customers", data={"email": "a@example.com"}))["id"]
    card = {"number": "4242424242424242", "exp_month": "12", "exp_year": "2030", "cvc": "123"}
    fields = {"type": "card", **{f"card[{name}]": value for name, value in card.items()}}
    method = made(foreign.post("/v1/payment_methods", data=fields))["id"]
    made(foreign.post(f"/v1/payment_methods/{method}/attach", data={"customer": customer}))
    default = {"invoice_settings[default_payment_method]": method}
    made(foreign.post(f"/v1/customers/{customer}", data=default))
    bought = {"customer": customer, "items[0][plan]": "plan_premium", "metadata[user_id]": str(user)}
    subscription = made(foreign.post("/v1/subscriptions", data=bought))["id"]

    wait_until(lambda: has(world, user, "premium", "active"))
    assert world.row(user)["stripe_subscription_id"] == subscription
    made(foreign.delete(f"/v1/subscriptions/{subscription}"))
    wait_until(lambda: has(world, user, "free", "canceled"))
    wait_until(lambda: {one["type"] for one in got} == set(kinds))
    assert {one["status"] for one in got} == {200}
    assert {one["outcome"] for one in got} <= {"applied", "unchanged", "stale"}


def has(world: World, user: UUID, tier: str, status: str) -> bool:
    row = world.row(user)
    return (row["tier"], row["status"]) == (tier, status)


def test_a_refused_signature_of_theirs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: the same deliveries under another secret would all be refused."""
    world.user(subscribed="premium")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_of_another_endpoint")
    assert world.deliver(world.events("customer.subscription.created")[0])["statusCode"] == 400


def test_recorded_objects_are_read(recordings: Path) -> None:
    """The shapes that Stripe itself publishes for its objects."""
    from functions.connectors import stripe
    from functions.stripe_webhook import service

    def load(name: str) -> dict[str, Any]:
        return dict(json.loads((recordings / "stripe" / f"{name}.json").read_text()))

    said = load("subscription")
    read = stripe.subscription(said)
    item = said["items"]["data"][0]
    assert (read["id"], read["customer"], read["status"]) == (said["id"], said["customer"], "active")
    assert read["items"] == [
        {
            "id": item["id"],
            "price": item["price"]["id"],
            "created": item["created"],
            "start": item["current_period_start"],
            "end": item["current_period_end"],
        }
    ]
    assert (read["renews"], read["cancel_at"], read["pause"]) == (False, said["cancel_at"], "mark_uncollectible")
    session = stripe.checkout(load("checkout.session"))
    assert (session["status"], session["payment_status"], session["subscription"]) == ("open", "unpaid", None)
    assert stripe.invoice_subscription_id(load("invoice")) == "subscription"
    assert stripe.invoice_subscription_id({"subscription": {"id": "sub_1"}}) == "sub_1"
    assert stripe.invoice_subscription_id({"parent": None, "subscription": None}) is None
    event = service.read(load("event"))
    assert (event.id, event.kind) == (load("event")["id"], None)
    wrapped = {**load("event"), "type": "customer.subscription.updated", "data": {"object": said}}
    assert (service.read(wrapped).kind, service.read(wrapped).object_id) == ("subscription", said["id"])
