"""Stripe's objects as plain dicts in the shape of version 2026-10-28.endive, and their older shapes.

Only fields that a client of this product could read are kept; absent ones are those that Stripe sends as null.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable
from typing import Any

API_VERSION = "2026-10-28.endive"
# Versions before 2025-03-31.basil keep the period on the subscription and the subscription on the invoice.
PERIODS_ON_ITEMS_SINCE = "2025-03-31"
MONTH_SECONDS = 2_592_000  # thirty days: the simulator's months are all alike

Object = dict[str, Any]


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def listing(data: list[Object], url: str, *, has_more: bool = False) -> Object:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def customer(fields: Object, now: int) -> Object:
    return {
        "id": new_id("cus"),
        "object": "customer",
        "created": now,
        "livemode": False,
        "email": None,
        "name": None,
        "description": None,
        "metadata": {},
        "balance": 0,
        "currency": "usd",
        "delinquent": False,
        "default_source": None,
        "invoice_settings": {"default_payment_method": None},
        "test_clock": None,
        **fields,
    }


def price(fields: Object, now: int) -> Object:
    return {
        "id": new_id("price"),
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": now,
        "currency": "usd",
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": None,
        "recurring": {"interval": "month", "interval_count": 1, "meter": None, "usage_type": "licensed"},
        "tax_behavior": "unspecified",
        "type": "recurring",
        "unit_amount": 0,
        **fields,
    }


def item(price_object: Object, quantity: int | None, *, subscription: str, start: int, end: int, now: int) -> Object:
    metered = price_object["recurring"]["usage_type"] == "metered"
    return {
        "id": new_id("si"),
        "object": "subscription_item",
        "created": now,
        "metadata": {},
        "discounts": [],
        "price": price_object,
        **({} if metered else {"quantity": quantity or 1}),
        "subscription": subscription,
        "tax_rates": [],
        "current_period_start": start,
        "current_period_end": end,
    }


def subscription(fields: Object, items: list[Object], now: int) -> Object:
    made = {
        "id": new_id("sub"),
        "object": "subscription",
        "application": None,
        "billing_cycle_anchor": now,
        "billing_mode": {"type": "classic"},
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": now,
        "currency": "usd",
        "customer": None,
        "default_payment_method": None,
        "discounts": [],
        "ended_at": None,
        "latest_invoice": None,
        "livemode": False,
        "metadata": {},
        "pause_collection": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": "incomplete",
        "test_clock": None,
        "trial_end": None,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": None,
        **fields,
    }
    made["items"] = listing(items, f"/v1/subscription_items?subscription={made['id']}")
    return made


def invoice(subscription_object: Object, reason: str, amount: int, now: int) -> Object:
    first = subscription_object["items"]["data"][0]
    identity = new_id("in")
    return {
        "id": identity,
        "object": "invoice",
        "amount_due": amount,
        "amount_paid": 0,
        "amount_remaining": amount,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "billing_reason": reason,
        "collection_method": subscription_object["collection_method"],
        "created": now,
        "currency": "usd",
        "customer": subscription_object["customer"],
        "hosted_invoice_url": f"https://invoice.stripe.com/i/{identity}",
        "lines": listing(
            [_line(one, identity) for one in subscription_object["items"]["data"]], f"/v1/invoices/{identity}/lines"
        ),
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "parent": {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {
                "subscription": subscription_object["id"],
                "metadata": dict(subscription_object["metadata"]),
            },
        },
        "period_start": first["current_period_start"],
        "period_end": first["current_period_start"],
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": amount,
        "total": amount,
    }


def _line(item_object: Object, invoice_id: str) -> Object:
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": amount_of(item_object),
        "currency": "usd",
        "invoice": invoice_id,
        "period": {"start": item_object["current_period_start"], "end": item_object["current_period_end"]},
        "pricing": {
            "type": "price_details",
            "price_details": {"price": item_object["price"]["id"], "product": item_object["price"]["product"]},
        },
        "parent": {
            "type": "subscription_item_details",
            "subscription_item_details": {
                "subscription": item_object["subscription"],
                "subscription_item": item_object["id"],
                "proration": False,
            },
        },
        "quantity": item_object.get("quantity"),
    }


def amount_of(item_object: Object) -> int:
    """What a period of this item costs; metered items are free of charge here."""
    if item_object["price"]["recurring"]["usage_type"] == "metered":
        return 0
    return int(item_object["price"]["unit_amount"] or 0) * int(item_object.get("quantity") or 1)


def expand(value: Any, path: str, find: Callable[[str], Object | None]) -> Any:
    """A copy of `value` where the id at `path` (`data.latest_invoice.customer`) is replaced by its object."""
    head, _, rest = path.partition(".")
    if isinstance(value, list):
        return [expand(one, path, find) for one in value]
    if not isinstance(value, dict) or head not in value:
        return value
    inner = value[head]
    if isinstance(inner, str):
        inner = copy.deepcopy(find(inner)) or inner
    return {**value, head: expand(inner, rest, find) if rest else inner}


def render(value: Any, version: str) -> Any:
    """`value` in the shape of an API version (a date, or a date with a name)."""
    if isinstance(value, list):
        return [render(one, version) for one in value]
    if not isinstance(value, dict):
        return value
    shown = {key: render(inner, version) for key, inner in value.items()}
    if version[:10] >= PERIODS_ON_ITEMS_SINCE:
        return shown
    if shown.get("object") == "subscription":
        first = value["items"]["data"][0]
        shown["current_period_start"] = first["current_period_start"]
        shown["current_period_end"] = first["current_period_end"]
        shown["quantity"] = first.get("quantity")
        shown["discount"] = None
    if shown.get("object") == "subscription_item":
        shown.pop("current_period_start"), shown.pop("current_period_end")
    if shown.get("object") == "invoice":
        details = (shown.pop("parent") or {}).get("subscription_details") or {}
        shown["subscription"] = details.get("subscription")
        shown["subscription_details"] = {"metadata": details.get("metadata")}
        shown["paid"] = shown["status"] == "paid"
    return shown
