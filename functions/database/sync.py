"""The sync domain of the database (sql/…010500_sync.sql): runs, pages, what is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functions.database.client import rpc

Row = dict[str, Any]


def start(user_id: str, social_account_id: str, idempotency_key: str | None) -> Row:
    """Start a run, or find the active one: `{run_id, created}`; `{run_id: None, quota}` if the quota is used up.

    Raises NotFoundError for somebody else's account, ConflictError for one that cannot be synced.
    """
    answer: Row = rpc(
        "start_sync_run", user_id=user_id, social_account_id=social_account_id, idempotency_key=idempotency_key
    )
    return answer


def claim(run_id: str) -> Row:
    """Take a run under a lease: `{status, …}`; see the SQL for claimed, done, busy and waiting."""
    answer: Row = rpc("claim_sync_run", run_id=run_id)
    return answer


def apply_page(
    run_id: str,
    lease: str,
    page_number: int,
    *,
    items: Sequence[Row],
    next_cursor: str | None,
    account: Row | None,
    pause_seconds: float,
    is_shared_pause: bool,
    warning: str | None,
    not_listed: Sequence[str] = (),
) -> Row:
    """Store one page, all or nothing; without a cursor it was the last. `{status}`: next, done, waiting or lost.

    `not_listed` are kinds of content whose absence from a complete listing says nothing.
    """
    answer: Row = rpc(
        "apply_content_page",
        run_id=run_id,
        lease=lease,
        page_number=page_number,
        items=items,
        next_cursor=next_cursor,
        is_last=next_cursor is None,
        account=account,
        pause_seconds=pause_seconds,
        is_shared_pause=is_shared_pause,
        warning=warning,
        not_listed=list(not_listed),
    )
    return answer


def release(
    run_id: str,
    lease: str,
    *,
    error_code: str | None = None,
    error_message: str | None = None,
    retry_after_seconds: float | None = None,
    is_final: bool = False,
    blame: str | None = None,
) -> Row:
    """Give a run back: `{status}`: next (go on at once), waiting (`seconds`), done or lost."""
    answer: Row = rpc(
        "release_sync_run",
        run_id=run_id,
        lease=lease,
        error_code=error_code,
        error_message=error_message,
        retry_after_seconds=retry_after_seconds,
        is_final=is_final,
        blame=blame,
    )
    return answer


def due(max_results: int) -> tuple[list[str], bool]:
    """Runs to send to the queue now, and whether there may be more."""
    answer = rpc("due_sync_runs", max_results=max_results)
    return list(answer["run_ids"]), bool(answer["more"])


def purge() -> int:
    """Delete old runs and what belongs to them; how many."""
    return int(rpc("purge_sync"))
