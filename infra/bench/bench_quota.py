"""consume_quota, with its history row and key, beside one bare `update ... returning`: 16 clients, fsync on.

The bare update moves the same counter of the same row. A second one, for comparison only, moves a counter in a table
that holds nothing else: no other columns, indexes or triggers.

pgbench drives all three alike: one prepared statement and one commit each, the key made by the client. (16 clients in
Python would measure Python.) https://www.postgresql.org/docs/current/pgbench.html
"""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from infra.bench.ratio import Progress, Ratio
from infra.local.postgres import EmbeddedServer, apply_sql
from infra.local.postgres.binaries import wheel_binaries

CLIENTS = 16
USERS = 512
SECONDS_A_ROUND = 3
ROUNDS = 7
ATTEMPTS, LIMIT = 3200, 1000

SEED = f"""
insert into auth.users (id, email, aud, role)
select md5('user' || n)::uuid, 'creator' || n || '@example.com', 'authenticated', 'authenticated'
from generate_series(1, {USERS}) as n;
update public.subscription set tier_id = (select id from public.subscription_tier where slug = 'premium') where true;
-- A counter with its limit, and nothing else.
create table private.bare_counter (
    user_id uuid primary key, used integer not null default 0, maximum integer not null default 2000000000,
    constraint bare_counter_within_limit check (used <= maximum)
) with (fillfactor = 70);
insert into private.bare_counter (user_id) select id from public.users;
alter table private.bare_counter owner to postgres;
grant execute on function public.consume_quota to postgres;
vacuum analyze;
"""
USER = {"one hot row": "1", "distinct rows": "(:client_id * 32 + random(1, 32))"}
VALUES = """
\\set user {user}
\\set key random(1, 9007199254740991)
"""
BARE = """
update public.subscription set syncs_used = syncs_used + 1
where user_id = md5('user' || :user)::uuid and syncs_used + 1 <= 2000000000 returning syncs_used;
"""
ALONE = """
update private.bare_counter set used = used + 1
where user_id = md5('user' || :user)::uuid and used + 1 <= maximum returning used, maximum;
"""
CHARGE = """
select public.consume_quota(md5('user' || :user)::uuid, 'sync', 1, :client_id || '-' || :key);
"""


def run(progress: Progress) -> list[Ratio]:
    """The ratio of transactions a second, on one row and on many; and that a limit is met exactly."""
    with tempfile.TemporaryDirectory(prefix="streamvibe-bench-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        with EmbeddedServer.start(folder, extra=("fsync=on", "full_page_writes=on")) as server:
            server.create_database("bench")
            apply_sql(server.dsn("bench", "postgres"))
            with psycopg.connect(server.dsn("bench"), autocommit=True) as owner:
                for statement in SEED.split(";\n"):
                    owner.execute(statement.encode())
                ratios = [ratio for rows in USER for ratio in _throughputs(server, folder, rows, progress)]
                ratios.append(_exactness(server, folder, owner, progress))
            server.remove()
    return ratios


def _throughputs(server: EmbeddedServer, folder: Path, rows: str, progress: Progress) -> list[Ratio]:
    charge, bare, alone = scripts = [
        _script(folder, VALUES.format(user=USER[rows]) + statement) for statement in (CHARGE, BARE, ALONE)
    ]
    rates: dict[Path, list[float]] = {script: [] for script in scripts}
    for number in range(ROUNDS):
        progress(f"{rows}, round {number + 1} of {ROUNDS}")
        for script in scripts if number % 2 else reversed(scripts):
            rates[script].append(_transactions_a_second(server, script))

    def beside(baseline: Path) -> float:
        return statistics.median(one / other for one, other in zip(rates[charge], rates[baseline], strict=True))

    name, note = f"consume_quota, {rows}, {CLIENTS} clients", f"{statistics.median(rates[charge]):.0f} charges a second"
    return [
        Ratio(name, beside(bare), ">= 0.72 aimed at, >= 0.5 required", "update ... returning", note),
        Ratio(name, beside(alone), "for comparison", "the same of a table with nothing else"),
    ]


def _exactness(server: EmbeddedServer, folder: Path, owner: psycopg.Connection[Any], progress: Progress) -> Ratio:
    progress(f"{ATTEMPTS} attempts on a limit of {LIMIT}")
    owner.execute("update public.subscription_tier set max_ai_analyses_per_month = %s where slug = 'premium'", [LIMIT])
    script = _script(
        folder, "select public.consume_quota(md5('user1')::uuid, 'ai_analysis', 1, gen_random_uuid()::text);"
    )
    _pgbench(server, script, "-t", str(ATTEMPTS // CLIENTS))
    row = owner.execute(
        """
        select s.ai_analyses_used, (
            select count(*) from public.quota_usage_history as h
            where h.user_id = s.user_id and h.quota_type = 'ai_analysis' and h.operation = 'increment'
        )
        from public.subscription as s where s.user_id = md5('user1')::uuid
        """
    ).fetchone()
    assert row == (LIMIT, LIMIT), f"{ATTEMPTS} attempts on a limit of {LIMIT} ended in {row}"
    return Ratio(
        name=f"granted of {ATTEMPTS} attempts",
        ratio=row[0] / LIMIT,
        goal="exactly 1",
        baseline=f"a limit of {LIMIT}",
        note="counter and history rows agree",
    )


def _script(folder: Path, text: str) -> Path:
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".sql", delete=False) as file:
        file.write(text)
    return Path(file.name)


def _transactions_a_second(server: EmbeddedServer, script: Path) -> float:
    found = re.search(r"tps = ([0-9.]+)", _pgbench(server, script, "-T", str(SECONDS_A_ROUND)))
    assert found is not None
    return float(found[1])


def _pgbench(server: EmbeddedServer, script: Path, *length: str) -> str:
    answer = subprocess.run(
        [
            str(wheel_binaries() / "pgbench"), "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-f", str(script),
            *length, server.dsn("bench", "postgres"),
        ],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return answer.stdout
