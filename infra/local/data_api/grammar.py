"""The grammar of the query string's values: select, filters, logic trees, order.

https://docs.postgrest.org/en/v14/references/api/url_grammar.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from infra.local.data_api.parsing import (
    Failure,
    Parser,
    Reply,
    attempt,
    choice,
    end,
    label,
    later,
    literal,
    look_ahead,
    many,
    mapped,
    not_followed_by,
    one_of,
    optional,
    rest,
    run,
    run_of,
    separated,
    sequence,
    succeed,
)

# --- what the parsers yield -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JsonStep:
    """`->key`, `->>key` or `->1`: the arrow, and the key or index."""

    arrow: Literal["->", "->>"]
    key: str
    is_index: bool


JsonPath = tuple[JsonStep, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A column and the path into its JSON."""

    name: str
    path: JsonPath = ()


@dataclass(frozen=True, slots=True)
class SelectField:
    """`alias:column->path::cast.aggregate()::aggregate_cast`."""

    field: Field
    alias: str | None = None
    cast: str | None = None
    aggregate: str | None = None
    aggregate_cast: str | None = None


@dataclass(frozen=True, slots=True)
class SelectRelation:
    """`alias:relation!hint!inner(...)`, or `...relation(...)`, which spreads its columns into the parent."""

    name: str
    alias: str | None
    hint: str | None
    join: Literal["left", "inner"] | None
    children: tuple[SelectField | SelectRelation, ...]
    spread: bool = False


SelectItem = SelectField | SelectRelation


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of an operand that is filled in when the statement runs; a pattern's `*` become `%` then."""

    index: int
    is_pattern: bool = False


@dataclass(frozen=True, slots=True)
class Compare:
    """`eq.value`, `like(any).{a,b}`, `cs.{1}`: an operator with one operand."""

    operator: str
    value: str | Slot
    quantifier: Literal["any", "all"] | None = None


@dataclass(frozen=True, slots=True)
class Is:
    """`is.null` and the like."""

    value: Literal["null", "not_null", "true", "false", "unknown"]


@dataclass(frozen=True, slots=True)
class IsDistinct:
    """`isdistinct.value`."""

    value: str


@dataclass(frozen=True, slots=True)
class In:
    """`in.(a,b)`."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fts:
    """`wfts(english).value`."""

    operator: str
    language: str | None
    value: str


Operation = Compare | Is | IsDistinct | In | Fts


@dataclass(frozen=True, slots=True)
class Filter:
    """A field, an operation on it, and whether it is negated."""

    field: Field
    operation: Operation
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Logic:
    """`and(...)`, `not.or(...)`."""

    operator: Literal["and", "or"]
    children: tuple[Filter | Logic, ...]
    negated: bool = False


LogicTree = Filter | Logic


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """`column.desc.nullsfirst`, or `relation(column)` for a column of an embedded resource."""

    field: Field
    direction: Literal["asc", "desc"] | None
    nulls: Literal["nullsfirst", "nullslast"] | None
    relation: str | None = None


EmbedPath = tuple[str, ...]


# --- names and JSON paths -------------------------------------------------------------------------------------------


def fail(_text: str, position: int) -> Reply:
    """A failure without a message."""
    return Reply(False, False, None, position, Failure(position, ()))


def lexeme(parser: Parser) -> Parser:
    """`parser` with blanks around it."""
    blanks = run_of(r"[ \t]")
    return sequence(blanks, parser, blanks, build=lambda _before, value, _after: value)


def _dashed(identifier: Parser) -> Parser:
    """Identifiers joined by dashes; a dash that starts an arrow is none."""
    dash = attempt(sequence(literal("-"), not_followed_by(">")))
    return mapped(separated(identifier, dash), "-".join)


_quoted = sequence(
    literal('"'),
    mapped(many(choice(one_of(r'[^\\"]'), sequence(literal("\\"), one_of("."), build=lambda _, c: c))), "".join),
    literal('"'),
    build=lambda _open, value, _close: value,
)
_identifier = mapped(run_of(r"[^\W\d_]|[0-9]|[_ $]", "letter", "digit", least=1), str.strip)
_field_name = label(choice(_quoted, _dashed(_identifier)), "field name (* or [a..z0..9_$])")
_delimiter = label(literal("."), "delimiter (.)")
_comma = literal(",")

_json_key = label(
    choice(_quoted, _dashed(mapped(run_of(r"[^(\-:.,>)]", least=1), str.strip))),
    "any non reserved character different from: .,>()",
)
_index_end = choice(
    *(attempt(look_ahead(literal(mark))) for mark in ("->", "::", ".", ",")),
    attempt(end),
)
_json_index = sequence(
    optional(literal("-"), "+"),
    run_of("[0-9]", "digit", least=1),
    _index_end,
    build=lambda sign, digits, _end: sign + digits,
)
_json_path = mapped(
    many(
        sequence(
            choice(attempt(literal("->>")), attempt(literal("->"))),
            choice(
                attempt(mapped(_json_index, lambda key: (key, True))),
                attempt(mapped(_json_key, lambda key: (key, False))),
            ),
            build=lambda arrow, key: JsonStep(arrow, *key),
        )
    ),
    tuple,
)
_field = lexeme(sequence(_field_name, optional(_json_path, ()), build=Field))
_tree_path = sequence(
    separated(_field_name, _delimiter),
    optional(_json_path, ()),
    build=lambda names, path: (tuple(names[:-1]), Field(names[-1], path)),
)
_columns = separated(_field_name, lexeme(_comma))

# --- select ---------------------------------------------------------------------------------------------------------

_alias = optional(
    attempt(sequence(_field_name, literal(":"), not_followed_by(":"), build=lambda name, _colon, _not_a_cast: name))
)
_item_end = choice(attempt(look_ahead(literal(")"))), attempt(look_ahead(_comma)), attempt(end))
_cast = optional(sequence(literal("::"), _identifier, build=lambda _colons, name: name))
_aggregate = choice(literal("sum"), literal("avg"), literal("count"), attempt(literal("max")), attempt(literal("min")))
_select_field = lexeme(
    choice(
        attempt(sequence(literal("*"), _item_end, build=lambda star, _end: SelectField(Field(star)))),
        attempt(
            sequence(
                _alias,
                literal("count()"),
                _cast,
                _item_end,
                build=lambda alias, _count, cast, _end: SelectField(
                    Field("*"), alias, aggregate="count", aggregate_cast=cast
                ),
            )
        ),
        sequence(
            _alias,
            _field,
            _cast,
            optional(
                attempt(
                    sequence(
                        literal("."),
                        _aggregate,
                        literal("()"),
                        build=lambda _dot, name, _parentheses: name,
                    )
                )
            ),
            _cast,
            _item_end,
            build=lambda alias, field, cast, aggregate, aggregate_cast, _end: SelectField(
                field, alias, cast, aggregate, aggregate_cast
            ),
        ),
    )
)
_embed_param = optional(
    sequence(
        literal("!"),
        choice(
            attempt(mapped(literal("left"), lambda join: ("join", join))),
            attempt(mapped(literal("inner"), lambda join: ("join", join))),
            attempt(mapped(_field_name, lambda hint: ("hint", hint))),
        ),
        build=lambda _mark, param: param,
    )
)
_embed_start = attempt(look_ahead(literal("(")))


def _relation_name(text: str, position: int) -> Reply:
    """A field name that is not `count`, whose parentheses mean the aggregate."""
    reply = _field_name(text, position)
    if reply.ok and reply.value == "count":
        return Reply(False, True, None, position, Failure(reply.position, ()))
    return reply


def _first_of(kind: str, *params: tuple[str, str] | None) -> str | None:
    return next((value for param in params if param for name, value in [param] if name == kind), None)


_forest: Parser = later(lambda: _items)
_children = sequence(literal("("), _forest, literal(")"), build=lambda _open, children, _close: children)
_relation_head = lexeme(
    sequence(
        _alias,
        _relation_name,
        _embed_param,
        _embed_param,
        _embed_start,
        build=lambda alias, name, one, two, _start: (alias, name, one, two, False),
    )
)
_spread_head = lexeme(
    sequence(
        literal("..."),
        _field_name,
        _embed_param,
        _embed_param,
        _embed_start,
        build=lambda _dots, name, one, two, _start: (None, name, one, two, True),
    )
)


def _relation(
    head: tuple[str | None, str, tuple[str, str] | None, tuple[str, str] | None, bool],
    children: tuple[SelectItem, ...],
) -> SelectRelation:
    alias, name, one, two, spread = head
    join = _first_of("join", one, two)
    return SelectRelation(name, alias, _first_of("hint", one, two), join, children, spread)  # type: ignore[arg-type]


_items: Parser = mapped(
    optional(
        separated(
            choice(
                sequence(attempt(_spread_head), _children, build=_relation),
                sequence(attempt(_relation_head), _children, build=_relation),
                _select_field,
            ),
            lexeme(_comma),
        ),
        (),
    ),
    tuple,
)

# --- filters --------------------------------------------------------------------------------------------------------

_FTS = ("fts", "plfts", "phfts", "wfts")
_PLAIN = ("neq", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj")
_QUANTIFIED = ("eq", "gte", "gt", "lte", "lt", "like", "ilike", "match", "imatch")


def _any_case(word: str) -> Parser:
    return mapped(sequence(*(one_of(f"[{c}{c.upper()}]") for c in word)), lambda _: word)


_list_element = choice(
    attempt(sequence(_quoted, not_followed_by("[^,)]"), build=lambda value, _end: value)), run_of("[^,)]")
)
_list = sequence(
    lexeme(literal("(")),
    separated(_list_element, _comma),
    lexeme(literal(")")),
    build=lambda _open, values, _close: tuple(values),
)
_is_value = label(
    choice(*(attempt(_any_case(word)) for word in ("null", "not_null", "true", "false", "unknown"))),
    "isVal: (null, not_null, true, false, unknown)",
)
_negation = attempt(sequence(literal("not"), _delimiter, build=lambda _not, _dot: True))


def _operator_of(names: tuple[str, ...]) -> Parser:
    return label(choice(*(attempt(literal(name)) for name in names)), "unknown single value operator")


def _operation(value: Parser) -> Parser:
    """An operator and its operand, which `value` reads."""
    quantifier = optional(
        attempt(
            sequence(
                literal("("),
                choice(attempt(literal("any")), literal("all")),
                literal(")"),
                build=lambda _open, word, _close: word,
            )
        )
    )
    language = optional(
        attempt(sequence(literal("("), _identifier, literal(")"), build=lambda _open, name, _close: name))
    )

    def prefixed(word: str) -> Parser:
        return attempt(sequence(literal(word), _delimiter))

    return label(
        choice(
            sequence(prefixed("in"), _list, build=lambda _in, values: In(values)),
            sequence(prefixed("is"), _is_value, build=lambda _is, word: Is(word)),
            sequence(prefixed("isdistinct"), value, build=lambda _is, operand: IsDistinct(operand)),
            attempt(
                sequence(
                    choice(*(attempt(literal(name)) for name in _FTS)),
                    language,
                    _delimiter,
                    value,
                    build=lambda name, config, _dot, operand: Fts(name, config, operand),
                )
            ),
            attempt(
                sequence(
                    _operator_of(_PLAIN),
                    _delimiter,
                    value,
                    build=lambda name, _dot, operand: Compare(name, operand),
                )
            ),
            attempt(
                sequence(
                    _operator_of(_QUANTIFIED),
                    quantifier,
                    _delimiter,
                    value,
                    build=lambda name, word, _dot, operand: Compare(name, operand, word),
                )
            ),
        ),
        "operator (eq, gt, ...)",
    )


def _condition(value: Parser) -> Parser:
    return sequence(choice(_negation, succeed(False)), _operation(value))


_filter_value = _condition(rest)

# --- logic trees ----------------------------------------------------------------------------------------------------

_logic_value = choice(
    attempt(sequence(_quoted, not_followed_by("[^,)]"), build=lambda value, _end: value)),
    attempt(sequence(literal("{"), run_of("[^{}]"), literal("}"), build=lambda a, b, c: a + b + c)),
    run_of("[^,)]"),
)
_logic_filter = sequence(
    _field,
    _delimiter,
    _condition(_logic_value),
    build=lambda field, _dot, condition: Filter(field, condition[1], condition[0]),
)
_logic_operator = label(choice(attempt(literal("and")), literal("or")), "logic operator (and, or)")
_logic_tree: Parser = choice(
    attempt(_logic_filter),
    sequence(
        label(choice(_negation, succeed(False)), "negation operator (not)"),
        _logic_operator,
        lexeme(literal("(")),
        separated(later(lambda: _logic_tree), lexeme(_comma)),
        lexeme(literal(")")),
        build=lambda negated, operator, _open, children, _close: Logic(operator, tuple(children), negated),
    ),
)
_logic_path = separated(_field_name, _delimiter)

# --- order ----------------------------------------------------------------------------------------------------------


def _suffix(*words: str) -> Parser:
    """One of `.word`, or nothing."""
    return optional(choice(*(attempt(sequence(_delimiter, literal(w), build=lambda _dot, word: word)) for w in words)))


_order_tail = sequence(
    _suffix("asc", "desc"),
    _suffix("nullsfirst", "nullslast"),
    choice(attempt(look_ahead(_comma)), attempt(end)),
)
_order_term = choice(
    attempt(
        sequence(
            _field_name,
            literal("("),
            _field,
            literal(")"),
            _order_tail,
            build=lambda relation, _open, field, _close, tail: OrderTerm(field, tail[0], tail[1], relation),
        )
    ),
    sequence(_field, _order_tail, build=lambda field, tail: OrderTerm(field, tail[0], tail[1])),
)
_order = mapped(separated(lexeme(_order_term), _comma), tuple)

# --- the entrances --------------------------------------------------------------------------------------------------

# Nine of ten filters look like this; what matches means the same as by the parsers above, which are slower. Where it
# matches, the operand can be split off without looking at it.
_PLAIN_FILTER = re.compile(
    rf"(not\.)?(?:({'|'.join(_PLAIN + _QUANTIFIED)})|({'|'.join(_QUANTIFIED)})\((any|all)\))\.(.*)", re.DOTALL
)


@lru_cache(maxsize=2048)
def parse_select(value: str) -> tuple[SelectItem, ...]:
    items: tuple[SelectItem, ...] = run(_items, f"failed to parse select parameter ({value})", value)
    return items


@lru_cache(maxsize=2048)
def parse_order(value: str) -> tuple[OrderTerm, ...]:
    terms: tuple[OrderTerm, ...] = run(_order, f"failed to parse order ({value})", value)
    return terms


@lru_cache(maxsize=2048)
def parse_tree_path(key: str) -> tuple[EmbedPath, Field]:
    """`clients.projects.id` -> (("clients", "projects"), Field("id"))."""
    path: tuple[EmbedPath, Field] = run(_tree_path, f"failed to parse tree path ({key})", key)
    return path


@lru_cache(maxsize=2048)
def parse_columns(value: str, parameter: str) -> tuple[str, ...]:
    return tuple(run(_columns, f"failed to parse {parameter} parameter ({value})", value))


def parse_condition(value: str, *, plain_allowed: bool = False) -> tuple[bool, Operation] | None:
    """(negated, operation) of a filter's value; None for a value without operator where that is allowed (RPC)."""
    match = _PLAIN_FILTER.fullmatch(value)
    if match:
        negated, plain, quantified, quantifier, operand = match.groups()
        return negated is not None, Compare(plain or quantified, operand, quantifier)  # type: ignore[arg-type]
    if plain_allowed:
        reply = _filter_value(value, 0)
        if not reply.ok and not reply.consumed:
            return None
    negated, operation = run(_filter_value, f"failed to parse filter ({value})", value)
    return negated, operation


def split_operand(value: str) -> tuple[str, str] | None:
    """`not.eq.5` -> (`not.eq.`, `5`), if the filter is a plain one."""
    match = _PLAIN_FILTER.fullmatch(value)
    return (value[: match.start(5)], match.group(5)) if match else None


def parse_logic(key: str, value: str) -> tuple[EmbedPath, LogicTree]:
    """`projects.not.or` and `(id.eq.1,id.eq.2)` -> where the tree belongs, and the tree."""
    names: list[str] = run(_logic_path, f"failed to parse logic path ({key})", key)
    operator = f"not.{names[-1]}" if "not" in names else names[-1]
    path = tuple(name for name in names[:-1] if name != "not")
    tree: LogicTree = run(_logic_tree, f"failed to parse logic tree ({value})", operator + value)
    return path, tree
