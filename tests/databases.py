"""A test's database and the people who use it: owner, superuser, and API callers with claims."""

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from infra.local.postgres import EmbeddedServer, Generation, apply_sql, fingerprint

Connection = psycopg.Connection[DictRow]


@dataclass(frozen=True)
class Database:
    """One database. Rows come as dicts; every connection is its own session, so several make a race."""

    server: EmbeddedServer
    name: str

    def dsn(self, role: str = "postgres") -> str:
        return self.server.dsn(self.name, role)

    @contextmanager
    def connect(self, role: str = "postgres", *, autocommit: bool = True) -> Iterator[Connection]:
        """A plain session of a login role: postgres, supabase_admin, authenticator or supabase_auth_admin."""
        opened = psycopg.connect(self.dsn(role), autocommit=autocommit, row_factory=dict_row)
        with closing(opened) as connection:
            yield connection

    def as_superuser(self) -> AbstractContextManager[Connection]:
        """Sees and does everything: for arranging rows and looking behind the scenes."""
        return self.connect("supabase_admin")

    def as_owner(self) -> AbstractContextManager[Connection]:
        """The role that applied sql/."""
        return self.connect("postgres")

    @contextmanager
    def as_role(self, role: str, claims: Mapping[str, Any] | None = None) -> Iterator[Connection]:
        """One request of the data API: a transaction of `authenticator` with role and claims set.

        Committed at the end of the block, rolled back if it raises. `connection.transaction()` inside makes a
        savepoint, for a statement that is expected to fail.
        """
        with self.connect("authenticator", autocommit=False) as connection, connection.transaction():
            connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
            connection.execute("set local search_path = public, extensions")
            connection.execute(
                "select set_config('request.jwt.claims', %s, true)", [json.dumps({"role": role, **(claims or {})})]
            )
            yield connection

    def as_anon(self) -> AbstractContextManager[Connection]:
        """A request with the publishable key only."""
        return self.as_role("anon")

    def as_service(self) -> AbstractContextManager[Connection]:
        """A request with the secret key."""
        return self.as_role("service_role")

    def as_user(self, user_id: UUID | str, **claims: object) -> AbstractContextManager[Connection]:
        """A request with the access token of `user_id`; `claims` are added to the token's."""
        standard = {"sub": str(user_id), "aud": "authenticated", "aal": "aal1", "is_anonymous": False}
        return self.as_role("authenticated", standard | claims)

    def create_user(self, email: str | None = None, **metadata: object) -> UUID:
        """Sign somebody up, as Auth does it (so that triggers on auth.users fire); `metadata` is the client's own."""
        user_id = uuid4()
        with self.connect("supabase_auth_admin") as connection:
            connection.execute(
                """
                insert into auth.users
                    (instance_id, id, aud, role, email, raw_app_meta_data, raw_user_meta_data, created_at, updated_at,
                     email_confirmed_at)
                values ('00000000-0000-0000-0000-000000000000', %s, 'authenticated', 'authenticated', %s, %s, %s,
                        now(), now(), now())
                """,
                [
                    user_id,
                    email or f"{user_id}@example.com",
                    Jsonb({"provider": "email", "providers": ["email"]}),
                    Jsonb(metadata),
                ],
            )
        return user_id

    def delete_user(self, user_id: UUID | str) -> None:
        """Delete somebody, as Auth's admin call does it."""
        with self.connect("supabase_auth_admin") as connection:
            connection.execute("delete from auth.users where id = %s", [user_id])


class DatabaseFactory:
    """Makes databases on one server: a template for each generation, cloned for each caller."""

    def __init__(self, server: EmbeddedServer, generation: Generation) -> None:
        self.server = server
        self.generation = generation
        self._numbers = itertools.count(1)

    def new(self, generation: Generation | None = None) -> Database:
        """A database with sql/ applied."""
        chosen = generation or self.generation
        # `make mutants` brings a template of its own.
        template = os.environ.get("STREAMVIBE_TEST_TEMPLATE") or f"template_{chosen}_{fingerprint()}"
        if not self.server.has_database(template):
            self.server.create_database(template, chosen)
            apply_sql(self.server.dsn(template, "postgres"))
        return self._clone(template)

    def empty(self, generation: Generation | None = None) -> Database:
        """A database as a new hosted project has it, before its first migration."""
        chosen = generation or self.generation
        template = f"template_{chosen}"
        if not self.server.has_database(template):
            self.server.create_database(template, chosen)
        return self._clone(template)

    def drop(self, database: Database) -> None:
        self.server.drop_database(database.name)

    def _clone(self, template: str) -> Database:
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.server.clone_database(name, template)
        return Database(self.server, name)
