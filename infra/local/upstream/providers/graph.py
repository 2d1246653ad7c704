"""What Meta's two APIs share: field expansion, error envelopes, cursors, usage headers, signed requests.

https://developers.facebook.com/docs/graph-api (v26.0)
"""

from __future__ import annotations

import base64
import binascii
import bisect
import hashlib
import hmac
import json
import re
import secrets
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from infra.local.upstream.accounts import Account
from infra.local.upstream.items import Catalogue
from infra.local.upstream.limits import FixedWindow
from infra.local.upstream.messages import Refusal, Request, Response, json_response
from infra.local.upstream.oauth import AuthorizationServer, Token
from infra.local.upstream.platform import Platform
from infra.local.upstream.provider import Route

Resource = dict[str, Any]

CURRENT_VERSION, OLDEST_VERSION = 26, 21
LONG_SECONDS = 5_183_944
DAY_SECONDS = 86_400
MAX_PAGE = 100
DEFAULT_PAGE = 25


@dataclass(frozen=True, slots=True)
class Field:
    """One field asked for: `name.limit(0).summary(total_count){sub,fields}`."""

    name: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    inner: tuple[Field, ...] = ()


def parse_fields(text: str) -> tuple[Field, ...]:
    """Reads a `fields` parameter; refuses unbalanced braces as Meta does."""
    found: list[Field] = []
    for part in _split(text):
        head, brace, rest = part.partition("{")
        if brace and not rest.endswith("}"):
            raise refuse(2500, "Syntax error \"Expected end of string instead of '{'.\"")
        name, *modifiers = re.split(r"\.(?=\w+\()", head)
        arguments = dict(re.findall(r"(\w+)\(([^)]*)\)", ".".join(modifiers)))
        found.append(Field(name.strip(), arguments, parse_fields(rest[:-1]) if brace else ()))
    return tuple(found)


def _split(text: str) -> list[str]:
    """Splits at the commas outside braces and parentheses."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "{(") - (letter in "})")
        if letter == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def select(resource: Resource, asked: Sequence[Field], node: str) -> Resource:
    """The fields asked for that the resource has, and its id. `resource` must hold every known field, None where there
    is nothing to show: such a field is left out, an unknown one is error 100.
    """
    chosen: Resource = {}
    for one in asked:
        if one.name not in resource:
            raise refuse(100, f"(#100) Tried accessing nonexisting field ({one.name}) on node type ({node})")
        value = resource[one.name]
        if value is not None:
            chosen[one.name] = _narrow(value, one)
    return {**chosen, "id": resource["id"]}


def _narrow(value: Any, asked: Field) -> Any:
    if not isinstance(value, dict):
        return value
    if "data" not in value:
        return {one.name: value[one.name] for one in asked.inner if one.name in value} if asked.inner else value
    narrowed = dict(value)
    if isinstance(value["data"], list):
        rows = value["data"][: int(asked.arguments["limit"])] if "limit" in asked.arguments else value["data"]
        narrowed["data"] = [_choose(row, asked.inner) for row in rows] if asked.inner else rows
    elif asked.inner:
        narrowed["data"] = _choose(value["data"], asked.inner)
    if "summary" not in asked.arguments:
        narrowed.pop("summary", None)
    return narrowed


def _choose(row: Resource, asked: Sequence[Field]) -> Resource:
    return {one.name: _narrow(row[one.name], one) for one in asked if row.get(one.name) is not None}


def refuse(
    code: int, message: str, *, status: int = 400, subcode: int | None = None, kind: str = "OAuthException"
) -> Refusal:
    """The Graph API's error envelope; codes 1 and 2 are transient."""
    error: Resource = {"message": message, "type": kind, "code": code}
    if subcode is not None:
        error["error_subcode"] = subcode
    error |= {"is_transient": code in (1, 2), "fbtrace_id": "A" + secrets.token_urlsafe(16)}
    return Refusal(json_response({"error": error}, status))


def gone(object_id: str) -> Refusal:
    """What Meta says of an object that was deleted, never existed or may not be seen."""
    return refuse(
        100,
        f"Unsupported get request. Object with ID '{object_id}' does not exist, cannot be loaded due to missing "
        "permissions, or does not support this operation.",
        subcode=33,
        kind="GraphMethodException",
    )


def split_version(path: str) -> tuple[int, list[str]]:
    """(major version, path segments); versions that ended are answered by the oldest one alive, as Meta does."""
    segments = [segment for segment in path.split("/") if segment]
    version = CURRENT_VERSION
    if segments and (match := re.fullmatch(r"v(\d+)\.0", segments[0])):
        version = max(OLDEST_VERSION, int(match[1]))
        if version > CURRENT_VERSION:
            raise refuse(2500, f"Unknown path components: /{segments[0]}")
        segments = segments[1:]
    return version, segments


def timestamp(clock_seconds: float) -> str:
    """`2026-01-02T03:04:05+0000`"""
    return datetime.fromtimestamp(clock_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def page_of(request: Request, catalogue: Catalogue, indexes: Sequence[int]) -> tuple[list[int], Resource]:
    """One page of a newest-first edge by `limit`, `after`, `before`, `since`, `until`, and its `paging` object."""
    query = request.query
    limit = _limit(query.get("limit"))

    def age(index: int) -> float:
        return -catalogue.published_at(index)

    if "until" in query:
        indexes = indexes[bisect.bisect_left(indexes, -_unix(query["until"]), key=age) :]
    if "since" in query:
        indexes = indexes[: bisect.bisect_right(indexes, -_unix(query["since"]), key=age)]
    if "before" in query:
        end = bisect.bisect_left(indexes, -_cursor_time(query["before"]), key=age)
        start = max(0, end - limit)
        end = min(end, start + limit)
    else:
        start = bisect.bisect_right(indexes, -_cursor_time(query["after"]), key=age) if "after" in query else 0
        end = start + limit
    chosen = list(indexes[start:end])
    if not chosen:
        return [], {}
    cursors = {"before": _cursor(-age(chosen[0])), "after": _cursor(-age(chosen[-1]))}
    paging: Resource = {"cursors": cursors}
    kept = {name: value for name, value in query.items() if name not in ("after", "before")}
    if end < len(indexes):
        paging["next"] = f"{_public_url(request)}?{urlencode({**kept, 'after': cursors['after']})}"
    if start > 0:
        paging["previous"] = f"{_public_url(request)}?{urlencode({**kept, 'before': cursors['before']})}"
    return chosen, paging


def page_of_list(request: Request, rows: Sequence[Resource]) -> Resource:
    """The same for an edge that is a plain list, such as a person's Pages."""
    limit = _limit(request.query.get("limit"))
    start = int(_cursor_time(request.query["after"])) if "after" in request.query else 0
    chosen = list(rows[start : start + limit])
    body: Resource = {"data": chosen}
    if request.query.get("summary", "0") not in ("0", "false"):
        body["summary"] = {"total_count": len(rows)}
    if chosen:
        cursors = {"before": _cursor(start), "after": _cursor(start + len(chosen))}
        body["paging"] = {"cursors": cursors}
        if start + limit < len(rows):
            kept = {name: value for name, value in request.query.items() if name not in ("after", "before")}
            query = urlencode({**kept, "after": cursors["after"]})
            body["paging"]["next"] = f"{_public_url(request)}?{query}"
    return body


def _public_url(request: Request) -> str:
    return f"https://{request.host}{request.path}"


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_PAGE
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PAGE:
        raise refuse(100, f"(#100) Param limit must be a number between 1 and {MAX_PAGE}")
    return int(text)


def _unix(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise refuse(100, "(#100) since and until must be unix timestamps") from error


def _cursor(when: float) -> str:
    return base64.urlsafe_b64encode(f"QVFI:{int(when)}".encode()).decode().rstrip("=")


def _cursor_time(text: str) -> float:
    try:
        head, _, tail = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(":")
        if head == "QVFI":
            return float(tail)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        pass
    raise refuse(100, "(#100) Invalid cursors values")


def sign_request(payload: Mapping[str, Any], app_secret: str) -> str:
    """A `signed_request` as Meta posts it to deauthorise and data-deletion callbacks: `{signature}.{payload}`, both
    base64url without padding, the signature an HMAC-SHA256 of the encoded payload.
    """
    body = {"algorithm": "HMAC-SHA256", **payload}
    encoded = base64.urlsafe_b64encode(json.dumps(body, separators=(",", ":")).encode()).decode().rstrip("=")
    signature = hmac.new(app_secret.encode(), encoded.encode(), hashlib.sha256).digest()
    return f"{base64.urlsafe_b64encode(signature).decode().rstrip('=')}.{encoded}"


class GraphPlatform(Platform):
    """Instagram and Facebook: one access check, one usage meter, the callbacks' signed requests."""

    buc_type: str  # what X-Business-Use-Case-Usage calls it
    buc_code: int  # the error when it is used up
    calls_a_day = 4_800

    def reset(self) -> None:
        super().reset()
        self.usage = FixedWindow(self.clock, self.calls_a_day, DAY_SECONDS)

    @abstractmethod
    def user_id(self, account: Account) -> str:
        """The app-scoped id of a person."""

    def controls(self) -> Sequence[Route]:
        return (
            *super().controls(),
            Route("POST", "", "/limits", self._set_limits),
            Route("POST", "", "/signed_request", self._signed_request),
        )

    def find_token(self, value: str) -> Token:
        """A live token, or error 190 with the subcode that says why not."""
        if not value:
            raise refuse(104, "An access token is required to request this resource.")
        token = self.oauth.access.get(value)
        if token is None:
            raise refuse(190, "Invalid OAuth access token - Cannot parse access token")
        check_alive(self.oauth, token)
        return token

    def meter(self, subject: str, response: Response) -> Response:
        """Counts a call against `subject`'s day and shows the usage; refuses once it is used up."""
        allowed, limit, remaining, reset = self.usage.use(subject)
        percent = 100 if not allowed else min(100, round(100 * (limit - remaining) / max(limit, 1)))
        wait = 0 if allowed else max(1, round((reset - self.clock.now()) / 60))
        meter = {"call_count": percent, "total_cputime": percent // 4, "total_time": percent // 4}
        business = {subject: [{"type": self.buc_type, **meter, "estimated_time_to_regain_access": wait}]}
        headers = {
            "x-app-usage": json.dumps(meter),
            "x-business-use-case-usage": json.dumps(business),
            "facebook-api-version": f"v{CURRENT_VERSION}.0",
        }
        if not allowed:
            message = f"(#{self.buc_code}) There have been too many calls to this account. Wait a bit and try again."
            refusal = refuse(self.buc_code, message)
            raise Refusal(refusal.response.with_headers(headers))
        return response.with_headers(headers)

    def _set_limits(self, request: Request) -> Response:
        """{calls_a_day}: of each account or Page."""
        self.usage.limit = int(request.json().get("calls_a_day", self.usage.limit))
        return json_response({"calls_a_day": self.usage.limit})

    def _signed_request(self, request: Request) -> Response:
        """{account?}: what Meta would post to a callback about that person."""
        account = self.required_user(request.json().get("account"))
        payload = {"user_id": self.user_id(account), "issued_at": int(self.clock.now())}
        secret = next(iter(self.oauth.clients.values())).client_secret
        return json_response({"user_id": payload["user_id"], "signed_request": sign_request(payload, secret)})


def check_alive(oauth: AuthorizationServer, token: Token) -> None:
    if token.grant.revoked:
        because = token.grant.revoked_because or ""
        subcode = 460 if "password" in because else 458
        message = "The session has been invalidated because the user changed their password."
        if subcode == 458:
            message = "The user has not authorized the application."
        raise refuse(190, f"Error validating access token: {message}", status=401, subcode=subcode)
    if oauth.is_expired(token):
        message = "Error validating access token: Session has expired."
        raise refuse(190, message, status=401, subcode=463)
