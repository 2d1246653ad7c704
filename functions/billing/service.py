"""Checkout and portal: what the user is sent to at Stripe. What comes of it arrives at the webhook."""

from __future__ import annotations

from functions.connectors import stripe
from functions.core import settings
from functions.core.errors import ConflictError, UpstreamRefusedError
from functions.core.observability import logger
from functions.database import billing


def checkout_url(user_id: str, tier: str) -> str:
    """The page where a user pays for a plan or, who has one already, confirms the change to it.

    A customer is claimed in the database before it is made at Stripe, and every request carries a key derived from
    what was claimed: two clicks, or a repeated request, make one customer and one page.
    """
    try:
        return _checkout_url(user_id, tier)
    except UpstreamRefusedError as error:
        if error.upstream_code != stripe.MISSING or not _forget_lost_customer(user_id):
            raise
    return _checkout_url(user_id, tier)


def _checkout_url(user_id: str, tier: str) -> str:
    plan = billing.begin_checkout(user_id, tier)
    app_url = settings.APP_URL.value()
    if plan["kind"] == "change":
        change = {name: plan[name] for name in ("subscription", "item", "price")}
        return stripe.create_portal(customer_id=plan["customer_id"], app_url=app_url, change=change)
    for session_id in plan["superseded"]:
        stripe.expire_checkout(session_id)
    if plan["url"]:
        return str(plan["url"])
    customer_id = plan["customer_id"]
    if customer_id is None:
        made = stripe.create_customer(user_id, plan["email"], f"customer-{plan['claim']}")
        customer_id = billing.record_customer(user_id, plan["claim"], made)
    session = stripe.create_checkout(
        customer_id=customer_id,
        user_id=user_id,
        price_id=plan["price_id"],
        metered_price_ids=plan["metered_price_ids"],
        app_url=app_url,
        idempotency_key=f"checkout-{plan['attempt']}",
    )
    if not session["url"]:
        raise ConflictError("This checkout is over; please start again.", code="checkout_is_over")
    if not billing.record_checkout(plan["attempt"], session["id"], session["url"]):
        # Another plan was chosen while this page was made; two open pages could both be paid.
        stripe.expire_checkout(session["id"])
        raise ConflictError("Another plan was chosen meanwhile.", code="checkout_superseded")
    return str(session["url"])


def portal_url(user_id: str) -> str:
    """The page where a customer changes or cancels the plan, or the payment method."""
    customer_id = billing.account(user_id).get("customer_id")
    if customer_id is None:
        raise ConflictError("There is nothing to manage yet: you have never bought a plan.", code="no_billing_account")
    return stripe.create_portal(customer_id=customer_id, app_url=settings.APP_URL.value())


def _forget_lost_customer(user_id: str) -> bool:
    """Whether the user's customer was deleted at Stripe without our knowing; if so it is forgotten."""
    customer_id = billing.account(user_id).get("customer_id")
    if customer_id is None or not stripe.is_customer_gone(customer_id):
        return False
    logger.warning("the customer is gone at stripe; another will be made", extra={"customer_id": customer_id})
    billing.forget_customer(customer_id)
    return True
