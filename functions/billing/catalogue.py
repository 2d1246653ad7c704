"""What is sold, at Stripe: products, monthly prices and meters, found by fixed keys or made.

Amounts and names come from the plans in the database, so that there is one price list. Stripe's prices never change
their amount: a plan with another price gets a new one, and its subscribers keep the old one until they move.
"""

from __future__ import annotations

from typing import Any

from functions.connectors import stripe
from functions.core.errors import UpstreamRefusedError
from functions.database import billing
from functions.database.rows import table

METERS = {
    "sync": ("streamvibe_syncs", "Syncs"),
    "ai_analysis": ("streamvibe_analyses", "Analyses"),
    "seo_submission": ("streamvibe_submissions", "Search submissions"),
}


def install() -> list[str]:
    """Make everything that is missing at Stripe and put it on sale; one line for each thing. Safe to repeat."""
    lines = []
    tiers = table("subscription_tier").select("slug,display_name,price_cents,currency").gt("price_cents", 0).execute()
    for row in tiers.data:
        assert isinstance(row, dict)
        lines.append(_install_tier(row))
    for quota_type, (event_name, display_name) in METERS.items():
        lines.append(_install_meter(quota_type, event_name, display_name))
    return lines


def _install_tier(tier: dict[str, Any]) -> str:
    product_id = f"streamvibe_{tier['slug']}"
    _find_or_make_product(product_id, f"StreamVibe {tier['display_name']}")
    lookup_key = f"streamvibe_{tier['slug']}_monthly"
    price = _find_price(lookup_key)
    if price is None or (price["unit_amount"], price["currency"]) != (tier["price_cents"], tier["currency"]):
        price = stripe.call(
            "POST",
            "/v1/prices",
            {
                "product": product_id,
                "currency": tier["currency"],
                "unit_amount": tier["price_cents"],
                "recurring": {"interval": "month"},
                "lookup_key": lookup_key,
                "transfer_lookup_key": True,
            },
        )
    billing.set_tier_price(tier["slug"], price["id"], product_id)
    return f"{tier['slug']}: {price['id']}"


def _install_meter(quota_type: str, event_name: str, display_name: str) -> str:
    meter_id = next((one["id"] for one in stripe.pages("/v1/billing/meters") if one["event_name"] == event_name), None)
    if meter_id is None:
        meter_id = stripe.call(
            "POST",
            "/v1/billing/meters",
            {"display_name": display_name, "event_name": event_name, "default_aggregation": {"formula": "sum"}},
        )["id"]
    price = _find_price(event_name)
    if price is None:
        _find_or_make_product(event_name, f"StreamVibe {display_name}")
        # Included in the plan: usage is counted and shown on the invoice, at no charge. Operators may put a tiered
        # price under the same lookup key to charge for what exceeds the plan.
        price = stripe.call(
            "POST",
            "/v1/prices",
            {
                "product": event_name,
                "currency": "usd",
                "unit_amount": 0,
                "recurring": {"interval": "month", "usage_type": "metered", "meter": meter_id},
                "lookup_key": event_name,
            },
        )
    billing.set_metered_price(quota_type, price["id"], event_name)
    return f"{quota_type}: {price['id']}"


def _find_price(lookup_key: str) -> dict[str, Any] | None:
    found = stripe.call("GET", "/v1/prices", {"lookup_keys": [lookup_key], "active": True, "limit": 1})["data"]
    return dict(found[0]) if found else None


def _find_or_make_product(product_id: str, name: str) -> None:
    try:
        stripe.call("GET", f"/v1/products/{product_id}")
    except UpstreamRefusedError as error:
        if not stripe.is_missing(error):
            raise
        stripe.call("POST", "/v1/products", {"id": product_id, "name": name})
