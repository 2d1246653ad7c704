"""Which relationship an embedded resource means.

https://docs.postgrest.org/en/v14/references/api/resource_embedding.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.local.data_api import errors, fuzzy
from infra.local.data_api.schema_cache import Name

if TYPE_CHECKING:
    from infra.local.data_api.relationships import ColumnPairs, Relationship
    from infra.local.data_api.schema_cache import SchemaCache


def find_relationship(schema: str, cache: SchemaCache, origin: str, target: str, hint: str | None) -> Relationship:
    """The one relationship from `origin` that `target` and `hint` name; PGRST200 if none, PGRST201 if several."""
    candidates = cache.relationships.get((Name(schema, origin), schema), [])
    found = [candidate for candidate in candidates if _matches(candidate, target, hint)]
    if not found:
        raise errors.no_relationship(origin, target, hint, schema, _suggestion(schema, cache, origin, target))
    if len(found) > 1:
        choices = [f"'{r.foreign_table[1]}!{_precise_hint(r)}'" for r in found]
        raise errors.ambiguous_relationship(origin, target, [_shown(r) for r in found], choices)
    return found[0]


def _matches(relationship: Relationship, target: str, hint: str | None) -> bool:
    """By the name of the relation, the constraint or the column; a hint may be the other end's column or a junction."""
    if relationship.function:
        return target == relationship.function[1]
    is_relation = target == relationship.foreign_table[1]
    if relationship.is_self:  # one key, two directions: the relation means the many, the column means the one
        if hint is not None:
            to_many = relationship.kind == "one-to-many"
            return is_relation and to_many and _references_column(relationship, hint)
        return (is_relation and relationship.kind == "one-to-many") or (
            relationship.kind == "many-to-one" and _is_column(relationship, target)
        )
    if hint is None:
        by_key = target == relationship.constraint or _is_column(relationship, target)
        return is_relation or (by_key and not relationship.foreign_table_is_view)
    return is_relation and (
        hint == relationship.constraint
        or _is_column(relationship, hint)
        or _references_column(relationship, hint)
        or (relationship.junction is not None and hint == relationship.junction.table[1])
    )


def _is_column(relationship: Relationship, name: str) -> bool:
    return len(relationship.columns) == 1 and relationship.columns[0][0] == name


def _references_column(relationship: Relationship, name: str) -> bool:
    return len(relationship.columns) == 1 and relationship.columns[0][1] == name


def _precise_hint(relationship: Relationship) -> str:
    return relationship.junction.table[1] if relationship.junction else relationship.constraint


def _shown(relationship: Relationship) -> dict[str, str]:
    """The relationship as an element of PGRST201's details."""
    junction = relationship.junction
    if junction:
        source = [own for _, own in junction.source_columns]
        target = [own for _, own in junction.target_columns]
        how = (
            f"{junction.table[1]} using {junction.source_constraint}({', '.join(source)})"
            f" and {junction.target_constraint}({', '.join(target)})"
        )
    else:
        how = (
            f"{relationship.constraint} using {_side(relationship.table[1], relationship.columns, 0)}"
            f" and {_side(relationship.foreign_table[1], relationship.columns, 1)}"
        )
    return {
        "cardinality": relationship.kind,
        "embedding": f"{relationship.table[1]} with {relationship.foreign_table[1]}",
        "relationship": how,
    }


def _side(table: str, columns: ColumnPairs, side: int) -> str:
    return f"{table}({', '.join(pair[side] for pair in columns)})"


def _suggestion(schema: str, cache: SchemaCache, origin: str, target: str) -> str | None:
    """A parent or child that is spelt alike; none if both are there, for then the hint is wrong."""
    related = cache.relationships.get((Name(schema, origin), schema))
    if related is None:
        parents = [name.name for name, target_schema in cache.relationships if target_schema == schema]
        parent = fuzzy.nearest(parents, origin)
        return f"Perhaps you meant '{parent}' instead of '{origin}'." if parent else None
    ranked = fuzzy.ranking([r.foreign_table[1] for r in related], target)
    child = next((name for similarity, name in ranked if similarity < 1), None)
    return f"Perhaps you meant '{child}' instead of '{target}'." if child else None
