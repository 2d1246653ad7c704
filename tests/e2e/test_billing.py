"""Plans on the whole stack: Stripe's simulator delivers to the webhook by itself, late, twice and shuffled."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from infra.local.stack import Stack
from infra.local.upstream.stripe.webhooks import sign
from tests.e2e.creators import Creator

COPIES = 50


def stripe_call(stack: Stack, method: str, path: str, **fields: str) -> dict[str, Any]:
    """A call to Stripe's API as the Dashboard, or another program with the key, would make it."""
    answer = httpx.request(
        method,
        f"{stack.env['UPSTREAM_URL']}/api.stripe.com{path}",
        data=fields,
        headers={"Authorization": f"Bearer {stack.env['STRIPE_SECRET_KEY']}"},
    )
    assert answer.is_success, answer.text
    return dict(answer.json())


def wait_for(creator: Creator, **wanted: object) -> dict[str, Any]:
    """The subscription's row once it is as wanted; `tier` and `status` by name."""
    until = time.monotonic() + 180
    while True:
        [row] = creator.rest("subscription?select=*,subscription_tier(slug),subscription_status(slug)")
        row |= {"tier": row["subscription_tier"]["slug"], "status": row["subscription_status"]["slug"]}
        if all(row[name] == value for name, value in wanted.items()):
            return dict(row)
        assert time.monotonic() < until, row
        time.sleep(0.05)


def buy(creator: Creator, tier: str) -> dict[str, Any]:
    answer = creator.call("POST", "/billing/checkout", json={"tier": tier})
    assert answer.status_code == 200, answer.text
    assert httpx.get(answer.json()["url"]).headers["location"].startswith(creator.stack.env["APP_URL"])
    return wait_for(creator, tier=tier)


def test_a_plan_is_bought_changed_and_cancelled(stack: Stack, sign_up: Callable[[], Creator]) -> None:
    creator = sign_up()
    assert {row["quota_type"]: row["max"] for row in creator.rest("rpc/my_quota")}["ai_analysis"] == 10
    buy(creator, "basic")
    answer = creator.call("POST", "/billing/checkout", json={"tier": "premium"})
    httpx.get(answer.json()["url"])
    wait_for(creator, tier="premium", status="active")
    assert {row["quota_type"]: row["max"] for row in creator.rest("rpc/my_quota")}["ai_analysis"] == 5000
    preview = creator.rest("rpc/preview_plan_change", "POST", json={"tier": "free"})
    assert preview["direction"] == "downgrade"
    portal = creator.call("POST", "/billing/portal", json={}).json()["url"]
    httpx.get(portal, params={"do": "cancel"})
    row = wait_for(creator, is_auto_renew_enabled=False)
    assert (row["tier"], row["ends_at"]) == ("premium", row["cycle_end_date"])
    stripe_call(stack, "DELETE", f"/v1/subscriptions/{row['stripe_subscription_id']}")
    wait_for(creator, tier="free", status="canceled")


def test_disorder_ends_in_what_the_api_says(
    stack: Stack, sign_up: Callable[[], Creator], sim: Callable[..., Any]
) -> None:
    endpoint = {"url": f"{stack.env['FUNCTIONS_URL']}/stripe/webhook", "secret": stack.env["STRIPE_WEBHOOK_SECRET"]}
    creator = sign_up()
    sim("POST", "stripe/webhooks", **endpoint, disorder=11)
    try:
        row = buy(creator, "premium")
        path = f"/v1/subscriptions/{row['stripe_subscription_id']}"
        sim("POST", "stripe/card", customer=row["stripe_customer_id"], card="declined")
        sim("POST", "stripe/renew", subscription=row["stripe_subscription_id"])
        sim("POST", "stripe/card", customer=row["stripe_customer_id"], card="ok")
        stripe_call(stack, "POST", f"/v1/invoices/{stripe_call(stack, 'GET', path)['latest_invoice']}/pay")
        stripe_call(stack, "POST", path, cancel_at_period_end="true")
        stripe_call(stack, "POST", path, cancel_at_period_end="false")
        until = time.monotonic() + 180
        while (state := sim("GET", "stripe/deliveries"))["pending"]:
            assert time.monotonic() < until, state
            time.sleep(0.05)
        assert {one["statuses"][-1] for one in state["deliveries"]} == {200}
        row = wait_for(creator, tier="premium", status="active", is_auto_renew_enabled=True, canceled_at=None)
        item = stripe_call(stack, "GET", path)["items"]["data"][0]
        said = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(item["current_period_start"]))
        assert row["cycle_start_date"] == said
    finally:
        sim("POST", "stripe/webhooks", **endpoint)


def test_fifty_deliveries_at_once_are_all_accepted(stack: Stack, sign_up: Callable[[], Creator]) -> None:
    creator = sign_up()
    row = buy(creator, "basic")

    def deliver(number: int) -> str:
        event = {
            "id": f"evt_{row['stripe_subscription_id']}_{number % 10}",
            "object": "event",
            "type": "customer.subscription.updated",
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": {"id": row["stripe_subscription_id"], "object": "subscription"}},
        }
        body = json.dumps(event).encode()
        header = sign(body, stack.env["STRIPE_WEBHOOK_SECRET"], int(time.time()))
        # A machine that is too busy to answer the reading in time is delivered to again, as Stripe does.
        for _ in range(20):
            answer = httpx.post(
                f"{stack.env['FUNCTIONS_URL']}/stripe/webhook", content=body, headers={"Stripe-Signature": header}
            )
            if answer.status_code != 503:
                break
        assert answer.status_code == 200, answer.text
        return str(answer.json()["outcome"])

    with ThreadPoolExecutor(COPIES) as pool:
        outcomes = set(pool.map(deliver, range(COPIES)))
    assert outcomes <= {"unchanged", "stale", "duplicate"}


def test_a_leaving_user_pays_no_more(stack: Stack, sign_up: Callable[[], Creator]) -> None:
    creator = sign_up()
    row = buy(creator, "premium")
    assert creator.call("DELETE", "/account").status_code == 202
    until = time.monotonic() + 180
    path = f"/v1/subscriptions/{row['stripe_subscription_id']}"
    while stripe_call(stack, "GET", path)["status"] != "canceled":
        assert time.monotonic() < until
        time.sleep(0.05)
