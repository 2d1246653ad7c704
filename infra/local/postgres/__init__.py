"""Postgres for the local stack and the tests: a server, hosted-like databases on it, and sql/ applied to them.

    python -m infra.local.postgres                     # a scratch server until Ctrl-C; prints its URLs, sql/ applied
    python -m infra.local.postgres --port 55432 --generation legacy --binaries /usr/lib/postgresql/15/bin --empty

    with EmbeddedServer.start(folder) as server:       # or Server.at(DATABASE_URL) for a running one
        server.create_database("app", "current")       # roles, auth, vault, extensions, as hosted has them
        apply_sql(server.dsn("app", "postgres"))       # sql/*.sql as the non-superuser `postgres`
        server.clone_database("copy", "app")

Roles to connect as: `supabase_admin` (superuser), `postgres` (owner of sql/), `authenticator` (what the data API uses,
may switch to anon, authenticated, service_role), `supabase_auth_admin` (Auth). No password is asked.
"""

from infra.local.postgres.bootstrap import Generation
from infra.local.postgres.migrations import EditedError, apply_sql, fingerprint
from infra.local.postgres.server import EmbeddedServer, Server

__all__ = ["EditedError", "EmbeddedServer", "Generation", "Server", "apply_sql", "fingerprint"]
