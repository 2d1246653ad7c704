"""Notices by e-mail (scheduled), and /unsubscribe, which the e-mails' links and mail programs call.

GET changes nothing, because mail scanners follow links before people do: it shows a page with a button. POST switches
off at once; the button sends it, and so do mail programs (RFC 8058, one click).
"""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import parse_qs

from functions.core import answers, invocation, settings
from functions.core.errors import InvalidRequestError, NotFoundError, StreamVibeError
from functions.core.observability import begin, logger
from functions.database import notices
from functions.notices import service

settings.require(
    settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY, settings.APP_URL, settings.FUNCTIONS_URL, settings.EMAIL_FROM
)

MARGIN_SECONDS = 10.0
SECONDS_WITHOUT_CONTEXT = 60.0  # called by hand
KINDS = {"notice": "e-mail notices", "digest": "the weekly digest"}
# The form has no action: it goes to the address of the page, which holds the token and is nowhere else in it.
QUESTION = '<p>Stop {what} from StreamVibe?</p><form method="post"><button type="submit">Unsubscribe</button></form>'
DONE = "<p>Stopped: {what}. The app's settings start them again.</p>"
PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>StreamVibe</title>'
    '<meta name="viewport" content="width=device-width"></head><body>{content}</body></html>'
)
# Nothing is loaded, framed or run; only the page's own form may be sent.
PAGE_POLICY = "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """One round."""
    begin(context)
    sent = service.send_due(invocation.deadline(context, SECONDS_WITHOUT_CONTEXT, MARGIN_SECONDS))
    logger.info("e-mails sent", extra={"count": sent})
    return {"sent": sent}


def unsubscribe(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """GET: the question. POST: switch off what the link names, which holds for ever and does nothing else."""
    identity = begin(context, event)
    is_confirmed = event.get("requestContext", {}).get("http", {}).get("method") == "POST"
    try:
        query = {key: values[0] for key, values in parse_qs(event.get("rawQueryString", "")).items()}
        kind, token = query.get("kind", ""), _uuid(query.get("token", ""))
        if kind not in KINDS or token is None:
            raise InvalidRequestError("The link is not complete; copy it whole.")
        if is_confirmed and not notices.unsubscribe(token, kind):
            raise NotFoundError("The link names nobody; the account may be gone.")
        logger.info("unsubscribing", extra={"kind": kind, "is_confirmed": is_confirmed})
    except StreamVibeError as error:
        return answers.problem_answer(error, identity)
    content = (DONE if is_confirmed else QUESTION).format(what=KINDS[kind])
    page = answers.answer(200, PAGE.format(content=content), "text/html; charset=utf-8", identity)
    page["headers"]["Content-Security-Policy"] = PAGE_POLICY
    return page


def _uuid(text: str) -> str | None:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None
