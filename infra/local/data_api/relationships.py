"""Relationships between relations: from foreign keys, through views and junctions, and computed by functions.

https://docs.postgrest.org/en/v14/references/api/resource_embedding.html
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

QualifiedName = tuple[str, str]
ColumnPairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Junction:
    """The table between two others: its name, its two foreign keys, and (column, its own column) pairs of each."""

    table: QualifiedName
    source_constraint: str
    target_constraint: str
    source_columns: ColumnPairs
    target_columns: ColumnPairs


@dataclass(frozen=True, slots=True)
class Relationship:
    """How to get from `table` to `foreign_table`; `columns` pairs the former's columns with the latter's."""

    table: QualifiedName
    foreign_table: QualifiedName
    kind: Literal["many-to-one", "one-to-many", "one-to-one", "many-to-many", "computed"]
    constraint: str = ""
    columns: ColumnPairs = ()
    junction: Junction | None = None
    table_is_view: bool = False
    foreign_table_is_view: bool = False
    # Of one-to-one relationships: whether `foreign_table` holds the foreign key.
    is_parent: bool = False
    function: QualifiedName | None = None
    computes_one: bool = False

    @property
    def is_self(self) -> bool:
        return self.table == self.foreign_table

    @property
    def is_to_one(self) -> bool:
        return self.kind in ("many-to-one", "one-to-one") or (self.kind == "computed" and self.computes_one)

    @property
    def target_schema(self) -> str:
        return self.function[0] if self.function else self.foreign_table[0]


@dataclass(frozen=True, slots=True)
class ViewKey:
    """A key of a table that a view shows whole: each key column with the view's columns that show it."""

    kind: Literal["primary", "foreign", "referenced"]
    constraint: str
    table: QualifiedName
    view: QualifiedName
    columns: list[tuple[str, list[str]]]


# --- views ----------------------------------------------------------------------------------------------------------

_NODE = re.compile(r"\\.|\{(?:TARGETENTRY)?|\}|:res(no|origtbl|origcol) (\d+)", re.DOTALL)


def target_columns(definition: str) -> list[tuple[int, int, int]]:
    """(view column, table oid, table column) of each output of a rewrite rule's text.

    The rule is a tree of nodes in braces, the outermost being the query; its outputs are the TARGETENTRY nodes right
    below. Those of subqueries lie deeper.
    """
    depth = 0
    entry: dict[str, int] | None = None
    found = []
    for match in _NODE.finditer(definition):
        token = match.group()
        if token.startswith("{"):
            depth += 1
            if depth == 2 and token == "{TARGETENTRY":
                entry = {}
        elif token == "}":
            if depth == 2 and entry is not None:
                found.append((entry["no"], entry["origtbl"], entry["origcol"]))
                entry = None
            depth -= 1
        elif match.group(1) and depth == 2 and entry is not None:
            entry[match.group(1)] = int(match.group(2))
    return found


def view_keys(views: list[dict[str, Any]], keys: list[dict[str, Any]], exposed: set[str]) -> list[ViewKey]:
    """The keys that each exposed view shows whole, followed through views on views."""
    origins: dict[tuple[int, int], tuple[int, int]] = {}
    for view in views:
        for column, table, table_column in target_columns(view["definition"]):
            if table:
                origins[view["oid"], column] = (table, table_column)
    keys_of_table: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for key in keys:
        keys_of_table[key["oid"]].append(key)
    found = []
    for view in views:
        if view["schema"] not in exposed:
            continue
        shown: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        for number, name in sorted((view["columns"] or {}).items(), key=lambda item: int(item[0])):
            for table, column in _follow(origins, (view["oid"], int(number))):
                shown[table][column].append(name)
        for table, columns in shown.items():
            for key in keys_of_table[table]:
                if all(number in columns for number, _ in key["columns"]):
                    pairs = [(name, columns[number]) for number, name in key["columns"]]
                    of_table = (key["schema"], key["table"])
                    found.append(ViewKey(key["kind"], key["name"], of_table, (view["schema"], view["name"]), pairs))
    return found


def _follow(origins: dict[tuple[int, int], tuple[int, int]], column: tuple[int, int]) -> list[tuple[int, int]]:
    """The columns that a view's column comes from, nearest first."""
    path: list[tuple[int, int]] = []
    while column in origins and origins[column] not in path:
        column = origins[column]
        path.append(column)
    return path


# --- relationships --------------------------------------------------------------------------------------------------


def derive_relationships(
    foreign_keys: list[dict[str, Any]],
    keys: list[ViewKey],
    computed: list[dict[str, Any]],
    primary_keys: dict[QualifiedName, set[str]],
) -> list[Relationship]:
    """All relationships; a computed one takes the place of those to the relation that it is named like."""
    own = [_from_foreign_key(row) for row in foreign_keys]
    forward = own + _through_views(own, keys)
    found = forward + _junctions(forward, primary_keys)
    found += [_inverse(relationship) for relationship in forward]
    by_function = {(computes.table, computes.function): computes for computes in map(_from_function, computed)}
    kept = [r for r in found if (r.table, r.foreign_table) not in by_function]
    return kept + list(by_function.values())


def _from_foreign_key(row: dict[str, Any]) -> Relationship:
    return Relationship(
        table=(row["schema"], row["table"]),
        foreign_table=(row["foreign_schema"], row["foreign_table"]),
        kind="one-to-one" if row["one_to_one"] else "many-to-one",
        constraint=row["name"],
        columns=tuple((column, reference) for column, reference in row["columns"]),
    )


def _from_function(row: dict[str, Any]) -> Relationship:
    return Relationship(
        table=(row["table_schema"], row["table"]),
        foreign_table=(row["foreign_schema"], row["foreign_table"]),
        kind="computed",
        function=(row["schema"], row["name"]),
        computes_one=row["to_one"],
    )


def _inverse(relationship: Relationship) -> Relationship:
    return replace(
        relationship,
        table=relationship.foreign_table,
        foreign_table=relationship.table,
        kind="one-to-many" if relationship.kind == "many-to-one" else "one-to-one",
        columns=tuple((reference, column) for column, reference in relationship.columns),
        table_is_view=relationship.foreign_table_is_view,
        foreign_table_is_view=relationship.table_is_view,
        is_parent=relationship.kind == "one-to-one",
    )


def _through_views(own: list[Relationship], keys: list[ViewKey]) -> list[Relationship]:
    """The same foreign keys seen from views, to views, and from views to views.

    A view that shows a key column more than once gets a relationship for each way to choose among them.
    """
    by_key: dict[tuple[str, QualifiedName, str], list[ViewKey]] = defaultdict(list)
    for key in keys:
        by_key[key.kind, key.table, key.constraint].append(key)
    found = []
    for relationship in own:
        sources = _choices(by_key["foreign", relationship.table, relationship.constraint])
        targets = _choices(by_key["referenced", relationship.foreign_table, relationship.constraint])
        columns = [column for column, _ in relationship.columns]
        references = [reference for _, reference in relationship.columns]
        for view, shown in sources:
            pairs = tuple(zip(shown, references, strict=True))
            found.append(replace(relationship, table=view, columns=pairs, table_is_view=True))
        for view, shown in targets:
            pairs = tuple(zip(columns, shown, strict=True))
            found.append(replace(relationship, foreign_table=view, columns=pairs, foreign_table_is_view=True))
        for (source, shown), (target, referenced) in product(sources, targets):
            found.append(
                replace(
                    relationship,
                    table=source,
                    foreign_table=target,
                    columns=tuple(zip(shown, referenced, strict=True)),
                    table_is_view=True,
                    foreign_table_is_view=True,
                )
            )
    return found


def _choices(keys: list[ViewKey]) -> list[tuple[QualifiedName, tuple[str, ...]]]:
    return [(key.view, chosen) for key in keys for chosen in product(*(shown for _, shown in key.columns))]


def _junctions(forward: list[Relationship], primary_keys: dict[QualifiedName, set[str]]) -> list[Relationship]:
    """Many-to-many: a table whose primary key holds the columns of foreign keys to two tables."""
    by_table: dict[QualifiedName, list[Relationship]] = defaultdict(list)
    for relationship in forward:
        if relationship.kind == "many-to-one":
            by_table[relationship.table].append(relationship)
    found = []
    for table, keys in by_table.items():
        primary_key = primary_keys.get(table, set())
        for one, other in product(keys, keys):
            columns = {column for column, _ in one.columns + other.columns}
            if one.constraint != other.constraint and columns <= primary_key:
                found.append(
                    Relationship(
                        table=one.foreign_table,
                        foreign_table=other.foreign_table,
                        kind="many-to-many",
                        junction=Junction(
                            table,
                            one.constraint,
                            other.constraint,
                            tuple((reference, column) for column, reference in one.columns),
                            tuple((reference, column) for column, reference in other.columns),
                        ),
                        table_is_view=one.foreign_table_is_view,
                        foreign_table_is_view=other.foreign_table_is_view,
                    )
                )
    return found
