"""The plan of a read: a tree of relations with what each selects, filters, orders and how it joins its parent.

Built in passes over the tree, each adding one thing; names are checked against the schema cache on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from infra.local.data_api import errors
from infra.local.data_api.embedding import find_relationship
from infra.local.data_api.grammar import Field, Filter, Fts, Is, Operation, SelectField, SelectItem
from infra.local.data_api.ranges import ALL, LIMIT_ZERO, Range
from infra.local.data_api.schema_cache import Name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.local.data_api.config import Config
    from infra.local.data_api.grammar import EmbedPath, JsonPath, LogicTree, OrderTerm
    from infra.local.data_api.relationships import Relationship
    from infra.local.data_api.request import Request
    from infra.local.data_api.schema_cache import Column, SchemaCache

SOURCE = "pgrst_source"  # the common table expression that holds what a mutation or function returned


@dataclass(frozen=True, slots=True)
class FieldRef:
    """A column, or a path into it, as the statement will refer to it."""

    name: str
    path: JsonPath = ()
    # Whether the path needs the column as jsonb first, and the column's type ("" if unknown).
    through_jsonb: bool = False
    type: str = ""
    # A function between the domain of the column and text or json.
    transform: str | None = None
    # Full-text search reads other types than tsvector through to_tsvector, perhaps with a configuration.
    to_tsvector: bool = False
    language: str | None = None
    default: str | None = None
    is_whole_row: bool = False


@dataclass(frozen=True, slots=True)
class SelectRef:
    """One selected column."""

    ref: FieldRef
    alias: str | None = None
    cast: str | None = None
    aggregate: str | None = None
    aggregate_cast: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """A filter on a column."""

    ref: FieldRef
    operation: Operation
    negated: bool


@dataclass(frozen=True, slots=True)
class EmbedIsNull:
    """A filter on whether an embedded resource is there; `alias` is that of its join."""

    alias: str
    negated: bool


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions joined by and/or."""

    operator: Literal["and", "or"]
    children: tuple[ConditionTree, ...]
    negated: bool


ConditionTree = Condition | EmbedIsNull | Conditions


@dataclass(frozen=True, slots=True)
class OrderRef:
    """One ordering term; `relation` is the name, later the alias, of an embedded resource."""

    ref: FieldRef
    direction: str | None
    nulls: str | None
    relation: str | None = None


@dataclass(frozen=True, slots=True)
class JoinCondition:
    """Equality of two columns, each (qualified name, column)."""

    left: tuple[Name, str]
    right: tuple[Name, str]


@dataclass(frozen=True, slots=True)
class Embed:
    """An embedded resource as a JSON object or array in its parent."""

    alias: str
    name: str
    is_object: bool
    is_empty: bool


@dataclass(frozen=True, slots=True)
class SpreadColumn:
    """A column of a spread resource, as its parent selects it."""

    name: str
    aggregate: str | None = None
    aggregate_cast: str | None = None
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """A resource whose columns stand among those of its parent."""

    alias: str
    columns: tuple[SpreadColumn, ...]


@dataclass(slots=True)
class ReadNode:
    """One relation of the tree."""

    source: Name
    name: str
    alias: str | None = None
    hint: str | None = None
    join: Literal["left", "inner"] | None = None
    spread: Literal["one", "many"] | None = None
    depth: int = 0
    select: list[SelectRef] = field(default_factory=list)
    where: list[ConditionTree] = field(default_factory=list)
    order: list[OrderRef] = field(default_factory=list)
    range: Range = ALL
    children: list[ReadNode] = field(default_factory=list)
    # How it joins its parent.
    relationship: Relationship | None = None
    source_alias: str | None = None
    parent_alias: Name | None = None
    join_alias: str = ""
    join_conditions: list[JoinCondition] = field(default_factory=list)
    # What it selects of its children.
    embeds: list[Embed | Spread] = field(default_factory=list)
    # Spread to-many: columns selected for ordering alone, with the join they belong to, and the order by them.
    order_selects: list[tuple[str | None, SelectRef]] = field(default_factory=list)
    spread_order: list[OrderRef] = field(default_factory=list)

    @property
    def shown_name(self) -> str:
        """The name in the answer."""
        return self.alias or self.name

    @property
    def has_default_select(self) -> bool:
        return not self.children and len(self.select) == 1 and self.select[0].ref.name == "*"

    def walk(self) -> Iterator[ReadNode]:
        yield self
        for child in self.children:
            yield from child.walk()


# --- columns --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Resolver:
    """Looks columns up: their types, and the functions that read or show their domains."""

    cache: SchemaCache

    def column(self, column: Column) -> FieldRef:
        return FieldRef(column.name, type=column.nominal_type, default=column.default)

    def field(self, table: Name, target: Field, *, fts: Fts | None = None) -> FieldRef:
        column = self.cache.table_columns(table).get(target.name)
        type_ = column.nominal_type if column else ""
        base_type = column.type if column else ""
        through_jsonb = type_ not in ("json", "jsonb")
        to_tsvector = fts is not None and base_type != "tsvector" and column is not None
        return FieldRef(
            target.name,
            target.path,
            through_jsonb,
            type_,
            to_tsvector=to_tsvector,
            language=fts.language if fts and to_tsvector else None,
            default=column.default if column else None,
        )

    def transformed(self, ref: FieldRef, source: str, target: str) -> FieldRef:
        function = self.cache.representations.get((source, target))
        return replace(ref, type=source, transform=function) if function else ref

    def output(self, ref: FieldRef) -> FieldRef:
        """As shown in JSON."""
        return self.transformed(ref, ref.type, "json")

    def condition(self, table: Name, item: Filter) -> Condition:
        """A filter, whose operand is read from text."""
        fts = item.operation if isinstance(item.operation, Fts) else None
        ref = self.field(table, item.field, fts=fts)
        return Condition(self.transformed(ref, "text", ref.type), item.operation, item.negated)

    def conditions(self, table: Name, tree: LogicTree) -> ConditionTree:
        if isinstance(tree, Filter):
            return self.condition(table, tree)
        children = tuple(self.conditions(table, child) for child in tree.children)
        return Conditions(tree.operator, children, tree.negated)

    def order(self, table: Name, term: OrderTerm) -> OrderRef:
        if term.relation is not None:
            ref = FieldRef(term.field.name, term.field.path, through_jsonb=True)
            return OrderRef(ref, term.direction, term.nulls, term.relation)
        return OrderRef(self.field(table, term.field), term.direction, term.nulls)


# --- the tree -------------------------------------------------------------------------------------------------------


def plan_read(table: Name, request: Request, config: Config, cache: SchemaCache) -> ReadNode:
    """The read of `table`, or of what a mutation of it or a function that returns its rows gave back."""
    resolver = Resolver(cache)
    root = ReadNode(table, table.name)
    _add_items(root, request.query.select, resolver)
    _add_filters(root, request, resolver)
    _add_orders(root, request, resolver, table)
    _add_ranges(root, request)
    _add_logic(root, request, resolver)
    _add_relationships(root, request, cache)
    _expand_stars(root, resolver, table, aggregated=False)
    for node in root.walk():
        node.select = [_with_alias(item, is_spread=node.spread is not None) for item in node.select]
    for node in root.walk():
        _resolve_related_orders(node)
        node.where = [_embed_null_filter(tree, node.children) for tree in node.where]
    _add_embeds(root)
    if not config.db_aggregates_enabled and any(item.aggregate for node in root.walk() for item in node.select):
        raise errors.aggregates_off()
    _hoist_aggregates(root)
    for node in root.walk():
        if node.spread == "many":
            _order_inside_spread(node)
        if not request.is_mutation:
            restricted = node.range.restricted(config.db_max_rows)
            node.range = LIMIT_ZERO if node.range.is_limit_zero else restricted
    return root


def _add_items(node: ReadNode, items: tuple[SelectItem, ...], resolver: Resolver) -> None:
    for item in items:
        if isinstance(item, SelectField):
            ref = resolver.output(resolver.field(node.source, item.field))
            node.select.append(SelectRef(ref, item.alias, item.cast, item.aggregate, item.aggregate_cast))
        else:
            child = ReadNode(
                Name(node.source.schema, item.name),
                item.name,
                alias=item.alias,
                hint=item.hint,
                join=item.join,
                spread="one" if item.spread else None,
                depth=node.depth + 1,
            )
            _add_items(child, item.children, resolver)
            node.children.append(child)


def _find(root: ReadNode, path: EmbedPath) -> ReadNode:
    """The node at a path of names or aliases, moved to the front of its siblings, as PostgREST shows it then."""
    for name in path:
        found = next((child for child in root.children if name in (child.name, child.alias)), None)
        if found is None:
            raise errors.not_embedded(name)
        root.children.remove(found)
        root.children.insert(0, found)
        root = found
    return root


# These go backwards, so that of several mistakes the one is reported, and of several embedded resources the one comes
# first, that does with PostgREST. Filters of a mutation's top level belong to the mutation, not to what it returns.


def _add_filters(root: ReadNode, request: Request, resolver: Resolver) -> None:
    for path, item in reversed(request.query.filters):
        if path or not request.is_mutation:
            node = _find(root, path)
            node.where.insert(0, resolver.condition(node.source, item))


def _add_logic(root: ReadNode, request: Request, resolver: Resolver) -> None:
    for path, tree in reversed(request.query.logic):
        if path or not request.is_mutation:
            node = _find(root, path)
            node.where.insert(0, resolver.conditions(node.source, tree))


def _add_orders(root: ReadNode, request: Request, resolver: Resolver, table: Name) -> None:
    for path, terms in reversed(request.query.order):  # so the first one given for a level counts
        node = _find(root, path)
        node.order = [resolver.order(node.source if path else table, term) for term in terms]


def _add_ranges(root: ReadNode, request: Request) -> None:
    if request.is_mutation:
        return
    for key, value in reversed(request.ranges.items()):
        _find(root, tuple(key.split(".")[:-1])).range = value


# --- relationships --------------------------------------------------------------------------------------------------


def _add_relationships(root: ReadNode, request: Request, cache: SchemaCache) -> None:
    if request.is_mutation or request.action in ("call", "call-info"):
        root.source_alias = root.source.name
        root.source = Name("", SOURCE)
    for child in root.children:
        _relate(child, root, request.schema, cache)


def _relate(node: ReadNode, parent: ReadNode, schema: str, cache: SchemaCache) -> None:
    # What a mutation or function returned goes by its table's name, so that its relationships are found.
    from_source = node.depth == 1 and parent.source_alias is not None
    origin = parent.source_alias if from_source and parent.source_alias else parent.source.name
    relationship = find_relationship(schema, cache, origin, node.name, node.hint)
    node.relationship = relationship
    node.source = Name(*relationship.foreign_table)
    node.join_alias = f"{relationship.table[1]}_{node.shown_name}_{node.depth}"
    parent_name = Name("", parent.source_alias) if parent.source_alias else Name(*relationship.table)
    node.parent_alias = parent_name
    if relationship.kind != "many-to-many":
        node.source_alias = f"{relationship.foreign_table[1]}_{node.depth}"
    node.join_conditions = list(_join_conditions(node, parent_name, relationship))
    if node.spread and not relationship.is_to_one:
        node.spread = "many"
    for child in node.children:
        _relate(child, node, schema, cache)


def _join_conditions(node: ReadNode, parent: Name, relationship: Relationship) -> Iterator[JoinCondition]:
    if relationship.junction:
        junction = Name(*relationship.junction.table)
        for column, own in relationship.junction.target_columns:
            yield JoinCondition((junction, own), (node.source, column))
        for column, own in relationship.junction.source_columns:
            yield JoinCondition((junction, own), (parent, column))
    else:
        for column, foreign in relationship.columns:
            yield JoinCondition((Name("", node.source_alias or ""), foreign), (parent, column))


# --- what is selected -----------------------------------------------------------------------------------------------


def _expand_stars(node: ReadNode, resolver: Resolver, table: Name, *, aggregated: bool) -> None:
    """Name the columns of `*` where they must be named: to show domains, to group by, and to aggregate into arrays."""
    aggregated = aggregated or node.spread == "many" or any(item.aggregate is not None for item in node.select)
    columns = list(resolver.cache.table_columns(table).values())
    shows_domain = any((c.nominal_type, "json") in resolver.cache.representations for c in columns)
    if aggregated or shows_domain:
        expanded: list[SelectRef] = []
        for item in node.select:
            if item.ref.name != "*" or item.ref.path:
                expanded.append(item)
            elif item.aggregate is None:
                expanded += [replace(item, ref=resolver.output(resolver.column(c))) for c in columns]
            elif item.aggregate == "count" and node.spread:
                expanded.append(replace(item, ref=replace(item.ref, is_whole_row=True)))
            else:
                expanded.append(item)
        node.select = expanded
    for child in node.children:
        _expand_stars(child, resolver, child.source, aggregated=aggregated)


def _with_alias(item: SelectRef, *, is_spread: bool) -> SelectRef:
    """A path is called by its last key, a transformed column by its name, a spread aggregate by its function."""
    if item.alias is not None:
        return item
    if item.aggregate is not None:
        return replace(item, alias=item.aggregate) if is_spread else item
    if item.ref.path:
        keys = [step.key for step in item.ref.path if not step.is_index]
        return replace(item, alias=keys[-1] if keys else item.ref.name)
    if item.ref.transform:
        return replace(item, alias=item.ref.name)
    return item


def _resolve_related_orders(node: ReadNode) -> None:
    resolved = []
    for term in node.order:
        if term.relation is None:
            resolved.append(term)
            continue
        child = next((child for child in node.children if child.shown_name == term.relation), None)
        if child is None or child.relationship is None:
            raise errors.not_embedded(term.relation)
        if not child.relationship.is_to_one:
            raise errors.order_not_to_one(node.source.name, child.shown_name)
        resolved.append(replace(term, relation=child.join_alias))
    node.order = resolved


def _embed_null_filter(tree: ConditionTree, children: list[ReadNode]) -> ConditionTree:
    """`clients=is.null` where clients is embedded asks whether there are any."""
    if isinstance(tree, Conditions):
        return replace(tree, children=tuple(_embed_null_filter(child, children) for child in tree.children))
    if isinstance(tree, Condition) and not tree.ref.path:
        child = next((child for child in children if child.shown_name == tree.ref.name), None)
        if child is not None and tree.operation == Is("null"):
            return EmbedIsNull(child.join_alias, tree.negated)
    return tree


def _add_embeds(node: ReadNode) -> None:
    for child in node.children:
        _add_embeds(child)
        if child.spread:
            columns = [SpreadColumn(item.alias or item.ref.name) for item in child.select]
            for embed in child.embeds:
                if isinstance(embed, Spread):
                    columns += embed.columns
                else:
                    columns.append(SpreadColumn(embed.name))
            node.embeds.append(Spread(child.join_alias, tuple(columns)))
        else:
            is_object = child.relationship is not None and child.relationship.is_to_one
            is_empty = not any(inner.select for inner in child.walk())
            node.embeds.append(Embed(child.join_alias, child.shown_name, is_object, is_empty))


# --- aggregates -----------------------------------------------------------------------------------------------------


def _hoist_aggregates(node: ReadNode) -> dict[tuple[str, str], SelectRef]:
    """Move aggregates of spread to-one resources up to the level that groups; return those left for the parent.

    A sum over the rows of a to-one join is that row's value; the user means the sum over the parent's group.
    """
    hoisted: dict[tuple[str, str], SelectRef] = {}
    for child in node.children:
        hoisted |= _hoist_aggregates(child)
    if node.spread != "one":
        node.embeds = [
            replace(embed, columns=tuple(_aggregated(embed.alias, c, hoisted) for c in embed.columns))
            if isinstance(embed, Spread)
            else embed
            for embed in node.embeds
        ]
        return {}
    own = {(node.join_alias, item.alias or item.ref.name): item for item in node.select if item.aggregate}
    node.select = [replace(item, aggregate=None, aggregate_cast=None) for item in node.select]
    return own | {(node.join_alias, name): item for (_, name), item in hoisted.items()}


def _aggregated(alias: str, column: SpreadColumn, hoisted: dict[tuple[str, str], SelectRef]) -> SpreadColumn:
    item = hoisted.get((alias, column.name))
    if item is None:
        return column
    return SpreadColumn(column.name, item.aggregate, item.aggregate_cast, item.alias)


def _order_inside_spread(node: ReadNode) -> None:
    """Spread to-many: the order goes into the arrays, so its columns are selected beside the others."""
    inner = [column for embed in node.embeds if isinstance(embed, Spread) for column in embed.columns]
    if any(item.aggregate for item in node.select) or any(column.aggregate for column in inner):
        raise errors.not_implemented("Aggregates are not implemented for one-to-many or many-to-many spreads.")
    for number, term in enumerate(node.order, 1):
        alias = f"{node.join_alias}_{term.ref.name}_{number}"
        node.order_selects.append((term.relation, SelectRef(term.ref, alias)))
        node.spread_order.append(OrderRef(FieldRef(alias), term.direction, term.nulls))
    node.order = []


def needed_columns(root: ReadNode, primary_key: list[str]) -> list[str]:
    """The columns that a mutation or function must return for the read above it; `*` where they cannot be known."""
    names = {item.ref.name for item in root.select}
    if "*" in names:
        return ["*"]
    for child in root.children:
        relationship = child.relationship
        if relationship is None:
            continue
        if relationship.kind == "computed":
            return ["*"]
        pairs = relationship.junction.source_columns if relationship.junction else relationship.columns
        names.update(column for column, _ in pairs)
    return sorted(names | set(primary_key))


def filter_columns(root: ReadNode) -> set[str]:
    """The columns that filters of any level name."""
    found: set[str] = set()

    def collect(tree: ConditionTree) -> None:
        if isinstance(tree, Conditions):
            for child in tree.children:
                collect(child)
        elif isinstance(tree, Condition):
            found.add(tree.ref.name)

    for tree in root.where:
        collect(tree)
    return found
