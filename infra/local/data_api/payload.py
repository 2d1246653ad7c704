"""Request bodies: JSON, CSV, forms, and raw text or bytes for functions with one unnamed parameter.

https://docs.postgrest.org/en/v14/references/api/resource_representation.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.local.data_api import errors
from infra.local.data_api.csv_rows import read_csv
from infra.local.data_api.query import parse_pairs

if TYPE_CHECKING:
    from infra.local.data_api.media import MediaType

_RAW_TYPES = ("text/plain", "text/xml", "application/octet-stream")


@dataclass(frozen=True, slots=True)
class Payload:
    """`raw` goes to the database as it is; `keys` are the columns or arguments; `form` is that of a function."""

    raw: bytes
    keys: frozenset[str]
    form: list[tuple[str, str]] | None = None


def read_payload(body: bytes, content_type: MediaType, *, is_call: bool, columns: frozenset[str] | None) -> Payload:
    """Parse a body; `columns` given, it goes to the database unparsed."""
    match content_type.name:
        case "application/json":
            if columns is not None:
                return Payload(body, columns)
            return _from_json(b"{}" if not body and is_call else body)
        case "text/csv":
            return _from_csv(body)
        case "application/x-www-form-urlencoded":
            pairs = [(name, value or "") for name, value in parse_pairs(body.decode("latin-1"))]
            if is_call:
                return Payload(b"", frozenset(name for name, _ in pairs), pairs)
            return _encoded(dict(pairs))
        case name if is_call and name in _RAW_TYPES:
            return Payload(body, frozenset())
    raise errors.bad_body(f"Content-Type not acceptable: {content_type.mime}")


def _from_json(body: bytes) -> Payload:
    try:
        value = json.loads(body.decode(), parse_int=str, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise errors.bad_body("Empty or invalid json") from None
    if isinstance(value, dict):
        return Payload(body, frozenset(value))
    if not isinstance(value, list) or not value:  # anything else inserts nothing
        return Payload(b"[]", frozenset())
    return Payload(body, _keys(value, "All object keys must match"))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _keys(rows: list[Any], complaint: str) -> frozenset[str]:
    first = rows[0]
    if not isinstance(first, dict):
        raise errors.bad_body(complaint)
    keys = first.keys()
    if not all(isinstance(row, dict) and row.keys() == keys for row in rows):
        raise errors.bad_body(complaint)
    return frozenset(keys)


def _from_csv(body: bytes) -> Payload:
    """Rows of strings, in which the word NULL is null."""
    rows = [{name: None if value == "NULL" else value for name, value in row.items()} for row in read_csv(body)]
    keys = _keys(rows, "All lines must have same number of fields") if rows else frozenset()
    return Payload(json.dumps(rows, ensure_ascii=False).encode(), keys)


def _encoded(row: dict[str, str]) -> Payload:
    return Payload(json.dumps(row, ensure_ascii=False).encode(), frozenset(row))
