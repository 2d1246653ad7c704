"""The billing domain of the database (sql/…003500_stripe.sql): inbox, readings, checkout, usage, repair.

Shapes of what is passed as `subscription` and `checkout` are those of `functions.connectors.stripe`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from functions.database.client import rpc

Row = dict[str, Any]


def begin_event(event_id: str, event_type: str, object_id: str, created: int | None) -> Row:
    """Store an event's arrival: `{done: true}`, or `{done: false, ticket}`. Read the object after this, not before."""
    created_at = datetime.fromtimestamp(created, UTC).isoformat() if created is not None else None
    answer: Row = rpc(
        "begin_stripe_event", event_id=event_id, event_type=event_type, object_id=object_id, created_at=created_at
    )
    return answer


def close_event(event_id: str, event_type: str, object_id: str, outcome: str) -> None:
    """Commit the decision to do nothing about an event."""
    rpc("close_stripe_event", event_id=event_id, event_type=event_type, object_id=object_id, outcome=outcome)


def fail_event(event_id: str, error: str) -> bool:
    """Note a failed attempt. True if another attempt has succeeded meanwhile."""
    return bool(rpc("fail_stripe_event", event_id=event_id, error=error))


def claim_events(max_events: int, *, now_please: bool = False) -> list[Row]:
    """Events whose effect is still missing, for another attempt: `[{id, type, object_id, created}]` (Unix seconds)."""
    return list(rpc("claim_stripe_events", max_events=max_events, now_please=now_please))


def list_events(*, only_dead: bool = False, event_id: str | None = None) -> list[Row]:
    """Events without effect, oldest first; with an id that event alone, even if it is done."""
    return list(rpc("list_stripe_events", only_dead=only_dead, event_id=event_id))


def purge(max_rows: int) -> int:
    """Forget events, usage and checkouts that were done long ago; how many."""
    return int(rpc("purge_stripe_records", max_rows=max_rows))


def next_ticket() -> int:
    """A ticket for a reading that no event asked for."""
    return int(rpc("next_stripe_ticket"))


def apply_state(
    *, ticket: int, subscription: Row | None, checkout: Row | None = None, event: tuple[str, str] | None = None
) -> Row:
    """Keep what was read and compute the user's plan from it: `{outcome, user_id, changed, alerts}`.

    `event` is (id, type) of the event that asked for the reading; it is marked done in the same transaction.
    """
    event_id, event_type = event or (None, None)
    answer: Row = rpc(
        "apply_stripe_state",
        event_id=event_id,
        event_type=event_type,
        ticket=ticket,
        subscription=subscription,
        checkout=checkout,
    )
    return answer


def forget_customer(customer_id: str, event_id: str | None = None) -> Row:
    """A customer was deleted at Stripe, as an event says or a call found out: `{outcome, user_id}`."""
    answer: Row = rpc("forget_stripe_customer", event_id=event_id, customer_id=customer_id)
    return answer


def claim_readings(max_readings: int) -> list[Row]:
    """What to read again, wrong-looking ones first: `[{kind: subscription | checkout, id}]`."""
    return list(rpc("claim_stripe_readings", max_readings=max_readings))


def expire_grace_periods(max_users: int) -> int:
    """Take the plan from users whose grace period is over; how many."""
    return int(rpc("expire_grace_periods", max_users=max_users))


def account(user_id: str) -> Row:
    """What Stripe knows a user by: `{customer_id, subscription_id, item_id, price_id}`, null where there is none."""
    return rpc("billing_account", user_id=user_id) or {}


def begin_checkout(user_id: str, tier: str) -> Row:
    """Prepare a checkout, or the change of a plan that the user has; see the function's comment for both shapes.

    Raises NotFoundError, InvalidRequestError (plan_is_free) or ConflictError (already_on_this_plan, plan_not_for_sale).
    """
    answer: Row = rpc("begin_checkout", user_id=user_id, tier=tier)
    return answer


def record_customer(user_id: str, claim: str, customer_id: str) -> str:
    """Bind a customer to the claim that it was made for; the customer that counts."""
    return str(rpc("record_stripe_customer", user_id=user_id, claim=claim, customer_id=customer_id))


def record_checkout(attempt: str, session_id: str, url: str) -> bool:
    """Remember the page that was opened for an attempt. False if another click has replaced the attempt meanwhile."""
    return bool(rpc("record_checkout", attempt=attempt, session_id=session_id, url=url))


def claim_usage(max_rows: int) -> list[Row]:
    """Settled usage that Stripe has not been told: `[{id, customer_id, event_name, value, timestamp}]`."""
    return list(rpc("claim_stripe_usage", max_rows=max_rows))


def finish_usage(usage_id: str, error: str | None = None) -> None:
    """Stripe has counted it or, with an error, will never take it."""
    rpc("finish_stripe_usage", usage_id=usage_id, error=error)


def set_tier_price(tier: str, price_id: str, product_id: str) -> None:
    """Sell a plan at a price of Stripe's from now on."""
    rpc("set_tier_price", tier=tier, price_id=price_id, product_id=product_id)


def set_metered_price(quota_type: str, price_id: str, event_name: str) -> None:
    """Name the metered price of a quota, and the event name of its meter."""
    rpc("set_metered_price", quota_type=quota_type, price_id=price_id, event_name=event_name)
