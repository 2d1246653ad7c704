"""The notices domain of the database (sql/…017000_notices.sql): e-mails to send, unsubscribing."""

from __future__ import annotations

from typing import Any

from functions.database.client import rpc

Row = dict[str, Any]


def claim_notices(max_results: int) -> list[Row]:
    """Take up e-mails: `{email_id, email, name, token, notices: [{title, message}]}`."""
    rows: list[Row] = rpc("claim_notices", max_results=max_results)
    return rows


def claim_digests(max_results: int) -> list[Row]:
    """Take up digests: `{email_id, email, name, token, synced, totals, before, suggested, indexed, quota}`."""
    rows: list[Row] = rpc("claim_digests", max_results=max_results)
    return rows


def finish_email(email_id: str) -> bool:
    """Note that it was handed over."""
    return bool(rpc("finish_email", email_id=email_id))


def unsubscribe(token: str, kind: str) -> bool:
    """Switch a kind of e-mail off; False if the token names nobody."""
    return bool(rpc("unsubscribe", token=token, kind=kind))


def purge_emails(max_rows: int) -> int:
    """Forget what was sent long ago."""
    return int(rpc("purge_emails", max_rows=max_rows))
