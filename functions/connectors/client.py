"""How StreamVibe talks to the outside world: `send`, the only place that makes a request to another service.

It redirects configured origins (UPSTREAM_OVERRIDES), bounds time and size whatever the other side does, repeats what
may be repeated, and turns refusals into our errors. Those never hold an address, a header or a body, because some
services want secrets in each of them; a service's own error code is kept where its spec reads one.
"""

from __future__ import annotations

import email.utils
import json
import math
import random
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from functions.core import http, settings
from functions.core.errors import ConfigurationError, UpstreamError, UpstreamRefusedError, UpstreamUnavailableError
from functions.core.observability import logger

DEADLINE_SECONDS = 20.0  # one call with all its repetitions
CONNECT_TIMEOUT_SECONDS = 5.0
MAX_BODY_BYTES = 8 * 1024 * 1024  # of the decoded body
MAX_RETRIES = 2
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 5.0  # a longer Retry-After is the caller's to keep, not a Lambda's to sleep through
LONGEST_RETRY_AFTER_SECONDS = 24 * 3600.0  # nobody is believed to be away for longer than a day
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
UNAVAILABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
USER_AGENT = "StreamVibe/1.0"
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A request as data, so that provider modules can build one without sending it. At most one body."""

    method: str
    url: str
    params: Mapping[str, str | int] = field(default_factory=dict, repr=False)  # Meta wants tokens here
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    json: Any = field(default=None, repr=False)
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, read whole. `headers` is case-insensitive; `service` is who answered, for errors."""

    service: str
    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON. Raises UpstreamError if it is something else."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise UpstreamError(
                f"{self.service} answered with something that is not JSON.",
                service=self.service,
                upstream_status=self.status,
            ) from None

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one if it is anything else. For reading error bodies."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


Check = Callable[[Response], UpstreamError | None]
"""Says what is wrong with an answer, None if nothing is. The default, `check_status`, knows only the status."""


def send(
    request: Request,
    *,
    service: str,
    check: Check | None = None,
    accept: Collection[int] = (),
    idempotent: bool | None = None,
    deadline_seconds: float = DEADLINE_SECONDS,
    max_bytes: int = MAX_BODY_BYTES,
    retries: int = MAX_RETRIES,
) -> Response:
    """Send `request` to `service` (the name used in errors and logs) and return its answer.

    `check` reads the service's own errors; statuses in `accept` are returned without being checked. A call is repeated
    with growing, jittered pauses (or the pause that Retry-After asks for) if it is `idempotent`, which follows from
    the method unless given, or if it certainly never arrived. `deadline_seconds` bounds all of it.

    Raises UpstreamUnavailableError (worth trying later, `retry_after_seconds` says when if the service did),
    UpstreamRefusedError (pointless to repeat), or what `check` returns.
    """
    repeatable = request.method in IDEMPOTENT_METHODS if idempotent is None else idempotent
    with http.deadline(deadline_seconds):
        for attempt in range(retries + 1):
            try:
                response = _exchange(request, service, max_bytes)
            except httpx.InvalidURL:
                raise ConfigurationError(f"The address of {service} is not usable.") from None
            except httpx.HTTPError as error:
                never_arrived = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
                failure: UpstreamError = _transport_failure(service, error)
                may_repeat = repeatable or never_arrived
            else:
                found = None if response.status in accept else (check or check_status)(response)
                if found is None:
                    return response
                failure, may_repeat = found, repeatable
            pause = _pause_seconds(attempt, failure)
            too_long = pause > LONGEST_WAIT_SECONDS or pause >= http.remaining_seconds()
            if attempt == retries or not may_repeat or not failure.retryable or too_long:
                raise failure
            logger.info("upstream call repeated", extra={"service": service, "status": failure.upstream_status})
            time.sleep(pause)
    raise AssertionError("unreachable")


def check_status(response: Response) -> UpstreamError | None:
    """The error that an answer's status stands for, None for 2xx."""
    if response.ok:
        return None
    return error_for(response)


def error_for(response: Response, *, code: str | None = None, unavailable: bool | None = None) -> UpstreamError:
    """The error for a bad answer: unavailable or refused by its status, or as the caller's reading of the body says.

    `code` is the service's own error code; it is kept only if it is a plain word.
    """
    gone_for_now = response.status in UNAVAILABLE_STATUSES or response.status >= 500
    kind = UpstreamUnavailableError if (gone_for_now if unavailable is None else unavailable) else UpstreamRefusedError
    detail = (
        f"{response.service} cannot answer right now."
        if kind is UpstreamUnavailableError
        else f"{response.service} refused the request."
    )
    return kind(
        detail,
        service=response.service,
        upstream_status=response.status,
        upstream_code=plain_word(code),
        retry_after_seconds=retry_after_seconds(response.headers),
    )


def plain_word(value: Any) -> str | None:
    """`value` as text if it is a short word such as an error code; anything else could quote what we sent."""
    text = str(value) if isinstance(value, (str, int)) else ""
    is_word = text.isascii() and text.replace("_", "").replace("-", "").isalnum()
    return text if is_word and len(text) <= 64 else None


def retry_after_seconds(headers: httpx.Headers) -> float | None:
    """What Retry-After asks for: a number of seconds or a date. None if absent or not understood; at most a day."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):  # no date, or one that no calendar has
            return None
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)


def upstream_url(url: str) -> str:
    """`url` with its origin replaced if UPSTREAM_OVERRIDES says so."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    override = settings.UPSTREAM_OVERRIDES.value().get(origin)
    return url if override is None else override + url.removeprefix(origin)


def _exchange(request: Request, service: str, max_bytes: int) -> Response:
    """One attempt, without judging the answer."""
    client = http.client()
    url = httpx.URL(upstream_url(request.url)).copy_merge_params(dict(request.params))
    built = client.build_request(
        request.method,
        url,
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip", **request.headers},
        data=dict(request.form) if request.form is not None else None,
        json=request.json,
        content=request.content,
        timeout=httpx.Timeout(max(http.remaining_seconds(), 0.001), connect=CONNECT_TIMEOUT_SECONDS),
    )
    answer = client.send(built, stream=True)
    try:
        body = _read(answer, service, max_bytes)
    finally:
        answer.close()
    return Response(service=service, status=answer.status_code, headers=answer.headers, body=body)


def _read(answer: httpx.Response, service: str, max_bytes: int) -> bytes:
    """The decoded body. It is decoded here, a piece at a time, so that a small bomb never becomes a large body."""
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32) if encoding in {"gzip", "x-gzip", "deflate"} else None
    if decoder is None and encoding not in {"identity", ""}:
        raise _unreadable(service, answer.status_code)
    body = bytearray()
    arrived = 0
    try:
        for chunk in answer.iter_raw(_CHUNK_BYTES):
            arrived += len(chunk)
            body += decoder.decompress(chunk, max_bytes + 1 - len(body)) if decoder else chunk
            # What arrives counts too: bytes after a compressed body, or that decode to nothing, may have no end.
            if len(body) > max_bytes or arrived > max_bytes + _CHUNK_BYTES:
                raise UpstreamError(
                    f"{service} sent more than {max_bytes} bytes.", service=service, upstream_status=answer.status_code
                )
    except zlib.error:
        raise _unreadable(service, answer.status_code) from None
    return bytes(body)


def _unreadable(service: str, status: int) -> UpstreamError:
    return UpstreamError(f"{service} sent a body that cannot be decoded.", service=service, upstream_status=status)


def _transport_failure(service: str, error: httpx.HTTPError) -> UpstreamUnavailableError:
    reason = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "could not be reached"
    return UpstreamUnavailableError(f"{service} {reason}.", service=service)


def _pause_seconds(attempt: int, failure: UpstreamError) -> float:
    if failure.retry_after_seconds is not None:
        return failure.retry_after_seconds
    return FIRST_BACKOFF_SECONDS * 2.0**attempt * random.uniform(0.5, 1.5)  # noqa: S311 - spreads callers, no secret
