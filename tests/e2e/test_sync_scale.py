"""Many due accounts through the real queue: each item once, no budget exceeded; and a worker is killed meanwhile."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from infra.local.stack import Stack
from tests.e2e.creators import Creator

Db = Callable[..., list[dict[str, Any]]]
Sim = Callable[..., Any]

IS_SOAK = os.environ.get("STREAMVIBE_PROFILE") == "soak"
USERS, ACCOUNTS_EACH, ITEMS_EACH = (20, 50, 100) if IS_SOAK else (3, 5, 60)
SECONDS = 1500 if IS_SOAK else 300


def connect_directly(db: Db, sim: Sim, creator: Creator, slugs: list[str]) -> None:
    """Grants without the browser, for tests that need many."""
    for slug in slugs:
        grant = sim("POST", "youtube/grants", account=slug)
        answer = creator.http.get(
            creator.stack.env["UPSTREAM_URL"] + "/www.googleapis.com/youtube/v3/channels?part=id&mine=true",
            headers={"Authorization": f"Bearer {grant['access_token']}"},
        )
        channel = answer.json()["items"][0]["id"]
        accounts = [{"platform_account_id": channel, "account_name": slug}]
        db(
            "select public.complete_connection(%s, 'youtube', %s::jsonb, %s::jsonb)",
            creator.id,
            json.dumps({**grant, "lifetime_seconds": 3599}),
            json.dumps({"platform_user_id": channel, "accounts": accounts}),
        )


@pytest.mark.timeout(SECONDS + 120)
def test_every_item_of_every_due_account_once(stack: Stack, db: Db, sim: Sim, sign_up: Callable[[], Creator]) -> None:
    sim("POST", "youtube/quota", used=0)
    db("delete from private.platform_budget where true")
    creators = [sign_up() for _ in range(USERS)]
    for number, creator in enumerate(creators):
        db(
            """update subscription set tier_id = (select id from subscription_tier where slug = 'premium')
               where user_id = %s""",
            creator.id,
        )
        prefix = f"scale-{creator.id[:8]}-{number}"
        made = sim("POST", "youtube/accounts", count=ACCOUNTS_EACH, prefix=prefix, size=ITEMS_EACH)
        connect_directly(db, sim, creator, made["slugs"])
    ids = [creator.id for creator in creators]
    db("update social_account set next_sync_at = now() where user_id = any(%s::uuid[])", ids)
    creators[0].http.post(stack.runner_url + "/_local/invoke/sync_dispatch").raise_for_status()
    began = time.monotonic()
    was_killed = False
    while True:
        (left,) = db(
            """select count(*) filter (where finished_at is null) as open, count(*) as runs
               from sync_run where user_id = any(%s::uuid[])""",
            ids,
        )
        if not left["open"]:
            break
        assert time.monotonic() - began < SECONDS, left
        if not was_killed and left["open"] < left["runs"]:
            stack.child("worker").kill()
            stack.child("worker").start()
            was_killed = True
        time.sleep(0.2)
    assert was_killed
    total = USERS * ACCOUNTS_EACH
    rows = db(
        """select r.status, count(*) as runs, sum(r.items_created) as created, sum(r.items_seen) as seen
           from sync_run as r where r.user_id = any(%s::uuid[]) group by 1""",
        ids,
    )
    assert rows == [{"status": "succeeded", "runs": total, "created": total * ITEMS_EACH, "seen": total * ITEMS_EACH}]
    (items,) = db(
        """select count(*) as items from content_item as i
           join social_account as a on a.id = i.social_account_id where a.user_id = any(%s::uuid[])""",
        ids,
    )
    assert items["items"] == total * ITEMS_EACH
    (charges,) = db("select sum(syncs_used) as used from subscription where user_id = any(%s::uuid[])", ids)
    assert charges["used"] == total
    (spent,) = db("select max(used) as used from private.platform_budget")
    assert spent["used"] <= 9000
