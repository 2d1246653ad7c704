"""From plan to SQL: one statement for each request, identifiers quoted, every value a bound parameter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.local.data_api import errors
from infra.local.data_api.grammar import Compare, Fts, In, Is, IsDistinct, Slot
from infra.local.data_api.plan import Call, Delete, Insert, Mutation, Plan, Update
from infra.local.data_api.ranges import ALL, Range
from infra.local.data_api.read_plan import (
    SOURCE,
    Condition,
    ConditionTree,
    Embed,
    EmbedIsNull,
    FieldRef,
    OrderRef,
    ReadNode,
    SelectRef,
    Spread,
    SpreadColumn,
)
from infra.local.data_api.schema_cache import Name

if TYPE_CHECKING:
    from infra.local.data_api.grammar import JsonPath
    from infra.local.data_api.plan import Representation
    from infra.local.data_api.request import Request
    from infra.local.data_api.schema_cache import Routine

# Types of parameters, for those that Postgres shall not infer.
_OIDS = {"": 0, "bytea": 17, "json": 114, "jsonb": 3802, "text[]": 1009}

_OPERATORS = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "like",
    "ilike": "ilike",
    "match": "~",
    "imatch": "~*",
    "cs": "@>",
    "cd": "<@",
    "ov": "&&",
    "sl": "<<",
    "sr": ">>",
    "nxr": "&<",
    "nxl": "&>",
    "adj": "-|-",
}
_FTS_FUNCTIONS = {
    "fts": "to_tsquery",
    "plfts": "plainto_tsquery",
    "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}
_IS = {"null": "null", "not_null": "not null", "true": "true", "false": "false", "unknown": "unknown"}

# Type names that SQL spells with keywords; any other is quoted, so that a cast can name a type and nothing else.
_KEYWORD_TYPES = {
    *("bigint", "bit", "boolean", "char", "character", "dec", "decimal", "float", "int", "integer", "interval"),
    *("nchar", "numeric", "real", "smallint", "time", "timestamp", "varchar"),
    *("bit varying", "character varying", "double precision"),
    *("time with time zone", "time without time zone"),
    *("timestamp with time zone", "timestamp without time zone"),
}


@dataclass(slots=True)
class Statement:
    """SQL with $1, $2, ... and the values for them, of which some may be left open."""

    text: str = ""
    values: list[bytes | Slot | None] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    formats: list[int] = field(default_factory=list)

    def bind(self, value: str | bytes | Slot | None, type_: str = "") -> str:
        """The placeholder of a new parameter."""
        is_binary = type_ == "bytea"
        self.values.append(_encoded(value, is_binary=is_binary) if isinstance(value, str | bytes) else value)
        self.types.append(_OIDS[type_])
        self.formats.append(int(is_binary))
        return f"${len(self.values)}"

    def filled(self, operands: list[str]) -> list[bytes | None]:
        """The values with the operands in their slots."""
        return [_operand(value, operands) if isinstance(value, Slot) else value for value in self.values]


def _operand(slot: Slot, operands: list[str]) -> bytes:
    value = operands[slot.index]
    return _encoded(value.replace("*", "%") if slot.is_pattern else value)


def _encoded(value: str | bytes, *, is_binary: bool = False) -> bytes:
    """Text has no NUL in Postgres, so one is refused as Postgres would."""
    data = value.encode() if isinstance(value, str) else value
    if not is_binary and b"\0" in data:
        message = 'invalid byte sequence for encoding "UTF8": 0x00'
        raise errors.from_postgres("22021", message, None, None, signed_in=True)
    return data


def quote(identifier: str) -> str:
    """A name in double quotes, up to a NUL; SQL has no empty names."""
    if not identifier or identifier[0] == "\0":
        raise errors.bad_query("failed to parse a name", "unexpected empty name expecting field name")
    return '"' + identifier.split("\0", 1)[0].replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """A name from the catalog as a string constant, where SQL allows no parameter."""
    escaped = text.replace("'", "''")
    return "E'" + escaped.replace("\\", "\\\\") + "'" if "\\" in escaped else f"'{escaped}'"


def qualified(name: Name) -> str:
    return f"{quote(name.schema)}.{quote(name.name)}" if name.schema else quote(name.name)


def array_literal(items: tuple[str, ...] | list[str]) -> str:
    """`{"a","b"}`, the text form of an array; its items end where a NUL is."""
    escaped = (item.split("\0", 1)[0].replace("\\", "\\\\").replace('"', '\\"') for item in items)
    return "{" + ",".join(f'"{item}"' for item in escaped) + "}"


# --- columns --------------------------------------------------------------------------------------------------------


def _column(table: Name, column: str) -> str:
    return f"{qualified(table)}.{'*' if column == '*' else quote(column)}"


def _path(path: JsonPath, out: Statement) -> str:
    return "".join(step.arrow + out.bind(step.key) + ("::int" if step.is_index else "::text") for step in path)


def _field(table: Name, ref: FieldRef, out: Statement) -> str:
    if ref.is_whole_row:
        shown = quote(table.name)
    elif not ref.path:
        shown = _column(table, ref.name)
    elif ref.through_jsonb:
        shown = f"to_jsonb({_column(table, ref.name)}){_path(ref.path, out)}"
    else:
        shown = _column(table, ref.name) + _path(ref.path, out)
    return f"to_tsvector({_language(ref.language, out)}{shown})" if ref.to_tsvector else shown


def _language(language: str | None, out: Statement) -> str:
    return f"{out.bind(language)}::regconfig, " if language is not None else ""


def _cast(expression: str, type_: str | None) -> str:
    if type_ is None:
        return expression
    name = " ".join(type_.lower().split())
    return f"cast({expression} as {name if name in _KEYWORD_TYPES else quote(name)})"


def _aggregate(expression: str, function: str | None, cast: str | None) -> str:
    return _cast(f"{function}({expression})", cast) if function else expression


def _select_item(table: Name, item: SelectRef, out: Statement) -> str:
    shown = _field(table, item.ref, out)
    if item.ref.transform:
        shown = f"{item.ref.transform}({shown})"
    if item.aggregate and item.ref.name == "*" and not item.ref.is_whole_row:
        shown = "*"
    shown = _aggregate(_cast(shown, item.cast), item.aggregate, item.aggregate_cast)
    return f"{shown} as {quote(item.alias)}" if item.alias is not None else shown


# --- conditions and order -------------------------------------------------------------------------------------------


def _condition(table: Name, item: Condition, out: Statement) -> str:
    ref, operation = item.ref, item.operation
    subject = _field(table, ref, out)
    match operation:
        case Compare(operator, value, quantifier):
            is_pattern = operator in ("like", "ilike")
            operand = out.bind(_as_pattern(value) if is_pattern else value)
            if ref.transform and not is_pattern:
                operand = f"{ref.transform}({operand})"
            if quantifier:
                operand = f"{quantifier}({operand})"
            text = f"{subject} {_OPERATORS[operator]} {operand}"
        case Is(value):
            text = f"{subject} is {_IS[value]}"
        case IsDistinct(value):
            text = f"{subject} is distinct from {out.bind(value)}"
        case In(values):
            text = f"{subject} = any({_any_of(values, ref, out)})"
        case Fts(operator, language, value):
            text = f"{subject} @@ {_FTS_FUNCTIONS[operator]}({_language(language, out)}{out.bind(value)})"
    return f"not {text}" if item.negated else text


def _as_pattern(value: str | Slot) -> str | Slot:
    """`*` stands for `%`, which would have to be escaped in a URL."""
    return Slot(value.index, is_pattern=True) if isinstance(value, Slot) else value.replace("*", "%")


def _any_of(values: tuple[str, ...], ref: FieldRef, out: Statement) -> str:
    if values == ("",):
        return "'{}'"
    literal = out.bind(array_literal(values))
    return f"(select {ref.transform}(unnest({literal}::text[])))" if ref.transform else literal


def _conditions(table: Name, tree: ConditionTree, out: Statement) -> str:
    if isinstance(tree, Condition):
        return _condition(table, tree, out)
    if isinstance(tree, EmbedIsNull):
        return f"{quote(tree.alias)} is {'' if tree.negated else 'not '}distinct from null"
    children = f" {tree.operator} ".join(_conditions(table, child, out) for child in tree.children)
    return f"not ({children})" if tree.negated else f"({children})"


def _order(table: Name, terms: list[OrderRef], out: Statement) -> str:
    if not terms:
        return ""
    shown = []
    for term in terms:
        owner = Name("", term.relation) if term.relation is not None else table
        nulls = {"nullsfirst": " nulls first", "nullslast": " nulls last"}.get(term.nulls or "", "")
        direction = f" {term.direction}" if term.direction else ""
        shown.append(_field(owner, term.ref, out) + direction + nulls)
    return f" order by {', '.join(shown)}"


def _limit(range_: Range, out: Statement) -> str:
    if range_ == ALL:
        return ""
    limit = "all" if range_.limit is None else out.bind(str(range_.limit))
    return f" limit {limit} offset {out.bind(str(range_.lower))}"


# --- reading --------------------------------------------------------------------------------------------------------


def _own_name(node: ReadNode) -> Name:
    """How the node's columns are called inside its own select."""
    return Name("", node.source_alias) if node.source_alias else node.source


def _from(node: ReadNode) -> str:
    relationship = node.relationship
    if relationship and relationship.function and node.parent_alias:
        # The cast picks the overload for this table: what stands in the CTE is a mere record.
        row = f"{quote(node.parent_alias.name)}::{qualified(Name(*relationship.table))}"
        source = f"{qualified(Name(*relationship.function))}({row})"
    else:
        source = qualified(node.source)
    alias = f" as {quote(node.source_alias)}" if node.source_alias else ""
    junction = relationship.junction if relationship else None
    return f" from {source}{alias}" + (f", {qualified(Name(*junction.table))}" if junction else "")


def _where(parts: list[str]) -> str:
    return f" where {' and '.join(parts)}" if parts else ""


def _joins_parent(node: ReadNode) -> list[str]:
    return [f"{_column(*c.left)} = {_column(*c.right)}" for c in node.join_conditions]


def read_query(node: ReadNode, out: Statement) -> str:
    """The select of a node, with lateral joins for its children."""
    table = _own_name(node)
    items = [_select_item(table, item, out) for item in node.select]
    if not node.select and not node.children:
        items.append(_column(table, "*"))  # what is shown is decided where the rows are aggregated
    for relation, item in node.order_selects:
        items.append(_select_item(Name("", relation) if relation else table, item, out))
    joins = ""
    for embed, child in zip(node.embeds, node.children, strict=True):
        items += _embed_items(embed)
        joins += _join(embed, child, out)
    where = [_conditions(table, tree, out) for tree in node.where] + _joins_parent(node)
    return (
        f"select {', '.join(items)}{_from(node)}{joins}{_where(where)}"
        f"{_group(node, table, out)}{_order(table, node.order, out)}{_limit(node.range, out)}"
    )


def _embed_items(embed: Embed | Spread) -> list[str]:
    alias = quote(embed.alias)
    if isinstance(embed, Spread):
        return [_spread_item(embed.alias, column) for column in embed.columns]
    if embed.is_empty:
        return []
    if embed.is_object:
        return [f"row_to_json({alias}.*)::jsonb as {quote(embed.name)}"]
    return [f"coalesce({alias}.{alias}, '[]') as {quote(embed.name)}"]


def _spread_name(alias: str, column: SpreadColumn) -> str:
    return f"{quote(alias)}.{'*' if column.name == '*' else quote(column.name)}"


def _spread_item(alias: str, column: SpreadColumn) -> str:
    shown = _aggregate(_spread_name(alias, column), column.aggregate, column.aggregate_cast)
    return f"{shown} as {quote(column.alias)}" if column.alias is not None else shown


def _join(embed: Embed | Spread, child: ReadNode, out: Statement) -> str:
    kind = "inner" if child.join == "inner" else "left"
    alias = quote(embed.alias)
    query = read_query(child, out)
    if child.spread == "one" or (isinstance(embed, Embed) and embed.is_object):
        return f" {kind} join lateral ({query}) as {alias} on true"
    # To-many: the rows become one JSON array, or one array for each spread column.
    items = [f"json_agg({alias})::jsonb as {alias}"]
    if isinstance(embed, Spread):
        order = _order(Name("", embed.alias), child.spread_order, out)
        items += [
            f"coalesce(json_agg({_spread_name(embed.alias, column)}{order}), '[]')::jsonb"
            f" as {quote(column.alias or column.name)}"
            for column in embed.columns
        ]
    on = f"{alias} is not null" if kind == "inner" else "true"
    return f" {kind} join lateral (select {', '.join(items)} from ({query}) as {alias}) as {alias} on {on}"


def _group(node: ReadNode, table: Name, out: Statement) -> str:
    spread = [(e.alias, c) for e in node.embeds if isinstance(e, Spread) for c in e.columns]
    if not any(i.aggregate for i in node.select) and not any(c.aggregate for _, c in spread):
        return ""
    terms = [
        quote(item.alias) if item.alias is not None else _field(table, item.ref, out)
        for item in node.select
        if not item.aggregate
    ]
    for embed in node.embeds:
        if isinstance(embed, Embed):
            terms.append(quote(embed.name))
        else:
            terms += [_spread_name(embed.alias, c) for c in embed.columns if not c.aggregate]
    return f" group by {', '.join(terms)}" if terms else ""


def count_query(node: ReadNode, out: Statement) -> str:
    """The rows of the root that its filters and inner joins leave, limits aside."""
    table = _own_name(node)
    where = [_count_conditions(node, table, tree, out) for tree in node.where] + _joins_parent(node)
    where += [f"exists ({count_query(child, out)})" for child in node.children if child.join == "inner"]
    return f"select 1{_from(node)}{_where(where)}"


def _count_conditions(node: ReadNode, table: Name, tree: ConditionTree, out: Statement) -> str:
    if isinstance(tree, Condition):
        return _condition(table, tree, out)
    if isinstance(tree, EmbedIsNull):
        child = next(child for child in node.children if child.join_alias == tree.alias)
        return f"{'' if tree.negated else 'not '}exists ({count_query(child, out)})"
    children = f" {tree.operator} ".join(_count_conditions(node, table, c, out) for c in tree.children)
    return f"not ({children})" if tree.negated else f"({children})"


# --- writing --------------------------------------------------------------------------------------------------------


def mutation_query(mutation: Mutation, out: Statement) -> str:
    match mutation:
        case Insert():
            return _insert(mutation, out)
        case Update():
            return _update(mutation, out)
        case Delete():
            where = _where([_conditions(mutation.table, tree, out) for tree in mutation.conditions])
            return f"delete from {qualified(mutation.table)}{where}{_returning(mutation)}"


def _returning(mutation: Mutation) -> str:
    """The columns to return, or 1 for counting the rows."""
    columns = [_column(mutation.table, column) for column in mutation.returning] or ["1"]
    return f" returning {', '.join(columns)}"


def _count_inserted(*, is_insert: bool) -> str:
    """A true condition that counts: each row that is tried adds one, each that is updated instead takes it back."""
    current = "coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0)"
    change, bound = ("+ 1", "0") if is_insert else ("- 1", "-1")
    return f"set_config('pgrst.inserted', ({current} {change})::text, true) <> '{bound}'"


def _insert(insert: Insert, out: Statement) -> str:
    names = ", ".join(quote(ref.name) for ref in insert.columns)
    merges = insert.resolution == "merge-duplicates"
    selected = ", ".join(f"pgrst_body.{quote(ref.name)}" for ref in insert.columns)
    rows = _from_body(insert.body, insert.columns, out, applies_defaults=insert.applies_defaults)
    where = []
    if insert.conditions or merges:
        where.append(_count_inserted(is_insert=True))
    where += [_conditions(Name("", "pgrst_body"), tree, out) for tree in insert.conditions]
    conflict = ""
    if insert.resolution and insert.conflict:
        keys = ", ".join(quote(name) for name in insert.conflict)
        if merges and insert.columns:
            sets = ", ".join(f"{quote(r.name)} = excluded.{quote(r.name)}" for r in insert.columns)
            conflict = f" on conflict ({keys}) do update set {sets} where {_count_inserted(is_insert=False)}"
        else:
            conflict = f" on conflict ({keys}) do nothing"
    columns = f"({names}) " if names else ""
    return (
        f"insert into {qualified(insert.table)} {columns}select {selected} {rows}"
        f"{_where(where)}{conflict}{_returning(insert)}"
    )


def _update(update: Update, out: Statement) -> str:
    if not update.columns:  # nothing to set: no rows, but with the columns that the select on top may name
        columns = ", ".join(_column(Name("", update.table.name), name) for name in update.returning)
        return f"select {columns or 'null'} from {qualified(update.table)} where false"
    sets = ", ".join(f"{quote(ref.name)} = pgrst_body.{quote(ref.name)}" for ref in update.columns)
    rows = _from_body(update.body, update.columns, out, applies_defaults=update.applies_defaults)
    where = _where([_conditions(update.table, tree, out) for tree in update.conditions])
    return f"update {qualified(update.table)} set {sets} {rows}{where}{_returning(update)}"


def _from_body(
    body: bytes | None,
    columns: list[FieldRef],
    out: Statement,
    *,
    applies_defaults: bool = False,
    one_row: bool = False,
) -> str:
    """`from ... pgrst_body`: the rows of a JSON body, typed as the columns are."""
    is_object = (body or b"").lstrip(b" \t\r\n").startswith(b"{")
    type_ = "jsonb" if applies_defaults else "json"
    source = f"from (select {out.bind(body, type_)} as json_data) pgrst_payload, "
    data = "pgrst_payload.json_data"
    if applies_defaults:
        pairs = [f"{quote_literal(ref.name)}, {ref.default}" for ref in columns if ref.default is not None]
        defaults = f"jsonb_build_object({', '.join(pairs)})"
        if is_object:
            merged = f"select {defaults} || {data} as val"
        else:
            merged = f"select jsonb_agg({defaults} || elem) as val from jsonb_array_elements({data}) elem"
        source += f"lateral ({merged}) pgrst_json_defs, "
        data = "pgrst_json_defs.val"
    if not columns:  # `{}` is one row of defaults, `[{}, {}]` are two
        rows = "(values (1)) _" if is_object else f"{type_}_array_elements({data}) _"
        return f"{source}lateral (select from {rows}) pgrst_body"
    parsed = ", ".join(
        f"{ref.transform}({quote(ref.name)}) as {quote(ref.name)}" if ref.transform else quote(ref.name)
        for ref in columns
    )
    typed = ", ".join(f"{quote(ref.name)} {ref.type}" for ref in columns)
    function = f"{type_}_to_record{'' if is_object else 'set'}"
    limit = " limit 1" if one_row else ""
    return f"{source}lateral (select {parsed} from {function}({data}) as _({typed}){limit}) pgrst_body"


# --- calling --------------------------------------------------------------------------------------------------------


def call_query(call: Call, out: Statement) -> str:
    routine = call.routine
    function = qualified(Name(routine.schema, routine.name))
    source, arguments = _call_arguments(call, out)
    if routine.returns_composite:
        columns = ", ".join(f"pgrst_call.{'*' if c == '*' else quote(c)}" for c in call.returning) or "*"
        called = f"{function}({arguments}) pgrst_call"
    else:
        columns = "pgrst_call.pgrst_scalar"
        called = f"(select {function}({arguments}) pgrst_scalar) pgrst_call"
    return f"select {columns} {source}{called}"


def _call_arguments(call: Call, out: Statement) -> tuple[str, str]:
    """(what stands before the call in the from clause, the arguments)."""
    if call.whole_body:
        type_ = call.params[0].type
        if type_ == "bytea":
            return "from ", out.bind(call.body, "bytea")
        return "from ", f"{out.bind(call.body)}::{type_}"
    if not call.params:
        return "from ", ""
    if call.arguments is not None:
        shown = []
        for param in call.params:
            value = call.arguments[param.name]
            bound = out.bind(array_literal(value), "text[]") if isinstance(value, list) else out.bind(value)
            shown.append(f"{_argument_name(param.name, is_variadic=param.variadic)}{bound}::{param.cast}")
        return "from ", ", ".join(shown)
    columns = [FieldRef(param.name, type=param.cast) for param in call.params]
    rows = _from_body(call.body, columns, out, one_row=True)
    shown = [f"{_argument_name(p.name, is_variadic=p.variadic)}pgrst_body.{quote(p.name)}" for p in call.params]
    return f"{rows}, lateral ", ", ".join(shown)


def _argument_name(name: str, *, is_variadic: bool) -> str:
    return f"{'variadic ' if is_variadic else ''}{quote(name)} := "


# --- the whole statement --------------------------------------------------------------------------------------------

_RESPONSE_SETTINGS = (
    "nullif(current_setting('response.headers', true), '') as response_headers,"
    " nullif(current_setting('response.status', true), '') as response_status"
)
_ROWS = "_postgrest_t"


def main_statement(plan: Plan, request: Request, max_rows: int | None) -> Statement:
    """One row: total, rows of the page, Location pairs, body, response.headers, response.status, rows inserted."""
    out = Statement()
    if plan.mutation is not None:
        _mutation_statement(plan, plan.mutation, request, out)
    else:
        _read_statement(plan, request, max_rows, out)
    if plan.representation.media_type.is_plan:
        out.text = _explain(plan.representation) + out.text
    return out


def _mutation_statement(plan: Plan, mutation: Mutation, request: Request, out: Statement) -> None:
    source = mutation_query(mutation, out)
    is_silent = plan.representation.format == "none"
    rows = f"select * from {SOURCE}" if is_silent else read_query(plan.read, out)
    location, inserted = "'[]'", "null"
    if isinstance(mutation, Insert):
        if request.preferences.returned == "headers-only":
            location = _location(mutation.primary_key, out)
        if mutation.resolution == "merge-duplicates":
            inserted = "nullif(current_setting('pgrst.inserted', true), '')::int"
    out.text = (
        f"with {SOURCE} as ({source}) select null as total, count({_ROWS}) as page_total, {location} as location,"
        f" {_body(plan.representation, None)} as body, {_RESPONSE_SETTINGS}, {inserted} as inserted"
        f" from ({rows}) {_ROWS}"
    )


def _read_statement(plan: Plan, request: Request, max_rows: int | None, out: Statement) -> None:
    routine = plan.call.routine if plan.call else None
    if plan.call:
        source, rows = call_query(plan.call, out), read_query(plan.read, out)
    else:
        source, rows = read_query(plan.read, out), f"select * from {SOURCE}"
    page_total = "1" if routine and not routine.returns_set else f"count({_ROWS})"
    total, counted = "null", ""
    if request.preferences.counts:
        counted = count_query(plan.read, out)
        if request.preferences.count == "estimated" and max_rows is not None:
            counted += f" limit {max_rows + 1}"  # past max-rows the planner's guess will do
        counted = f", pgrst_source_count as ({counted})"
        total = "(select count(*) from pgrst_source_count)"
    out.text = (
        f"with {SOURCE} as ({source}){counted} select {total} as total, {page_total} as page_total,"
        f" '[]' as location, {_body(plan.representation, routine)} as body, {_RESPONSE_SETTINGS}, null as inserted"
        f" from ({rows}) {_ROWS}"
    )


def _location(primary_key: list[str], out: Statement) -> str:
    """A JSON array of [key, "eq.value"] of the one row that was inserted."""
    keys = out.bind(array_literal(primary_key), "text[]")
    pair = "json_build_array(j.key, coalesce('eq.' || j.value, 'is.null'))"
    row = f"(select row_to_json(s) as row from {SOURCE} s limit 1) d"
    pairs = f"select json_agg({pair}) from {row}, json_each_text(d.row) j where j.key = any({keys})"
    return f"case when count({_ROWS}) = 1 then coalesce(({pairs}), '[]') else '[]' end"


def _body(representation: Representation, routine: Routine | None) -> str:
    """The expression that aggregates the rows into the answer's body."""
    handler = representation.handler
    if representation.format == "custom" and handler:
        function = qualified(handler.function)
        if routine and routine.returns_scalar:
            return f"{function}({_ROWS}.pgrst_scalar)"
        target = f"::{qualified(handler.target)}" if handler.target else ""
        return f"{function}({_ROWS}{target})"
    if representation.format == "csv":
        return _csv()
    if representation.format == "geojson":
        return (
            "json_build_object('type', 'FeatureCollection', 'features',"
            f" coalesce(json_agg(ST_AsGeoJSON({_ROWS})::json), '[]'))"
        )
    if representation.format == "none":
        return "''::text"
    scalar = routine is not None and not routine.returns_composite
    aggregated = f"json_agg({_ROWS}{'.pgrst_scalar' if scalar else ''})"
    if representation.format == "object" or (routine is not None and not routine.returns_set):
        aggregated, empty = f"{aggregated}->0", "null"
    else:
        empty = "[]"
    if representation.strip_nulls:
        aggregated = f"json_strip_nulls({aggregated})"
    return f"coalesce({aggregated}, '{empty}')"


def _csv() -> str:
    """A line of names, taken from the first row, and the rows as the text of records without their parentheses."""
    header = (
        "(select coalesce(string_agg(k, ','), '') from"
        f" (select json_object_keys(row_to_json(s)) as k from (select * from {SOURCE} limit 1) s) h)"
    )
    text = f"{_ROWS}::text"
    return f"{header} || E'\\n' || coalesce(string_agg(substring({text}, 2, length({text}) - 2), E'\\n'), '')"


def _explain(representation: Representation) -> str:
    form = representation.media_type.name.rpartition("+")[2]
    options = [f"format {form}", *representation.media_type.plan_options]
    return f"explain ({', '.join(options)}) "


def explain_count_statement(plan: Plan) -> Statement:
    """The planner's guess of the number of rows, for count=planned and count=estimated."""
    out = Statement()
    out.text = f"explain (format json) {count_query(plan.read, out)}"
    return out
