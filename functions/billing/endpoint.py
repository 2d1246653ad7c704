"""The webhook endpoint at Stripe, made with the API version and the events that this product reads."""

from __future__ import annotations

from functions.connectors import stripe
from functions.core import settings
from functions.core.errors import ConflictError

EVENTS = (
    *(
        f"customer.subscription.{change}"
        for change in ("created", "updated", "deleted", "paused", "resumed", "trial_will_end")
    ),
    "customer.deleted",
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_action_required",
)


def register() -> str:
    """Make the endpoint; returns its signing secret, which Stripe shows only now. Raises ConflictError if it exists."""
    url = f"{settings.FUNCTIONS_URL.value()}/stripe/webhook"
    if any(one["url"] == url for one in stripe.pages("/v1/webhook_endpoints")):
        raise ConflictError(f"Stripe has an endpoint for {url} already; its secret is on the endpoint's page there.")
    fields = {"url": url, "api_version": stripe.API_VERSION, "enabled_events": list(EVENTS)}
    return str(stripe.call("POST", "/v1/webhook_endpoints", fields)["secret"])
