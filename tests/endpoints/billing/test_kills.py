"""The handler is killed in the middle: before anything is committed, and after. One effect, whichever it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from infra.local.upstream.stripe.webhooks import payload, sign
from tests.endpoints.billing.conftest import API_VERSION, SECRET, Row, World

PROGRAM = """
import json, sys
from functions.stripe_webhook.handler import handler
event = json.load(sys.stdin)
print("ready", flush=True)
handler(event, None)
"""


@contextmanager
def handler_in_a_process(event: Row) -> Iterator[subprocess.Popen[str]]:
    """The webhook handling `event`, in a process that the test may kill."""
    body = payload(event, API_VERSION)
    request = {"headers": {"stripe-signature": sign(body, SECRET, int(time.time()))}, "body": body.decode()}
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(request))
    child.stdin.close()
    assert child.stdout.readline() == "ready\n"
    try:
        yield child
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()


def wait_for(world: World, condition: str) -> None:
    """Until a session of this database is as `condition` says."""
    deadline = time.monotonic() + 90
    with world.database.as_superuser() as connection:
        query = f"select 1 from pg_stat_activity where datname = current_database() and ({condition})"
        while not connection.execute(query.encode()).fetchone():
            assert time.monotonic() < deadline, condition


def effects(world: World, user: UUID) -> tuple[str, list[str]]:
    return world.row(user)["tier"], world.notices(user)


@pytest.fixture
def bought(world: World) -> tuple[UUID, Row]:
    user = world.user(subscribed="premium")
    return user, world.events("customer.subscription.created")[0]


def deliver_again(world: World, event: Row) -> str:
    answer = world.deliver(event)
    assert answer["statusCode"] == 200
    return str(json.loads(answer["body"])["outcome"])


def test_killed_while_it_reads_from_stripe(world: World, bought: tuple[UUID, Row]) -> None:
    user, event = bought
    world.fault(path="/v1/subscriptions", times=1, delay_seconds=10)
    with handler_in_a_process(event):
        deadline = time.monotonic() + 90
        while not world.inbox():
            assert time.monotonic() < deadline
    assert effects(world, user) == ("free", [])
    assert deliver_again(world, event) == "applied"
    assert effects(world, user) == ("premium", ["subscription_changed"])


def test_killed_with_its_transaction_before_the_commit(world: World, bought: tuple[UUID, Row]) -> None:
    user, event = bought
    with world.database.connect("supabase_admin", autocommit=False) as holder:
        holder.execute("lock table subscription in share mode")
        with handler_in_a_process(event):
            wait_for(world, "wait_event_type = 'Lock'")
        with world.database.as_superuser() as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and wait_event_type = 'Lock'"
            )
        holder.rollback()
    assert effects(world, user) == ("free", [])
    assert deliver_again(world, event) == "applied"
    assert effects(world, user) == ("premium", ["subscription_changed"])


def test_killed_before_it_learns_of_the_commit(world: World, bought: tuple[UUID, Row]) -> None:
    user, event = bought
    with world.database.connect("supabase_admin", autocommit=False) as holder:
        holder.execute("lock table subscription in share mode")
        with handler_in_a_process(event):
            wait_for(world, "wait_event_type = 'Lock'")
        holder.rollback()
    deadline = time.monotonic() + 90
    while world.inbox()[event["id"]]["done_at"] is None:
        assert time.monotonic() < deadline
    assert effects(world, user) == ("premium", ["subscription_changed"])
    assert deliver_again(world, event) == "duplicate"
    assert effects(world, user) == ("premium", ["subscription_changed"])
