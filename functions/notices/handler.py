"""Notices by e-mail (scheduled), and GET or POST /unsubscribe, which their links and mail programs call."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any
from urllib.parse import parse_qs

from functions.core import settings
from functions.core.errors import InvalidRequestError, NotFoundError, StreamVibeError
from functions.core.observability import logger
from functions.database import notices
from functions.notices import service

settings.require(
    settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY, settings.APP_URL, settings.FUNCTIONS_URL, settings.EMAIL_FROM
)

MARGIN_SECONDS = 10.0
SECONDS_WITHOUT_CONTEXT = 60.0  # called by hand
KINDS = {"notice": "E-mail notices are", "digest": "The weekly digest is"}


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """One round."""
    logger.clear_state()
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    seconds = float(remaining()) / 1000 if remaining else SECONDS_WITHOUT_CONTEXT
    return {"sent": service.send_due(time.monotonic() + max(seconds - MARGIN_SECONDS, 1.0))}


def unsubscribe(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Switch off what the link names; the link holds for ever and does nothing else, so that one click is enough."""
    logger.clear_state()
    identity = str(event.get("requestContext", {}).get("requestId", "unknown"))
    try:
        query = {key: values[0] for key, values in parse_qs(event.get("rawQueryString", "")).items()}
        kind, token = query.get("kind", ""), _uuid(query.get("token", ""))
        if kind not in KINDS or token is None:
            raise InvalidRequestError("The link is not complete; copy it whole.")
        if not notices.unsubscribe(token, kind):
            raise NotFoundError("The link names nobody; the account may be gone.")
    except StreamVibeError as error:
        body = {
            "type": "about:blank",
            "title": error.title,
            "status": error.status,
            "code": error.problem_code,
            "detail": error.detail,
            "request_id": identity,
        }
        return _answer(error.status, json.dumps(body), "application/problem+json", identity)
    page = f"<!doctype html><title>StreamVibe</title><p>{KINDS[kind]} off. Switch it on again in the settings."
    return _answer(200, page, "text/html; charset=utf-8", identity)


def _uuid(text: str) -> str | None:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def _answer(status: int, body: str, media_type: str, identity: str) -> dict[str, Any]:
    headers = {
        "Content-Type": media_type,
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "X-Content-Type-Options": "nosniff",
        "X-Request-Id": identity,
    }
    return {"statusCode": status, "headers": headers, "body": body}
