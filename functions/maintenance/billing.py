"""Billing's share of maintenance: what events failed to say, and usage that Stripe does not know yet.

Every step takes a bounded batch under a lease in the database, so runs may overlap, stop anywhere and go on later.
"""

from __future__ import annotations

import time

from functions.connectors import stripe
from functions.core.errors import StreamVibeError, UpstreamError, UpstreamRefusedError, UpstreamUnavailableError
from functions.core.observability import logger, record
from functions.database import billing
from functions.stripe_webhook import service as webhook

EVENTS = 50
READINGS = 100
USAGE = 200
KEY_STATUSES = (401, 403)
GRACE_PERIODS = 500
FORGOTTEN_RECORDS = 5000


def run(deadline: float) -> dict[str, int]:
    """One round, until `deadline` (time.monotonic()); how many of each thing were done. Never raises for Stripe."""
    return {
        "events_retried": retry_events(deadline),
        "readings": reconcile(deadline),
        "grace_periods_ended": billing.expire_grace_periods(GRACE_PERIODS),
        "usage_reported": report_usage(deadline),
        "records_forgotten": billing.purge(FORGOTTEN_RECORDS),
    }


def retry_events(deadline: float) -> int:
    """Events whose effect is still missing."""
    done = 0
    for row in billing.claim_events(EVENTS):
        if time.monotonic() > deadline:
            break
        try:
            webhook.handle(webhook.kept(row))
        except StreamVibeError as error:
            logger.warning("stripe event failed again", extra={"event_id": row["id"], "code": error.problem_code})
            continue
        done += 1
    dead = len(billing.list_events(only_dead=True))
    if dead:
        logger.error("stripe events are dead; replay them", extra={"count": dead})
        record("StripeEventsDead", dead)
    return done


def reconcile(deadline: float) -> int:
    """Read again what looks stale or wrong, and repair what differs, with an audit entry."""
    done = 0
    for row in billing.claim_readings(READINGS):
        if time.monotonic() > deadline:
            break
        try:
            _read_again(row["kind"], row["id"])
        except UpstreamUnavailableError:
            logger.warning("stripe is not available; the rest waits for the next round")
            break
        except UpstreamRefusedError as error:
            # Not there, or not ours to read: an operator's key, or test data that was wiped. Nothing is taken away.
            logger.error("stripe does not give a known object", extra={"id": row["id"], "code": error.upstream_code})
            continue
        except StreamVibeError as error:
            # One object that nobody understands must not keep the others from their turn.
            logger.error("a reading failed", extra={"id": row["id"], "code": error.problem_code})
            continue
        done += 1
    return done


def _read_again(kind: str, object_id: str) -> None:
    ticket = billing.next_ticket()
    checkout = stripe.read_checkout(object_id) if kind == "checkout" else None
    subscription_id = checkout["subscription"] if checkout else object_id
    subscription = stripe.read_subscription(subscription_id) if subscription_id else None
    answer = billing.apply_state(ticket=ticket, subscription=subscription, checkout=checkout)
    if answer["changed"]:
        logger.warning("a plan differed from stripe and was repaired", extra={"user_id": answer["user_id"]})
        record("StripeRepairs")
    for alert in answer["alerts"]:
        logger.error("stripe state needs a look", extra={"alert": alert, "user_id": answer["user_id"]})
        record("StripeAlerts")


def report_usage(deadline: float) -> int:
    """Tell Stripe's meters about settled usage, once."""
    done = 0
    for row in billing.claim_usage(USAGE):
        if time.monotonic() > deadline:
            break
        usage = {name: row[name] for name in ("event_name", "customer_id", "value", "timestamp")}
        try:
            stripe.report_usage(**usage, identifier=row["id"])
        except UpstreamRefusedError as error:
            if error.upstream_status in KEY_STATUSES:
                # Our key is not good; that says nothing about the usage.
                logger.error("stripe does not take our key; usage waits", extra={"code": error.upstream_code})
                break
            logger.error("stripe refused usage", extra={"usage_id": row["id"], "code": error.upstream_code})
            billing.finish_usage(row["id"], error.upstream_code or "refused")
            continue
        except UpstreamError:
            # Whether it was counted is not known; the same identifier next time makes it count once.
            logger.warning("stripe is not available; usage waits for the next round")
            break
        billing.finish_usage(row["id"])
        done += 1
    return done
