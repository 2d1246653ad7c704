"""A subscription's life, told by Stripe, and what the user's row says after each step."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from functions.connectors import stripe
from functions.database import billing
from tests.endpoints.billing.conftest import Row, World

DAY_SECONDS = 86_400
Maintenance = Callable[[], dict[str, int]]


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def reading(world: World, user: UUID, **changes: Any) -> Row:
    """A reading of a subscription of this user as Stripe might give it, applied by its ticket."""
    found: Row = {
        "id": f"sub_of_{user.hex}",
        "customer": world.customer(user),
        "status": "active",
        "created": 1_800_000_000,
        "livemode": False,
        "metadata": {"user_id": str(user)},
        "items": {
            "data": [
                {
                    "id": "si_1",
                    "price": {"id": world.prices["premium"]},
                    "created": 1_800_000_000,
                    "current_period_start": 1_800_000_000,
                    "current_period_end": 1_802_592_000,
                }
            ]
        },
        **changes,
    }
    return billing.apply_state(ticket=billing.next_ticket(), subscription=stripe.subscription(found))


def test_a_paid_subscription_gives_the_plan(world: World) -> None:
    user = world.user()
    made = world.subscribe(user, "premium")
    world.deliver_all()
    row, item = world.row(user), made["items"]["data"][0]
    assert (row["tier"], row["status"]) == ("premium", "active")
    assert row["stripe_subscription_id"] == made["id"]
    period = (at(item["current_period_start"]), at(item["current_period_end"]))
    assert (row["cycle_start_date"], row["cycle_end_date"]) == period
    assert row["next_billing_date"] == row["cycle_end_date"]
    assert row["is_auto_renew_enabled"]
    assert world.notices(user) == ["subscription_changed"]


@pytest.mark.parametrize(
    ("said", "status", "tier"),
    [
        ("active", "active", "premium"),
        ("trialing", "trialing", "premium"),
        ("past_due", "past_due", "premium"),
        ("unpaid", "past_due", "free"),
        ("incomplete", "past_due", "free"),
        ("incomplete_expired", "canceled", "free"),
        ("canceled", "canceled", "free"),
        ("paused", "paused", "free"),
    ],
)
def test_each_of_stripes_states_is_one_of_the_five(world: World, said: str, status: str, tier: str) -> None:
    user = world.user()
    reading(world, user, status=said)
    row = world.row(user)
    assert (row["status"], row["tier"]) == (status, tier)


@pytest.mark.parametrize(
    ("behavior", "tier"), [("keep_as_draft", "premium"), ("mark_uncollectible", "premium"), ("void", "free")]
)
def test_paused_collection(world: World, behavior: str, tier: str) -> None:
    """Two of Stripe's three ways give the service on; `void` is for who cannot give it."""
    user = world.user()
    reading(world, user)
    reading(world, user, pause_collection={"behavior": behavior, "resumes_at": None})
    assert (world.row(user)["status"], world.row(user)["tier"]) == ("paused", tier)
    reading(world, user)
    assert (world.row(user)["status"], world.row(user)["tier"]) == ("active", "premium")


def test_a_state_of_tomorrow_changes_nothing_and_is_told(world: World) -> None:
    user = world.user()
    reading(world, user)
    assert reading(world, user, status="hibernating")["alerts"] == ["unknown_status"]
    assert (world.row(user)["status"], world.row(user)["tier"]) == ("active", "premium")
    assert len(world.audit(user, "billing.unknown_status")) == 1


def test_an_unknown_price_is_told_and_changes_no_plan(world: World) -> None:
    user = world.user()
    items = {"data": [{"id": "si_1", "price": {"id": "price_of_another_product"}}]}
    for _ in range(2):
        assert reading(world, user, items=items)["alerts"] == ["unknown_price"]
    assert world.row(user)["tier"] == "free"
    reading(world, user)
    assert reading(world, user, items=items)["alerts"] == ["unknown_price"]
    assert world.row(user)["tier"] == "premium"
    [entry] = world.audit(user, "billing.unknown_price")
    assert entry["new_values"]["price_id"] == "price_of_another_product"


def test_a_price_that_is_no_longer_sold_keeps_its_plan(world: World) -> None:
    user = world.user()
    with world.database.as_owner() as owner:
        owner.execute("update subscription_tier set stripe_price_id = 'price_dearer' where slug = 'premium'")
    reading(world, user)
    assert world.row(user)["tier"] == "premium"


def test_old_and_new_shapes_are_read_alike(world: World) -> None:
    old, new = world.user(), world.user()
    period = {"current_period_start": 1_800_000_000, "current_period_end": 1_802_592_000}
    reading(world, old, items={"data": [{"id": "si_1", "plan": {"id": world.prices["premium"]}}]}, **period)
    reading(world, new)
    columns = ("tier", "status", "cycle_start_date", "cycle_end_date", "next_billing_date")
    assert [world.row(old)[name] for name in columns] == [world.row(new)[name] for name in columns]


def test_a_renewal_rolls_the_cycle_through_the_ledger_once(world: World) -> None:
    user = world.user(subscribed="premium")
    world.deliver_all()
    with world.database.as_service() as service:
        service.execute("select consume_quota(%s, 'sync', 7, 'k')", [user])
    subscription_id = world.row(user)["stripe_subscription_id"]
    world.control("/renew", subscription=subscription_id)
    for event in world.events() * 2:
        assert world.deliver(event)["statusCode"] == 200
    row = world.row(user)
    assert row["syncs_used"] == 0
    with world.database.as_superuser() as connection:
        resets = connection.execute(
            "select amount, reason from quota_usage_history where user_id = %s and operation = 'reset'",
            [user],
        ).fetchall()
    assert [(one["amount"], one["reason"]) for one in resets] == [(7, "plan renewed")]


def test_a_cycle_that_rolled_by_itself_is_not_reset_again_by_a_late_renewal(world: World) -> None:
    user = world.user()
    start = int(datetime.now(UTC).timestamp()) - 31 * DAY_SECONDS
    item = {"id": "si_1", "price": {"id": world.prices["premium"]}}
    end = start + 30 * DAY_SECONDS
    reading(world, user, items={"data": [item | {"current_period_start": start, "current_period_end": end}]})
    with world.database.as_service() as service:
        service.execute("select consume_quota(%s, 'sync', 3, 'k')", [user])  # rolls, for the cycle is over
    rolled = world.row(user)["cycle_start_date"]
    assert rolled >= at(end)
    reading(world, user, items={"data": [item | {"current_period_start": start, "current_period_end": end}]})
    assert (world.row(user)["cycle_start_date"], world.row(user)["syncs_used"]) == (rolled, 3)
    after = int(rolled.timestamp())
    reading(world, user, items={"data": [item | {"current_period_start": after, "current_period_end": after + 100}]})
    assert (world.row(user)["syncs_used"], world.row(user)["cycle_end_date"]) == (3, at(after + 100))


def test_a_refused_renewal_leaves_the_plan_for_a_grace_period(world: World, maintenance: Maintenance) -> None:
    user = world.user(subscribed="premium")
    world.deliver_all()
    world.control("/card", customer=world.customer(user), card="declined")
    world.control("/renew", subscription=world.row(user)["stripe_subscription_id"])
    for event in world.events() * 2:
        world.deliver(event)
    row = world.row(user)
    assert (row["status"], row["tier"]) == ("past_due", "premium")
    assert world.notices(user) == ["subscription_changed", "payment_failed"]
    assert maintenance()["grace_periods_ended"] == 0
    with world.database.as_owner() as owner:
        owner.execute("update subscription set past_due_since = now() - interval '8 days' where user_id = %s", [user])
    assert maintenance()["grace_periods_ended"] <= 1
    assert (world.row(user)["status"], world.row(user)["tier"]) == ("past_due", "free")
    assert world.notices(user) == ["subscription_changed", "payment_failed", "subscription_changed"]
    # Paying brings it all back.
    world.control("/card", customer=world.customer(user), card="ok")
    invoice = world.api("GET", f"/v1/subscriptions/{row['stripe_subscription_id']}")["latest_invoice"]
    world.api("POST", f"/v1/invoices/{invoice}/pay")
    world.deliver_all()
    row = world.row(user)
    assert (row["status"], row["tier"], row["past_due_since"]) == ("active", "premium", None)


def test_a_trial_and_its_end(world: World) -> None:
    user = world.user(subscribed="basic", trial_period_days=14)
    world.deliver_all()
    row = world.row(user)
    assert (row["status"], row["tier"]) == ("trialing", "basic")
    assert row["trial_ends_at"] == row["cycle_end_date"]
    assert "trial_ending" not in world.notices(user)
    event = {"id": "evt_trial", "object": "event", "type": "customer.subscription.trial_will_end", "created": 1}
    event |= {"livemode": False, "data": {"object": {"id": row["stripe_subscription_id"]}}}
    world.deliver(event)
    world.deliver({**event, "id": "evt_trial_again"})
    assert world.notices(user).count("trial_ending") == 1
    world.api("POST", f"/v1/subscriptions/{row['stripe_subscription_id']}", trial_end="now")
    world.stripe.books.settle_due()
    world.deliver_all()
    assert (world.row(user)["status"], world.row(user)["trial_ends_at"]) == ("active", None)


def test_a_trial_without_a_card_that_pauses(world: World) -> None:
    user = world.user()
    clock = world.api("POST", "/v1/test_helpers/test_clocks", frozen_time=1_800_000_000)["id"]
    customer = world.api("POST", "/v1/customers", test_clock=clock)["id"]
    with world.database.as_owner() as owner:
        owner.execute("update subscription set stripe_customer_id = %s where user_id = %s", [customer, user])
    behaviour = {"end_behavior": {"missing_payment_method": "pause"}}
    world.subscribe(user, "basic", trial_period_days=7, trial_settings=behaviour)
    world.api("POST", f"/v1/test_helpers/test_clocks/{clock}/advance", frozen_time=1_800_000_000 + 8 * DAY_SECONDS)
    world.deliver_all()
    assert (world.row(user)["status"], world.row(user)["tier"]) == ("paused", "free")


def test_a_scheduled_cancellation_and_its_end(world: World) -> None:
    user = world.user(subscribed="premium")
    world.deliver_all()
    subscription_id = world.row(user)["stripe_subscription_id"]
    fields = {"cancel_at_period_end": True, "cancellation_details": {"feedback": "too_expensive"}}
    world.api("POST", f"/v1/subscriptions/{subscription_id}", **fields)
    world.deliver_all()
    row = world.row(user)
    assert (row["tier"], row["status"]) == ("premium", "active")
    assert not row["is_auto_renew_enabled"]
    assert row["next_billing_date"] is None
    assert row["ends_at"] == row["cycle_end_date"]
    assert row["cancellation_reason"] == "cancellation_requested"
    world.api("DELETE", f"/v1/subscriptions/{subscription_id}")
    world.deliver_all()
    assert (world.row(user)["tier"], world.row(user)["status"]) == ("free", "canceled")


def test_metadata_of_another_user_never_reaches_that_user(world: World) -> None:
    a, b = world.user(), world.user()
    before = world.row(b)
    answer = reading(world, a, metadata={"user_id": str(b)})
    assert answer["alerts"] == ["customer_mismatch"]
    assert answer["user_id"] == str(a)
    assert world.row(b) == before
    assert len(world.audit(a, "billing.customer_mismatch")) == 1
    # An unclaimed customer that names somebody who has another customer is refused.
    world.customer(b)
    before = world.row(b)
    found = {"id": "sub_x", "customer": "cus_unknown", "status": "active", "metadata": {"user_id": str(b)}}
    refused = billing.apply_state(ticket=billing.next_ticket(), subscription=stripe.subscription(found))
    assert refused["outcome"] == "refused"
    assert world.row(b) == before


def test_metadata_helps_where_no_customer_was_claimed(world: World) -> None:
    user = world.user()
    found = {"id": "sub_by_hand", "customer": "cus_by_hand", "status": "active", "metadata": {"user_id": str(user)}}
    found["items"] = {"data": [{"id": "si_1", "price": world.prices["basic"]}]}
    billing.apply_state(ticket=billing.next_ticket(), subscription=stripe.subscription(found))
    row = world.row(user)
    assert (row["tier"], row["stripe_customer_id"]) == ("basic", "cus_by_hand")


def test_two_first_events_of_an_unclaimed_customer_at_once(world: World) -> None:
    """Both bind the customer; one waits for the other, and neither is turned away."""
    user = world.user()
    found: Row = {"customer": "cus_raced", "status": "active", "metadata": {"user_id": str(user)}}
    found["items"] = {"data": [{"id": "si_1", "price": world.prices["basic"]}]}
    with ThreadPoolExecutor(2) as pool, world.database.connect("supabase_admin", autocommit=False) as holder:
        holder.execute("select 1 from subscription where user_id = %s for update", [user])
        answers = [
            pool.submit(
                billing.apply_state,
                ticket=billing.next_ticket(),
                subscription=stripe.subscription({**found, "id": f"sub_raced_{number}"}),
            )
            for number in range(2)
        ]
        with world.database.as_superuser() as watcher:
            waiting = "select count(*) as n from pg_stat_activity where datname = current_database()"
            while watcher.execute(f"{waiting} and wait_event_type = 'Lock'".encode()).fetchone() != {"n": 2}:
                pass
        holder.rollback()
        assert {answer.result()["user_id"] for answer in answers} == {str(user)}
    assert world.row(user)["tier"] == "basic"


@pytest.mark.parametrize("named", ["nobody", "", "00000000-0000-4000-8000-000000000000", None])
def test_a_stranger_of_the_same_stripe_account_is_not_ours(world: World, named: str | None) -> None:
    found = {"id": "sub_stranger", "customer": "cus_stranger", "status": "active", "metadata": {"user_id": named}}
    answer = billing.apply_state(ticket=billing.next_ticket(), subscription=stripe.subscription(found))
    assert answer["outcome"] in ("not_ours", "refused")
    assert answer["user_id"] is None


def test_the_subscription_that_gives_most_counts(world: World) -> None:
    """An old one that ends after a new one began takes nothing away."""
    user = world.user(subscribed="basic")
    first = world.stripe.books.all("subscription")[0]["id"]
    second = world.subscribe(user, "premium")["id"]
    world.api("DELETE", f"/v1/subscriptions/{first}")
    for event in reversed(world.events()):
        assert world.deliver(event)["statusCode"] == 200
    row = world.row(user)
    assert (row["tier"], row["stripe_subscription_id"]) == ("premium", second)


def test_paying_twice_is_told(world: World) -> None:
    user = world.user(subscribed="basic")
    world.subscribe(user, "premium")
    for _ in range(2):
        for event in world.events("customer.subscription.created"):
            world.deliver({**event, "id": f"{event['id']}_{_}"})
    assert world.row(user)["tier"] in ("basic", "premium")
    [entry] = world.audit(user, "billing.several_subscriptions")
    assert len(entry["new_values"]["stripe_subscription_ids"]) == 2


def test_a_deleted_customer_is_forgotten_and_its_subscription_ended(world: World) -> None:
    user = world.user(subscribed="premium")
    world.deliver_all()
    customer = world.row(user)["stripe_customer_id"]
    world.api("DELETE", f"/v1/customers/{customer}")
    for event in reversed(world.events()):
        assert world.deliver(event)["statusCode"] == 200
    row = world.row(user)
    assert (row["tier"], row["status"], row["stripe_customer_id"]) == ("free", "canceled", None)
    assert world.call(user, "/billing/checkout", tier="basic")[0] == 200
    assert world.row(user)["stripe_customer_id"] not in (None, customer)


def test_an_event_after_the_user_is_gone_is_not_ours(world: World) -> None:
    user = world.user(subscribed="premium")
    world.deliver_all()
    subscription_id = world.row(user)["stripe_subscription_id"]
    world.database.delete_user(user)
    world.api("DELETE", f"/v1/subscriptions/{subscription_id}")
    for event in world.events():
        assert world.deliver(event)["statusCode"] == 200
