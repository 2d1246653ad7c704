"""The query string, parsed: what to select, filter, order and page, at which level of the embedded tree."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from infra.local.data_api import errors, grammar
from infra.local.data_api.parsing import ParseError
from infra.local.data_api.ranges import ALL, Range

if TYPE_CHECKING:
    from infra.local.data_api.grammar import EmbedPath, Filter, LogicTree, OrderTerm, SelectItem

_RESERVED = ("select", "columns", "on_conflict")
_RESERVED_AT_ANY_LEVEL = ("order", "limit", "offset", "and", "or")


@dataclass(slots=True)
class Query:
    """A parsed query string. `params` are an RPC's arguments, `ranges` are keyed by the path that ends in `limit`."""

    select: tuple[SelectItem, ...] = ()
    filters: list[tuple[EmbedPath, Filter]] = field(default_factory=list)
    logic: list[tuple[EmbedPath, LogicTree]] = field(default_factory=list)
    order: list[tuple[EmbedPath, tuple[OrderTerm, ...]]] = field(default_factory=list)
    ranges: dict[str, Range] = field(default_factory=dict)
    params: list[tuple[str, str]] = field(default_factory=list)
    columns: frozenset[str] | None = None
    on_conflict: tuple[str, ...] | None = None
    filter_keys: set[str] = field(default_factory=set)


def parse_pairs(text: str) -> list[tuple[str, str | None]]:
    """`a=1&b` -> [("a", "1"), ("b", None)], percent-decoded, plus signs being blanks; `text` is bytes as Latin-1."""
    pairs = []
    for pair in text.replace(";", "&").split("&"):
        if pair:
            name, equals, value = pair.partition("=")
            pairs.append((_decode(name), _decode(value) if equals else None))
    return pairs


def _decode(text: str) -> str:
    if "%" not in text and "+" not in text and text.isascii():
        return text
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1")).decode("utf-8", "replace")


# Pairs of a query string; where the third member is a number, the second ends where that operand begins.
Shape = tuple[tuple[str, str | None, int | None], ...]


def whole_shape(pairs: list[tuple[str, str | None]]) -> Shape:
    return tuple((name, value, None) for name, value in pairs)


def split_operands(pairs: list[tuple[str, str | None]]) -> tuple[Shape, list[str]]:
    """The query string without the operands of its plain filters, and these: `id=eq.5` and `id=eq.6` are one shape."""
    shape: list[tuple[str, str | None, int | None]] = []
    operands: list[str] = []
    for name, value in pairs:
        split = None
        if value is not None and name not in _RESERVED and name.rpartition(".")[2] not in _RESERVED_AT_ANY_LEVEL:
            split = grammar.split_operand(value)
        if split is None:
            shape.append((name, value, None))
        else:
            shape.append((name, split[0], len(operands)))
            operands.append(split[1])
    return tuple(shape), operands


def parse_query(shape: Shape, *, is_rpc_read: bool = False) -> Query:
    """Parse a query string; raise ApiError PGRST100 where the grammar does not allow it."""
    try:
        return _parse(shape, is_rpc_read=is_rpc_read)
    except ParseError as error:
        raise errors.bad_query(error.message, error.details) from None


def _parse(shape: Shape, *, is_rpc_read: bool) -> Query:
    by_kind: dict[str, list[tuple[str, str]]] = {kind: [] for kind in _RESERVED_AT_ANY_LEVEL}
    filters: list[tuple[str, str, int | None]] = []
    first: dict[str, str | None] = {}
    query = Query()
    for name, value, slot in shape:
        first.setdefault(name, value)
        if value is None or name in _RESERVED:
            continue
        last = name.rpartition(".")[2]
        if last in _RESERVED_AT_ANY_LEVEL:
            by_kind["and" if last == "or" else last].append((name, value))
        else:
            filters.append((name, value, slot))
    # In this order, so that of several mistakes the one is reported that PostgREST reports.
    for name, value in by_kind["order"]:
        query.order.append((grammar.parse_tree_path(name)[0], grammar.parse_order(value)))
    query.logic = [grammar.parse_logic(name, value) for name, value in by_kind["and"]]
    columns = first.get("columns")
    if columns is not None:
        query.columns = frozenset(grammar.parse_columns(columns, "columns"))
    select = first.get("select")
    query.select = grammar.parse_select("*" if select is None else select)
    for name, value, slot in filters:
        _add_filter(query, name, value, slot, is_rpc_read=is_rpc_read)
    on_conflict = first.get("on_conflict")
    if on_conflict is not None:
        query.on_conflict = grammar.parse_columns(on_conflict, "on_conflict")
    query.ranges = _ranges(by_kind["limit"], by_kind["offset"])
    return query


def _add_filter(query: Query, name: str, value: str, slot: int | None, *, is_rpc_read: bool) -> None:
    path, target = grammar.parse_tree_path(name)
    condition = grammar.parse_condition(value, plain_allowed=is_rpc_read)
    query.filter_keys.add(name)
    if condition is None:
        query.params.append((target.name, value))
        return
    negated, operation = condition
    if slot is not None and isinstance(operation, grammar.Compare):
        operation = replace(operation, value=grammar.Slot(slot))
    query.filters.append((path, grammar.Filter(target, operation, negated)))


def canonical(pairs: list[tuple[str, str | None]]) -> str:
    """The query string sorted by name, for Content-Location; values of the same name are joined by commas."""
    by_name: dict[str, list[str]] = {}
    for name, value in sorted(pairs, key=lambda pair: pair[0]):
        by_name.setdefault(name, []).append(_escape(value or ""))
    return "&".join(f"{_escape(name)}={','.join(values)}" for name, values in by_name.items())


@lru_cache(maxsize=4096)
def _escape(text: str) -> str:
    # Bytes are taken for Latin-1 letters there, hence their double encoding.
    return quote(text if text.isascii() else text.encode().decode("latin-1"), safe="")


def _ranges(limits: list[tuple[str, str]], offsets: list[tuple[str, str]]) -> dict[str, Range]:
    ranges = {name: ALL.restricted(_integer(value)) for name, value in limits}
    for name, value in offsets:
        key = name.removesuffix("offset") + "limit"
        offset = _integer(value) or 0
        limited = ranges.get(key)
        if limited is None:
            ranges[key] = Range(offset, None)
        else:
            ranges[key] = Range(offset, offset + (limited.limit or 0) - 1)
    return ranges


def _integer(text: str) -> int | None:
    text = text.strip()
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else None
