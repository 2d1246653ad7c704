"""Sync: storing pages against the fastest plain ways to write the same rows, and the whole machine against the
simulator's own speed.

The database parts run on 200,000 items; every measurement is rolled back, so that each sees the same tables.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg

from infra.bench.ratio import Progress, Ratio
from infra.local.postgres import EmbeddedServer, apply_sql
from infra.local.stack import Stack

ROWS = 5_000
ITEMS = 200_000
PAIRS = 5
ACCOUNTS, ITEMS_EACH, PAGE = 40, 100, 50
RUN_SECONDS = 300.0

SEED = f"""
set session_replication_role = replica;
insert into auth.users (id, email) values (md5('u')::uuid, 'u@example.com');
insert into public.users (id, email) values (md5('u')::uuid, 'u@example.com');
insert into public.user_setting (user_id) values (md5('u')::uuid);
insert into public.platform_connection (id, user_id, platform_id, platform_user_id)
select md5('c')::uuid, md5('u')::uuid, id, '1' from public.platform where slug = 'youtube';
insert into public.social_account
    (id, user_id, connection_id, platform_id, status_id, platform_account_id, account_name)
select md5('a' || n)::uuid, md5('u')::uuid, md5('c')::uuid, p.id, s.id, n::text, 'Channel ' || n
from public.platform as p, public.account_status as s, generate_series(1, 40) as n
where p.slug = 'youtube' and s.slug = 'active';
insert into public.content_item
    (social_account_id, platform_id, content_type_id, platform_content_id, title, description, tags, published_at)
select md5('a' || 1 + n % 40)::uuid, p.id, t.id, 'old' || n, 'Episode ' || n,
       'What we tried, what went wrong and how part ' || n % 1009 || ' came out.', array['tag' || n % 211], now()
from public.platform as p, public.content_type as t, generate_series(1, {ITEMS}) as n
where p.slug = 'youtube' and t.slug = 'long_video';
set session_replication_role = origin;
"""
COLUMNS = (
    "platform_content_id, title, description, thumbnail_url, duration_seconds, views_count, likes_count, "
    "comments_count, tags, published_at"
)
TYPES = (
    "platform_content_id text, title text, description text, thumbnail_url text, duration_seconds integer, "
    "views_count integer, likes_count integer, comments_count integer, tags text[], published_at timestamptz"
)
UPDATES = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS.split(", ")[1:])
ACCOUNT = "md5('a1')::uuid"
LONG_VIDEO = "(select id from public.content_type where slug = 'long_video')"
# Both say 'sync', as the page function does, so that no edit is recorded for anybody.
AS_SYNC = "select set_config('streamvibe.change_source', 'sync', true)"
JSON_UPSERT = f"""
insert into public.content_item as i (social_account_id, content_type_id, {COLUMNS})
select {ACCOUNT}, {LONG_VIDEO}, {COLUMNS} from jsonb_to_recordset(%s::jsonb) as x ({TYPES})
on conflict (social_account_id, platform_content_id) do update set {UPDATES}
"""
PAGE_FUNCTION = f"select * from private.store_content({ACCOUNT}, gen_random_uuid(), %s::jsonb, now())"


def run(progress: Progress) -> list[Ratio]:
    """All of this module's ratios."""
    ratios = []
    with _database(progress) as connection:
        progress("storing pages")
        ratios += _storing(connection)
    progress("the whole machine")
    ratios.append(_machine())
    return ratios


@contextmanager
def _database(progress: Progress) -> Iterator[psycopg.Connection[Any]]:
    progress("making 200,000 items")
    folder = Path(tempfile.mkdtemp(prefix="streamvibe-bench-"))
    folder.chmod(0o755)
    server = EmbeddedServer.start(folder)
    try:
        server.create_database("bench", "current")
        apply_sql(server.dsn("bench", "postgres"))
        with psycopg.connect(server.dsn("bench", server.superuser), autocommit=True) as connection:
            connection.execute(SEED.encode())
            connection.execute("vacuum analyze public.content_item")
            yield connection
    finally:
        server.remove()
        for leftover in folder.iterdir():
            leftover.unlink()
        folder.rmdir()


def _rows(count: int) -> list[dict[str, Any]]:
    chance = random.Random(7)  # noqa: S311 - the same rows each time
    words = ("soup", "bread", "garden", "morning", "kitchen", "river", "mountain", "simple", "slow", "bright", "copper")
    return [
        {
            "platform_content_id": f"new{number}",
            "content_type": "long_video",
            "title": " ".join(chance.choices(words, k=7)),
            "description": " ".join(chance.choices(words, k=90)),
            "thumbnail_url": f"https://i.example/{number}.jpg",
            "duration_seconds": chance.randint(10, 3000),
            "views_count": chance.randint(0, 10**6),
            "likes_count": chance.randint(0, 10**4),
            "comments_count": chance.randint(0, 10**3),
            "tags": chance.sample(words, 5),
            "published_at": "2026-01-01T00:00:00Z",
            "visibility": "public",
        }
        for number in range(count)
    ]


def _storing(connection: psycopg.Connection[Any]) -> list[Ratio]:
    rows = _rows(ROWS)
    payload = json.dumps(rows)

    def call(statement: str) -> Callable[[], None]:
        def step() -> None:
            connection.execute(AS_SYNC.encode())
            connection.execute(statement.encode(), [payload])

        return step

    def copy_and_upsert() -> None:
        connection.execute(AS_SYNC.encode())
        connection.execute(f"create temporary table page ({TYPES}) on commit drop".encode())
        with connection.cursor().copy(f"copy page ({COLUMNS}) from stdin".encode()) as copy:
            for row in rows:
                copy.write_row([row[name] for name in COLUMNS.split(", ")])
        connection.execute(
            f"""insert into public.content_item as i (social_account_id, content_type_id, {COLUMNS})
                select {ACCOUNT}, {LONG_VIDEO}, {COLUMNS} from page
                on conflict (social_account_id, platform_content_id) do update set {UPDATES}""".encode()
        )

    page, upsert = call(PAGE_FUNCTION), call(JSON_UPSERT)
    fresh = _paired(connection, page, copy_and_upsert)
    page()  # stays: from here on all of it is known
    resync = _paired(connection, page, upsert)
    written = _wal_bytes(connection, page)
    return [
        Ratio("5,000 fresh items, page function", fresh, "<= 1.15", "COPY and upsert"),
        Ratio("5,000 unchanged items, page function", resync, "<= 0.12", "JSON upsert", f"{written} bytes of WAL"),
    ]


def _paired(connection: psycopg.Connection[Any], candidate: Callable[[], None], baseline: Callable[[], None]) -> float:
    """Median of the ratios of times; each call is undone."""

    def seconds(step: Callable[[], None]) -> float:
        with connection.transaction(force_rollback=True):
            began = time.perf_counter()
            step()
            return time.perf_counter() - began

    seconds(candidate), seconds(baseline)
    ratios = []
    for number in range(PAIRS):
        if number % 2:
            two, one = seconds(candidate), seconds(baseline)
        else:
            one, two = seconds(baseline), seconds(candidate)
        ratios.append(two / one)
    return statistics.median(ratios)


def _wal_bytes(connection: psycopg.Connection[Any], step: Callable[[], None]) -> int:
    """WAL that a call writes about content_item: none, if it writes no row."""
    query = "select n_tup_ins + n_tup_upd + n_tup_del from pg_stat_xact_user_tables where relname = 'content_item'"
    with connection.transaction():
        start = connection.execute("select pg_current_wal_insert_lsn()").fetchone()
        step()
        end = connection.execute("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", start).fetchone()
        writes = connection.execute(query).fetchone()
    assert end is not None
    assert writes == (0,), writes
    return int(end[0])


def _machine() -> Ratio:
    """Due accounts through queue, worker and database; the baseline fetches the same pages and does nothing else."""
    with (
        Stack.temporary() as stack,
        httpx.Client(timeout=60) as client,
        psycopg.connect(stack.admin_dsn, autocommit=True) as connection,
    ):
        upstream = stack.env["UPSTREAM_URL"]
        tokens = _connect(stack, client, connection)
        fetched = _fetch_all(client, upstream, tokens)
        connection.execute("update public.social_account set next_sync_at = now() where true")
        began = time.perf_counter()
        client.post(stack.runner_url + "/_local/invoke/sync_dispatch").raise_for_status()
        while True:
            row = connection.execute(
                "select count(*) filter (where status = 'succeeded'), sum(items_created) from public.sync_run"
            ).fetchone()
            assert row is not None
            took = time.perf_counter() - began
            if row[0] == ACCOUNTS:
                break
            if took > RUN_SECONDS:
                raise RuntimeError(f"Only {row[0]} of {ACCOUNTS} runs have ended after {took:.0f} s.")
            time.sleep(0.05)
        assert row[1] == ACCOUNTS * ITEMS_EACH
        again = _fetch_all(client, upstream, tokens)
    limit = statistics.mean((fetched, again))
    return Ratio(
        f"{ACCOUNTS} due accounts of {ITEMS_EACH} items, rate",
        limit / took,
        "-",
        "the simulator's own rate for the same pages",
        f"{ACCOUNTS * ITEMS_EACH / took:.0f} items/s",
    )


def _connect(stack: Stack, client: httpx.Client, connection: psycopg.Connection[Any]) -> list[str]:
    upstream = stack.env["UPSTREAM_URL"]
    signed_up = client.post(
        f"{stack.env['SUPABASE_URL']}/auth/v1/signup",
        headers={"apikey": stack.env["SUPABASE_PUBLISHABLE_KEY"]},
        json={"email": "bench@example.com", "password": "a long password"},
    ).json()
    user_id = signed_up["user"]["id"]
    connection.execute(
        """update public.subscription set tier_id = (select id from public.subscription_tier where slug = 'premium')
           where user_id = %s""",
        [user_id],
    )
    made = client.post(
        f"{upstream}/_sim/youtube/accounts", json={"count": ACCOUNTS, "prefix": "bench-", "size": ITEMS_EACH}
    ).json()
    tokens = []
    for slug in made["slugs"]:
        grant = client.post(f"{upstream}/_sim/youtube/grants", json={"account": slug}).json()
        tokens.append(grant["access_token"])
        channel = _get(client, upstream, "channels", grant["access_token"], part="id", mine="true")["items"][0]["id"]
        accounts = [{"platform_account_id": channel, "account_name": slug}]
        connection.execute(
            "select public.complete_connection(%s, 'youtube', %s::jsonb, %s::jsonb)",
            [
                user_id,
                json.dumps({**grant, "lifetime_seconds": 3599}),
                json.dumps({"platform_user_id": channel, "accounts": accounts}),
            ],
        )
    return tokens


def _fetch_all(client: httpx.Client, upstream: str, tokens: list[str]) -> float:
    """Seconds that the simulator takes to give out every page that a sync asks for, one after the other."""
    began = time.perf_counter()
    for token in tokens:
        parts = "snippet,contentDetails,statistics,status"
        channel = _get(client, upstream, "channels", token, part=parts, mine="true")["items"][0]
        uploads = channel["contentDetails"]["relatedPlaylists"]["uploads"]
        cursor: str | None = ""
        while cursor is not None:
            page = {"pageToken": cursor} if cursor else {}
            listing = _get(
                client,
                upstream,
                "playlistItems",
                token,
                part="contentDetails",
                playlistId=uploads,
                maxResults=PAGE,
                **page,
            )
            ids = ",".join(item["contentDetails"]["videoId"] for item in listing["items"])
            _get(client, upstream, "videos", token, part=f"{parts},player", id=ids, maxHeight=720)
            cursor = listing.get("nextPageToken")
    return time.perf_counter() - began


def _get(client: httpx.Client, upstream: str, path: str, token: str, **params: str | int) -> dict[str, Any]:
    answer = client.get(
        f"{upstream}/www.googleapis.com/youtube/v3/{path}", params=params, headers={"Authorization": f"Bearer {token}"}
    )
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body
