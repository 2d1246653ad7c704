"""The catalog agrees with tests/access_matrix.toml and client_writable.toml: grants, policies, functions, defaults.

What the other tests try, these read, so that nothing hides in a table, column or function that no test has thought of.
"""

import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases import Connection, Database

FOLDER = Path(__file__).parents[1]
MATRIX: dict[str, Any] = tomllib.loads((FOLDER / "access_matrix.toml").read_text())
WRITABLE: dict[str, dict[str, list[str]]] = tomllib.loads((FOLDER / "client_writable.toml").read_text())
CLIENTS = ("anon", "authenticated")
API_ROLES = (*CLIENTS, "service_role")
SIGNED_IN = ("owner", "stranger", "admin", "expired_admin")
COMMANDS = ("select", "insert", "update", "delete")


@pytest.fixture(scope="module")
def owner(database: Database) -> Iterator[Connection]:
    with database.as_owner() as connection:
        yield connection


def privileges_in_matrix() -> dict[tuple[str, str], set[str]]:
    """(table, role) -> commands that some cell allows."""
    allowed: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry, cells in MATRIX["tables"].items():
        for actor, commands in cells.items():
            role = "authenticated" if actor in SIGNED_IN else {"service": "service_role"}.get(actor, actor)
            allowed[entry.partition(" ")[0], role] |= set(commands)
    return allowed


def test_grants_on_tables_are_those_of_the_matrix(owner: Connection) -> None:
    """Every privilege of anybody but the owner, PUBLIC included; column grants count as their command."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in owner.execute(
        """
        select c.relname, coalesce(r.rolname, 'public') as role, lower(a.privilege_type) as privilege
        from pg_catalog.pg_class as c
        cross join lateral aclexplode(c.relacl) as a
        left join pg_catalog.pg_roles as r on r.oid = a.grantee
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
            and a.grantee <> c.relowner
        union
        select c.relname, coalesce(r.rolname, 'public'), lower(a.privilege_type)
        from pg_catalog.pg_attribute as t
        join pg_catalog.pg_class as c on c.oid = t.attrelid
        cross join lateral aclexplode(t.attacl) as a
        left join pg_catalog.pg_roles as r on r.oid = a.grantee
        where c.relnamespace = 'public'::regnamespace and a.grantee <> c.relowner
        """
    ):
        found[row["relname"], row["role"]].add(row["privilege"])
    assert found == {key: commands for key, commands in privileges_in_matrix().items() if commands}


@pytest.mark.parametrize("command", ["insert", "update"])
def test_writable_columns_are_those_listed(owner: Connection, command: str) -> None:
    found: dict[str, list[str]] = defaultdict(list)
    columns: dict[str, list[str]] = defaultdict(list)
    for row in owner.execute(
        """
        select
            c.relname, a.attname, has_column_privilege('anon', c.oid, a.attnum, %(command)s) as anon,
            has_column_privilege('authenticated', c.oid, a.attnum, %(command)s) as authenticated
        from pg_catalog.pg_attribute as a
        join pg_catalog.pg_class as c on c.oid = a.attrelid
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
        order by a.attnum
        """,
        {"command": command},
    ):
        assert not row["anon"]
        columns[row["relname"]].append(row["attname"])
        if row["authenticated"]:
            found[row["relname"]].append(row["attname"])
    assert {table: sorted(names) for table, names in found.items()} == {
        table: sorted(columns[table] if names == ["*"] else names) for table, names in WRITABLE[command].items()
    }


def test_row_level_security_is_on_everywhere(owner: Connection) -> None:
    found = owner.execute(
        """
        select c.relname from pg_catalog.pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relrowsecurity
        """
    ).fetchall()
    assert found == []


def policies(owner: Connection) -> list[dict[str, Any]]:
    return owner.execute("select * from pg_catalog.pg_policies where schemaname = 'public'").fetchall()


def test_one_policy_for_each_role_and_command_of_the_matrix(owner: Connection) -> None:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for policy in policies(owner):
        assert policy["permissive"] == "PERMISSIVE"
        assert policy["cmd"].lower() in COMMANDS, "one policy is about one command"
        assert policy["policyname"].partition("_")[0] == policy["cmd"].lower()
        for role in policy["roles"]:
            found[policy["tablename"], role].append(policy["cmd"].lower())
    expected = {
        key: sorted(commands)
        for key, commands in privileges_in_matrix().items()
        if commands and key[1] != "service_role"  # it bypasses row level security
    }
    expected |= {key: ["select"] for key in [("cache_store", role) for role in CLIENTS]}  # the one that says "nobody"
    assert {key: sorted(commands) for key, commands in found.items()} == expected


def test_policies_for_writing_check_both_versions_of_the_row(owner: Connection) -> None:
    for policy in policies(owner):
        if policy["cmd"] == "UPDATE":
            assert policy["qual"] == policy["with_check"], policy["tablename"]
        if policy["cmd"] != "SELECT":
            assert "true" not in (policy["qual"], policy["with_check"]), policy["tablename"]
            assert "private.is_admin()" in str(policy) or "auth.uid()" in str(policy) or "my_account_ids" in str(policy)


def test_everything_open_to_all_is_a_status(owner: Connection) -> None:
    open_tables = {policy["tablename"] for policy in policies(owner) if policy["qual"] == "true"}
    assert open_tables == {"subscription_status", "account_status"}


def test_policies_ask_who_is_calling_once_a_statement(owner: Connection) -> None:
    """`(select auth.uid())` is evaluated once, a bare `auth.uid()` once a row; the same for the helpers."""
    for policy in policies(owner):
        text = f"{policy['qual']} {policy['with_check']}".lower()
        for function in ("auth.uid()", "private.is_admin()", "private.my_account_ids()"):
            assert text.count(function) == text.count(f"select {function} as "), f"{policy['tablename']}: {text}"


def functions(owner: Connection) -> list[dict[str, Any]]:
    """Everything callable in our two schemas, extensions' members left out."""
    return owner.execute(
        """
        select
            n.nspname as schema, p.proname as name, oidvectortypes(p.proargtypes) as arguments,
            p.prosecdef as is_definer, p.prorettype = 'trigger'::regtype as is_trigger, p.proconfig as config,
            obj_description(p.oid, 'pg_proc') as comment, l.lanname as language,
            coalesce(p.proargnames, '{}') as argument_names, pg_get_userbyid(p.proowner) as owner,
            has_function_privilege('anon', p.oid, 'execute') as anon,
            has_function_privilege('authenticated', p.oid, 'execute') as authenticated,
            has_function_privilege('service_role', p.oid, 'execute') as service_role,
            exists (
                select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a where a.grantee = 0
            ) as public
        from pg_catalog.pg_proc as p
        join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
        join pg_catalog.pg_language as l on l.oid = p.prolang
        where n.nspname in ('public', 'private')
        """
    ).fetchall()


def full_name(function: dict[str, Any]) -> str:
    return f"{function['schema']}.{function['name']}"


@pytest.mark.parametrize("role", API_ROLES)
def test_callable_functions_are_those_of_the_allow_list(owner: Connection, role: str) -> None:
    """A difference here is a grant too many, or a line to add to [functions] in tests/access_matrix.toml."""
    listed = set(MATRIX["functions"][role])
    known = functions(owner)
    in_public = {(f["name"], f["arguments"]) for f in known if f["schema"] == "public"}
    expected = {f"public.{name}" for name in listed if not name.startswith("private.")}
    expected |= {name for name in listed if name.startswith("private.")}
    expected |= {
        full_name(f)
        for f in known
        # A body has its wrapper's argument types.
        if f["schema"] == "private" and f["name"] in listed and (f["name"], f["arguments"]) in in_public
    }
    assert {full_name(function) for function in known if function[role]} == expected


def test_no_function_is_open_to_public(owner: Connection) -> None:
    assert [full_name(f) for f in functions(owner) if f["public"]] == []


def test_no_name_is_overloaded(owner: Connection) -> None:
    """An overload would hide from the allow-list, and PostgREST could not tell the two apart."""
    names = [full_name(function) for function in functions(owner)]
    assert sorted(names) == sorted(set(names))


def test_definers_stay_out_of_the_exposed_schema(owner: Connection) -> None:
    """splinter's 0028 and 0029, for every role of the API; `public` has no definer at all."""
    assert [full_name(f) for f in functions(owner) if f["is_definer"] and f["schema"] == "public"] == []


def test_every_function_is_pinned_explained_and_owned(owner: Connection) -> None:
    for function in functions(owner):
        name = full_name(function)
        assert 'search_path=""' in (function["config"] or []), name
        assert function["comment"], f"{name} has no comment"
        assert function["owner"] == "postgres", name
        assert function["language"] in ("plpgsql", "sql"), name


def test_only_service_functions_take_a_user_id(owner: Connection) -> None:
    """Who calls as themselves never says who they are. public_profile asks about somebody, for what is public."""
    asking = {
        full_name(f)
        for f in functions(owner)
        if (f["anon"] or f["authenticated"]) and any("user" in name for name in f["argument_names"])
    }
    assert asking == {"public.public_profile", "private.public_profile"}


def test_client_roles_hold_nothing_in_private(owner: Connection) -> None:
    found = owner.execute(
        """
        select c.relname, r.rolname
        from pg_catalog.pg_class as c
        cross join pg_catalog.pg_roles as r
        where c.relnamespace = 'private'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
            and r.rolname = any(%s)
            and has_table_privilege(r.rolname, c.oid, 'select, insert, update, delete, truncate, references, trigger')
        """,
        [list(API_ROLES)],
    ).fetchall()
    assert found == []


def test_sequences_are_closed(owner: Connection) -> None:
    found = owner.execute(
        """
        select c.relname, r.rolname
        from pg_catalog.pg_class as c
        cross join pg_catalog.pg_roles as r
        where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and c.relkind = 'S'
            and r.rolname = any(%s) and has_sequence_privilege(r.rolname, c.oid, 'usage, select, update')
        """,
        [list(API_ROLES)],
    ).fetchall()
    assert found == []


def test_views_would_obey_the_callers_rights(owner: Connection) -> None:
    found = owner.execute(
        """
        select relname from pg_catalog.pg_class
        where relnamespace in ('public'::regnamespace, 'private'::regnamespace) and (
            relkind in ('m', 'f') or (relkind = 'v' and not coalesce(reloptions @> '{security_invoker=true}', false))
        )
        """
    ).fetchall()
    assert found == []


def test_schemas_are_open_as_far_as_needed(owner: Connection) -> None:
    found = {
        (row["nspname"], row["role"]): (row["usage"], row["creates"])
        for row in owner.execute(
            """
            select
                n.nspname, r.role, has_schema_privilege(r.role, n.oid, 'usage') as usage,
                has_schema_privilege(r.role, n.oid, 'create') as creates
            from pg_catalog.pg_namespace as n
            cross join unnest(%s::text[]) as r (role)
            where n.nspname in ('public', 'private', 'vault')
            """,
            [list(API_ROLES)],
        )
    }
    assert {key for key, (_, creates) in found.items() if creates} == set()
    # On hosted projects service_role comes with USAGE on vault; clients never have it.
    assert {key for key, (usage, _) in found.items() if not usage} == {("vault", role) for role in CLIENTS}


def test_nothing_new_is_open_by_default(database: Database) -> None:
    """Whatever the project's generation, an object that forgets its revoke is closed to the roles of the API."""
    with database.as_owner() as owner, owner.transaction(force_rollback=True):
        owner.execute("create table public.forgotten (id bigserial primary key)")
        owner.execute("create function public.forgotten() returns int language sql as 'select 1'")
        owner.execute("create table private.forgotten (id bigserial primary key)")
        owner.execute("create function private.forgotten() returns int language sql as 'select 1'")
        for schema in ("public", "private"):
            row = owner.execute(
                """
                select
                    bool_or(has_table_privilege(r, %(table)s,
                        'select, insert, update, delete, truncate, references, trigger')) as on_table,
                    bool_or(has_sequence_privilege(r, %(sequence)s, 'usage, select, update')) as on_sequence,
                    bool_or(has_function_privilege(r, %(function)s, 'execute')) as on_function
                from unnest(%(roles)s::text[]) as r
                """,
                {
                    "table": f"{schema}.forgotten",
                    "sequence": f"{schema}.forgotten_id_seq",
                    "function": f"{schema}.forgotten()",
                    "roles": list(API_ROLES),
                },
            ).fetchone()
            assert row == {"on_table": False, "on_sequence": False, "on_function": False}, schema


def test_every_object_says_what_it_is(owner: Connection) -> None:
    found = owner.execute(
        """
        select c.relname as name from pg_catalog.pg_class as c
        where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and c.relkind in ('r', 'p', 'v')
            and obj_description(c.oid, 'pg_class') is null
        union all
        select p.polname || ' on ' || p.polrelid::regclass from pg_catalog.pg_policy as p
        where obj_description(p.oid, 'pg_policy') is null
        """
    ).fetchall()
    assert found == []


def test_every_foreign_key_is_indexed(owner: Connection) -> None:
    """splinter's 0001, for both schemas: otherwise deleting a parent reads its whole child table."""
    found = owner.execute(
        """
        select k.conrelid::regclass::text as table, k.conname
        from pg_catalog.pg_constraint as k
        join pg_catalog.pg_class as c on c.oid = k.conrelid
        where k.contype = 'f' and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
            and not exists (
                select from pg_catalog.pg_index as i
                where i.indrelid = k.conrelid
                    and (string_to_array(i.indkey::text, ' ')::smallint[])[1:cardinality(k.conkey)] = k.conkey
            )
        """
    ).fetchall()
    assert found == []


def test_every_foreign_key_says_what_deleting_does(owner: Connection) -> None:
    """`no action` is what one gets by not deciding."""
    found = owner.execute(
        """
        select k.conrelid::regclass::text as table, k.conname
        from pg_catalog.pg_constraint as k
        join pg_catalog.pg_class as c on c.oid = k.conrelid
        where k.contype = 'f' and k.confdeltype = 'a'
            and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
        """
    ).fetchall()
    assert found == []


def test_bodies_that_are_called_are_definers(owner: Connection) -> None:
    """An invoker would need grants on what it writes. Only the pure function of a generated column is one."""
    called = [f for f in functions(owner) if f["schema"] == "private" and any(f[role] for role in API_ROLES)]
    assert [full_name(f) for f in called if not f["is_definer"]] == ["private.content_search_vector"]
