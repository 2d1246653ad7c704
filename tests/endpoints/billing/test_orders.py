"""Events in any order, any number of times, while Stripe's state goes on changing: the row ends as the API's state."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from functions.connectors import stripe
from functions.database import billing
from tests.database.waiting import blocked_sessions, wait_until
from tests.endpoints.billing.conftest import Row, World

RANDOM_ORDERS = 200 if os.environ.get("STREAMVIBE_PROFILE") == "soak" else 8
NO_PUNCTUATION = str.maketrans("", "", "(), ")
STATUS = {
    "active": "active",
    "trialing": "trialing",
    "past_due": "past_due",
    "unpaid": "past_due",
    "incomplete": "past_due",
    "incomplete_expired": "canceled",
    "canceled": "canceled",
    "paused": "paused",
}


def at(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


def assert_row_is_what_the_api_says(world: World, user: UUID, subscription_id: str) -> None:
    """Written out anew from Stripe's object, not by our own normaliser."""
    said = world.stripe.books.objects[subscription_id]
    row = world.row(user)
    tiers = {price: tier for tier, price in world.prices.items() if price}
    item = said["items"]["data"][0]
    entitled = said["status"] in ("active", "trialing", "past_due")
    renews = not said["cancel_at_period_end"] and said["status"] != "canceled"
    assert row["status"] == STATUS[said["status"]]
    assert row["tier"] == (tiers[item["price"]["id"]] if entitled else "free")
    assert row["stripe_subscription_id"] == subscription_id
    assert row["stripe_customer_id"] == said["customer"]
    assert row["cycle_start_date"] == at(item["current_period_start"])
    assert row["cycle_end_date"] == at(item["current_period_end"])
    assert row["is_auto_renew_enabled"] is renews
    assert row["next_billing_date"] == (at(item["current_period_end"]) if renews and entitled else None)
    assert row["canceled_at"] == at(said["canceled_at"])
    assert row["cancellation_reason"] == said["cancellation_details"]["reason"]


def four_steps(world: World, user: UUID) -> list[Callable[[], object]]:
    """A purchase, a refused renewal, a change of plan that is paid, the end."""
    made: Row = {}

    def buy() -> None:
        made.update(world.subscribe(user, "basic"))

    def refuse() -> None:
        world.control("/card", customer=world.customer(user), card="declined")
        world.control("/renew", subscription=made["id"])

    def upgrade() -> None:
        item = world.api("GET", f"/v1/subscriptions/{made['id']}")["items"]["data"][0]["id"]
        world.control("/card", customer=world.customer(user), card="ok")
        fields = {"items": [{"id": item, "price": world.prices["premium"]}]}
        world.api("POST", f"/v1/subscriptions/{made['id']}", **fields)

    def end() -> None:
        world.api("DELETE", f"/v1/subscriptions/{made['id']}")

    return [buy, refuse, upgrade, end]


def eight_steps(world: World, user: UUID) -> list[Callable[[], object]]:
    buy, refuse, upgrade, end = four_steps(world, user)

    def known() -> str:
        listed = world.api("GET", "/v1/subscriptions", customer=world.customer(user), status="all")
        return str(listed["data"][0]["id"])

    def recover() -> None:
        world.control("/card", customer=world.customer(user), card="ok")
        invoice = world.api("GET", f"/v1/subscriptions/{known()}")["latest_invoice"]
        if world.api("GET", f"/v1/invoices/{invoice}")["status"] == "open":
            world.api("POST", f"/v1/invoices/{invoice}/pay")

    return [
        buy,
        lambda: world.control("/renew", subscription=known()),
        refuse,
        recover,
        upgrade,
        lambda: world.api("POST", f"/v1/subscriptions/{known()}", cancel_at_period_end=True),
        lambda: world.api("POST", f"/v1/subscriptions/{known()}", cancel_at_period_end=False),
        end,
    ]


TOLD = {  # one event for each step of the four
    0: "customer.subscription.created",
    1: "invoice.payment_failed",
    2: "customer.subscription.updated",
    3: "customer.subscription.deleted",
}


def forget(world: World, user: UUID) -> None:
    """The user as before the first event, but for the customer."""
    with world.database.as_superuser() as connection:
        connection.execute("delete from private.stripe_subscription where user_id = %s", [user])
        connection.execute(
            """
            update subscription set tier_id = (select id from subscription_tier where slug = 'free'),
                status_id = (select id from subscription_status where slug = 'active'),
                stripe_subscription_id = null, canceled_at = null,
                cycle_start_date = now(), cycle_end_date = now() + interval '1 month'
            where user_id = %s
            """,
            [user],
        )


@pytest.mark.parametrize("last_step", [2, 3], ids=["while it lives", "when it has ended"])
def test_every_order_of_four_events(world: World, last_step: int) -> None:
    user = world.user()
    events: list[Row] = []
    for number, step in enumerate(four_steps(world, user)[: last_step + 1]):
        seen = len(world.events())
        step()
        events.append(next(one for one in reversed(world.events()[seen:]) if one["type"] == TOLD[number]))
    if last_step == 2:
        events.append(world.events("invoice.paid")[-1])
    for order in itertools.permutations(range(4)):
        forget(world, user)
        for number in order:
            # All at one moment, as events of one second are, and each twice.
            event = {**events[number], "id": f"evt_{last_step}{number}_{order}"[:40].translate(NO_PUNCTUATION)}
            for _ in range(2):
                assert world.deliver({**event, "created": 1_800_000_000})["statusCode"] == 200
        assert_row_is_what_the_api_says(world, user, events[0]["data"]["object"]["id"])


@contextmanager
def held_lock(world: World) -> Iterator[None]:
    """Nobody can write what deliveries write, until the block ends: then they all go on at once."""
    with world.database.connect("supabase_admin", autocommit=False) as holder:
        holder.execute("lock table private.stripe_event, private.stripe_subscription, subscription in share mode")
        yield
        holder.rollback()


@pytest.mark.parametrize("seed", range(RANDOM_ORDERS))
def test_random_orders_of_a_whole_life(world: World, seed: int) -> None:
    """Deliveries fall anywhere after their event: between later steps, twice, several at a time, against a lock."""
    chance = random.Random(seed)
    user = world.user()
    steps = eight_steps(world, user)[: chance.choice((3, 5, 6, 7, 8, 8, 8))]
    waiting: list[Row] = []

    def deliver(event: Row) -> dict[str, Any]:
        answer = world.deliver(event)
        assert answer["statusCode"] == 200, answer
        return answer

    with ThreadPoolExecutor(6) as pool:
        for step in steps:
            seen = len(world.events())
            step()
            waiting += [event for event in world.events()[seen:] for _ in range(chance.choice((1, 1, 2)))]
            chance.shuffle(waiting)
            now = [waiting.pop() for _ in range(chance.randint(0, len(waiting)))]
            list(pool.map(deliver, now))
        with held_lock(world) if seed % 3 == 0 and waiting else nullcontext():
            answers = [pool.submit(deliver, event) for event in waiting]
            if seed % 3 == 0 and waiting:
                wait_until(lambda: blocked_sessions(world.database) > 0)
        for answer in answers:
            answer.result()
    subscription_id = next(
        one["id"] for one in world.stripe.books.all("subscription") if one["customer"] == world.customer(user)
    )
    assert_row_is_what_the_api_says(world, user, subscription_id)


def test_a_reading_begun_earlier_never_replaces_a_later_one(world: World) -> None:
    """The race itself, with the tickets in hand: an old reading that arrives last, and its negative control."""
    user = world.user(subscribed="premium")
    old = stripe.read_subscription(world.stripe.books.all("subscription")[0]["id"])
    world.api("DELETE", f"/v1/subscriptions/{old['id']}")
    new = stripe.read_subscription(old["id"])
    first, second = billing.next_ticket(), billing.next_ticket()
    assert billing.apply_state(ticket=second, subscription=new)["outcome"] == "applied"
    assert billing.apply_state(ticket=first, subscription=old)["outcome"] == "stale"
    assert world.row(user)["tier"] == "free"
    assert billing.apply_state(ticket=billing.next_ticket(), subscription=old)["outcome"] == "applied"
    assert world.row(user)["tier"] == "premium"


def test_the_ticket_is_drawn_before_the_object_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.user(subscribed="premium")
    drawn: list[str] = []

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            drawn.append(name)
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(billing, "begin_event", noting("ticket", billing.begin_event))
    monkeypatch.setattr(stripe, "read_subscription", noting("read", stripe.read_subscription))
    body = json.loads(world.deliver(world.events("customer.subscription.created")[0])["body"])
    assert (drawn, body["outcome"]) == (["ticket", "read"], "applied")
