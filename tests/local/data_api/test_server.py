"""The server around the translator: HTTP, health checks, settings, reloads, transactions and roles."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from infra.local.data_api import state
from infra.local.data_api.app import DataApi
from infra.local.data_api.background import running
from infra.local.data_api.config import ConfigError, from_environment, from_settings
from infra.local.data_api.request import RawRequest
from infra.local.ports import free_port
from tests.databases import Database, DatabaseFactory
from tests.local.data_api.conftest import Ask, bearer, fill, serving, settings_for

WAIT_SECONDS = 20.0


@pytest.fixture
def own_shop(databases: DatabaseFactory) -> Iterator[Database]:
    """A record shop that the test may change."""
    database = databases.empty()
    fill(database)
    yield database
    databases.drop(database)


def eventually(holds: Callable[[], bool]) -> None:
    """Return once it holds; fail after a while."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def loads_shown(admin: str) -> float:
    """How often the schema cache was loaded, as the metrics say."""
    shown = re.search(r'pgrst_schema_cache_loads_total{status="SUCCESS"} (.+)', httpx.get(f"{admin}/metrics").text)
    assert shown
    return float(shown.group(1))


# --- HTTP -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url(shop: Database) -> Iterator[str]:
    with running(settings_for(shop)) as address:
        yield address


@contextmanager
def connected(url: str) -> Iterator[Callable[[bytes, bytes], bytes]]:
    """Send raw bytes, read until the answer holds some others."""
    host, port = httpx.URL(url).host, httpx.URL(url).port
    with closing(socket.create_connection((host, port or 80), timeout=WAIT_SECONDS)) as connection:

        def exchange(sent: bytes, until: bytes) -> bytes:
            connection.sendall(sent)
            received = b""
            while until not in received:
                part = connection.recv(65536)
                if not part:
                    break
                received += part
            return received

        yield exchange


def test_requests_may_be_pipelined_and_split(url: str) -> None:
    with connected(url) as exchange:
        one = b"GET /tags?select=id&id=eq.%d HTTP/1.1\r\nHost: x\r\n\r\n"
        received = exchange(b"".join(one % number for number in (1, 2, 3)), b'[{"id":3}]')
        assert [received.index(b'[{"id":%d}]' % number) for number in (1, 2, 3)] == sorted(
            received.index(b'[{"id":%d}]' % number) for number in (1, 2, 3)
        )
        first, second = (one % 2)[:20], (one % 2)[20:]
        assert exchange(first, b"") == b""
        assert b'[{"id":2}]' in exchange(second, b'[{"id":2}]')


def test_bodies_may_come_in_chunks_and_after_a_go_ahead(url: str) -> None:
    head = b"POST /rpc/add_them HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with connected(url) as exchange:
        assert b"\r\n\r\n12" in exchange(
            head + b'Transfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n4\r\n: 2}\r\n0\r\n\r\n', b"12"
        )
        go_ahead = exchange(head + b"Expect: 100-continue\r\nContent-Length: 8\r\n\r\n", b"\r\n\r\n")
        assert go_ahead == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert b"\r\n\r\n13" in exchange(b'{"a": 3}', b"13")


def test_connections_close_when_asked_or_broken(url: str) -> None:
    with connected(url) as exchange:
        closing_answer = exchange(b"GET /tags HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"never")
        assert b"Connection: close\r\n" in closing_answer
    with connected(url) as exchange:
        assert exchange(b"nonsense\r\n\r\n", b"never").startswith(b"HTTP/1.1 400 Bad Request\r\n")
    with connected(url) as exchange:
        old = exchange(b"GET /tags HTTP/1.0\r\n\r\n", b"never")
        assert old.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nDate: " in old


def test_letters_may_come_unescaped(url: str) -> None:
    with connected(url) as exchange:
        found = exchange("GET /artists?select=id&name=eq.Zoë+%26+Søn HTTP/1.1\r\nHost: x\r\n\r\n".encode(), b'"id":3}]')
        assert b'[{"id":3}]' in found
        wrong = exchange("GET /ärtists HTTP/1.1\r\nHost: x\r\n\r\n".encode(), b'cache"}')
        assert "'shop.ärtists'" in wrong.decode()


def test_large_bodies_go_both_ways(url: str) -> None:
    word = "x" * 3_000_000
    answer = httpx.post(f"{url}/rpc/whole_text", content=word, headers={"Content-Type": "text/plain"})
    assert answer.json() == "got " + word


def test_many_ask_at_once(url: str) -> None:
    async def ask_all() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url) as client:
            return await asyncio.gather(*(client.get(f"/rpc/add_them?a={number}") for number in range(100)))

    assert [answer.json() for answer in asyncio.run(ask_all())] == [number + 10 for number in range(100)]


# --- the program ----------------------------------------------------------------------------------------------------


def test_the_program_runs_until_it_is_told_to_stop(shop: Database, tmp_path: Path) -> None:
    ports = free_port(), free_port()
    given = settings_for(shop, SERVER_PORT=str(ports[0]), ADMIN_SERVER_PORT=str(ports[1]), SERVER_HOST="127.0.0.1")
    environment = {**os.environ, **{f"PGRST_{name}": value for name, value in given.items()}}
    command = [sys.executable, "-m", "infra.local.data_api"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        admin = f"http://127.0.0.1:{ports[1]}"

        def is_ready() -> bool:
            try:
                return httpx.get(f"{admin}/ready").status_code == 200
            except httpx.TransportError:
                return False

        eventually(is_ready)
        assert httpx.get(f"http://127.0.0.1:{ports[0]}/tags?select=id").json() == [{"id": 1}, {"id": 2}, {"id": 3}]
        assert httpx.get(f"{admin}/live").status_code == 200
        assert httpx.get(f"{admin}/schema_cache").json()["dbTables"]
        assert loads_shown(admin) == 1
        process.send_signal(signal.SIGUSR1)
        eventually(lambda: loads_shown(admin) == 2)
        assert httpx.get(f"{admin}/other").status_code == 404
        busy = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)
        assert busy.returncode == 1
        assert len(busy.stderr.strip().splitlines()) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"DB_URI": "x", "JWT_SECRET": "short"}, "PGRST_JWT_SECRET must have 32 characters or more."),
        ({"DB_URI": "x", "DB_MAX_ROWS": "many"}, "PGRST_DB_MAX_ROWS must be a whole number, not 'many'."),
        ({"DB_URI": "x", "DB_TX_END": "never"}, "PGRST_DB_TX_END must be one of "),
        ({"DB_URI": "x", "DB_CONFIG": "perhaps"}, "PGRST_DB_CONFIG must be true or false, not 'perhaps'."),
        (
            {"DB_URI": "x", "SERVER_PORT": "1", "ADMIN_SERVER_PORT": "1"},
            "PGRST_ADMIN_SERVER_PORT and PGRST_SERVER_PORT must differ.",
        ),
        ({"JWT_ROLE_CLAIM_KEY": "role"}, "PGRST_JWT_ROLE_CLAIM_KEY is no path of claims: 'role'."),
        ({"OPENAPI_SERVER_PROXY_URI": "x.example"}, "PGRST_OPENAPI_SERVER_PROXY_URI must look like https://"),
        ({"SERVER_UNIX_SOCKET_MODE": "999"}, "PGRST_SERVER_UNIX_SOCKET_MODE must be an octal number from 600 to 777"),
        ({"DB_URI": "@/nowhere"}, "PGRST_DB_URI names a file that cannot be read: No such file or directory."),
    ],
)
def test_wrong_settings_get_one_sentence(given: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_environment({f"PGRST_{name}": value for name, value in given.items()})
    assert str(caught.value).startswith(complaint)


def test_settings_are_read(tmp_path: Path) -> None:
    uri = tmp_path / "uri"
    uri.write_text("postgresql://x\n")
    config = from_settings(
        {"DB_URI": f"@{uri}", "DB_SCHEMAS": "a, b", "DB_EXTRA_SEARCH_PATH": "", "APP_SETTINGS_HOST": "here"}
    )
    assert (config.db_uri, config.db_schemas, config.db_extra_search_path) == ("postgresql://x", ("a", "b"), ())
    assert config.app_settings == {"app.settings.host": "here"}
    former = from_settings({"MAX_ROWS": "5", "DB_SCHEMA": "a", "PRE_REQUEST": "a.b", "DB_PRE_REQUEST": "c.d"})
    assert (former.db_uri, former.db_max_rows, former.db_schemas, former.db_pre_request) == (
        "postgresql://",
        5,
        ("a",),
        "c.d",
    )


# --- the schema cache -----------------------------------------------------------------------------------------------


def test_a_notice_reloads_the_schema_cache(own_shop: Database) -> None:
    with serving(settings_for(own_shop, DB_CHANNEL_ENABLED="true")) as ask, own_shop.as_superuser() as owner:
        assert ask("GET /fresh").status_code == 404
        assert ask("GET /tags?select=id&id=eq.1").json() == [{"id": 1}]
        owner.execute("create table shop.fresh (id int); grant select on shop.fresh to anon")
        owner.execute("notify pgrst, 'reload schema'")
        eventually(lambda: ask("GET /fresh").status_code == 200)
        # What was prepared before is not used any more.
        for _ in range(3):
            assert ask("GET /ledger?select=amount&amount=eq.3").json() == [{"amount": 3}]
        owner.execute("alter table shop.ledger alter amount type text; notify pgrst")
        eventually(lambda: ask("GET /ledger?select=amount&amount=eq.3").json() == [{"amount": "3"}])


def test_settings_in_the_database_count(own_shop: Database) -> None:
    name = own_shop.name
    with own_shop.as_superuser() as owner:
        owner.execute(f"alter role authenticator in database \"{name}\" set pgrst.db_max_rows = '1'".encode())
        owner.execute(
            f"alter role authenticator in database \"{name}\" set pgrst.db_schemas = 'warehouse, shop'".encode()
        )
    with serving(settings_for(own_shop, DB_CHANNEL_ENABLED="true")) as ask, own_shop.as_superuser() as owner:
        assert ask("GET /boxes").status_code == 200
        assert len(ask("GET /tags", Accept_Profile="shop").json()) == 1
        owner.execute(f"alter role authenticator in database \"{name}\" set pgrst.db_max_rows = '2'".encode())
        owner.execute("notify pgrst, 'reload config'")
        eventually(lambda: len(ask("GET /tags", Accept_Profile="shop").json()) == 2)
        owner.execute(f'alter role authenticator in database "{name}" reset all'.encode())
    with serving(settings_for(own_shop, DB_CONFIG="false")) as ask:
        assert len(ask("GET /tags").json()) == 3


def test_without_a_database_the_answer_says_so(shop: Database) -> None:
    nowhere = f"postgresql://authenticator@127.0.0.1:{free_port()}/x"
    with serving(settings_for(shop, DB_URI=nowhere)) as ask:
        answer = ask("GET /tags")
        assert (answer.status_code, answer.headers["Retry-After"] in ("1", "2", "4", "8")) == (503, True)
        assert answer.json() == {
            "code": "PGRST002",
            "details": None,
            "hint": None,
            "message": "Could not query the database for the schema cache. Retrying.",
        }
    with serving(settings_for(shop, DB_SCHEMAS="nowhere")) as ask:
        assert ask("GET /tags").json()["code"] == "PGRST002"


def test_requests_wait_for_the_schema_cache(own_shop: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(own_shop)
    may_end = threading.Event()

    def load_late(uri: str, given: dict[str, str]) -> state.Loaded:
        assert may_end.wait(WAIT_SECONDS)
        return state.load(uri, given)

    async def ask_meanwhile() -> int:
        api = DataApi(from_settings(settings), settings)
        await api.start()
        monkeypatch.setattr("infra.local.data_api.app.load", load_late)
        with own_shop.as_superuser() as owner:
            owner.execute("create table shop.fresh (); grant select on shop.fresh to anon")
        api.note_change()
        answer = asyncio.create_task(api.answer(RawRequest("GET", "/fresh", "", {})))
        await asyncio.sleep(0)  # it has begun
        may_end.set()
        status = (await answer).status
        await api.stop()
        return status

    assert asyncio.run(ask_meanwhile()) == 200


def test_wrong_settings_in_the_database_change_nothing(own_shop: Database, caplog: pytest.LogCaptureFixture) -> None:
    with serving(settings_for(own_shop, DB_CHANNEL_ENABLED="true")) as ask, own_shop.as_superuser() as owner:
        role = f'alter role authenticator in database "{own_shop.name}"'
        owner.execute(f"{role} set pgrst.db_max_rows = 'x'".encode())
        owner.execute("notify pgrst")
        eventually(lambda: "PGRST_DB_MAX_ROWS must be a whole number" in caplog.text)
        assert ask("GET /tags").status_code == 200
        owner.execute(f"{role} reset all".encode())
        owner.execute("create table shop.fresh (); grant select on shop.fresh to anon; notify pgrst")
        eventually(lambda: ask("GET /fresh").status_code == 200)


def test_lost_connections_are_replaced(own_shop: Database) -> None:
    with serving(settings_for(own_shop, DB_CHANNEL_ENABLED="true")) as ask, own_shop.as_superuser() as owner:
        assert ask("GET /tags").status_code == 200
        owner.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'authenticator' and datname = %s",
            [own_shop.name],
        )
        eventually(lambda: ask("GET /tags").status_code == 200)


def test_waiting_for_a_connection_is_bounded(own_shop: Database) -> None:
    settings = settings_for(own_shop, DB_POOL="1", DB_POOL_ACQUISITION_TIMEOUT="1")
    with serving(settings) as ask, own_shop.as_superuser() as owner, owner.transaction():
        owner.execute("lock table shop.tags")
        waiting = threading.Thread(target=lambda: ask("GET /tags"))
        waiting.start()
        with own_shop.as_superuser() as watcher:
            eventually(
                lambda: (
                    watcher.execute(
                        "select from pg_stat_activity where usename = 'authenticator' and wait_event_type = 'Lock'"
                    ).rowcount
                    == 1
                )
            )
        answer = ask("GET /labels")
        assert (answer.status_code, answer.json()["code"]) == (504, "PGRST003")
        owner.execute("rollback")
        waiting.join()


# --- transactions and roles -----------------------------------------------------------------------------------------


def test_a_pre_request_function_may_refuse(own_shop: Database) -> None:
    with own_shop.as_superuser() as owner:
        owner.execute(
            """
            create function shop.guard() returns void language plpgsql as $$
            begin
              if current_setting('request.headers')::json ->> 'x-block' = 'yes' then
                raise exception 'not today' using errcode = 'PT403';
              end if;
              perform set_config('response.headers', '[{"X-Guarded": "yes"}]', true);
            end $$
            """
        )
    with serving(settings_for(own_shop, DB_PRE_REQUEST="shop.guard")) as ask:
        assert ask("GET /tags").headers["X-Guarded"] == "yes"
        blocked = ask("GET /tags", X_Block="yes")
        assert (blocked.status_code, blocked.json()["message"]) == (403, "not today")


def test_settings_of_roles_and_functions_apply(own_shop: Database) -> None:
    with own_shop.as_superuser() as owner:
        owner.execute(
            """
            create function shop.settings() returns json language sql as $$
              select json_build_object('timeout', current_setting('statement_timeout'),
                'isolation', current_setting('transaction_isolation'),
                'readonly', current_setting('transaction_read_only'),
                'host', current_setting('app.settings.host', true), 'path', current_setting('search_path')) $$;
            create function shop.careful() returns text language sql stable
              set default_transaction_isolation = 'serializable' set work_mem = '1MB' as $$
              select current_setting('transaction_isolation') $$;
            create function shop.slow() returns void language sql as $$ select pg_sleep(20) $$;
            """
        )
        name = own_shop.name
        for change in (
            f"alter role anon in database \"{name}\" set statement_timeout = '100ms'",
            f"alter role service_role in database \"{name}\" set default_transaction_isolation = 'repeatable read'",
        ):
            owner.execute(change.encode())
    with serving(settings_for(own_shop, APP_SETTINGS_HOST="here")) as ask:
        seen = ask("POST /rpc/settings").json()
        assert seen == {
            "timeout": "100ms",
            "isolation": "read committed",
            "readonly": "off",
            "host": "here",
            "path": '"shop", "extensions"',
        }
        other = ask("POST /rpc/settings", Authorization=bearer(role="service_role")).json()
        assert other["isolation"] == "repeatable read"
        assert ask("GET /rpc/settings").json()["readonly"] == "on"
        assert ask("GET /rpc/careful").json() == "serializable"
        late = ask("POST /rpc/slow")
        assert (late.status_code, late.json()["code"]) == (500, "57014")
    with own_shop.as_superuser() as owner:
        for role in ("anon", "service_role"):
            owner.execute(f'alter role {role} in database "{own_shop.name}" reset all'.encode())


def test_nothing_of_one_request_is_left_for_the_next(shop: Database) -> None:
    with serving(settings_for(shop, DB_POOL="1")) as ask:
        ask("POST /rpc/set_headers")
        ask("POST /rpc/fail_with", json={"state": "P0001", "words": "x"})
        ask("GET /tags", Authorization=bearer(role="service_role"), Prefer="timezone=Europe/Oslo", X_Thing="left")
        plain = ask("GET /rpc/who")
        assert "X-One" not in plain.headers
        assert plain.json()["role"] == "anon"
        assert plain.json()["agent"] is None
        assert plain.json()["zone"] != "Europe/Oslo"


def test_statements_are_prepared_for_one_role_only(shop: Database) -> None:
    """Row level security decides anew for each role, also where the statement's text is the same."""
    with serving(settings_for(shop, DB_POOL="1")) as ask:
        for _ in range(4):
            own = ask("GET /gated?select=id&order=id", Authorization=bearer(role="authenticated", sub="u2"))
            assert own.json() == [{"id": 2}]
            every = ask("GET /gated?select=id&order=id", Authorization=bearer(role="service_role"))
            assert every.json() == [{"id": 1}, {"id": 2}]
            assert ask("GET /gated?select=id&order=id").status_code == 401


@pytest.mark.parametrize("wanted", ["true", "false"])
def test_nothing_is_prepared_where_that_is_unwanted(shop: Database, wanted: str) -> None:
    with serving(settings_for(shop, DB_POOL="1", DB_PREPARED_STATEMENTS=wanted)) as ask:
        for _ in range(3):
            assert ask("GET /artists?id=eq.1").status_code == 200
        assert (ask("GET /rpc/prepared").json() > 0) is (wanted == "true")


def test_phases_are_timed_and_traces_given_back(shop: Database) -> None:
    with serving(settings_for(shop, SERVER_TIMING_ENABLED="true", SERVER_TRACE_HEADER="X-Request-Id")) as ask:
        for _ in range(2):
            answer = ask("GET /artists?id=eq.1", X_Request_Id="abc")
            phases = re.findall(r"(\w+);dur=[0-9]+\.[0-9]", answer.headers["Server-Timing"])
            assert phases == ["jwt", "parse", "plan", "transaction", "response"]
            assert answer.headers["X-Request-Id"] == "abc"
        assert "X-Request-Id" not in ask("GET /artists").headers
        assert ask("GET /nothing", X_Request_Id="abc").headers["X-Request-Id"] == "abc"


def test_values_are_never_spliced(ask: Ask) -> None:
    nasty = "'; drop table shop.tags; --"
    encoded = nasty.replace(";", "%3B")
    assert ask(f"GET /tags?word=eq.{encoded}").json() == []
    assert ask(f"GET /tags?word=in.({encoded})").json() == []
    created = ask("POST /labels?select=name", json={"name": nasty}, Prefer="return=representation")
    assert created.json() == [{"name": nasty}]
    assert ask("GET /rpc/greet", content=None).status_code == 404
    assert ask("POST /rpc/greet", json={"name": nasty}).json() == "hi " + nasty
    for line in [
        'GET /tags?select="word"" from shop.tags%3B --"',
        "GET /tags?select=word::text%3B drop table shop.tags",
        "GET /tags?order=word desc%3B drop table shop.tags",
        'GET /tags?"word\\"%3B"=eq.1',
    ]:
        assert ask(line).status_code == 400
    assert len(ask("GET /tags").json()) == 3
