"""A record shop's database behind the data API, and behind a real PostgREST where STREAMVIBE_POSTGREST names one."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import jwt
import pytest

from infra.local.data_api.background import running
from infra.local.ports import free_port
from tests.databases import Database, DatabaseFactory

SECRET = "a-secret-of-at-least-thirty-two-characters"
FIXTURE = Path(__file__).with_name("fixture.sql")
START_SECONDS = 20.0

Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def shop(databases: DatabaseFactory) -> Iterator[Database]:
    """The record shop; nothing that the API does to it lasts."""
    database = databases.empty()
    fill(database)
    yield database
    databases.drop(database)


def fill(database: Database) -> None:
    with database.as_superuser() as connection:
        connection.execute(FIXTURE.read_bytes())


def settings_for(database: Database, **others: str) -> dict[str, str]:
    return {
        "DB_URI": database.dsn("authenticator"),
        "DB_SCHEMAS": "shop,warehouse",
        "DB_EXTRA_SEARCH_PATH": "extensions",
        "DB_ANON_ROLE": "anon",
        "DB_TX_END": "rollback-allow-override",
        "DB_CHANNEL_ENABLED": "false",
        "JWT_SECRET": SECRET,
        **others,
    }


@contextmanager
def serving(settings: Mapping[str, str]) -> Iterator[Ask]:
    """Serve; yield a function that sends a request: `ask("GET /albums", Prefer="count=exact")`."""
    chosen = os.environ.get("STREAMVIBE_POSTGREST")
    with _postgrest(chosen, settings) if chosen else running(settings) as url, httpx.Client(base_url=url) as client:

        def ask(line: str, json: object = None, content: str | bytes | None = None, **headers: str) -> httpx.Response:
            method, _, target = line.partition(" ")
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            if json is not None:
                return client.request(method, target, json=json, headers=named)
            return client.request(method, target, content=content, headers=named)

        yield ask


@contextmanager
def _postgrest(program: str, settings: Mapping[str, str]) -> Iterator[str]:
    port = free_port()
    environment = {f"PGRST_{name}": value for name, value in settings.items()}
    with subprocess.Popen([program], env={**os.environ, **environment, "PGRST_SERVER_PORT": str(port)}) as process:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if httpx.get(url).status_code < 500:
                    break
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
        yield url
        process.terminate()


@pytest.fixture(scope="session")
def ask(shop: Database) -> Iterator[Ask]:
    """Ask the record shop's API as anybody."""
    with serving(settings_for(shop)) as send:
        yield send


@pytest.fixture(scope="session")
def ask_freely(shop: Database) -> Iterator[Ask]:
    """Ask an API that allows aggregates and query plans."""
    with serving(settings_for(shop, DB_AGGREGATES_ENABLED="true", DB_PLAN_ENABLED="true")) as send:
        yield send


def bearer(secret: str = SECRET, /, **claims: object) -> str:
    """An Authorization header's value."""
    return "Bearer " + jwt.encode(claims, secret, algorithm="HS256")


@pytest.fixture(scope="session")
def shop_with_few_rows(shop: Database) -> Iterator[Ask]:
    """Ask an API that answers with two rows at most."""
    with serving(settings_for(shop, DB_MAX_ROWS="2")) as send:
        yield send
