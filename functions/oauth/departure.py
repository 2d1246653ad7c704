"""Leaving: a user's whole account, and people who withdraw their consent at Meta.

A deletion is a list in the database of what is still to be done. It is worked off here at once as far as possible;
maintenance goes on with what a platform or Stripe could not do.
"""

from __future__ import annotations

import time
from typing import Any

from functions.connectors import registry, stripe
from functions.core import http, settings
from functions.core.errors import (
    DatabaseUnavailableError,
    InvalidRequestError,
    NotFoundError,
    StreamVibeError,
    UpstreamError,
)
from functions.core.observability import logger
from functions.database import billing, departures
from functions.oauth import service

Row = dict[str, Any]

# Revocations and the end of billing share what a request has; maintenance goes on with what did not fit.
REVOCATION_SECONDS = 14.0
BILLING_SECONDS = 8.0


def delete_account(user_id: str) -> bool:
    """Delete a user: every grant given back, the subscription canceled, then all rows and secrets.

    True if it is done, False if maintenance will go on. Safe to repeat.
    """
    departures.purge_items(user_id)
    pending = departures.begin_account_deletion(user_id)
    if pending["status"] == "deleted":
        return True
    end = time.monotonic() + REVOCATION_SECONDS
    for ended in pending["revocations"]:
        # What there is no time for is done by maintenance.
        if (seconds := end - time.monotonic()) > 0:
            service.give_back(ended, seconds)
    try:
        is_billing_ended = pending["is_billing_ended"] or _end_billing(user_id)
        return departures.finish_account_deletion(user_id, is_billing_ended=is_billing_ended)
    except DatabaseUnavailableError:
        # The wish is on record: what the last webhooks of the subscription held up is done by maintenance.
        return False


def resume_account_deletions(max_results: int = 20) -> int:
    """Go on with deletions that could not be finished; how many are done now. For maintenance."""
    done = 0
    for user_id in departures.claim_account_deletions(max_results):
        try:
            done += delete_account(user_id)
        except StreamVibeError as error:
            logger.warning("a deletion waits", extra={"user_id": user_id, "code": error.problem_code})
    return done


def withdraw(platform: str, signed_request: str) -> None:
    """Meta says that a person removed the app. Raises InvalidRequestError if it was not Meta who said so."""
    departures.forget_platform_user(platform, _platform_user_id(platform, signed_request), is_deletion=False)


def request_deletion(platform: str, signed_request: str) -> Row:
    """Meta says that a person wants their data deleted: `{url, confirmation_code}`, as Meta expects."""
    forgotten = departures.forget_platform_user(platform, _platform_user_id(platform, signed_request), is_deletion=True)
    code = forgotten["code"]
    return {
        "url": f"{settings.FUNCTIONS_URL.value()}/oauth/{platform}/data-deletion/{code}",
        "confirmation_code": code,
    }


def deletion_status(platform: str, code: str) -> Row:
    """What became of a deletion request. Raises NotFoundError."""
    status = departures.data_deletion_status(code)
    if status is None or status["platform"] != platform:
        raise NotFoundError("There is no such deletion request.")
    return status


def _platform_user_id(platform: str, signed_request: str) -> str:
    spec = registry.platform(platform)
    if spec.read_callback is None:
        raise NotFoundError(f"{spec.display_name} has no such callback.")
    content = spec.read_callback(signed_request, spec.oauth.client_secret.value())
    if content is None or not content.get("user_id"):
        raise InvalidRequestError("The request is not signed by the platform.", code="invalid_signature")
    return str(content["user_id"])


def _end_billing(user_id: str) -> bool:
    customer_id = billing.account(user_id).get("customer_id")
    if not customer_id:
        return True
    try:
        # Everything of the customer, open checkout pages too: nobody shall pay for an account that is gone.
        with http.deadline(BILLING_SECONDS):
            stripe.cancel_customer(customer_id)
    except UpstreamError as error:
        logger.warning("a subscription could not be canceled yet", extra={"code": error.problem_code})
        return False
    return True
