"""How often a user may call (sql/…017000_notices.sql); the limits are settings of the database."""

from __future__ import annotations

from functions.core.errors import RateLimitedError
from functions.database.client import rpc


def take(user_id: str, bucket: str) -> None:
    """Count a call of a user. Raises RateLimitedError with the seconds to wait when there were too many."""
    wait = int(rpc("take_rate", user_id=user_id, bucket=bucket))
    if wait:
        raise RateLimitedError("Too many requests in a short time.", retry_after_seconds=wait)
