"""What a request asks for: the target, the action, and everything parsed from its line, headers and body."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote_to_bytes

from infra.local.data_api import errors
from infra.local.data_api.media import ANY, JSON, MediaType, parse_accept, parse_media_type
from infra.local.data_api.payload import Payload, read_payload
from infra.local.data_api.preferences import Preferences, parse_preferences
from infra.local.data_api.query import Query, Shape, parse_pairs, parse_query
from infra.local.data_api.ranges import ALL, LIMIT_ZERO, Range, parse_range_header
from infra.local.data_api.schema_cache import Name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.local.data_api.config import Config

Action = Literal[
    "read",
    "create",
    "update",
    "upsert",
    "delete",
    "call",
    "inspect",
    "relation-info",
    "call-info",
    "root-info",
]
_RELATION_ACTIONS: dict[str, Action] = {
    "GET": "read",
    "HEAD": "read",
    "POST": "create",
    "PUT": "upsert",
    "PATCH": "update",
    "DELETE": "delete",
    "OPTIONS": "relation-info",
}
_CALL_ACTIONS: dict[str, Action] = {"GET": "call", "HEAD": "call", "POST": "call", "OPTIONS": "call-info"}
_ROOT_ACTIONS: dict[str, Action] = {"GET": "inspect", "HEAD": "inspect", "OPTIONS": "root-info"}
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(slots=True)
class RawRequest:
    """A request as it came in; header names are lower case, a repeated header's values are joined by commas.

    Path and query string are the bytes of the request line, as Latin-1 letters.
    """

    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    body: bytes = b""
    _pairs: list[tuple[str, str | None]] | None = None

    @property
    def pairs(self) -> list[tuple[str, str | None]]:
        """The query string's names and values."""
        if self._pairs is None:
            self._pairs = parse_pairs(self.query_string)
        return self._pairs


@dataclass(slots=True)
class Request:
    """A request understood, though not yet checked against the schema cache."""

    method: str
    action: Action
    schema: str
    target: Name
    schema_was_negotiated: bool
    query: Query
    preferences: Preferences
    accepts: list[MediaType]
    content_type: MediaType
    # Of the top level, for the answer's Content-Range, and of all levels, for the plan.
    range: Range
    ranges: dict[str, Range] = field(default_factory=dict)
    payload: Payload | None = None
    columns: frozenset[str] = frozenset()

    @property
    def is_mutation(self) -> bool:
        return self.action in ("create", "update", "upsert", "delete")

    @property
    def is_call_by_post(self) -> bool:
        return self.action == "call" and self.method == "POST"

    @property
    def headers_only(self) -> bool:
        return self.method == "HEAD"


def understand(raw: RawRequest, shape: Shape, config: Config, timezones: frozenset[str]) -> Request:
    """Parse the whole request; raise ApiError for the first thing that is wrong with it."""
    is_call, name = _resource(raw.path, config)
    schema, negotiated = _schema(raw, config)
    action = _action(raw.method, name, is_call=is_call)
    is_rpc_read = action == "call" and raw.method != "POST"
    query = parse_query(shape, is_rpc_read=is_rpc_read)
    top, ranges = _ranges(raw, query)
    preferences = parse_preferences(raw.headers.get("prefer", ""), timezones, tx_allowed=config.tx_override_allowed)
    accept = raw.headers.get("accept")
    content_type = raw.headers.get("content-type")
    request = Request(
        method=raw.method,
        action=action,
        schema=schema,
        target=Name(schema, name or ""),
        schema_was_negotiated=negotiated,
        query=query,
        preferences=preferences,
        accepts=[ANY] if accept is None else parse_accept(accept),
        content_type=JSON if content_type is None else parse_media_type(content_type),
        range=top,
        ranges=ranges,
    )
    if action in ("create", "update", "upsert") or request.is_call_by_post:
        columns = query.columns if action != "upsert" else None
        request.payload = read_payload(raw.body, request.content_type, is_call=action == "call", columns=columns)
        request.columns = request.payload.keys
    return request


def _resource(path: str, config: Config) -> tuple[bool, str | None]:
    """(whether it is a function, its name or the relation's); no name means the root."""
    segments = [unquote_to_bytes(part.encode("latin-1")).decode("utf-8", "replace") for part in path.split("/")[1:]]
    match segments:
        case [] | [""]:
            if config.db_root_spec:
                return True, config.db_root_spec.rpartition(".")[2]
            if config.openapi_mode == "disabled":
                raise errors.openapi_off()
            return False, None
        case [relation]:
            return False, relation
        case ["rpc", function]:
            return True, function
    raise errors.bad_path()


def _schema(raw: RawRequest, config: Config) -> tuple[str, bool]:
    profile = raw.headers.get("content-profile" if raw.method in _WRITES else "accept-profile")
    if profile is None:
        return config.db_schemas[0], len(config.db_schemas) > 1
    if profile not in config.db_schemas:
        raise errors.unknown_schema(profile, config.db_schemas)
    return profile, True


def _action(method: str, name: str | None, *, is_call: bool) -> Action:
    if is_call:
        if method not in _CALL_ACTIONS:
            raise errors.method_not_for_rpc(method)
        return _CALL_ACTIONS[method]
    actions = _ROOT_ACTIONS if name is None else _RELATION_ACTIONS
    if method not in actions:
        raise errors.unsupported_method(method)
    return actions[method]


def _ranges(raw: RawRequest, query: Query) -> tuple[Range, dict[str, Range]]:
    """The range of the top level and those of all levels; the Range header counts for GET alone."""
    by_header = parse_range_header(raw.headers.get("range")) if raw.method == "GET" else ALL
    by_limit = query.ranges.get("limit", ALL)
    top = LIMIT_ZERO if by_limit.is_limit_zero else by_header.intersected(by_limit)
    if top.is_empty and not by_limit.is_limit_zero:
        if by_header.is_empty:
            raise errors.bad_range(
                "The lower boundary must be lower than or equal to the upper boundary in the Range header."
            )
        raise errors.bad_range("Limit should be greater than or equal to zero.")
    if raw.method == "PUT" and top != ALL:
        raise errors.put_with_limit()
    return top, query.ranges | {"limit": top}
