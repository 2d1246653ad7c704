"""Mutants made from the catalog: for each policy, grant, key, check, trigger and function, ways to weaken it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.databases import Connection

MUTATED_TABLES = "c.relnamespace = 'public'::regnamespace and c.relkind = 'r'"


@dataclass(frozen=True)
class Mutant:
    """A name for people, and the statements that turn the schema into it."""

    family: str
    name: str
    statements: str


def rows(session: Connection, query: str) -> list[dict[str, Any]]:
    return session.execute(query).fetchall()


def policies(session: Connection) -> Iterator[Mutant]:
    """Drop each; open each to all rows; let each be written through; widen each to everybody."""
    for row in rows(
        session,
        """
        select policyname as name, tablename as table, cmd, roles, qual, with_check from pg_catalog.pg_policies
        where schemaname = 'public' order by tablename, policyname
        """,
    ):
        policy = f"{row['name']} on public.{row['table']}"
        yield Mutant("drop policy", policy, f"drop policy {policy}")
        if row["qual"] not in (None, "true"):
            yield Mutant("using (true)", policy, f"alter policy {policy} using (true)")
        if row["with_check"]:
            yield Mutant("with check (true)", policy, f"alter policy {policy} with check (true)")
        if "anon" not in row["roles"]:
            yield Mutant("policy to public", policy, f"alter policy {policy} to public")


def row_level_security(session: Connection) -> Iterator[Mutant]:
    for row in rows(
        session, f"select c.relname as name from pg_catalog.pg_class as c where {MUTATED_TABLES} order by 1"
    ):
        yield Mutant(
            "row level security off", row["name"], f"alter table public.{row['name']} disable row level security"
        )


def grants(session: Connection) -> Iterator[Mutant]:
    """Give a role of the API a privilege that it lacks, on each table and on each column that is the server's."""
    for row in rows(
        session,
        f"""
        select c.relname as table, r.role, p.privilege
        from pg_catalog.pg_class as c
        cross join unnest('{{anon,authenticated,service_role}}'::text[]) as r (role)
        cross join unnest('{{select,insert,update,delete,truncate,references,trigger}}'::text[]) as p (privilege)
        where {MUTATED_TABLES} and not has_table_privilege(r.role, c.oid, p.privilege)
        order by 1, 2, 3
        """,
    ):
        words = f"{row['privilege']} on public.{row['table']} to {row['role']}"
        yield Mutant(f"grant {row['privilege']}", words, f"grant {words}")
    for row in rows(
        session,
        f"""
        select c.relname as table, a.attname as column
        from pg_catalog.pg_attribute as a join pg_catalog.pg_class as c on c.oid = a.attrelid
        where {MUTATED_TABLES} and a.attnum > 0 and not has_column_privilege('authenticated', c.oid, a.attnum, 'update')
            and has_any_column_privilege('authenticated', c.oid, 'update')
        order by 1, 2
        """,
    ):
        words = f"update ({row['column']}) on public.{row['table']} to authenticated"
        yield Mutant("grant a column", words, f"grant {words}")
    for row in rows(
        session,
        """
        select relname as table from pg_catalog.pg_class
        where relnamespace = 'private'::regnamespace and relkind = 'r' order by 1
        """,
    ):
        words = f"select on private.{row['table']} to service_role"
        yield Mutant("grant on private", words, f"grant {words}")


def functions(session: Connection) -> Iterator[Mutant]:
    """Open each to clients; unpin its search_path; turn invokers into definers and definers into invokers."""
    for row in rows(
        session,
        """
        select
            p.oid::regprocedure::text as name, p.pronamespace = 'public'::regnamespace as is_public,
            p.prosecdef as definer, p.prorettype = 'trigger'::regtype as is_trigger,
            has_function_privilege('authenticated', p.oid, 'execute') as open,
            has_function_privilege('service_role', p.oid, 'execute') as for_service
        from pg_catalog.pg_proc as p
        where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace) order by 1
        """,
    ):
        name = row["name"] if row["name"].startswith("private.") else f"public.{row['name']}"
        if not row["open"] and not row["is_trigger"]:
            yield Mutant("grant execute", name, f"grant execute on function {name} to authenticated")
            yield Mutant("grant execute to public", name, f"grant execute on function {name} to public")
        yield Mutant("search_path not pinned", name, f"alter function {name} reset search_path")
        if row["is_public"]:
            yield Mutant("definer in public", name, f"alter function {name} security definer")
        elif row["definer"] and (row["open"] or row["for_service"]):
            yield Mutant("body as invoker", name, f"alter function {name} security invoker")


def constraints(session: Connection) -> Iterator[Mutant]:
    """Drop each unique key, foreign key and check of the tables of `public`."""
    families = {"u": "drop unique key", "f": "drop foreign key", "c": "drop check"}
    for row in rows(
        session,
        f"""
        select k.conname as name, c.relname as table, k.contype::text as kind
        from pg_catalog.pg_constraint as k join pg_catalog.pg_class as c on c.oid = k.conrelid
        where {MUTATED_TABLES} and k.contype in ('u', 'f', 'c') order by 2, 1
        """,
    ):
        yield Mutant(
            families[row["kind"]],
            f"{row['name']} of {row['table']}",
            f"alter table public.{row['table']} drop constraint {row['name']} cascade",
        )
    for row in rows(
        session,
        """
        select indexrelid::regclass::text as name from pg_catalog.pg_index as i
        join pg_catalog.pg_class as c on c.oid = i.indrelid
        where c.relnamespace = 'public'::regnamespace and i.indisunique
            and not exists (select from pg_catalog.pg_constraint as k where k.conindid = i.indexrelid)
        order by 1
        """,
    ):
        yield Mutant("drop unique index", row["name"], f"drop index public.{row['name']}")


def triggers(session: Connection) -> Iterator[Mutant]:
    for row in rows(
        session,
        """
        select t.tgname as name, t.tgrelid::regclass::text as table from pg_catalog.pg_trigger as t
        join pg_catalog.pg_class as c on c.oid = t.tgrelid
        where not t.tgisinternal and c.relnamespace in ('public'::regnamespace, 'auth'::regnamespace) order by 2, 1
        """,
    ):
        table = row["table"] if row["table"].startswith("auth.") else f"public.{row['table']}"
        yield Mutant("drop trigger", f"{row['name']} on {table}", f"drop trigger {row['name']} on {table}")


def schemas(session: Connection) -> Iterator[Mutant]:
    """Open a schema, or what new objects get."""
    for statement in (
        "grant create on schema public to authenticated",
        "grant usage on schema vault to authenticated",
        "grant create on schema private to service_role",
        "alter default privileges for role postgres grant execute on functions to public",
        "alter default privileges for role postgres in schema public grant select on tables to anon",
        "alter default privileges for role postgres in schema public grant truncate on tables to authenticated",
        "alter default privileges for role postgres in schema public grant update on sequences to service_role",
    ):
        yield Mutant("schemas and defaults", statement, statement)


def all_mutants(session: Connection) -> list[Mutant]:
    """Every mutant that the catalog gives, in a fixed order."""
    sources = (policies, row_level_security, grants, functions, constraints, triggers, schemas)
    return [mutant for source in sources for mutant in source(session)]
