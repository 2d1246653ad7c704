"""Status, headers and body of the answer to a plan that ran.

https://docs.postgrest.org/en/v14/references/transactions.html#response-headers
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from infra.local.data_api import errors
from infra.local.data_api.query import canonical
from infra.local.data_api.ranges import content_range

if TYPE_CHECKING:
    from infra.local.data_api.plan import Plan
    from infra.local.data_api.request import RawRequest, Request
    from infra.local.data_api.schema_cache import Table
    from infra.local.data_api.transaction import ResultSet


@dataclass(slots=True)
class Response:
    """An answer, ready for the wire."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    reason: str | None = None


def respond(plan: Plan, request: Request, raw: RawRequest, result_set: ResultSet) -> Response:
    """The answer to a request whose plan ran; raise ApiError where response.headers or response.status is wrong."""
    if plan.representation.media_type.is_plan:
        return Response(200, _content_type(plan, request), result_set.body)
    match request.action:
        case "create":
            response = _created(plan, request, result_set)
        case "update":
            response = _updated(plan, request, result_set)
        case "upsert":
            response = _upserted(plan, request, result_set)
        case "delete":
            response = _deleted(plan, request, result_set)
        case "call":
            response = _called(plan, request, result_set)
        case _:
            response = _read(plan, request, raw, result_set)
    return _overridden(response, result_set)


def _content_type(plan: Plan, request: Request) -> list[tuple[str, str]]:
    headers = [("Content-Type", plan.representation.media_type.content_type)]
    return headers + profile_header(request)


def profile_header(request: Request) -> list[tuple[str, str]]:
    return [("Content-Profile", request.schema)] if request.schema_was_negotiated else []


def _applied(request: Request, *names: str) -> list[tuple[str, str]]:
    value = request.preferences.applied(*names, "count", "tx", "handling", "timezone")
    return [("Preference-Applied", value)] if value else []


def _paged(request: Request, result_set: ResultSet) -> tuple[int, tuple[str, str], errors.ApiError | None]:
    """(status, Content-Range, error where the offset is beyond the end) of rows from an offset on."""
    lower = request.range.lower
    upper = lower + result_set.page_total - 1
    total = result_set.total
    header = ("Content-Range", content_range(lower, upper, total))
    if total is None:
        return 200, header, None
    if lower > total:
        return 416, header, errors.range_out_of_bounds(lower, total)
    return (206 if result_set.page_total < total else 200), header, None


def _read(plan: Plan, request: Request, raw: RawRequest, result_set: ResultSet) -> Response:
    status, page, error = _paged(request, result_set)
    query = canonical(raw.pairs)
    location = f"/{request.target.name}{'?' + query if query else ''}"
    headers = [page, ("Content-Location", location), *_content_type(plan, request), *_applied(request)]
    body = b"" if request.headers_only else error.body() if error else result_set.body
    return Response(status, headers, body)


def _called(plan: Plan, request: Request, result_set: ResultSet) -> Response:
    status, page, error = _paged(request, result_set)
    headers = [page, *_applied(request, "max-affected")]
    if plan.call and plan.call.routine.returns_void:
        return Response(204, headers)
    body = b"" if request.headers_only else error.body() if error else result_set.body
    return Response(status, headers + _content_type(plan, request), body)


def _created(plan: Plan, request: Request, result_set: ResultSet) -> Response:
    preferences = request.preferences
    headers = []
    if result_set.location:
        pairs = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in result_set.location)
        headers.append(("Location", f"/{request.target.name}?{pairs}"))
    headers.append(("Content-Range", _counted(request, result_set, 1, 0)))
    has_key = bool(getattr(plan.mutation, "primary_key", None)) or request.query.on_conflict is not None
    names = ("resolution", "missing", "return") if has_key else ("missing", "return")
    headers += _applied(request, *names)
    only_merged = preferences.resolution == "merge-duplicates" and (result_set.inserted or 0) <= 0
    status = 200 if only_merged else 201
    if preferences.returned == "representation":
        return Response(status, headers + _content_type(plan, request), result_set.body)
    return Response(status, headers)


def _counted(request: Request, result_set: ResultSet, lower: int, upper: int) -> str:
    return content_range(lower, upper, result_set.page_total if request.preferences.counts else None)


def _updated(plan: Plan, request: Request, result_set: ResultSet) -> Response:
    page = ("Content-Range", _counted(request, result_set, 0, result_set.page_total - 1))
    headers = [page, *_applied(request, "missing", "return", "max-affected")]
    if request.preferences.returned == "representation":
        return Response(200, headers + _content_type(plan, request), result_set.body)
    return Response(204, headers)


def _upserted(plan: Plan, request: Request, result_set: ResultSet) -> Response:
    headers = _applied(request, "return")
    if request.preferences.returned == "representation":
        status = 201 if (result_set.inserted or 0) > 0 else 200
        return Response(status, _content_type(plan, request) + headers, result_set.body)
    return Response(204, headers)


def _deleted(plan: Plan, request: Request, result_set: ResultSet) -> Response:
    page = ("Content-Range", _counted(request, result_set, 1, 0))
    headers = [page, *_applied(request, "return", "max-affected")]
    if request.preferences.returned == "representation":
        return Response(200, headers + _content_type(plan, request), result_set.body)
    return Response(204, headers)


def _overridden(response: Response, result_set: ResultSet) -> Response:
    """With the status and headers that SQL has set in response.status and response.headers."""
    if result_set.status is not None:
        digits = re.match("[0-9]+", result_set.status)
        if digits is None:
            raise errors.bad_response_status()
        response.status = int(digits.group())
    if result_set.headers is not None:
        own = _header_list(result_set.headers)
        names = {name.lower() for name, _ in own}
        response.headers = [pair for pair in response.headers if pair[0].lower() not in names] + own
    return response


def _header_list(text: str) -> list[tuple[str, str]]:
    try:
        items = json.loads(text)
    except ValueError:
        raise errors.bad_response_headers() from None
    if not isinstance(items, list):
        raise errors.bad_response_headers()
    pairs = []
    for item in items:
        if not isinstance(item, dict) or len(item) != 1:
            raise errors.bad_response_headers()
        name, value = next(iter(item.items()))
        if not isinstance(value, str):
            raise errors.bad_response_headers()
        pairs.append((name, value))
    return pairs


def respond_error(error: errors.ApiError) -> Response:
    body = error.body()
    headers = [
        ("Content-Type", "application/json; charset=utf-8"),
        ("Proxy-Status", f"PostgREST; error={error.code}"),
    ]
    return Response(error.status, headers + error.headers, body, error.reason)


def respond_options(allowed: str) -> Response:
    return Response(200, [("Access-Control-Allow-Origin", "*"), ("Allow", allowed)])


def allowed_methods(table: Table) -> str:
    """The Allow header's value for a relation."""
    methods = ["OPTIONS", "GET", "HEAD"]
    if table.insertable:
        methods.append("POST")
    if table.insertable and table.updatable and table.primary_key:
        methods.append("PUT")
    if table.updatable:
        methods.append("PATCH")
    if table.deletable:
        methods.append("DELETE")
    return ",".join(methods)


_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def reason_phrase(status: int) -> str:
    return _PHRASES.get(status, "")
