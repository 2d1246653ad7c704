"""From the database's errors to ours: PostgREST codes and SQLSTATEs, mapped once.

Codes: https://docs.postgrest.org/en/v14/references/errors.html; ours (PTnnn) are listed in sql/README.md.
"""

from __future__ import annotations

from typing import Any

from functions.core.errors import (
    ConflictError,
    DatabaseError,
    DatabaseUnavailableError,
    ForbiddenError,
    GoneError,
    InvalidRequestError,
    NotFoundError,
    QuotaExceededError,
    RateLimitedError,
    StreamVibeError,
)

_RAISED_BY_US: dict[str, type[StreamVibeError]] = {
    "PT402": QuotaExceededError,
    "PT403": ForbiddenError,
    "PT404": NotFoundError,
    "PT409": ConflictError,
    "PT410": GoneError,
    "PT422": InvalidRequestError,
    "PT429": RateLimitedError,
}
# Serialisation, deadlocks, timeouts, too many connections, shutdowns: the same call may succeed a moment later.
_RETRYABLE_CLASSES = ("08", "40", "53", "57")
# Text that Postgres cannot hold (NUL above all), sent as it came from a caller.
_UNSTORABLE_TEXT = {"22P05", "22021"}
_RETRYABLE_CODES = {"55P03", "PGRST000", "PGRST001", "PGRST002", "PGRST003"}


def from_answer(status: int, body: Any) -> StreamVibeError:
    """The error for an answer of `status` with PostgREST's error object (or anything else) as its body.

    Only errors that our own SQL raised with a PTnnn code carry a message for people; of all others the code is kept.
    """
    fields: dict[str, Any] = body if isinstance(body, dict) else {}
    code = str(fields.get("code") or "")
    if code in _RAISED_BY_US:
        return _RAISED_BY_US[code](str(fields.get("message") or ""), code=_slug(fields.get("hint")))
    if code in _UNSTORABLE_TEXT:
        return InvalidRequestError("A text holds characters that cannot be stored.", code="invalid_text")
    if code[:2] in _RETRYABLE_CLASSES or code in _RETRYABLE_CODES or status in {502, 503, 504}:
        return DatabaseUnavailableError(sqlstate=code)
    return DatabaseError(sqlstate=code)


def _slug(hint: Any) -> str | None:
    """Our SQL puts a stable problem code into the hint, where the class alone does not say enough."""
    return hint if isinstance(hint, str) and hint.replace("_", "").isalnum() and hint.islower() else None
