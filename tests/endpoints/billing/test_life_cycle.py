"""A subscription's life, told by Stripe, and what the user's row says after each step."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.endpoints.billing.conftest import World


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_a_paid_subscription_gives_the_plan(world: World) -> None:
    user = world.user()
    made = world.subscribe(user, "premium")
    world.deliver_all()
    row = world.row(user)
    item = made["items"]["data"][0]
    assert (row["tier"], row["status"]) == ("premium", "active")
    assert row["stripe_subscription_id"] == made["id"]
    assert (row["cycle_start_date"], row["cycle_end_date"]) == (
        at(item["current_period_start"]),
        at(item["current_period_end"]),
    )
    assert row["next_billing_date"] == row["cycle_end_date"]
    assert row["is_auto_renew_enabled"]
    assert world.notices(user) == ["subscription_changed"]
