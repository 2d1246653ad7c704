"""What maintenance and operators do: usage to meters, drift repaired, lost events found, dead ones replayed."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from functions.connectors import stripe
from functions.database import billing
from functions.stripe_webhook import __main__ as operators
from tests.endpoints.billing.conftest import World

Maintenance = Callable[[], dict[str, int]]


def buy(world: World, user: UUID, tier: str = "premium") -> None:
    world.browse(world.call(user, "/billing/checkout", tier=tier)[1]["url"])
    world.deliver_all()


def charge(world: World, user: UUID, quota_type: str, amount: int, key: str, *, settle: bool = True) -> None:
    with world.database.as_service() as service:
        service.execute("select consume_quota(%s, %s, %s, %s)", [user, quota_type, amount, key])
        if settle:
            service.execute("select settle_quota(%s, %s)", [user, key])


def counted(world: World) -> dict[tuple[str, str], int]:
    """What the meters know: (event name, customer) -> total."""
    totals: dict[tuple[str, str], int] = {}
    for event in world.stripe.books.meter_events.values():
        key = (event["event_name"], event["payload"]["stripe_customer_id"])
        totals[key] = totals.get(key, 0) + int(event["payload"]["value"])
    return totals


def sql(world: World, statement: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
    with world.database.as_superuser() as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


# ------------------------------------------------------------------------------------------------ usage


def test_settled_usage_reaches_the_meters_once(world: World, maintenance: Maintenance) -> None:
    user, free = world.user(), world.user()
    charge(world, user, "sync", 9, "before the plan")
    buy(world, user)
    charge(world, user, "sync", 2, "a")
    charge(world, user, "sync", 3, "b")
    charge(world, user, "ai_analysis", 1, "c")
    charge(world, user, "seo_submission", 4, "not settled", settle=False)
    charge(world, free, "sync", 5, "of a free plan")
    customer = world.row(user)["stripe_customer_id"]
    for _ in range(3):
        maintenance()
    assert counted(world) == {("streamvibe_syncs", customer): 5, ("streamvibe_analyses", customer): 1}


def test_usage_whose_answer_was_lost_is_not_counted_twice(world: World, maintenance: Maintenance) -> None:
    user = world.user()
    buy(world, user)
    for number in range(5):
        charge(world, user, "sync", 1, f"k{number}")
    # Stripe counts the first one, and its answer never arrives; then Stripe is away.
    world.fault(path="/v1/billing/meter_events", times=None, after=True, drop=True)
    maintenance()
    world.clear_faults()
    assert 1 <= len(world.stripe.books.meter_events) <= 5
    assert maintenance()["usage_reported"] == 0  # still leased
    sql(world, "update private.stripe_usage set leased_until = leased_until - interval '2 minutes'")
    assert maintenance()["usage_reported"] == 5
    assert sum(counted(world).values()) == 5


def test_two_rounds_at_once_share_the_work(world: World) -> None:
    from functions.maintenance import billing as jobs

    user = world.user()
    buy(world, user)
    for number in range(30):
        charge(world, user, "sync", 1, f"k{number}")
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: jobs.report_usage(float("inf")), range(4)))
    assert sum(done) == 30
    assert sum(counted(world).values()) == 30


def test_usage_that_stripe_refuses_is_kept_with_the_reason(world: World, maintenance: Maintenance) -> None:
    user = world.user()
    buy(world, user)
    charge(world, user, "sync", 1, "refused")
    world.fault(path="/v1/billing/meter_events", times=1, status=400, body={"error": {"code": "archived_meter"}})
    maintenance()
    charge(world, user, "sync", 1, "too old")
    world.fault(path="/v1/billing/meter_events", times=None, status=500)
    maintenance()
    world.clear_faults()
    sql(world, "update private.stripe_usage set occurred_at = occurred_at - interval '35 days', leased_until = null")
    maintenance()
    rows = sql(world, "select last_error from private.stripe_usage where refused_at is not null order by created_at")
    assert [row["last_error"] for row in rows] == ["archived_meter", "too_old"]
    assert counted(world) == {}


@pytest.mark.parametrize("status", [401, 403])
def test_usage_waits_while_stripe_does_not_take_our_key(world: World, maintenance: Maintenance, status: int) -> None:
    user = world.user()
    buy(world, user)
    charge(world, user, "sync", 3, "kept")
    world.fault(path="/v1/billing/meter_events", times=None, status=status, body={"error": {"type": "x"}})
    assert maintenance()["usage_reported"] == 0
    world.clear_faults()
    sql(world, "update private.stripe_usage set leased_until = null")
    assert maintenance()["usage_reported"] == 1
    assert sum(counted(world).values()) == 3


# ------------------------------------------------------------------------------------------------ reconciliation


def test_a_change_that_no_event_told_is_found(world: World, maintenance: Maintenance) -> None:
    user = world.user(subscribed="premium")
    world.deliver_all()
    world.api("DELETE", f"/v1/subscriptions/{world.row(user)['stripe_subscription_id']}")
    world.events().clear()
    maintenance()
    assert (world.row(user)["tier"], world.row(user)["status"]) == ("free", "canceled")
    [entry] = world.audit(user, "billing.repaired")
    assert entry["old_values"]["tier_id"] != entry["new_values"]["tier_id"]
    maintenance()
    assert len(world.audit(user, "billing.repaired")) == 1


def test_a_row_that_somebody_bent_is_put_right(world: World, maintenance: Maintenance) -> None:
    user = world.user(subscribed="premium")
    world.deliver_all()
    tier = "(select id from subscription_tier where slug = 'free')"
    sql(world, f"update subscription set tier_id = {tier}, is_auto_renew_enabled = false where user_id = %s", [user])
    maintenance()
    assert (world.row(user)["tier"], world.row(user)["is_auto_renew_enabled"]) == ("premium", True)
    assert len(world.audit(user, "billing.repaired")) == 1


def test_a_purchase_whose_every_event_was_lost_is_found(world: World, maintenance: Maintenance) -> None:
    user = world.user()
    world.browse(world.call(user, "/billing/checkout", tier="premium")[1]["url"])
    maintenance()
    assert world.row(user)["tier"] == "premium"


def test_only_what_may_still_change_is_read_again(world: World) -> None:
    """Ended subscriptions, expired and paid pages have said their last word."""
    user, other = world.user(subscribed="premium"), world.user()
    world.deliver_all()
    ended = world.row(user)["stripe_subscription_id"]
    world.api("DELETE", f"/v1/subscriptions/{ended}")
    world.deliver_all()
    world.call(other, "/billing/checkout", tier="basic")
    world.api("POST", f"/v1/checkout/sessions/{world.stripe.books.all('checkout.session')[0]['id']}/expire")
    world.deliver_all()
    buy(world, world.user())
    due = {row["id"] for row in billing.claim_readings(1000)}
    assert ended not in due
    assert not due & {one["id"] for one in world.stripe.books.all("checkout.session")}
    assert world.stripe.books.all("subscription")[0]["id"] in due


def test_a_subscription_known_by_its_id_only_is_read(world: World, maintenance: Maintenance) -> None:
    user = world.user(subscribed="premium")
    world.deliver_all()
    sql(world, "delete from private.stripe_subscription where user_id = %s", [user])
    sql(world, "update subscription set next_billing_date = null where user_id = %s", [user])
    maintenance()
    assert world.row(user)["next_billing_date"] is not None


def test_a_stripe_that_is_down_or_forgetful_takes_nothing_away(world: World, maintenance: Maintenance) -> None:
    user = world.user(subscribed="premium")
    world.deliver_all()
    for fault in ({"status": 500}, {"status": 404, "body": {"error": {"code": "resource_missing"}}}, {"status": 401}):
        world.fault(path="/v1/subscriptions", times=None, **fault)
        assert maintenance()["readings"] == 0
        world.clear_faults()
        assert world.row(user)["tier"] == "premium"


# ------------------------------------------------------------------------------------------------ events


def test_an_event_that_failed_is_taken_up_by_maintenance(world: World, maintenance: Maintenance) -> None:
    user = world.user(subscribed="premium")
    event = world.events("customer.subscription.created")[0]
    world.fault(path="/v1/subscriptions", times=None, status=500)
    world.deliver(event)
    world.clear_faults()
    assert maintenance()["events_retried"] == 0  # too soon
    sql(world, "update private.stripe_event set attempted_at = attempted_at - interval '6 minutes'")
    assert maintenance()["events_retried"] == 1
    assert world.row(user)["tier"] == "premium"
    assert world.inbox()[event["id"]]["attempts"] == 3
    assert json.loads(world.deliver(event)["body"])["outcome"] == "duplicate"


def test_dead_events_are_listed_and_replayed(
    world: World, maintenance: Maintenance, capsys: pytest.CaptureFixture[str]
) -> None:
    user = world.user(subscribed="premium")
    event = world.events("customer.subscription.created")[0]
    world.fault(path="/v1/subscriptions", times=None, status=500)
    world.deliver(event)
    sql(world, "update private.stripe_event set attempts = 99, attempted_at = attempted_at - interval '1 day'")
    assert maintenance()["events_retried"] == 0
    capsys.readouterr()
    assert operators.main(["list", "--dead"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    listed = json.loads(line)
    assert (listed["id"], listed["is_dead"], listed["last_error"]) == (event["id"], True, "upstream_unavailable")
    assert operators.main(["replay", "--failed"]) == 1
    world.clear_faults()
    assert world.row(user)["tier"] == "free"
    assert operators.main(["replay", "--failed"]) == 0
    assert world.row(user)["tier"] == "premium"
    capsys.readouterr()
    assert operators.main(["list"]) == 0
    assert capsys.readouterr().out == ""


def test_one_event_is_replayed_from_stripe_even_if_it_never_arrived_or_is_done(world: World) -> None:
    user = world.user(subscribed="premium")
    event = world.events("customer.subscription.created")[0]
    for _ in range(2):
        assert operators.main(["replay", event["id"]]) == 0
        assert world.row(user)["tier"] == "premium"
    sql(world, "update subscription set next_billing_date = null where user_id = %s", [user])
    assert operators.main(["replay", event["id"]]) == 0
    assert world.row(user)["next_billing_date"] is not None
    ignored = world.events("customer.created")[0]
    assert operators.main(["replay", ignored["id"]]) == 0


def test_an_event_that_stripe_no_longer_has_is_replayed_from_the_inbox(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    user = world.user(subscribed="premium")
    event = world.events("customer.subscription.created")[0]
    world.fault(path="/v1/subscriptions", times=None, status=500)
    assert world.deliver(event)["statusCode"] == 503
    world.clear_faults()
    world.fault(path="/v1/events", times=None, status=404, body={"error": {"code": "resource_missing"}})
    assert operators.main(["replay", event["id"]]) == 0
    assert world.row(user)["tier"] == "premium"
    capsys.readouterr()
    assert operators.main(["replay", event["id"]]) == 0  # done, and read again all the same
    assert event["id"] in capsys.readouterr().out


def test_a_reading_that_nobody_understands_keeps_no_other_from_its_turn(world: World, maintenance: Maintenance) -> None:
    users = [world.user(subscribed="basic") for _ in range(2)]
    world.deliver_all()
    first = min(world.row(user)["stripe_subscription_id"] for user in users)
    for user in users:
        world.api("DELETE", f"/v1/subscriptions/{world.row(user)['stripe_subscription_id']}")
    world.events().clear()
    world.fault(path=f"/v1/subscriptions/{first}", times=None, status=200, body="<html>")
    assert maintenance()["readings"] == 1
    assert sorted(world.row(user)["tier"] for user in users) == ["basic", "free"]


def test_old_records_are_forgotten_and_failed_events_are_not(world: World, maintenance: Maintenance) -> None:
    world.user(subscribed="premium")
    world.deliver_all()
    sql(world, "update private.stripe_event set done_at = done_at - interval '36 days'")
    billing.begin_event("evt_pending", "customer.subscription.updated", "sub_1", 1)
    assert maintenance()["records_forgotten"] > 0
    assert list(world.inbox()) == ["evt_pending"]
    sql(world, "delete from private.stripe_event")


# ------------------------------------------------------------------------------------------------ account deletion


def test_cancelling_everything_of_a_customer(world: World) -> None:
    user = world.user()
    buy(world, user)
    world.call(user, "/billing/checkout", tier="basic")
    account = billing.account(str(user))
    stripe.cancel_customer(account["customer_id"])
    stripe.cancel_customer(account["customer_id"])
    assert {one["status"] for one in world.stripe.books.all("subscription")} == {"canceled"}
    stripe.cancel_subscription(account["subscription_id"])
    stripe.cancel_subscription("sub_nowhere")
    stripe.cancel_customer("cus_nowhere")
