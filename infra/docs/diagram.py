"""The ER diagram, read from the live catalog and written as Mermaid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

HEADER = """# Entity relationship diagram

Made from the catalog of a database with sql/ applied (`make docs`); a test compares the two.
The schema `private` is left out: no client reads it.

"""

COLUMNS = """
select c.relname as table_name,
       a.attname as name,
       format_type(a.atttypid, null) as type,
       exists (
           select from pg_index as i where i.indrelid = c.oid and i.indisprimary and a.attnum = any (i.indkey)
       ) as is_primary,
       exists (
           select from pg_constraint as k where k.conrelid = c.oid and k.contype = 'f' and a.attnum = any (k.conkey)
       ) as is_foreign,
       exists (
           select from pg_constraint as k
           where k.conrelid = c.oid and k.contype = 'u' and k.conkey = array[a.attnum]
       ) as is_unique
from pg_class as c
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
order by c.relname, a.attnum
"""

REFERENCES = """
select distinct parent.relname as parent,
       child.relname as child,
       array_to_string(array(
           select a.attname from unnest(k.conkey) with ordinality as u (attnum, place)
           join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = u.attnum
           order by u.place
       ), ', ') as columns,
       exists (
           select from pg_index as i
           where i.indrelid = k.conrelid and i.indisunique and i.indpred is null
             and i.indkey::int2[] <@ k.conkey and cardinality(k.conkey) >= i.indnkeyatts
       ) as is_one_to_one,
       exists (
           select from pg_attribute as a
           where a.attrelid = k.conrelid and a.attnum = any (k.conkey) and not a.attnotnull
       ) as is_optional
from pg_constraint as k
join pg_class as child on child.oid = k.conrelid
join pg_class as parent on parent.oid = k.confrelid
where k.contype = 'f'
  and child.relnamespace = 'public'::regnamespace
  and parent.relnamespace = 'public'::regnamespace
order by 1, 2, 3
"""

SHORT_TYPES = {
    "timestamp with time zone": "timestamptz",
    "timestamp with time zone[]": "timestamptz[]",
    "numeric": "decimal",
    "character varying": "text",
}


@dataclass(frozen=True, slots=True)
class Diagram:
    """`tables`: name -> its columns as (type, name, keys); `relations`: (parent, child, columns, cardinality)."""

    tables: dict[str, list[tuple[str, str, str]]]
    relations: list[tuple[str, str, str, str]]

    def mermaid(self) -> str:
        lines = ["```mermaid", "erDiagram"]
        for table, columns in self.tables.items():
            lines += [
                f"    {table} {{",
                *(f"        {' '.join(part for part in column if part)}" for column in columns),
            ]
            lines.append("    }")
        lines += [
            f'    {parent} {cardinality} {child} : "{columns}"'
            for parent, child, columns, cardinality in self.relations
        ]
        return "\n".join([*lines, "```", ""])


def read(dsn: str) -> Diagram:
    """The diagram of the schema `public` of the database at `dsn`."""
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        tables: dict[str, list[tuple[str, str, str]]] = {}
        for row in connection.execute(COLUMNS):
            tables.setdefault(row["table_name"], []).append((_short(row["type"]), row["name"], _keys(row)))
        relations = [
            (row["parent"], row["child"], row["columns"], _cardinality(row)) for row in connection.execute(REFERENCES)
        ]
    return Diagram(tables, relations)


def page(dsn: str) -> str:
    """The whole document."""
    return HEADER + read(dsn).mermaid()


def _short(type_name: str) -> str:
    return SHORT_TYPES.get(type_name, type_name.removeprefix("public."))


def _keys(row: dict[str, Any]) -> str:
    marks = {"PK": row["is_primary"], "FK": row["is_foreign"], "UK": row["is_unique"]}
    return ", ".join(mark for mark, holds in marks.items() if holds)


def _cardinality(row: dict[str, Any]) -> str:
    parent = "|o" if row["is_optional"] else "||"
    child = "o|" if row["is_one_to_one"] else "o{"
    return f"{parent}--{child}"
