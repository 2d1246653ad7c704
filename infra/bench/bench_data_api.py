"""The data API beside the bare statement: a filtered select of 50 rows, everything on one core.

Client, data API and Postgres share the core (where the system can pin processes), so that nothing is hidden by working
side by side. The baseline is the same rows through psycopg, without HTTP, JSON, role, claims or a transaction.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from infra.bench.ratio import Progress, Ratio, time_ratio
from infra.local import processes
from infra.local.ports import free_port
from infra.local.postgres import EmbeddedServer

ROWS = 50
ACCOUNTS = 400
GOAL = 0.35
REPEAT = 200
SEED = f"""
create table public.bench_item (
  id int primary key, account_id int not null, title text not null, views int not null, created_at timestamptz not null
);
insert into public.bench_item
select n, n % {ACCOUNTS}, 'Episode ' || n, n * 7, now() - make_interval(mins => n)
from generate_series(1, {ACCOUNTS * ROWS * 2}) n;
create index on public.bench_item (account_id, id);
grant select on public.bench_item to anon;
analyze public.bench_item;
"""
COLUMNS = "id,account_id,title,views,created_at"
BARE = f"select {COLUMNS} from public.bench_item where account_id = %s order by id limit {ROWS}"


def run(progress: Progress) -> list[Ratio]:
    with one_core(), tempfile.TemporaryDirectory() as folder, EmbeddedServer.start(Path(folder) / "db") as server:
        server.create_database("bench", "current")
        with psycopg.connect(server.dsn("bench", "supabase_admin"), autocommit=True) as admin:
            admin.execute(SEED.encode())
        with data_api(server, Path(folder)) as port, socket.create_connection(("127.0.0.1", port)) as client:
            progress("asking")
            with psycopg.connect(server.dsn("bench", "authenticator"), autocommit=True) as connection:
                connection.execute("set role anon")
                through_psycopg, through_http = asking_psycopg(connection), asking_http(client)
                ratio = 1 / time_ratio(through_http, through_psycopg, repeat=REPEAT)
                again = 1 / time_ratio(through_http, lambda: through_psycopg(prepare=True), repeat=REPEAT)
    return [
        Ratio("select of 50 rows", ratio, f">= {GOAL}", "the statement through psycopg", "requests a second"),
        Ratio("the same, prepared", again, "-", "the prepared statement through psycopg", "requests a second"),
    ]


def asking_psycopg(connection: psycopg.Connection) -> Callable[..., None]:
    numbers = count()

    def ask(*, prepare: bool = False) -> None:
        rows = connection.execute(BARE.encode(), [next(numbers) % ACCOUNTS], prepare=prepare).fetchall()
        assert len(rows) == ROWS

    return ask


def asking_http(connection: socket.socket) -> Callable[[], None]:
    """Requests by hand: a client library would take longer than the server."""
    numbers = count()
    reader = connection.makefile("rb")

    def ask() -> None:
        query = f"select={COLUMNS}&account_id=eq.{next(numbers) % ACCOUNTS}&order=id&limit={ROWS}"
        head = f"GET /bench_item?{query} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n"
        connection.sendall(head.encode())
        assert reader.readline().startswith(b"HTTP/1.1 200 ")
        length = 0
        while (line := reader.readline()) != b"\r\n":
            if line.startswith(b"Content-Length: "):
                length = int(line[16:])
        assert reader.read(length).count(b'"id"') == ROWS

    return ask


@contextmanager
def one_core() -> Iterator[None]:
    """Pin this process, and so those that it starts, to one core; where the system cannot, go on without."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextmanager
def data_api(server: EmbeddedServer, folder: Path) -> Iterator[int]:
    """The data API as its own process; its port."""
    port = free_port()
    settings = {
        "PGRST_DB_URI": server.dsn("bench", "authenticator"),
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_DB_MAX_ROWS": "1000",
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(port),
    }
    child = processes.Child(
        "data API", [sys.executable, "-m", "infra.local.data_api"], {**os.environ, **settings}, folder / "log", port
    )
    child.start()
    try:
        child.wait_until_ready()
        yield port
    finally:
        child.stop()
