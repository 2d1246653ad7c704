"""From a delivery to a committed effect: verify, note it, read the object anew, apply.

What an event carries is not trusted to be the latest, so nothing of it is stored but which object it is about. Each
step that fails leaves the event in the inbox, where the next delivery, or maintenance, takes it up.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any

from functions.connectors import stripe
from functions.core import settings
from functions.core.errors import InvalidRequestError, StreamVibeError, UpstreamRefusedError
from functions.core.observability import logger, record
from functions.database import billing
from functions.stripe_webhook import signature

READ_DEADLINE_SECONDS = 5.0  # Stripe answers in a fraction of it; a slow one is better met by a later delivery
REFETCH_SECONDS = 60.0
TYPE_PATTERN = re.compile(r"[a-z0-9_.]{1,100}")
ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,255}")  # they become parts of addresses
CHECKOUT_TYPES = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
)


_refetched_at = float("-inf")


class BadSignatureError(InvalidRequestError):
    code = "bad_signature"
    status = 400
    title = "The signature is not valid"


class BadEventError(InvalidRequestError):
    code = "bad_event"
    status = 400
    title = "The body is not an event"


@dataclass(frozen=True, slots=True)
class Event:
    """A hint: something happened to this object. `kind` is subscription, checkout or customer; None: none of ours."""

    id: str
    type: str
    livemode: bool
    created: int | None
    kind: str | None
    object_id: str


def receive(body: bytes, header: str) -> str:
    """Take a delivery; returns what became of it. Raises BadSignatureError, BadEventError, or what a retry may mend."""
    if not _is_signed(body, header):
        record("StripeWebhookRefused")
        raise BadSignatureError
    event = read(_json_object(body))
    if event.kind is None:
        return "ignored"
    logger.thread_safe_append_keys(stripe_event=event.id, stripe_event_type=event.type)
    outcome = handle(event)
    logger.info("stripe event", extra={"outcome": outcome})
    return outcome


def handle(event: Event, *, again: bool = False) -> str:
    """Bring an event's effect about; returns the outcome, which is committed. Raises what a retry may mend.

    `again` reads and applies even where the event is done, as an operator's replay does.
    """
    assert event.kind is not None
    if event.livemode != stripe.is_live():
        logger.error("stripe event of the other mode refused", extra={"livemode": event.livemode})
        billing.close_event(event.id, event.type, event.object_id, "refused")
        return "refused"
    begun = billing.begin_event(event.id, event.type, event.object_id, event.created)
    if begun["done"] and not again:
        return "duplicate"
    try:
        outcome = _apply(event, billing.next_ticket() if begun["done"] else begun["ticket"], is_done=begun["done"])
    except StreamVibeError as error:
        if isinstance(error, UpstreamRefusedError) and stripe.is_missing(error):
            logger.error("stripe does not have the object of its event", extra={"object_id": event.object_id})
            billing.close_event(event.id, event.type, event.object_id, "missing")
            return "missing"
        # Fifty copies of an event may be under way; one that fails where another succeeded has not failed.
        if billing.fail_event(event.id, error.problem_code):
            return "duplicate"
        raise
    if event.created is not None and outcome != "duplicate" and not begun["done"]:
        record("StripeWebhookLagSeconds", max(0.0, time.time() - event.created))
    return outcome


def _apply(event: Event, ticket: int, *, is_done: bool) -> str:
    if event.kind == "customer":
        if not stripe.is_customer_gone(event.object_id, deadline_seconds=READ_DEADLINE_SECONDS, retries=0):
            billing.close_event(event.id, event.type, event.object_id, "unchanged")
            return "unchanged"
        return str(billing.forget_customer(event.object_id, None if is_done else event.id)["outcome"])
    checkout = None
    subscription_id: str | None = event.object_id
    if event.kind == "checkout":
        checkout = stripe.read_checkout(event.object_id, deadline_seconds=READ_DEADLINE_SECONDS, retries=0)
        subscription_id = checkout["subscription"]
    subscription = (
        stripe.read_subscription(subscription_id, deadline_seconds=READ_DEADLINE_SECONDS, retries=0)
        if subscription_id
        else None
    )
    for found in (checkout, subscription):
        if found is not None and found["livemode"] != event.livemode:
            billing.close_event(event.id, event.type, event.object_id, "refused")
            return "refused"
    answer = billing.apply_state(
        ticket=ticket,
        subscription=subscription,
        checkout=checkout,
        event=None if is_done else (event.id, event.type),
    )
    for alert in answer["alerts"]:
        logger.error("stripe state needs a look", extra={"alert": alert, "user_id": answer.get("user_id")})
        record("StripeAlerts")
    if answer["outcome"] == "refused":
        logger.error("stripe customer is not the one of the user it names", extra={"object_id": event.object_id})
    return str(answer["outcome"])


def read(body: dict[str, Any]) -> Event:
    """The event in a body of any API version, thin ones too. Raises BadEventError."""
    identity, kind_of_event = body.get("id"), body.get("type")
    if not isinstance(identity, str) or not ID_PATTERN.fullmatch(identity) or not isinstance(kind_of_event, str):
        raise BadEventError
    if body.get("object") == "v2.core.event":
        thing, type_name, created = body.get("related_object"), kind_of_event.removeprefix("v1."), None
    else:
        data = body.get("data")
        thing, type_name = data.get("object") if isinstance(data, dict) else None, kind_of_event
        created = body.get("created")
    kind, object_id = _subject(type_name, thing if isinstance(thing, dict) else {})
    if kind is not None and not ID_PATTERN.fullmatch(object_id):
        raise BadEventError
    return Event(
        id=identity,
        type=type_name,
        livemode=body.get("livemode") is True,
        created=created if isinstance(created, int) and 0 < created < stripe.LATEST_SECONDS else None,
        kind=kind,
        object_id=object_id,
    )


def kept(row: billing.Row) -> Event:
    """An event as the inbox keeps it."""
    return Event(row["id"], row["type"], stripe.is_live(), row["created"], kind_of(row["type"]), row["object_id"])


def kind_of(event_type: str) -> str | None:
    """Which kind of object to read again because of an event of this type; None: it concerns no plan."""
    if not TYPE_PATTERN.fullmatch(event_type):
        return None
    if event_type in CHECKOUT_TYPES:
        return "checkout"
    if event_type == "customer.deleted":
        return "customer"
    if event_type.startswith(("customer.subscription.", "invoice.")):
        return "subscription"
    return None


def _subject(event_type: str, thing: dict[str, Any]) -> tuple[str | None, str]:
    """The kind and id of the object to read again; (None, '') where there is none, as for a one-off invoice."""
    kind = kind_of(event_type)
    if event_type.startswith("invoice."):
        subscription_id = stripe.invoice_subscription_id(thing)
        return (kind, subscription_id) if subscription_id else (None, "")
    return (kind, str(thing.get("id") or "")) if kind else (None, "")


def _is_signed(body: bytes, header: str) -> bool:
    """Whether the body is Stripe's. A secret rolled in its store is fetched anew, but not for every intruder."""
    setting = settings.STRIPE_WEBHOOK_SECRET
    if signature.is_valid(body, header, setting.value(), now=time.time()):
        return True
    global _refetched_at  # noqa: PLW0603 - one moment for each process
    if time.monotonic() - _refetched_at < REFETCH_SECONDS:
        return False
    _refetched_at = time.monotonic()
    return signature.is_valid(body, header, setting.value(fresh=True), now=time.time())


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadEventError from None
    if not isinstance(value, dict):
        raise BadEventError
    return value
