"""Waiting for a state of the database, instead of for a time."""

import time
from collections.abc import Callable

from tests.databases import Database

DEADLINE_SECONDS = 30.0


def wait_until(is_so: Callable[[], bool]) -> None:
    """Ask again and again until it is so; fail after half a minute."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def blocked_sessions(database: Database) -> int:
    """How many sessions of this database wait for a lock now."""
    with database.as_superuser() as superuser:
        row = superuser.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        ).fetchone()
    assert row is not None
    return int(row["count"])


def is_connected(database: Database, application_name: str) -> bool:
    """Whether a session of this name is there."""
    with database.as_superuser() as superuser:
        found = superuser.execute(
            "select 1 from pg_stat_activity where datname = current_database() and application_name = %s",
            [application_name],
        )
        return found.fetchone() is not None
