"""Fifty of Stripe's events delivered at once to the local stack: how long the slowest of a hundred waits.

Each is another event of another user's subscription, read from the simulated Stripe and applied. The same burst against
`GET /health` shows what the stack itself takes.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg

from infra.bench.ratio import Progress, Ratio
from infra.local.stack import Stack
from infra.local.upstream.stripe.webhooks import sign

AT_ONCE = 50
ROUNDS = 10


def run(progress: Progress) -> list[Ratio]:
    progress("starting the stack")
    with Stack.temporary() as stack, httpx.Client(timeout=60, limits=httpx.Limits(max_connections=AT_ONCE)) as client:
        subscriptions = _subscribers(stack, client, progress)
        webhook = f"{stack.env['FUNCTIONS_URL']}/stripe/webhook"
        secret = stack.env["STRIPE_WEBHOOK_SECRET"]

        def deliver(subscription: str, number: int) -> None:
            event = {
                "id": f"evt_{subscription}_{number}",
                "object": "event",
                "type": "customer.subscription.updated",
                "created": int(time.time()),
                "livemode": False,
                "data": {"object": {"id": subscription, "object": "subscription"}},
            }
            body = json.dumps(event).encode()
            header = sign(body, secret, int(time.time()))
            client.post(webhook, content=body, headers={"Stripe-Signature": header}).raise_for_status()

        def ask(_: str, __: int) -> None:
            client.get(f"{stack.env['FUNCTIONS_URL']}/health").raise_for_status()

        waits: list[float] = []
        bare: list[float] = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for number in range(ROUNDS + 1):
                progress(f"burst {number} of {ROUNDS}")
                measured = _burst(pool, deliver, subscriptions, number), _burst(pool, ask, subscriptions, number)
                if number:  # the first one warms up
                    waits += measured[0]
                    bare += measured[1]
    worst = statistics.quantiles(waits, n=100)[98]
    note = (
        f"median {statistics.median(waits):.2f} s; GET /health at once: {statistics.quantiles(bare, n=100)[98]:.2f} s"
    )
    return [Ratio(f"p99 of {AT_ONCE} deliveries at once", worst / 1.0, "<= 1.00", "one second", note)]


def _burst(
    pool: ThreadPoolExecutor, call: Callable[[str, int], None], subscriptions: list[str], number: int
) -> list[float]:
    """Seconds that each of the calls took, all of them begun together."""

    def timed(subscription: str) -> float:
        start = time.perf_counter()
        call(subscription, number)
        return time.perf_counter() - start

    return list(pool.map(timed, subscriptions))


def _subscribers(stack: Stack, client: httpx.Client, progress: Progress) -> list[str]:
    """Users with a subscription each; Stripe's own deliveries are switched off."""
    client.post(f"{stack.env['UPSTREAM_URL']}/_sim/stripe/webhooks", json={})
    with psycopg.connect(stack.admin_dsn) as connection:
        row = connection.execute("select stripe_price_id from subscription_tier where slug = 'premium'").fetchone()
    assert row is not None
    key = {"Authorization": f"Bearer {stack.env['STRIPE_SECRET_KEY']}"}
    stripe = f"{stack.env['UPSTREAM_URL']}/api.stripe.com/v1"
    made = []
    for number in range(AT_ONCE):
        progress(f"subscriber {number + 1} of {AT_ONCE}")
        person = {"email": f"subscriber{number}@example.com", "password": "a long password"}
        headers = {"apikey": stack.env["SUPABASE_PUBLISHABLE_KEY"]}
        answer = client.post(f"{stack.env['SUPABASE_URL']}/auth/v1/signup", json=person, headers=headers)
        customer = client.post(f"{stripe}/customers", headers=key).json()["id"]
        fields = {"customer": customer, "items[0][price]": row[0], "metadata[user_id]": answer.json()["user"]["id"]}
        made.append(client.post(f"{stripe}/subscriptions", data=fields, headers=key).json()["id"])
    return made
