"""What Stripe says, kept under tickets and turned into a plan: the SQL alone, on every server that tests run on."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from tests.databases import Database

ORDERS = 200 if os.environ.get("STREAMVIBE_PROFILE") == "soak" else 8
MONTH_SECONDS = 2_592_000
START = 1_800_000_000

Row = dict[str, Any]


@pytest.fixture
def user(database: Database) -> UUID:
    """Somebody with a customer, where basic and premium are on sale with a metered price."""
    made = database.create_user()
    with database.as_owner() as owner:
        owner.execute("update subscription_tier set stripe_price_id = 'price_' || slug where slug <> 'free'")
        owner.execute("select private.set_metered_price('sync', 'price_syncs', 'syncs')")
        owner.execute("update subscription set stripe_customer_id = %s where user_id = %s", [f"cus_{made.hex}", made])
    return made


def reading(user: UUID, status: str = "active", price: str = "price_premium", period: int = 0, **changes: Any) -> Row:
    """A subscription as functions/connectors/stripe.py reduces it."""
    start = START + period * MONTH_SECONDS
    item = {"created": START, "start": start, "end": start + MONTH_SECONDS}
    return {
        "id": f"sub_{user.hex}",
        "customer": f"cus_{user.hex}",
        "user_id": str(user),
        "status": status,
        "created": START,
        "items": [{"id": "si_plan", "price": price, **item}, {"id": "si_syncs", "price": "price_syncs", **item}],
        "renews": True,
        "invoice": {"id": f"in_{period}", "status": "paid", "billing_reason": "subscription_cycle"},
        **changes,
    }


def call(database: Database, function: str, **arguments: Any) -> Any:
    """A call of the service, as a request of its own."""
    names = ", ".join(f"{name} => %({name})s" for name in arguments)
    values = {name: Jsonb(one) if isinstance(one, dict) else one for name, one in arguments.items()}
    with database.as_service() as service:
        row = service.execute(f"select public.{function}({names}) as answer".encode(), values).fetchone()
    assert row is not None
    return row["answer"]


def apply(database: Database, said: Row, ticket: int | None = None, event_id: str | None = None) -> Row:
    drawn = ticket if ticket is not None else call(database, "next_stripe_ticket")
    kind = "customer.subscription.updated" if event_id else None
    answer = call(
        database,
        "apply_stripe_state",
        event_id=event_id,
        event_type=kind,
        ticket=drawn,
        subscription=said,
        checkout=None,
    )
    return dict(answer)


def plan(database: Database, user: UUID) -> Row:
    with database.as_owner() as owner:
        row = owner.execute(
            """
            select t.slug as tier, st.slug as status, extract(epoch from s.cycle_start_date)::bigint as start,
                s.is_auto_renew_enabled as renews, s.canceled_at
            from subscription s join subscription_tier t on t.id = s.tier_id
            join subscription_status st on st.id = s.status_id where s.user_id = %s
            """,
            [user],
        ).fetchone()
    assert row is not None
    return row


LIFE: list[dict[str, Any]] = [
    {"status": "trialing", "price": "price_basic", "period": 0},
    {"status": "active", "price": "price_basic", "period": 1},
    {"status": "past_due", "price": "price_basic", "period": 2},
    {"status": "active", "price": "price_basic", "period": 2},
    {"status": "active", "price": "price_premium", "period": 3},
    {"status": "active", "price": "price_premium", "period": 3, "renews": False},
    {"status": "active", "price": "price_premium", "period": 4},
    {"status": "canceled", "price": "price_premium", "period": 4, "renews": False, "canceled_at": START},
]


@pytest.mark.parametrize("seed", range(ORDERS))
def test_readings_in_any_order_end_as_the_newest(database: Database, user: UUID, seed: int) -> None:
    chance = random.Random(seed)
    life = LIFE[: chance.randint(2, len(LIFE))]
    tickets = sorted(chance.sample(range(1, 10_000), len(life)))
    told = [(ticket, reading(user, **said)) for ticket, said in zip(tickets, life, strict=True)]
    told += chance.choices(told, k=4)  # some come again
    chance.shuffle(told)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda one: apply(database, one[1], one[0]), told))
    last = life[-1]
    assert plan(database, user) == {
        "tier": "free" if last["status"] == "canceled" else last["price"].removeprefix("price_"),
        "status": last["status"],
        "start": START + last["period"] * MONTH_SECONDS,
        "renews": last.get("renews", True),
        "canceled_at": plan(database, user)["canceled_at"] if last["status"] == "canceled" else None,
    }


def test_an_event_has_one_effect(database: Database, user: UUID) -> None:
    begun = call(database, "begin_stripe_event", event_id="evt_1", event_type="t", object_id="sub_1", created_at=None)
    assert apply(database, reading(user), begun["ticket"], "evt_1")["outcome"] == "applied"
    again = call(database, "begin_stripe_event", event_id="evt_1", event_type="t", object_id="sub_1", created_at=None)
    assert again == {"done": True}
    assert apply(database, reading(user, "canceled"), 1 << 40, "evt_1")["outcome"] == "duplicate"
    assert plan(database, user)["tier"] == "premium"


def test_an_effect_that_fails_leaves_the_event_open(database: Database, user: UUID) -> None:
    """Event and effect are one transaction: what breaks the one keeps the other."""
    call(database, "begin_stripe_event", event_id="evt_2", event_type="t", object_id="sub_1", created_at=None)
    with database.as_superuser() as connection:
        connection.execute(
            "create function public.break_it() returns trigger language plpgsql "
            "as $$ begin raise exception 'no'; end $$;"
            "create trigger break_it before update on subscription for each row execute function public.break_it()"
        )
    with pytest.raises(Exception, match="no"):
        apply(database, reading(user), None, "evt_2")
    with database.as_superuser() as connection:
        connection.execute("drop function public.break_it() cascade")
        row = connection.execute("select done_at from private.stripe_event where id = 'evt_2'").fetchone()
    assert row == {"done_at": None}
    assert apply(database, reading(user), None, "evt_2")["outcome"] == "applied"


def test_usage_is_queued_by_the_settling_transaction_and_leased(database: Database, user: UUID) -> None:
    apply(database, reading(user))
    for key in ("a", "b"):
        call(database, "consume_quota", user_id=user, quota_type="sync", amount=2, idempotency_key=key)
        for _ in range(2):
            call(database, "settle_quota", user_id=user, idempotency_key=key)
    call(database, "consume_quota", user_id=user, quota_type="ai_analysis", amount=1, idempotency_key="no meter")
    call(database, "settle_quota", user_id=user, idempotency_key="no meter")
    claimed = call(database, "claim_stripe_usage", max_rows=10)
    assert [(one["event_name"], one["value"]) for one in claimed] == [("syncs", 2), ("syncs", 2)]
    assert call(database, "claim_stripe_usage", max_rows=10) == []
    call(database, "finish_stripe_usage", usage_id=claimed[0]["id"])
    with database.as_superuser() as connection:
        connection.execute("update private.stripe_usage set leased_until = leased_until - interval '3 minutes'")
    assert [one["id"] for one in call(database, "claim_stripe_usage", max_rows=10)] == [claimed[1]["id"]]
    with database.as_owner() as owner:
        ledger = owner.execute("select id from quota_usage_history where idempotency_key in ('a', 'b')").fetchall()
    assert {one["id"] for one in claimed} == {str(row["id"]) for row in ledger}


def test_a_user_goes_with_everything_that_stripe_said(database: Database, user: UUID) -> None:
    apply(database, reading(user))
    call(database, "begin_checkout", user_id=database.create_user(), tier="basic")
    database.delete_user(user)
    with database.as_superuser() as connection:
        row = connection.execute(
            "select count(*) as n from private.stripe_subscription where user_id = %s", [user]
        ).fetchone()
    assert row == {"n": 0}
