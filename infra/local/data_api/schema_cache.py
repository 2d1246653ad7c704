"""The schema cache: tables, relationships and functions as the catalog describes them.

https://docs.postgrest.org/en/v14/references/schema_cache.html
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from infra.local.data_api import catalog
from infra.local.data_api.relationships import Relationship, derive_relationships, view_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Name(NamedTuple):
    """A name with its schema; an empty schema means an alias or a common table expression."""

    schema: str
    name: str


@dataclass(frozen=True, slots=True)
class Column:
    """`type` looks through domains, `nominal_type` is as declared, `default` is an SQL expression."""

    name: str
    description: str | None
    nullable: bool
    type: str
    nominal_type: str
    max_length: int | None
    default: str | None
    enum: list[str]


@dataclass(slots=True)
class Table:
    """A table, view, materialised view, foreign or partitioned table."""

    schema: str
    name: str
    description: str | None
    is_view: bool
    insertable: bool
    updatable: bool
    deletable: bool
    primary_key: list[str]
    columns: dict[str, Column]


@dataclass(frozen=True, slots=True)
class Param:
    """A function's input; `cast` is its type without a length that would cut the argument."""

    name: str
    type: str
    cast: str
    required: bool
    variadic: bool


@dataclass(frozen=True, slots=True)
class Routine:
    """A function that can be called; `return_type` is the relation's or type's name."""

    schema: str
    name: str
    description: str | None
    params: list[Param]
    return_schema: str
    return_type: str
    returns_set: bool
    returns_composite: bool
    volatility: str
    is_variadic: bool
    settings: list[tuple[str, str]]

    @property
    def returns_void(self) -> bool:
        return not self.returns_set and (self.return_schema, self.return_type) == ("pg_catalog", "void")

    @property
    def returns_scalar(self) -> bool:
        return not self.returns_set and not self.returns_composite

    @property
    def table_name(self) -> str | None:
        """The relation whose rows it returns."""
        return self.return_type if self.returns_composite else None

    @property
    def may_write(self) -> bool:
        return self.volatility == "v"

    @property
    def isolation_level(self) -> str | None:
        levels = (value.lower() for name, value in self.settings if name == "default_transaction_isolation")
        return next(levels, None)


@dataclass(frozen=True, slots=True)
class Handler:
    """An SQL function that turns rows into a media type, and the media type of the answer."""

    function: Name
    target: Name | None
    produced: str


@dataclass
class SchemaCache:
    """What the planner looks names up in."""

    tables: dict[Name, Table] = field(default_factory=dict)
    # (origin, schema of the target) -> relationships
    relationships: dict[tuple[Name, str], list[Relationship]] = field(default_factory=dict)
    routines: dict[Name, list[Routine]] = field(default_factory=dict)
    # (source type, target type) -> function
    representations: dict[tuple[str, str], str] = field(default_factory=dict)
    # (relation or function, None for any; media type) -> handler
    handlers: dict[tuple[Name | None, str], Handler] = field(default_factory=dict)
    timezones: frozenset[str] = frozenset()

    def table_columns(self, name: Name) -> dict[str, Column]:
        table = self.tables.get(name)
        return table.columns if table else {}


def load_schema_cache(
    fetch: Callable[[str, Sequence[Any]], Any], schemas: Sequence[str], extra: Sequence[str]
) -> SchemaCache:
    """Read the catalog through `fetch(sql, params) -> decoded JSON`, on a connection with an empty search_path."""
    exposed = list(schemas)
    tables = {Name(row["schema"], row["name"]): _table(row) for row in fetch(catalog.TABLES, [exposed])}
    keys = view_keys(fetch(catalog.VIEWS, [[*exposed, *extra]]), fetch(catalog.KEYS, []), set(exposed))
    for key in keys:
        if key.kind == "primary" and key.view in tables:
            tables[Name(*key.view)].primary_key.extend(columns[0] for _, columns in key.columns)
    relationships = derive_relationships(
        fetch(catalog.FOREIGN_KEYS, []),
        keys,
        fetch(catalog.COMPUTED_RELATIONSHIPS, []),
        _all_primary_keys(fetch, tables),
    )
    return SchemaCache(
        tables=tables,
        relationships=_index(relationships, set(exposed)),
        routines=_routines(fetch(catalog.FUNCTIONS, [exposed])),
        representations={(row["source"], row["target"]): row["function"] for row in fetch(catalog.REPRESENTATIONS, [])},
        handlers=_handlers(fetch(catalog.MEDIA_HANDLERS, [exposed])),
        timezones=frozenset(fetch(catalog.TIMEZONES, [])),
    )


def _table(row: dict[str, Any]) -> Table:
    columns = {column["name"]: Column(**column) for column in row.pop("columns")}
    return Table(**row, columns=columns)


def _all_primary_keys(
    fetch: Callable[[str, Sequence[Any]], Any], tables: dict[Name, Table]
) -> dict[tuple[str, str], set[str]]:
    """Primary keys of all tables, hidden ones too, and of exposed views."""
    primary_keys: dict[tuple[str, str], set[str]] = {
        (row["schema"], row["table"]): {name for _, name in row["columns"]}
        for row in fetch(catalog.KEYS, [])
        if row["kind"] == "primary"
    }
    for name, table in tables.items():
        primary_keys[name] = set(table.primary_key)
    return primary_keys


def _index(relationships: list[Relationship], exposed: set[str]) -> dict[tuple[Name, str], list[Relationship]]:
    """By origin and schema of the target, without those that lead into or through schemas that are not exposed."""
    index: dict[tuple[Name, str], list[Relationship]] = defaultdict(list)
    for relationship in relationships:
        junction = relationship.junction
        schemas = {relationship.table[0], relationship.foreign_table[0]}
        if junction:
            schemas.add(junction.table[0])
        if schemas <= exposed:
            index[Name(*relationship.table), relationship.target_schema].append(relationship)
    for found in index.values():
        found.sort(key=_relationship_order)
    return dict(index)


_KINDS = ("one-to-many", "many-to-one", "one-to-one", "many-to-many", "computed")


def _relationship_order(relationship: Relationship) -> tuple[Any, ...]:
    """The order in which PGRST201 lists them."""
    junction = relationship.junction
    through = (junction.table, junction.source_constraint, junction.target_constraint) if junction else ()
    kind = _KINDS.index(relationship.kind)
    return relationship.foreign_table, kind, relationship.constraint, relationship.columns, through


def _routines(rows: list[dict[str, Any]]) -> dict[Name, list[Routine]]:
    routines: dict[Name, list[Routine]] = defaultdict(list)
    for row in rows:
        params = [Param(**param) for param in row.pop("params")]
        settings = [(name, value) for name, value in row.pop("settings")]
        routine = Routine(**row, params=params, settings=settings)
        routines[Name(routine.schema, routine.name)].append(routine)
    for overloads in routines.values():
        overloads.sort(key=_routine_order)
    return dict(routines)


def _routine_order(routine: Routine) -> tuple[int, str, list[tuple[str, str]]]:
    return len(routine.params), routine.description or "", [(param.name, param.type) for param in routine.params]


def _handlers(rows: list[dict[str, Any]]) -> dict[tuple[Name | None, str], Handler]:
    handlers = {}
    for row in rows:
        target = None if row["target"] == "anyelement" else Name(row["target_schema"], row["target"])
        handler = Handler(Name(row["schema"], row["name"]), target, row["produced"])
        handlers[target, row["media_type"]] = handler
    return handlers
