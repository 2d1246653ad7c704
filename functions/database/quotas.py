"""The quotas domain of the database (sql/…004000_quotas.sql): charge, settle, refund."""

from __future__ import annotations

from typing import Any

from functions.core.errors import QuotaExceededError
from functions.database.client import rpc

Row = dict[str, Any]


def consume(
    user_id: str,
    quota_type: str,
    idempotency_key: str,
    *,
    amount: int = 1,
    entity: tuple[str, str] | None = None,
    reason: str | None = None,
) -> Row:
    """Charge a quota; the answer of `consume_quota`. `entity` is (type, id) of what the charge is for.

    Raises QuotaExceededError, which carries the same object, if the charge does not fit.
    """
    entity_type, entity_id = entity or (None, None)
    answer: Row = rpc(
        "consume_quota",
        user_id=user_id,
        quota_type=quota_type,
        amount=amount,
        idempotency_key=idempotency_key,
        related_entity_type=entity_type,
        related_entity_id=entity_id,
        reason=reason,
    )
    return require_allowed(answer)


def require_allowed(answer: Row) -> Row:
    """`answer` of consume_quota if it was allowed. Raises QuotaExceededError otherwise."""
    if not answer["allowed"]:
        raise QuotaExceededError(**answer)
    return answer


def settle(user_id: str, idempotency_key: str) -> bool:
    """Make a charge final. False if there is none, or it was given back."""
    return bool(rpc("settle_quota", user_id=user_id, idempotency_key=idempotency_key))


def refund(user_id: str, idempotency_key: str, reason: str) -> bool:
    """Give an unsettled charge back. False if there is none, or it is settled."""
    return bool(rpc("refund_quota", user_id=user_id, idempotency_key=idempotency_key, reason=reason))


def reap(older_than: str = "1 hour") -> int:
    """Give back charges that nobody settled in time; how many."""
    return int(rpc("reap_quota", older_than=older_than))


def roll_cycles(max_rows: int = 500) -> int:
    """Roll cycles that have ended; how many. Charges roll their own user's in passing."""
    return int(rpc("roll_cycles", max_rows=max_rows))
