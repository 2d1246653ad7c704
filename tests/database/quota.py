"""One user's quota ledger, moved as the services move it and checked against the subscription's counters."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.databases import Connection, Database

COUNTERS = {"sync": "syncs_used", "ai_analysis": "ai_analyses_used", "seo_submission": "seo_submissions_used"}
SUM_OF_THE_CYCLE = """
    select
        s.syncs_used, s.ai_analyses_used, s.seo_submissions_used,
        coalesce(sum(h.signed) filter (where h.quota_type = 'sync'), 0) as sync,
        coalesce(sum(h.signed) filter (where h.quota_type = 'ai_analysis'), 0) as ai_analysis,
        coalesce(sum(h.signed) filter (where h.quota_type = 'seo_submission'), 0) as seo_submission
    from subscription as s
    left join lateral (
        select quota_type, case operation when 'increment' then amount else -amount end as signed
        from quota_usage_history
        where user_id = s.user_id and billing_cycle_start = s.cycle_start_date
    ) as h on true
    where s.user_id = %s
    group by s.id
"""


@dataclass(frozen=True)
class Ledger:
    """Calls go through service_role, one request each, unless a session is given."""

    database: Database
    user_id: UUID

    def call(self, function: str, *arguments: object) -> Any:
        with self.database.as_service() as service:
            return self.call_in(service, function, *arguments)

    def call_in(self, session: Connection, function: str, *arguments: object) -> Any:
        marks = ", ".join(["%s"] * (len(arguments) + 1))
        row = session.execute(f"select {function}({marks}) as answer", [self.user_id, *arguments]).fetchone()
        assert row is not None
        return row["answer"]

    def consume(self, quota_type: str, amount: int, key: str, *rest: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.call("consume_quota", quota_type, amount, key, *rest)
        return answer

    def settle(self, key: str) -> bool:
        return self.call("settle_quota", key) is True

    def refund(self, key: str) -> bool:
        return self.call("refund_quota", key, "a test's refund") is True

    def reap(self, older_than: str) -> int:
        with self.database.as_service() as service:
            row = service.execute("select reap_quota(%s::interval) as count", [older_than]).fetchone()
        assert row is not None
        return int(row["count"])

    def database_reset(self, start: str, end: str) -> bool:
        """reset_quota with SQL expressions as times."""
        with self.database.as_service() as service:
            row = service.execute(
                f"select reset_quota(%s, {start}, {end}, 'a test''s reset') as done", [self.user_id]
            ).fetchone()
        assert row is not None
        return bool(row["done"])

    def refused(self, sqlstate: str, function: str, *arguments: object) -> bool:
        """Whether the call is refused with this SQLSTATE and leaves counters and history alone."""
        before = self._everything()
        with pytest.raises(psycopg.Error) as refusal:
            self.call(function, *arguments)
        return refusal.value.sqlstate == sqlstate and self._everything() == before

    def plan(self, tier: str) -> None:
        with self.database.as_owner() as owner:
            owner.execute(
                """
                update subscription set tier_id = (select id from subscription_tier where slug = %s) where user_id = %s
                """,
                [tier, self.user_id],
            )

    def age_cycle(self, began: str, ended: str) -> None:
        """Move the running cycle, and its history, so that it began and ended these times ago."""
        with self.database.as_owner() as owner, owner.transaction():
            owner.execute(
                """
                update quota_usage_history
                set billing_cycle_start = now() - %s::interval, billing_cycle_end = now() - %s::interval
                where user_id = %s
                    and billing_cycle_start = (select cycle_start_date from subscription where user_id = %s)
                """,
                [began, ended, self.user_id, self.user_id],
            )
            owner.execute(
                """
                update subscription
                set cycle_start_date = now() - %s::interval, cycle_end_date = now() - %s::interval
                where user_id = %s
                """,
                [began, ended, self.user_id],
            )

    def age_charges(self, by: str, *keys: str) -> None:
        with self.database.as_owner() as owner:
            owner.execute(
                """
                update quota_usage_history set created_at = created_at - %s::interval
                where user_id = %s and idempotency_key = any(%s)
                """,
                [by, self.user_id, list(keys)],
            )

    def used(self, quota_type: str) -> int:
        return int(self.one(f"select {COUNTERS[quota_type]} from subscription where user_id = %s"))

    def one(self, query: str) -> Any:
        """The single value of a query with the user's id as its parameter."""
        with self.database.as_owner() as owner:
            row = owner.execute(query, [self.user_id]).fetchone()
        assert row is not None
        return next(iter(row.values()))

    def history(self) -> list[dict[str, Any]]:
        with self.database.as_owner() as owner:
            return owner.execute(
                "select xmin, * from quota_usage_history where user_id = %s order by created_at, operation <> 'reset'",
                [self.user_id],
            ).fetchall()

    def notices(self) -> list[tuple[str, str, int]]:
        with self.database.as_owner() as owner:
            rows = owner.execute(
                """
                select type::text, metadata ->> 'quota_type' as quota_type, (metadata ->> 'percent')::int as percent
                from notification where user_id = %s order by created_at, percent
                """,
                [self.user_id],
            )
            return [(row["type"], row["quota_type"], row["percent"]) for row in rows]

    def my_quota(self) -> list[dict[str, Any]]:
        with self.database.as_user(self.user_id) as own:
            return own.execute("select * from my_quota()").fetchall()

    def check(self) -> None:
        """used = the running cycle's history, never negative; one live charge a key; one row of history a movement."""
        with self.database.as_owner() as owner:
            row = owner.execute(SUM_OF_THE_CYCLE, [self.user_id]).fetchone()
            doubles = owner.execute(
                """
                select idempotency_key from quota_usage_history
                where user_id = %s and operation = 'increment' and released_at is null
                group by idempotency_key having count(*) > 1
                """,
                [self.user_id],
            ).fetchall()
        assert doubles == []
        if row is None:
            return
        for quota_type, column in COUNTERS.items():
            assert row[column] >= 0
            assert row[column] == row[quota_type], f"{column} is {row[column]}, its history says {row[quota_type]}"

    def _everything(self) -> object:
        with self.database.as_owner() as owner:
            return (
                owner.execute("select * from subscription where user_id = %s", [self.user_id]).fetchall(),
                owner.execute("select * from quota_usage_history where user_id = %s", [self.user_id]).fetchall(),
            )
