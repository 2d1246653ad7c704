"""The system domain of the database (sql/…015000_life_cycle.sql): what is swept away when its time is over."""

from __future__ import annotations

from functions.database.client import rpc


def purge_expired(max_rows: int) -> int:
    """Delete expired cache rows, notifications and trends, archive old audit entries; the largest count of a kind."""
    return max((int(count or 0) for count in rpc("purge_expired", max_rows=max_rows).values()), default=0)
