"""Any sequence of quota calls, by any key, across rolls and plan changes, keeps the ledger true (Hypothesis, stateful).

The model is a dictionary of charges; the database must agree with it after every step. `make test` runs a short
profile, `make soak` 500 runs of 50 steps.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.database.quota import COUNTERS, SUM_OF_THE_CYCLE, Ledger
from tests.databases import Connection, Database

SOAK = os.environ.get("STREAMVIBE_PROFILE") == "soak"
PROFILE = settings(
    max_examples=500 if SOAK else 12,
    stateful_step_count=50 if SOAK else 25,
    deadline=None,
    derandomize=not SOAK,
    suppress_health_check=list(HealthCheck),
    database=None,
)
MAXIMUMS: dict[str, dict[str, int | None]] = {
    "free": {"sync": 30, "ai_analysis": 10, "seo_submission": 20},
    "basic": {"sync": 500, "ai_analysis": 200, "seo_submission": 500},
    "premium": {"sync": None, "ai_analysis": 5000, "seo_submission": 10000},
}
KEYS = st.sampled_from(["a", "b", "c", "d", "e"])
TYPES = st.sampled_from(list(COUNTERS))
AMOUNTS = st.one_of(st.integers(1, 12), st.sampled_from([19, 20, 30, 200, 5000, 10000]))


@dataclass
class Charge:
    """A live charge: what it was for, what it was answered, whether it is final, in which cycle it was made."""

    quota_type: str
    amount: int
    answer: dict[str, Any]
    cycle: int
    settled: bool = False


class LedgerMachine(RuleBasedStateMachine):
    """One user on one session; the number of cycles counts rolls and resets."""

    session: Connection
    new_ledger: Callable[[], Ledger]

    @initialize()
    def sign_up(self) -> None:
        self.ledger = self.new_ledger()
        self.charges: dict[str, Charge] = {}
        self.used = dict.fromkeys(COUNTERS, 0)
        self.plan = "free"
        self.cycle = 0

    def call(self, function: str, *arguments: object) -> Any:
        return self.ledger.call_in(self.session, function, *arguments)

    @rule(quota_type=TYPES, amount=AMOUNTS, key=KEYS)
    def consume(self, quota_type: str, amount: int, key: str) -> None:
        charge = self.charges.get(key)
        if charge and (charge.quota_type, charge.amount) != (quota_type, amount):
            assert self.ledger.refused("PT409", "consume_quota", quota_type, amount, key)
            return
        answer = self.call("consume_quota", quota_type, amount, key)
        if charge:
            assert answer == charge.answer | {"replayed": True}
            return
        maximum = MAXIMUMS[self.plan][quota_type]
        fits = maximum is None or self.used[quota_type] + amount <= maximum
        assert (answer["allowed"], answer["replayed"], answer["max"]) == (fits, False, maximum)
        if fits:
            self.used[quota_type] += amount
            self.charges[key] = Charge(quota_type, amount, answer, self.cycle)
        assert answer["used"] == self.used[quota_type]
        assert answer["remaining"] == (None if maximum is None else max(maximum - self.used[quota_type], 0))

    @rule(key=KEYS)
    def settle(self, key: str) -> None:
        charge = self.charges.get(key)
        assert self.call("settle_quota", key) is (charge is not None)
        if charge:
            charge.settled = True

    @rule(key=KEYS)
    def refund(self, key: str) -> None:
        charge = self.charges.get(key)
        done = self.call("refund_quota", key, "model")
        if charge:
            assert done is not charge.settled
            if not charge.settled:
                self._release(key)

    @rule()
    def reap(self) -> None:
        self.session.execute("select reap_quota('0 seconds')")
        for key in [key for key, charge in self.charges.items() if not charge.settled]:
            self._release(key)

    @rule(plan=st.sampled_from(list(MAXIMUMS)))
    def change_plan(self, plan: str) -> None:
        self.ledger.plan(plan)
        self.plan = plan

    @rule()
    def let_the_cycle_end(self) -> None:
        """The next charge rolls it; until then the counters stand."""
        self.ledger.age_cycle("40 days", "9 days")
        for key in [key for key, charge in self.charges.items() if charge.cycle == self.cycle]:
            self.charges[key].answer["cycle_end"] = self.ledger.one(
                "select to_jsonb(cycle_end_date) from subscription where user_id = %s"
            )
        answer = self.call("consume_quota", "sync", 1, "after the roll")
        self.cycle += 1
        self.used = dict.fromkeys(COUNTERS, 0)
        assert answer["allowed"] is True
        assert self.call("refund_quota", "after the roll", "model") is True

    @rule()
    def reset(self) -> None:
        start = self.ledger.one("select cycle_start_date + interval '1 hour' from subscription where user_id = %s")
        end = self.ledger.one("select now() + interval '31 days' where %s is not null")
        assert self.call("reset_quota", start, end, "model") is True
        assert self.call("reset_quota", start, end, "model") is False
        self.cycle += 1
        self.used = dict.fromkeys(COUNTERS, 0)

    @invariant()
    def the_database_agrees(self) -> None:
        if not hasattr(self, "ledger"):
            return
        row = self.session.execute(SUM_OF_THE_CYCLE, [self.ledger.user_id]).fetchone()
        assert row is not None
        for quota_type, column in COUNTERS.items():
            assert row[column] == row[quota_type] == self.used[quota_type] >= 0
        live = self.session.execute(
            """
            select idempotency_key, quota_type, amount, settled_at is not null as settled from quota_usage_history
            where user_id = %s and operation = 'increment' and released_at is null
            """,
            [self.ledger.user_id],
        ).fetchall()
        assert sorted((r["idempotency_key"], r["quota_type"], r["amount"], r["settled"]) for r in live) == sorted(
            (key, charge.quota_type, charge.amount, charge.settled) for key, charge in self.charges.items()
        )

    def _release(self, key: str) -> None:
        charge = self.charges.pop(key)
        if charge.cycle == self.cycle:
            self.used[charge.quota_type] -= charge.amount


@pytest.mark.timeout(3600 if SOAK else 180)
def test_the_ledger_agrees_with_a_model(database: Database) -> None:
    with database.connect("postgres") as session:
        session.execute("set role service_role")
        machine = type("Machine", (LedgerMachine,), {
            "session": session,
            "new_ledger": staticmethod(lambda: Ledger(database, database.create_user())),
        })  # fmt: skip
        run_state_machine_as_test(machine, settings=PROFILE)
