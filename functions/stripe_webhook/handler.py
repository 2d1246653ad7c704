"""POST /stripe/webhook. No web framework: this function starts cold at any hour and must answer within a second.

Docs: https://docs.stripe.com/webhooks and, for the event's shape,
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from functions.core import answers, settings
from functions.core.errors import PayloadTooLargeError, StreamVibeError
from functions.core.observability import begin, logger, record
from functions.stripe_webhook import service

MAX_BODY_BYTES = 1024 * 1024  # Stripe's largest events are a fraction of it; checked before anything is computed

settings.require(
    settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY, settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET
)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """An API Gateway HTTP API event (payload format 2.0) to its answer."""
    request_id = begin(context, event)
    try:
        outcome = service.receive(_raw_body(event), _signature(event))
    except StreamVibeError as error:
        if error.status >= 500:
            logger.error(error.detail, extra={"code": error.problem_code})
            record("StripeWebhookFailures")
        return answers.problem_answer(error, request_id, detail=error.title)
    except Exception as error:  # noqa: BLE001 - Stripe gets a plain 500 and delivers again
        logger.error("unexpected error", extra={"error_type": type(error).__name__})
        record("StripeWebhookFailures")
        return answers.problem_answer(StreamVibeError(), request_id)
    body = json.dumps({"received": True, "outcome": outcome})
    return answers.answer(200, body, "application/json", request_id)


def _raw_body(event: dict[str, Any]) -> bytes:
    """The bytes that Stripe signed, which are never decoded and encoded again."""
    body = event.get("body") or ""
    if len(body) > MAX_BODY_BYTES * (4 / 3 if event.get("isBase64Encoded") else 1) + 4:
        raise PayloadTooLargeError
    if not event.get("isBase64Encoded"):
        # Half a character can be signed by nobody; it must not be a fault of ours either.
        return str(body).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise service.BadSignatureError from None


def _signature(event: dict[str, Any]) -> str:
    headers = event.get("headers") or {}
    return next((str(value) for name, value in headers.items() if name.lower() == "stripe-signature"), "")
