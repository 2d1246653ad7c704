"""Reading under row level security: 2,000 users, 6,000 accounts, 1,000,000 items.

Each query is what a client app sends, run as that client, against the same rows, filter and predicate written by hand
and run by the tables' owner, to whom no policy applies.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from infra.bench.ratio import Progress, Ratio, Step, time_ratio
from infra.local.postgres import EmbeddedServer, apply_sql

USERS = 2_000
ACCOUNTS_PER_USER = 3
ITEMS = 1_000_000
PUBLIC_SHARE = 3  # every third profile is public
COMMON, MIDDLE, RARE = "kitchen", "focaccia", "tagliatelle"  # in 2 %, 0.4 % and 0.05 % of the items

SEED = f"""
set session_replication_role = replica;
insert into auth.users (id, email, aud, role)
select md5('user' || n)::uuid, 'creator' || n || '@example.com', 'authenticated', 'authenticated'
from generate_series(1, {USERS}) as n;
insert into public.users (id, email) select id, email from auth.users;
insert into public.user_setting (user_id, is_profile_public)
select md5('user' || n)::uuid, n % {PUBLIC_SHARE} = 0 from generate_series(1, {USERS}) as n;
insert into public.platform_connection (id, user_id, platform_id, platform_user_id)
select md5('connection' || n)::uuid, md5('user' || n)::uuid,
       (select id from public.platform where slug = 'youtube'), n::text
from generate_series(1, {USERS}) as n;
insert into public.social_account
    (id, user_id, connection_id, platform_id, status_id, platform_account_id, account_name, visibility, is_public)
select md5('account' || n || '-' || k)::uuid, md5('user' || n)::uuid, md5('connection' || n)::uuid,
       (select id from public.platform where slug = 'youtube'),
       (select id from public.account_status where slug = 'active'), n || '-' || k, 'Channel ' || n, 'public',
       n % {PUBLIC_SHARE} = 0
from generate_series(1, {USERS}) as n, generate_series(1, {ACCOUNTS_PER_USER}) as k;
insert into public.content_item
    (social_account_id, platform_id, content_type_id, platform_content_id, title, description, tags, published_at,
     visibility, is_public)
select md5('account' || u || '-' || k)::uuid,
       (select id from public.platform where slug = 'youtube'),
       (select id from public.content_type where slug = 'long_video'),
       'video' || n,
       'Episode ' || n % 977 || ': '
           || case when n % 50 = 0 then '{COMMON} ' else '' end
           || case when n % 250 = 1 then '{MIDDLE} ' else '' end
           || case when n % 2000 = 2 then '{RARE} ' else '' end
           || 'week ' || n % 53,
       'What we tried, what went wrong and how part ' || n % 1009 || ' came out.',
       array['tag' || n % 211],
       timestamptz '2026-01-01' - make_interval(mins => n), 'public', u % {PUBLIC_SHARE} = 0
from generate_series(1, {ITEMS}) as n,
     -- Squared, so that a few creators have published most: about 100 items each at one end, 11,000 at the other.
     lateral (select 1 + floor({USERS} * power((hashint4(n) & 1048575) / 1048576.0, 2))::int as u) as who,
     lateral (select 1 + n % {ACCOUNTS_PER_USER} as k) as which;
set session_replication_role = origin;
"""

HIT_COLUMNS = "id, title, thumbnail_url, published_at, views_count"


@dataclass(frozen=True)
class Case:
    """A client's query: `shown` is what it sends, `by_hand` the same with the policy's predicate written out."""

    name: str
    goal: str
    shown: str
    by_hand: str


@contextmanager
def seeded(progress: Progress) -> Iterator[tuple[EmbeddedServer, str]]:
    """A server with the big database; its name is `bench`."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer.start(Path(folder)) as server:
        server.create_database("bench", "current")
        apply_sql(server.dsn("bench", "postgres"))
        with psycopg.connect(server.dsn("bench", "supabase_admin"), autocommit=True) as admin:
            progress(f"writing {ITEMS:,} items")
            indexes = admin.execute(
                """
                select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index
                where indrelid = 'public.content_item'::regclass and not indisunique
                """
            ).fetchall()
            for name, _ in indexes:
                admin.execute(f"drop index {name}")
            admin.execute(SEED)
            progress("building indexes")
            admin.execute("set maintenance_work_mem = '512MB'")
            for _, definition in indexes:
                admin.execute(definition)
            admin.execute("vacuum (analyze)")
            admin.execute("alter table public.content_item owner to postgres")
        yield server, "bench"


def run(progress: Progress) -> list[Ratio]:
    """All the reading ratios of one run."""
    with seeded(progress) as (server, name):
        owner = psycopg.connect(server.dsn(name, "postgres"), prepare_threshold=None)
        client = psycopg.connect(server.dsn(name, "authenticator"), prepare_threshold=None)
        with owner, client:
            results: list[Ratio] = []
            for label, user in (("large", 1), ("small", 1600)):
                progress(f"{label} creator")
                results += _measure(owner, client, f"{label} creator: ", user, _own_cases(user))
            progress("visitors")
            results += _measure(owner, client, "", None, _visitor_cases(999))
            progress("search")
            results += _searches(owner, client)
            return results


def _become(client: psycopg.Connection[Any], user: int | None) -> None:
    client.rollback()
    claims = {"role": "anon"} if user is None else {"role": "authenticated", "sub": _uuid(client, user)}
    client.execute("select set_config('role', %s, true)", [claims["role"]])
    client.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps(claims)])
    client.execute("set local search_path = public, extensions")


def _uuid(connection: psycopg.Connection[Any], user: int) -> str:
    row = connection.execute("select md5('user' || %s::int)::uuid::text", [user]).fetchone()
    assert row is not None
    return str(row[0])


def _accounts(user: int) -> str:
    ids = ", ".join(f"md5('account{user}-{k}')::uuid" for k in range(1, ACCOUNTS_PER_USER + 1))
    return f"array[{ids}]"


def _own_cases(user: int) -> list[Case]:
    accounts = _accounts(user)
    filtered = f"social_account_id = any ({accounts})"
    mine = f"select a.id from public.social_account as a where a.user_id = md5('user{user}')::uuid"
    predicate = f"(is_public or social_account_id = any (array({mine})))"
    one = f"social_account_id = md5('account{user}-1')::uuid"
    newest = "order by published_at desc limit 50"
    select = f"select {HIT_COLUMNS} from public.content_item where"
    count = "select count(*) from public.content_item where"
    return [
        Case(
            "newest 50 of one account",
            "<= 1.15",
            f"{select} {one} {newest}",
            f"{select} {one} and {predicate} {newest}",
        ),
        Case("newest 50", "<= 1.15", f"{select} {filtered} {newest}", f"{select} {filtered} and {predicate} {newest}"),
        Case("count", "<= 1.20", f"{count} {filtered}", f"{count} {filtered} and {predicate}"),
    ]


def _visitor_cases(user: int) -> list[Case]:
    filtered = f"social_account_id = any ({_accounts(user)})"
    newest = "order by published_at desc limit 50"
    select = f"select {HIT_COLUMNS} from public.content_item where"
    feed = f"select {HIT_COLUMNS} from public.content_item"
    return [
        Case("profile page", "<= 1.15", f"{select} {filtered} {newest}", f"{select} {filtered} and is_public {newest}"),
        Case("feed", "<= 1.15", f"{feed} {newest}", f"{feed} where is_public {newest}"),
    ]


def _measure(
    owner: psycopg.Connection[Any], client: psycopg.Connection[Any], prefix: str, user: int | None, cases: list[Case]
) -> list[Ratio]:
    _become(client, user)
    results = []
    for case in cases:
        shown, by_hand = client.execute(case.shown).fetchall(), owner.execute(case.by_hand).fetchall()
        assert shown == by_hand, case.name
        ratio = _steady_ratio(_query(client, case.shown), _query(owner, case.by_hand))
        buffers = f"buffers {_buffers(client, case.shown)} / {_buffers(owner, case.by_hand)}"
        results.append(Ratio(prefix + case.name, ratio, case.goal, "owner, by hand", buffers))
    return results


def _steady_ratio(candidate: Step, baseline: Step) -> float:
    return time_ratio(candidate, baseline, at_least_seconds=4)


def _query(connection: psycopg.Connection[Any], statement: str, *values: object) -> Callable[[], list[Any]]:
    return lambda: connection.execute(statement, values or None).fetchall()


def _buffers(connection: psycopg.Connection[Any], statement: str) -> int:
    row = connection.execute(f"explain (analyze, buffers, format json) {statement}").fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def _searches(owner: psycopg.Connection[Any], client: psycopg.Connection[Any]) -> list[Ratio]:
    """search_content against its own statement written by hand, and against a client that filters under RLS."""
    by_hand = """
        select h.id, p.slug, t.slug, h.title, h.rank,
               private.mark_words(h.title, h.q, 'HighlightAll=true'),
               private.mark_words(left(h.description, 10000), h.q, 'MaxFragments=1, MaxWords=30, MinWords=10')
        from (
            select i.*, q, ts_rank_cd(i.search_vector, q) as rank
            from public.content_item as i, websearch_to_tsquery('private.multilingual', %s) as q
            where i.search_vector @@ q and {predicate}
            order by rank desc, i.published_at desc nulls last, i.id limit 20
        ) as h
        join public.platform as p on p.id = h.platform_id
        join public.content_type as t on t.id = h.content_type_id
        order by h.rank desc, h.published_at desc nulls last, h.id
    """
    direct = """
        select id from public.content_item
        where search_vector @@ websearch_to_tsquery('private.multilingual', %s)
        order by ts_rank_cd(search_vector, websearch_to_tsquery('private.multilingual', %s)) desc limit 20
    """
    results = []
    for scope, user, predicate in (
        ("public", None, "i.is_public"),
        ("own", 1, f"i.social_account_id = any ({_accounts(1)})"),
    ):
        statement = by_hand.format(predicate=predicate)
        for word, goal in ((COMMON, "<= 1.10"), (MIDDLE, "<= 1.10"), (RARE, "<= 1.50")):
            _become(client, user)

            found = _query(client, "select id, rank from search_content(%s, %s)", word, scope)
            alone = _query(owner, statement, word)
            assert [row[0] for row in found()] == [row[0] for row in alone()], (scope, word)
            results.append(Ratio(f"search {scope}, {word}", _steady_ratio(found, alone), goal, "owner, by hand"))
    _become(client, 1)
    ratio = time_ratio(
        _query(client, direct, MIDDLE, MIDDLE),
        _query(client, "select id from search_content(%s, 'public')", MIDDLE),
        pairs=3,
        warm_up=1,
    )
    results.append(Ratio(f"direct filter under RLS, {MIDDLE}", ratio, ">= 40", "search_content"))
    return results
