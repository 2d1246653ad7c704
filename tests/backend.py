"""What functions call, for tests that run handlers in this process: the data API on a test's database."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt

from functions.core import settings
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
    variables = {
        "DB_URI": database.dsn("authenticator"),
        "DB_ANON_ROLE": "anon",
        "DB_POOL": str(connections),
        "DB_CHANNEL_ENABLED": "false",
        "JWT_SECRET": JWT_SECRET,
    }
    with running(variables, prefix=PREFIX) as url:
        yield Backend(url.removesuffix(PREFIX), jwt.encode({"role": "service_role"}, JWT_SECRET, algorithm="HS256"))


def api_event(user_id: UUID, path: str, fields: dict[str, Any], key: str | None) -> dict[str, Any]:
    """A POST as an API Gateway HTTP API event (payload format 2.0) of a signed-in user."""
    issuer = f"{settings.SUPABASE_URL.value()}/auth/v1"
    claims = {"sub": str(user_id), "role": "authenticated", "aud": "authenticated", "iss": issuer}
    token = jwt.encode({**claims, "exp": int(time.time()) + 3600}, JWT_SECRET, algorithm="HS256")
    headers = {"content-type": "application/json", "host": "functions.test", "authorization": f"Bearer {token}"}
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {**headers, **({"idempotency-key": key} if key else {})},
        "requestContext": {
            "requestId": "request-1",
            "http": {"method": "POST", "path": path, "sourceIp": "192.0.2.1", "protocol": "HTTP/1.1"},
        },
        "body": json.dumps(fields),
        "isBase64Encoded": False,
    }
