"""The submissions domain of the database (sql/…012000_submissions.sql). Each function is one transaction there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functions.database.client import rpc

Row = dict[str, Any]


def targets(user_id: str, content_item_id: str, engines: Sequence[str] | None) -> list[Row]:
    """Active connections: [{connection_id, search_engine, site_url}]. NotFoundError if the item is not the user's."""
    found: list[Row] = rpc(
        "submission_targets",
        user_id=user_id,
        content_item_id=content_item_id,
        engines=None if engines is None else list(engines),
    )
    return found


def create(
    user_id: str,
    content_item_id: str,
    url: str,
    chosen: Sequence[Row],
    *,
    engines: Sequence[str] | None,
    idempotency_key: str | None,
    is_automatic: bool,
) -> Row:
    """Rows and charges for `chosen` [{search_engine, connection_id, error_code, error_message}].

    `engines` are those that the request named, part of what its key stands for; None: all that are connected.
    {quota, replayed, submissions}; `quota` is set if the plan does not cover the request, and then nothing was made.
    """
    made: Row = rpc(
        "create_submissions",
        user_id=user_id,
        content_item_id=content_item_id,
        url=url,
        targets=list(chosen),
        engines=None if engines is None else list(engines),
        idempotency_key=idempotency_key,
        is_automatic=is_automatic,
    )
    return made


def answers(user_id: str, entries: Sequence[Row]) -> list[Row]:
    """What `create` made, as it stands now."""
    found: list[Row] = rpc("submission_answers", user_id=user_id, entries=list(entries))
    return found


def claim(engine: str, max_rows: int, ids: Sequence[str] | None = None) -> Row:
    """Lease due submissions: {token, claimed, groups: [{connection_id, site_url, credentials, pages}]}.

    A page is [id, url, status, index_status_url]. The credentials come from Vault: never log a claim.
    """
    claimed: Row = rpc("claim_submissions", engine=engine, max_rows=max_rows, ids=None if ids is None else list(ids))
    return claimed


def complete(engine: str, token: str, results: Sequence[Row]) -> Row:
    """Store what an engine said about claimed pages: {stored: how many were still ours, outcomes: {status: count}}."""
    done: Row = rpc("complete_submissions", engine=engine, token=token, results=list(results))
    return done


def claim_verifications(max_rows: int) -> list[Row]:
    """Connections whose credentials want a try: [{connection_id, search_engine, site_url, credentials}]."""
    claimed: list[Row] = rpc("claim_verifications", max_rows=max_rows)
    return claimed


def complete_verification(connection_id: str, *, is_verified: bool, error_message: str | None) -> None:
    """Store whether an engine accepted a connection's credentials."""
    rpc("complete_verification", connection_id=connection_id, is_verified=is_verified, error_message=error_message)


def dispatch_auto(max_rows: int) -> list[Row]:
    """Items to hand to the seo queue: [{content_item_id, connection_id}]."""
    found: list[Row] = rpc("dispatch_auto_submissions", max_rows=max_rows)
    return found


def auto_page(content_item_id: str, connection_id: str) -> Row | None:
    """{user_id, search_engine, site_url, url} of an automatic submission; None if it is done or not wanted any more."""
    found: Row | None = rpc("auto_submission_page", content_item_id=content_item_id, connection_id=connection_id)
    return found


def finish_auto(content_item_id: str, connection_id: str) -> None:
    """Mark an automatic submission as done, whatever came of it."""
    rpc("finish_auto_submission", content_item_id=content_item_id, connection_id=connection_id)


def purge() -> int:
    """Delete used keys, debounces and past budgets; how many rows."""
    deleted: int = rpc("purge_submission_records")
    return deleted
