"""The departures domain of the database (sql/…016000_departures.sql): leaving users, withdrawn consent, old data."""

from __future__ import annotations

from typing import Any

from functions.database.client import rpc

Row = dict[str, Any]


PORTION = 5000  # rows that a call deletes within the few seconds that a request has


def purge_items(user_id: str, connection_id: str | None = None) -> None:
    """Delete all items of a user, or of one connection, in portions. What a running sync adds meanwhile stays."""
    while rpc("purge_items", user_id=user_id, connection_id=connection_id, max_rows=PORTION) >= PORTION:
        pass


def begin_account_deletion(user_id: str) -> Row:
    """End every connection: `{status: pending, is_billing_ended, revocations}`, or `{status: deleted}`."""
    answer: Row = rpc("begin_account_deletion", user_id=user_id)
    return answer


def finish_account_deletion(user_id: str, *, is_billing_ended: bool) -> bool:
    """Delete the user if nothing is left to be done outside; False if something is."""
    return bool(rpc("finish_account_deletion", user_id=user_id, is_billing_ended=is_billing_ended))


def claim_account_deletions(max_results: int) -> list[str]:
    """Users whose deletion is to be taken up again."""
    return [str(user_id) for user_id in rpc("claim_account_deletions", max_results=max_results)]


def forget_platform_user(platform: str, platform_user_id: str, *, is_deletion: bool) -> Row:
    """A platform says that a person withdrew consent or wants deletion: `{connections, code}`."""
    answer: Row = rpc(
        "forget_platform_user", platform=platform, platform_user_id=platform_user_id, is_deletion=is_deletion
    )
    return answer


def data_deletion_status(code: str) -> Row | None:
    """`{status, platform, requested_at}` of a deletion request, None if there is none."""
    answer: Row | None = rpc("data_deletion_status", code=code)
    return answer


def purge_stale_content(max_rows: int) -> int:
    """Delete platform data that has grown too old; how many items."""
    return int(rpc("purge_stale_content", max_rows=max_rows))
