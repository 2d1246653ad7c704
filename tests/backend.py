"""What functions call, for tests that run handlers in this process: the data API on a test's database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jwt

from infra.local.data_api.background import running
from tests.databases import Database

JWT_SECRET = "a-secret-of-the-tests-and-of-nothing-else"
PREFIX = "/rest/v1"


@dataclass(frozen=True)
class Backend:
    """SUPABASE_URL and SUPABASE_SECRET_KEY of a running data API."""

    url: str
    secret_key: str


@contextmanager
def backend(database: Database, connections: int = 20) -> Iterator[Backend]:
    """Serve `database` at `{url}/rest/v1` while the block lasts."""
    settings = {
        "DB_URI": database.dsn("authenticator"),
        "DB_ANON_ROLE": "anon",
        "DB_POOL": str(connections),
        "DB_CHANNEL_ENABLED": "false",
        "JWT_SECRET": JWT_SECRET,
    }
    with running(settings, prefix=PREFIX) as url:
        yield Backend(url.removesuffix(PREFIX), jwt.encode({"role": "service_role"}, JWT_SECRET, algorithm="HS256"))
