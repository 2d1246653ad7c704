"""What all engines' answers have in common: which mean 'later', which mean 'no', and what of them may be kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from functions.connectors import guard
from functions.connectors.client import (
    UNAVAILABLE_STATUSES,
    Request,
    Response,
    plain_word,
    retry_after_seconds,
    send,
)
from functions.connectors.spec import Site, SubmissionOutcome
from functions.core.errors import UrlRefusedError

CALL_SECONDS = 6.0
MAX_KEPT_BYTES = 2000
MAX_KEPT_PARTS = 200
MAX_COUNT = 10**9
_SHORTEST_SECRET = 6


def ask(request: Request, service: str) -> Response:
    """Send `request` once and return whatever comes back. Repeating is the database's business: it knows when.

    Raises UpstreamUnavailableError if nothing comes back.
    """
    return send(request, service=service, accept=range(100, 600), retries=0, deadline_seconds=CALL_SECONDS)


def load(url: str, *, max_bytes: int = guard.MAX_BYTES) -> bytes | SubmissionOutcome:
    """A page or file of the creator's own site, or what it means for the submission that it cannot be had."""
    try:
        page = guard.fetch(url, max_bytes=max_bytes)
    except UrlRefusedError as error:
        return SubmissionOutcome("pending" if error.retryable else "failed", "page_not_loaded", error.detail)
    if page.status == 200:
        return page.body
    return SubmissionOutcome(
        status="pending" if page.status in UNAVAILABLE_STATUSES or page.status >= 500 else "failed",
        reason="page_not_loaded",
        message=f"Your site answers {page.status} for {url}.",
    )


def bad_answer(
    response: Response, site: Site, *, code: Any = None, message: str | None = None, **known: Any
) -> SubmissionOutcome:
    """The outcome of an answer that is no success: 429 and outages mean later, everything else is final."""
    kept: dict[str, Any] = {"response_status": response.status, "response": keep(response, site), **known}
    if response.status in UNAVAILABLE_STATUSES or response.status >= 500:
        throttled = response.status == 429
        return SubmissionOutcome(
            status="pending",
            reason="throttled" if throttled else "engine_unavailable",
            message=f"{response.service} asks to come back later." if throttled else None,
            retry_after_seconds=retry_after_seconds(response.headers),
            is_engine_down=not throttled,
            **kept,
        )
    return SubmissionOutcome(
        status="failed",
        reason=plain_word(code) or f"http_{response.status}",
        message=message or f"{response.service} refused the address (status {response.status}).",
        **{"are_credentials_bad": response.status in {401, 403}, **kept},
    )


def unreadable(response: Response) -> SubmissionOutcome:
    """The outcome of a 2xx that does not say what the engine's successes say.

    A page of maintenance is an outage; an object with something missing concerns this site, and nobody else's calls.
    """
    return SubmissionOutcome(
        status="pending",
        reason="unreadable_answer",
        message=f"{response.service} answered something that could not be read.",
        response_status=response.status,
        is_engine_down=not response.json_object(),
    )


def whole(value: Any) -> int | None:
    """A count that an engine tells, None if it is none; beyond a billion it is a billion."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return min(max(value, 0), MAX_COUNT)


def keep(response: Response, site: Site) -> Mapping[str, Any]:
    """The answer's JSON object without anything that looks like one of the site's secrets.

    Empty if it is too long, or something that no database keeps: NaN, half of a character, a tower of lists.
    """
    try:
        text = json.dumps(response.json_object(), allow_nan=False, ensure_ascii=False)
        if len(text.encode()) > MAX_KEPT_BYTES or text.count("[") + text.count("{") > MAX_KEPT_PARTS:
            return {}
        for secret in _secrets(site.credentials):
            text = text.replace(json.dumps(secret, ensure_ascii=False)[1:-1], "***")
        kept: Mapping[str, Any] = json.loads(text.replace("\\u0000", ""))
    except (ValueError, RecursionError):
        return {}
    return kept


def _secrets(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if len(value) >= _SHORTEST_SECRET else []
    if isinstance(value, Mapping):
        return [secret for part in value.values() for secret in _secrets(part)]
    return []
