"""Many callers at once: exactly what is allowed is granted, a key is charged once, and nobody deadlocks."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from infra.local.postgres import EmbeddedServer, Generation
from infra.local.postgres.binaries import SYSTEM_15
from tests.database.quota import Ledger
from tests.database.waiting import blocked_sessions, is_connected, wait_until
from tests.databases import Connection, Database, DatabaseFactory

SOAK = os.environ.get("STREAMVIBE_PROFILE") == "soak"
WORKER = """
import sys
import psycopg
dsn, user_id, commits = sys.argv[1:]
session = psycopg.connect(dsn, application_name="killable")
session.execute("set role service_role")
session.execute("select consume_quota(%s, 'sync', 3, 'a')", [user_id])
if commits == "True":
    session.commit()
print("charged", flush=True)
sys.stdin.read()
"""
CALLERS = 20
ROUNDS = 50 if SOAK else 4


@pytest.fixture(scope="module")
def sessions(database: Database) -> Iterator[list[Connection]]:
    """One open session for each caller, so that a round is twenty statements and not twenty logins."""
    opened = [
        psycopg.connect(database.dsn(), autocommit=True, row_factory=psycopg.rows.dict_row) for _ in range(CALLERS)
    ]
    for session in opened:
        session.execute("set role service_role")
    yield opened
    for session in opened:
        session.close()


def together(sessions: list[Connection], call: Callable[[int, Connection], Any]) -> list[Any]:
    """Call once for each session, all released at the same moment."""
    barrier = threading.Barrier(len(sessions))

    def work(number: int) -> Any:
        barrier.wait()
        return call(number, sessions[number])

    with ThreadPoolExecutor(len(sessions)) as pool:
        return list(pool.map(work, range(len(sessions))))


@contextmanager
def held(database: Database, table: str, mode: str = "share") -> Iterator[Connection]:
    """A session that keeps everybody from writing the table until the block ends."""
    with database.connect("postgres", autocommit=False) as holder:
        holder.execute(f"lock table public.{table} in {mode} mode")
        yield holder
        holder.rollback()


def test_exactly_what_is_left_is_granted(database: Database, sessions: list[Connection]) -> None:
    for number in range(ROUNDS):
        ledger = Ledger(database, database.create_user())
        answers = together(sessions, lambda n, s: ledger.call_in(s, "consume_quota", "ai_analysis", 1, f"{number}-{n}"))  # noqa: B023
        assert sum(answer["allowed"] for answer in answers) == 10
        assert sorted(answer["used"] for answer in answers if answer["allowed"]) == list(range(1, 11))
        assert {answer["used"] for answer in answers if not answer["allowed"]} == {10}
        ledger.check()


@pytest.mark.parametrize("amount", [1, 10])
def test_one_key_is_one_charge(database: Database, sessions: list[Connection], amount: int) -> None:
    """With amount 10 the first call takes all there is: the others are replays, not refusals."""
    for _ in range(ROUNDS):
        ledger = Ledger(database, database.create_user())
        answers = together(sessions, lambda n, s: ledger.call_in(s, "consume_quota", "ai_analysis", amount, "same"))  # noqa: B023
        assert all(answer["allowed"] for answer in answers)
        assert sum(not answer["replayed"] for answer in answers) == 1
        assert {answer["used"] for answer in answers} == {amount}
        assert ledger.used("ai_analysis") == amount
        ledger.check()


@pytest.mark.parametrize("table", ["subscription", "quota_usage_history"])
def test_callers_that_all_waited_at_the_same_lock(database: Database, sessions: list[Connection], table: str) -> None:
    ledger = Ledger(database, database.create_user())
    ledger.consume("ai_analysis", 4, "before")
    with ThreadPoolExecutor(1) as pool:
        with held(database, table):
            waiting = pool.submit(
                together, sessions, lambda n, s: ledger.call_in(s, "consume_quota", "ai_analysis", 1, f"{n // 2}")
            )
            wait_until(lambda: blocked_sessions(database) == CALLERS)
        answers = waiting.result(60)
    # Ten keys, two calls each, six units left.
    assert sum(answer["allowed"] and not answer["replayed"] for answer in answers) == 6
    assert ledger.used("ai_analysis") == 10
    ledger.check()


def test_a_user_who_leaves_waits_for_a_charge_and_holds_nothing_that_it_needs(database: Database) -> None:
    user_id = database.create_user()

    def leave() -> None:
        with database.as_superuser() as admin:
            admin.execute("delete from auth.users where id = %s", [user_id])

    with ThreadPoolExecutor(1) as aside, psycopg.connect(database.dsn()) as charge:
        charge.execute("select 1 from subscription where user_id = %s for update", [user_id])
        leaving = aside.submit(leave)
        wait_until(lambda: blocked_sessions(database) == 1)
        # What the ledger's foreign key asks for next; held by the deletion, it would make a circle.
        charge.execute("select 1 from users where id = %s for key share nowait", [user_id])
        charge.commit()
        leaving.result(60)
    with database.as_superuser() as admin:
        assert admin.execute("select 1 from users where id = %s", [user_id]).fetchone() is None


def test_charges_refunds_and_reapers_do_not_deadlock(database: Database, sessions: list[Connection]) -> None:
    ledgers = [Ledger(database, database.create_user()) for _ in range(2)]

    def call(number: int, session: Connection) -> None:
        for step in range(6):
            ledger = ledgers[(number + step) % 2]
            key = f"{step % 3}"
            match (number + step) % 5:
                case 0 | 1:
                    ledger.call_in(session, "consume_quota", "sync", 1, key)
                case 2:
                    ledger.call_in(session, "refund_quota", key, "race")
                case 3:
                    ledger.call_in(session, "settle_quota", key)
                case _:
                    session.execute("select reap_quota('0 seconds')")

    for _ in range(ROUNDS):
        together(sessions, call)
        for ledger in ledgers:
            ledger.check()


def test_a_charge_is_settled_or_reaped_never_both(database: Database, sessions: list[Connection]) -> None:
    for _ in range(ROUNDS):
        ledger = Ledger(database, database.create_user())
        ledger.consume("sync", 5, "a")

        def call(number: int, session: Connection) -> Any:
            if number % 2:
                return ledger.call_in(session, "settle_quota", "a")  # noqa: B023
            session.execute("select reap_quota('0 seconds')")
            return None

        settled = [answer for answer in together(sessions, call) if answer is not None]
        assert len(set(settled)) == 1, "what one was told, all were told"
        assert ledger.used("sync") == (5 if settled[0] else 0)
        ledger.check()


def test_an_ended_cycle_is_rolled_once(database: Database, sessions: list[Connection]) -> None:
    for number in range(ROUNDS):
        ledger = Ledger(database, database.create_user())
        ledger.consume("ai_analysis", 7, "before")
        ledger.age_cycle("35 days", "5 days")
        answers = together(sessions, lambda n, s: ledger.call_in(s, "consume_quota", "ai_analysis", 1, f"{number}-{n}"))  # noqa: B023
        assert sum(answer["allowed"] for answer in answers) == 10
        assert ledger.one("select count(*) from quota_usage_history where operation = 'reset' and user_id = %s") == 1
        ledger.check()


@pytest.mark.parametrize(
    ("before", "after", "allowed", "maximum"), [("free", "basic", True, 200), ("basic", "free", False, 10)]
)
def test_a_charge_that_waited_for_a_change_of_plan_counts_by_the_new_one(
    database: Database, before: str, after: str, allowed: bool, maximum: int
) -> None:
    change = "update subscription set tier_id = (select id from subscription_tier where slug = %s) where user_id = %s"
    ledger = Ledger(database, database.create_user())
    with database.as_owner() as owner:
        owner.execute(change, [before, ledger.user_id])
    ledger.consume("ai_analysis", 10 if before == "basic" else 4, "before")
    with database.connect("postgres", autocommit=False) as changer, ThreadPoolExecutor(1) as pool:
        changer.execute(change, [after, ledger.user_id])
        waiting = pool.submit(ledger.consume, "ai_analysis", 1, "waited")
        wait_until(lambda: blocked_sessions(database) == 1)
        changer.commit()
        answer = waiting.result(60)
    assert (answer["allowed"], answer["max"]) == (allowed, maximum)
    ledger.check()


def test_accounts_beyond_the_plan_are_not_connected(database: Database, sessions: list[Connection]) -> None:
    """Twenty grants of two accounts each complete at once, on a plan that allows two accounts."""

    def complete(number: int, session: Connection) -> str:
        accounts = [{"platform_account_id": f"{number}-{n}", "account_name": f"Account {n}"} for n in range(2)]
        profile = {"platform_user_id": f"identity {number}", "accounts": accounts}
        try:
            session.execute(
                "select complete_connection(%s, 'youtube', %s, %s)",
                [user_id, Jsonb({"access_token": "t"}), Jsonb(profile)],
            )
        except psycopg.Error as error:
            return str(error.sqlstate)
        return "connected"

    user_id = database.create_user()
    answers = together(sessions, complete)
    assert sorted(answers) == ["PT402"] * (CALLERS - 1) + ["connected"]
    with database.as_owner() as owner:
        counts = owner.execute(
            """
            select (select count(*) from social_account where user_id = %(user)s) as accounts,
                (select count(*) from platform_connection where user_id = %(user)s) as connections
            """,
            {"user": user_id},
        ).fetchone()
    assert counts == {"accounts": 2, "connections": 1}


@pytest.mark.parametrize("table", ["subscription", "quota_usage_history"])
def test_a_session_killed_inside_a_charge_charges_nothing(database: Database, table: str) -> None:
    """The call hangs at the counter's update, or at the history's insert, when its server process is ended."""
    ledger = Ledger(database, database.create_user())
    with database.connect("postgres") as victim, database.as_superuser() as superuser, ThreadPoolExecutor(1) as pool:
        victim.execute("set role service_role")
        with held(database, table):
            hanging = pool.submit(ledger.call_in, victim, "consume_quota", "sync", 3, "a")
            wait_until(lambda: blocked_sessions(database) == 1)
            superuser.execute("select pg_terminate_backend(%s)", [victim.info.backend_pid])
            with pytest.raises(psycopg.OperationalError):
                hanging.result(60)
    assert (ledger.used("sync"), ledger.history()) == (0, [])
    again = ledger.consume("sync", 3, "a")
    assert (again["allowed"], again["replayed"], ledger.used("sync")) == (True, False, 3)
    ledger.check()


@pytest.mark.parametrize("commits", [False, True])
def test_a_client_killed_around_the_commit_charges_once(database: Database, commits: bool) -> None:
    """SIGKILL of a worker after its charge, before or after the commit: the retry makes it one charge in both cases."""
    ledger = Ledger(database, database.create_user())
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, database.dsn(), str(ledger.user_id), str(commits)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"charged\n"
        worker.kill()
    wait_until(lambda: not is_connected(database, "killable"))
    assert ledger.used("sync") == (3 if commits else 0)
    again = ledger.consume("sync", 3, "a")
    assert (again["allowed"], again["replayed"]) == (True, commits)
    assert ledger.used("sync") == 3
    ledger.check()


def test_a_server_process_killed_hard_loses_and_doubles_nothing(
    server_name: str, generation: Generation, tmp_path: Path
) -> None:
    """Postgres recovers from its log after SIGKILL: what was committed is there, what was under way is not."""
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(0o755)  # as root the server is another account
    with EmbeddedServer.start(tmp_path, binaries=SYSTEM_15 if server_name.startswith("15") else None) as server:
        database = DatabaseFactory(server, generation).new()
        ledger = Ledger(database, database.create_user())
        ledger.consume("sync", 5, "committed")
        before = checkpointer(database)
        with psycopg.connect(database.dsn()) as session:
            session.execute("select consume_quota(%s, 'sync', 7, 'under way')", [ledger.user_id])
            os.kill(session.info.backend_pid, signal.SIGKILL)
            with pytest.raises(psycopg.OperationalError):
                session.execute("select 1")
        # The crashed session's socket closes before the server notices: wait for the processes that it starts anew.
        wait_until(lambda: checkpointer(database) not in (before, None))
        assert ledger.used("sync") == 5
        assert ledger.consume("sync", 5, "committed")["replayed"] is True
        assert ledger.consume("sync", 7, "under way")["replayed"] is False
        assert ledger.used("sync") == 12
        ledger.check()
        server.remove()


def checkpointer(database: Database) -> int | None:
    """The process id of the server's checkpointer; None while it takes no connections."""
    try:
        with database.as_superuser() as admin:
            row = admin.execute("select pid from pg_stat_activity where backend_type = 'checkpointer'").fetchone()
    except psycopg.OperationalError:
        return None
    return row["pid"] if row else None
