"""Stripe's API, as much of it as StreamVibe uses: a handful of calls over `client.send`, without Stripe's library.

The webhook and the maintenance run read subscriptions here, where importing the `stripe` package would cost more than
everything else they do. Objects are asked for in one API version and reduced to what is kept, so that only this module
knows Stripe's shapes, old and new.

Docs: https://docs.stripe.com/api and, for the shapes, https://docs.stripe.com/changelog.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from functions.connectors.client import (
    DEADLINE_SECONDS,
    Request,
    Response,
    error_for,
    send,
)
from functions.core import settings
from functions.core.errors import UpstreamError, UpstreamRefusedError

SERVICE = "Stripe"
ORIGIN = "https://api.stripe.com"
API_VERSION = "2026-10-28.endive"
LIVE_KEY_PREFIXES = ("sk_live_", "rk_live_")
MISSING = "resource_missing"
KEY_IN_USE = "idempotency_key_in_use"
LATEST_SECONDS = 4_102_444_800  # 2100-01-01: whatever lies beyond is no time

Object = dict[str, Any]


def is_live() -> bool:
    """Whether the configured key is a live-mode one; objects of the other mode are refused."""
    return settings.STRIPE_SECRET_KEY.value().startswith(LIVE_KEY_PREFIXES)


def is_missing(error: UpstreamError) -> bool:
    """Whether Stripe said that the object does not exist (in this account and mode)."""
    return error.upstream_status == 404 and error.upstream_code == MISSING


# ------------------------------------------------------------------------------------------------ reading


def read_subscription(subscription_id: str, *, deadline_seconds: float = DEADLINE_SECONDS, retries: int = 1) -> Object:
    """A subscription as it is now, normalised by `subscription`."""
    found = call(
        "GET",
        f"/v1/subscriptions/{subscription_id}",
        {"expand": ["latest_invoice"]},
        deadline_seconds=deadline_seconds,
        retries=retries,
    )
    return subscription(found)


def read_checkout(session_id: str, *, deadline_seconds: float = DEADLINE_SECONDS, retries: int = 1) -> Object:
    """A checkout session as it is now, normalised by `checkout`."""
    found = call("GET", f"/v1/checkout/sessions/{session_id}", deadline_seconds=deadline_seconds, retries=retries)
    return checkout(found)


def read_event(event_id: str) -> Object:
    """An event as Stripe keeps it, for 30 days."""
    return call("GET", f"/v1/events/{event_id}")


def is_customer_gone(customer_id: str, *, deadline_seconds: float = DEADLINE_SECONDS, retries: int = 1) -> bool:
    """Whether the customer was deleted, or never existed here."""
    path = f"/v1/customers/{customer_id}"
    try:
        return bool(call("GET", path, deadline_seconds=deadline_seconds, retries=retries).get("deleted"))
    except UpstreamRefusedError as error:
        if is_missing(error):
            return True
        raise


# ------------------------------------------------------------------------------------------------ writing


def create_customer(user_id: str, email: str | None, idempotency_key: str) -> str:
    """The customer of a user; the same key gives the same customer."""
    fields = {"email": email, "metadata": {"user_id": user_id}}
    return str(call("POST", "/v1/customers", fields, idempotency_key=idempotency_key)["id"])


def create_checkout(
    *, customer_id: str, user_id: str, price_id: str, metered_price_ids: list[str], app_url: str, idempotency_key: str
) -> Object:
    """A hosted checkout page for a subscription: `{id, url}`."""
    fields = {
        "mode": "subscription",
        "customer": customer_id,
        "client_reference_id": user_id,
        "line_items": [{"price": price_id, "quantity": 1}, *({"price": one} for one in metered_price_ids)],
        "success_url": f"{app_url}/billing?checkout=success&session_id={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{app_url}/billing?checkout=canceled",
        # The session's own metadata stays on the session; what follows lands on the subscription and its invoices.
        "metadata": {"user_id": user_id},
        "subscription_data": {"metadata": {"user_id": user_id}},
    }
    made = call("POST", "/v1/checkout/sessions", fields, idempotency_key=idempotency_key)
    return {"id": str(made["id"]), "url": made.get("url")}


def expire_checkout(session_id: str) -> None:
    """Close an open checkout page. One that is no longer open stays as it is."""
    try:
        call("POST", f"/v1/checkout/sessions/{session_id}/expire")
    except UpstreamRefusedError as error:
        if error.upstream_status not in (400, 404):
            raise


def create_portal(*, customer_id: str, app_url: str, change: Mapping[str, str] | None = None) -> str:
    """The address of Stripe's page where a customer manages the plan.

    `change` (`subscription`, `item`, `price`) opens it at the confirmation of that change of plan.
    """
    fields: Object = {"customer": customer_id, "return_url": f"{app_url}/billing"}
    if change is not None:
        fields["flow_data"] = {
            "type": "subscription_update_confirm",
            "subscription_update_confirm": {
                "subscription": change["subscription"],
                "items": [{"id": change["item"], "price": change["price"], "quantity": 1}],
            },
            "after_completion": {"type": "redirect", "redirect": {"return_url": f"{app_url}/billing?plan=changed"}},
        }
    return str(call("POST", "/v1/billing_portal/sessions", fields)["url"])


def cancel_subscription(subscription_id: str) -> None:
    """End a subscription now. One that has ended already, or is not there, is a success."""
    try:
        call("DELETE", f"/v1/subscriptions/{subscription_id}")
    except UpstreamRefusedError as error:
        if error.upstream_code != MISSING and error.upstream_status != 404:
            raise


def cancel_customer(customer_id: str) -> None:
    """End everything that a customer pays or could come to pay: open checkout pages, then every subscription.

    For users who delete their account. Safe to repeat; a customer that is gone is a success.
    """
    try:
        for session in list(pages("/v1/checkout/sessions", {"customer": customer_id, "status": "open"})):
            expire_checkout(session["id"])
        for one in list(pages("/v1/subscriptions", {"customer": customer_id})):
            cancel_subscription(one["id"])
    except UpstreamRefusedError as error:
        if error.upstream_code != MISSING:
            raise


def report_usage(*, event_name: str, customer_id: str, value: int, identifier: str, timestamp: int) -> None:
    """Tell a meter about usage. Stripe counts an identifier once; one that it knows already is a success."""
    fields = {
        "event_name": event_name,
        "payload": {"stripe_customer_id": customer_id, "value": str(value)},
        "identifier": identifier,
        "timestamp": timestamp,
    }
    try:
        call("POST", "/v1/billing/meter_events", fields, idempotency_key=f"usage-{identifier}")
    except UpstreamRefusedError as error:
        if error.extra.get("param") != "identifier":
            raise


# ------------------------------------------------------------------------------------------------ the wire


def call(
    method: str,
    path: str,
    fields: Mapping[str, Any] | None = None,
    *,
    idempotency_key: str | None = None,
    deadline_seconds: float = DEADLINE_SECONDS,
    retries: int = 2,
) -> Object:
    """One call to Stripe. A POST with a key may be repeated safely, so it is. Raises UpstreamError and its kin."""
    headers = {"Authorization": f"Bearer {settings.STRIPE_SECRET_KEY.value()}", "Stripe-Version": API_VERSION}
    if idempotency_key is not None:
        headers["Idempotency-Key"] = idempotency_key
    pairs = dict(_flat(fields or {}))
    request = Request(
        method,
        ORIGIN + path,
        params=pairs if method == "GET" else {},
        form=pairs if method == "POST" else None,
        headers=headers,
    )
    answer = send(
        request,
        service=SERVICE,
        check=_check,
        idempotent=True if idempotency_key is not None else None,
        deadline_seconds=deadline_seconds,
        retries=retries,
    )
    found = answer.json()
    if not isinstance(found, dict):
        raise UpstreamError(f"{SERVICE} answered with something else than an object.", service=SERVICE)
    return found


def _check(response: Response) -> UpstreamError | None:
    if response.ok:
        return None
    body = response.json_object().get("error")
    error = body if isinstance(body, dict) else {}
    code = error.get("code") or error.get("type")
    # Two requests with one key at once: the second is told to come back. Locks on an object are the same.
    busy = response.status == 409 or error.get("code") in (KEY_IN_USE, "lock_timeout")
    failure = error_for(response, code=code, unavailable=True if busy else None)
    if error.get("param") == "identifier":
        failure.extra["param"] = "identifier"
    return failure


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Stripe's form encoding: `a[b][0]=x`. None is left out, an empty string unsets."""
    for key, value in fields.items():
        name = f"{prefix}[{key}]" if prefix else str(key)
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        elif isinstance(value, list):
            yield from _flat({str(index): one for index, one in enumerate(value)}, name)
        elif isinstance(value, bool):
            yield name, "true" if value else "false"
        elif value is not None:
            yield name, str(value)


def pages(path: str, fields: Mapping[str, Any] | None = None, limit: int = 100) -> Iterator[Object]:
    """Every object of a listing, page by page."""
    after: str | None = None
    while True:
        page = call("GET", path, {**(fields or {}), "limit": limit, "starting_after": after})
        data = page.get("data") or []
        yield from data
        if not page.get("has_more") or not data:
            return
        after = data[-1]["id"]


# ------------------------------------------------------------------------------------------------ shapes


def subscription(found: Mapping[str, Any]) -> Object:
    """What is kept of a subscription, from any API version's shape. Times are seconds since 1970 or None.

    {id, customer, user_id, livemode, status, created, items: [{id, price, created, start, end}], start, end, trial_end,
    cancel_at, canceled_at, ended_at, renews, reason, pause, invoice: {id, status, billing_reason} or None}
    """
    details = _mapping(found.get("cancellation_details"))
    cancel_at = _seconds(found.get("cancel_at"))
    pause = _mapping(found.get("pause_collection"))
    return {
        "id": found.get("id"),
        "customer": object_id(found.get("customer")),
        "user_id": _mapping(found.get("metadata")).get("user_id"),
        "livemode": found.get("livemode") is True,
        "status": found.get("status"),
        "created": _seconds(found.get("created")),
        "items": [_item(one) for one in _listed(found.get("items"))],
        # Before 2025-03-31 the period stood on the subscription; since then on each of its items.
        "start": _seconds(found.get("current_period_start")),
        "end": _seconds(found.get("current_period_end")),
        "trial_end": _seconds(found.get("trial_end")),
        "cancel_at": cancel_at,
        "canceled_at": _seconds(found.get("canceled_at")),
        "ended_at": _seconds(found.get("ended_at")),
        "renews": not (found.get("cancel_at_period_end") is True or cancel_at is not None),
        "reason": details.get("reason") or details.get("feedback"),
        "pause": pause.get("behavior"),
        "invoice": _invoice(found.get("latest_invoice")),
    }


def checkout(found: Mapping[str, Any]) -> Object:
    """What is kept of a checkout session: {id, customer, user_id, livemode, status, payment_status, subscription}."""
    metadata = _mapping(found.get("metadata"))
    return {
        "id": found.get("id"),
        "customer": object_id(found.get("customer")),
        # Not client_reference_id: whoever opens a payment link may write what they like into that one.
        "user_id": metadata.get("user_id"),
        "livemode": found.get("livemode") is True,
        "status": found.get("status"),
        "payment_status": found.get("payment_status"),
        "subscription": object_id(found.get("subscription")),
    }


def invoice_subscription_id(found: Mapping[str, Any]) -> str | None:
    """The subscription of an invoice, where any API version puts it."""
    details = _mapping(_mapping(found.get("parent")).get("subscription_details"))
    return object_id(details.get("subscription")) or object_id(found.get("subscription"))


def object_id(value: Any) -> str | None:
    """The id of a reference, which is an id or, where it was expanded, the object."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) and value else None


def _item(found: Mapping[str, Any]) -> Object:
    # Very old shapes have a plan where there is a price now; its id serves the same purpose.
    return {
        "id": found.get("id"),
        "price": object_id(found.get("price")) or object_id(found.get("plan")),
        "created": _seconds(found.get("created")),
        "start": _seconds(found.get("current_period_start")),
        "end": _seconds(found.get("current_period_end")),
    }


def _invoice(found: Any) -> Object | None:
    if not isinstance(found, Mapping):
        return None
    return {key: found.get(key) for key in ("id", "status", "billing_reason")}


def _listed(value: Any) -> list[Mapping[str, Any]]:
    data = value.get("data") if isinstance(value, Mapping) else value
    return [one for one in data if isinstance(one, Mapping)] if isinstance(data, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _seconds(value: Any) -> int | None:
    """Seconds since 1970, None for what is no time between then and 2100."""
    is_time = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LATEST_SECONDS
    return value if is_time else None
