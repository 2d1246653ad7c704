"""What Facebook's and Instagram's graphs have in common: errors, usage headers, paging, signed callbacks.

Docs: https://developers.facebook.com/docs/graph-api/guides/error-handling,
https://developers.facebook.com/docs/graph-api/overview/rate-limiting (Graph API v26.0).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from functions.connectors.client import Response, error_for
from functions.connectors.social import fields
from functions.connectors.spec import Pause
from functions.core.errors import TokenRejectedError, UpstreamError

VERSION = "v26.0"
TOKEN_CODES = frozenset({102, 190})
TRANSIENT_CODES = frozenset({1, 2})
# App, user, page and custom limits, and the business use cases' (80000 and up).
LIMIT_CODES = frozenset({4, 17, 32, 341, 613, *range(80000, 80015)})
APP_LIMIT_CODES = frozenset({"4", "341"})
APP_USAGE_HEADER = "x-app-usage"
USAGE_HEADERS = ("x-business-use-case-usage", APP_USAGE_HEADER, "x-page-usage")
USAGE_PERCENT_TO_STOP_AT = 90.0
PAUSE_SECONDS = 600.0  # where a limit does not say how long it lasts
LONGEST_PAUSE_SECONDS = 86400.0
NEXT_PAGE_PARAMETERS = ("after", "until", "since", "__paging_token", "__previous")


def check(response: Response) -> UpstreamError | None:
    """The graph's error envelope: its code decides, not the status."""
    body = response.json_object()
    error = fields.obj(body.get("error"))
    if response.ok and not body.get("error"):
        return None
    code = fields.count(error.get("code"))
    if code in TOKEN_CODES and error.get("is_transient") is not True:
        return TokenRejectedError(service=response.service, upstream_status=response.status, upstream_code=str(code))
    passes_by = error.get("is_transient") is True or code in TRANSIENT_CODES or code in LIMIT_CODES
    failure = error_for(response, code=str(code) if code is not None else None, unavailable=passes_by or None)
    if code in LIMIT_CODES and failure.retry_after_seconds is None:
        pause = read_pause(response)
        failure.retry_after_seconds = max(pause.seconds if pause else 0.0, PAUSE_SECONDS)
    return failure


def read_pause(response: Response) -> Pause | None:
    """None, or the pause that the graph estimates once some usage is near its limit. The app's usage is everybody's."""
    longest: Pause | None = None
    for header, usage in _usages(response):
        percents = (fields.number(usage.get(name)) for name in ("call_count", "total_cputime", "total_time"))
        used = max((value for value in percents if value is not None), default=0.0)
        if used < USAGE_PERCENT_TO_STOP_AT:
            continue
        minutes = fields.number(usage.get("estimated_time_to_regain_access")) or 0.0
        seconds = min(minutes * 60, LONGEST_PAUSE_SECONDS) if minutes > 0 else PAUSE_SECONDS
        if longest is None or seconds > longest.seconds:
            longest = Pause(seconds, is_shared=header == APP_USAGE_HEADER)
    return longest


def _usages(response: Response) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in USAGE_HEADERS:
        try:
            value = json.loads(response.headers.get(name, "null"))
        except (ValueError, RecursionError):
            continue
        if not isinstance(value, dict):
            continue
        yield name, value  # flat: the app's and the page's usage
        for entries in value.values():  # by business object
            for entry in fields.objects(entries):
                yield name, entry


def next_cursor(body: Mapping[str, Any]) -> str | None:
    """What leads to the next page, None on the last one. Raises UpstreamError if there is one that cannot be found.

    Only the paging parameters of the `next` address are kept: its host and token are not to be trusted or stored.
    """
    paging = fields.obj(body.get("paging"))
    following = fields.text(paging.get("next"))
    if following is None:
        return None
    given = dict(parse_qsl(following.partition("#")[0].partition("?")[2]))
    kept = {name: given[name] for name in NEXT_PAGE_PARAMETERS if given.get(name)}
    after = fields.text(fields.obj(paging.get("cursors")).get("after"))
    if after:
        kept["after"] = after
    if not kept:
        raise UpstreamError("There is another page, and nothing says where.", upstream_status=200)
    return urlencode(kept)


def page_parameters(cursor: str | None) -> dict[str, str | int]:
    """The parameters in a cursor of `next_cursor`."""
    return {name: value for name, value in parse_qsl(cursor or "") if name in NEXT_PAGE_PARAMETERS}


def unwrap(body: Any) -> Mapping[str, Any]:
    """An object that is documented as `{"data": [{…}]}` and mostly served flat."""
    inner = fields.obj(body).get("data")
    if isinstance(inner, list):
        return next(iter(fields.objects(inner)), {})
    return fields.obj(inner) if isinstance(inner, dict) else fields.obj(body)


def read_signed_request(signed_request: str, app_secret: str) -> Mapping[str, Any] | None:
    """The payload of a callback's `signed_request`, None if it is not signed with the app's secret.

    Docs: https://developers.facebook.com/docs/development/create-an-app/app-dashboard/data-deletion-callback
    """
    signature, _, payload = signed_request.partition(".")
    try:
        given = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
        expected = hmac.new(app_secret.encode(), payload.encode(), hashlib.sha256).digest()
        # What somebody else signed is not even read.
        if not hmac.compare_digest(given, expected):
            return None
        content = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    return content if str(content.get("algorithm", "")).upper() == "HMAC-SHA256" else None
