"""Makes an empty database look like a hosted Supabase project's: roles, schemas, functions, grants.

The SQL stands beside this module in `bootstrap_sql/`; roles, which all databases of a
server share, may be there already.
"""

from pathlib import Path
from typing import Any, Literal

import psycopg

from infra.local.problems import StackError

FOLDER = Path(__file__).parent / "bootstrap_sql"
# How open new objects in `public` are: "current" = projects since 2026-05-30, "legacy" = older ones.
Generation = Literal["current", "legacy"]


def bootstrap_roles(connection: psycopg.Connection[Any]) -> None:
    """Create the roles of a hosted project on the server behind `connection` (a superuser)."""
    if not connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone() == (True,):
        raise StackError(
            "The local stack sets up roles and schemas: DATABASE_URL must name a superuser "
            "(or a database that has them already)."
        )
    with connection.transaction():
        # Two databases of one server may be set up at the same time; roles are shared.
        connection.execute("select pg_advisory_xact_lock(20261124)")
        _run(connection, "roles")


def bootstrap_database(connection: psycopg.Connection[Any], generation: Generation) -> None:
    """Create schemas auth, vault and extensions and the grants of `generation` in the database behind `connection`."""
    with connection.transaction():
        connection.execute("set local search_path = ''")
        _run(connection, "database")
        if generation == "legacy":
            _run(connection, "legacy_privileges")
        _run(connection, "auth")
        _run(connection, "vault")
        _run(connection, "api")


def is_bootstrapped(connection: psycopg.Connection[Any]) -> bool:
    """True if the database has what sql/ builds on already, be it from here or from Supabase itself."""
    row = connection.execute(
        "select to_regclass('auth.users') is not null and to_regclass('vault.secrets') is not null"
    ).fetchone()
    return row == (True,)


def _run(connection: psycopg.Connection[Any], name: str) -> None:
    connection.execute((FOLDER / f"{name}.sql").read_bytes())
