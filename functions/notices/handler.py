"""Notices by e-mail (scheduled), and GET or POST /unsubscribe, which their links and mail programs call."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import parse_qs

from functions.core import answers, invocation, settings
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
    return {"sent": service.send_due(invocation.deadline(context, SECONDS_WITHOUT_CONTEXT, MARGIN_SECONDS))}


def unsubscribe(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Switch off what the link names; the link holds for ever and does nothing else, so that one click is enough."""
    logger.clear_state()
    identity = answers.request_id(event, context)
    try:
        query = {key: values[0] for key, values in parse_qs(event.get("rawQueryString", "")).items()}
        kind, token = query.get("kind", ""), _uuid(query.get("token", ""))
        if kind not in KINDS or token is None:
            raise InvalidRequestError("The link is not complete; copy it whole.")
        if not notices.unsubscribe(token, kind):
            raise NotFoundError("The link names nobody; the account may be gone.")
    except StreamVibeError as error:
        return answers.problem_answer(error, identity)
    page = f"<!doctype html><title>StreamVibe</title><p>{KINDS[kind]} off. Switch it on again in the settings."
    return answers.answer(200, page, "text/html; charset=utf-8", identity)


def _uuid(text: str) -> str | None:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None
