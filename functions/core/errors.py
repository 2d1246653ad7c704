"""Every error that StreamVibe raises on purpose.

StreamVibeError                  code internal_error, 500
 ├─ InvalidRequestError          invalid_request, 422      the caller can mend the request
 │   ├─ PayloadTooLargeError     payload_too_large, 413
 │   └─ UrlRefusedError          url_refused, 422         a user's URL that may not be opened; always the same words
 │       └─ UrlUnreachableError  url_refused, 422         it may, but cannot: the same answer, worth another try
 ├─ UnauthenticatedError         unauthenticated, 401      no token, or one that is not good (any more)
 ├─ ForbiddenError               forbidden, 403            signed in, but may not
 ├─ NotFoundError                not_found, 404            absent, or somebody else's: the answer is the same
 ├─ MethodNotAllowedError        method_not_allowed, 405  the path has others; `Allow` names them
 ├─ ConflictError                conflict, 409             the state has moved on, or the key was used otherwise
 ├─ GoneError                    gone, 410                 it was there once and can be had no more
 ├─ QuotaExceededError           quota_exceeded, 402       carries the answer of `consume_quota`
 ├─ RateLimitedError             rate_limited, 429         carries `retry_after_seconds`
 ├─ ConfigurationError           misconfigured, 500        a setting is missing or makes no sense
 ├─ DatabaseError                database_error, 500       the database refused for a reason that nobody expected
 │   └─ DatabaseUnavailableError database_unavailable, 503
 └─ UpstreamError                upstream_error, 502       a platform, engine or provider answered badly
     ├─ UpstreamUnavailableError upstream_unavailable, 503 it is down, too slow, or asks to come back later
     ├─ UpstreamRefusedError     upstream_refused, 502     it says no, and will say so again
     │   └─ TokenRejectedError   token_rejected, 502       it does not take the access token: refresh it
     └─ GrantRevokedError        grant_revoked, 409        the user's consent is gone: connect again

The HTTP face (`core.app`) turns them into RFC 9457 problem documents; queue workers read `retryable`. A message is
written for the person who reads the answer: it never holds a secret, an upstream's text or an exception's repr.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class StreamVibeError(Exception):
    """Base of all errors that are raised on purpose.

    `code` is stable and meant for programs, `detail` for people, `extra` are further members of the problem document.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "", *, code: str | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.problem_code = code or self.code
        self.extra = extra

    @property
    def headers(self) -> dict[str, str]:
        """Response headers that belong to this error."""
        return {}


class InvalidRequestError(StreamVibeError):
    code = "invalid_request"
    status = 422
    title = "The request is not valid"


class PayloadTooLargeError(InvalidRequestError):
    code = "payload_too_large"
    status = 413
    title = "The request body is too large"


class UrlRefusedError(InvalidRequestError):
    """A URL that a user gave may not be opened. The words never say why, so that nobody maps a network by asking."""

    code = "url_refused"
    title = "This address cannot be used; give the public http or https address of a page of your own site"


class UrlUnreachableError(UrlRefusedError):
    """It may be opened but could not be; only `retryable` tells it from a refusal, and only to us."""

    retryable = True


class UnauthenticatedError(StreamVibeError):
    code = "unauthenticated"
    status = 401
    title = "A valid access token is needed"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class ForbiddenError(StreamVibeError):
    code = "forbidden"
    status = 403
    title = "This is not allowed"


class NotFoundError(StreamVibeError):
    code = "not_found"
    status = 404
    title = "There is no such thing here"


class MethodNotAllowedError(StreamVibeError):
    """The path is right, the method is not; `allowed` are those that it has."""

    code = "method_not_allowed"
    status = 405
    title = "This path has other methods"

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__()
        self.allowed = allowed

    @property
    def headers(self) -> dict[str, str]:
        return {"Allow": ", ".join(self.allowed)}


class ConflictError(StreamVibeError):
    code = "conflict"
    status = 409
    title = "The request does not fit the current state"


class GoneError(StreamVibeError):
    code = "gone"
    status = 410
    title = "This is no longer available"


class QuotaExceededError(StreamVibeError):
    """The plan's quota does not cover the call; `extra` is the object that `consume_quota` returned."""

    code = "quota_exceeded"
    status = 402
    title = "The plan's quota is used up"


class RateLimitedError(StreamVibeError):
    """Too many calls; `retry_after_seconds` says when to come back."""

    code = "rate_limited"
    status = 429
    title = "Too many requests"
    retryable = True

    def __init__(self, detail: str = "", *, retry_after_seconds: int = 60, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after_seconds = retry_after_seconds

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after_seconds)}


class ConfigurationError(StreamVibeError):
    code = "misconfigured"
    title = "The service is not configured"


class DatabaseError(StreamVibeError):
    """`sqlstate` says why, for the log alone."""

    code = "database_error"
    title = "The database refused the operation"

    def __init__(self, detail: str = "", *, sqlstate: str = "", **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.sqlstate = sqlstate


class DatabaseUnavailableError(DatabaseError):
    code = "database_unavailable"
    status = 503
    title = "The database cannot be reached"
    retryable = True

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": "5"}


class UpstreamError(StreamVibeError):
    """Another service answered badly. `service` names it, `upstream_status` is its HTTP status or None.

    `upstream_code` is the vendor's own error code or reason where it is known to be a plain word.
    """

    code = "upstream_error"
    status = 502
    title = "Another service answered badly"
    retryable = True

    def __init__(
        self,
        detail: str = "",
        *,
        service: str = "",
        upstream_status: int | None = None,
        upstream_code: str | None = None,
        retry_after_seconds: float | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail, **extra)
        self.service = service
        self.upstream_status = upstream_status
        self.upstream_code = upstream_code
        self.retry_after_seconds = retry_after_seconds


class UpstreamUnavailableError(UpstreamError):
    code = "upstream_unavailable"
    status = 503
    title = "Another service is not available right now"

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(max(1, round(self.retry_after_seconds or 30)))}


class UpstreamRefusedError(UpstreamError):
    code = "upstream_refused"
    title = "Another service refused the request"
    retryable = False


class TokenRejectedError(UpstreamRefusedError):
    code = "token_rejected"
    title = "Another service did not accept our access token"


class GrantRevokedError(UpstreamError):
    code = "grant_revoked"
    status = 409
    title = "The permission for this account has been withdrawn; connect it again"
    retryable = False
