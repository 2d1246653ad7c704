"""The weekly digest: what synced, grew, was suggested, was indexed, and what the quota still allows."""

from __future__ import annotations

from typing import Any

from functions.core import mail
from functions.database import notices

Row = dict[str, Any]


def send_due(deadline: float) -> int:
    """Send until nothing is due or `deadline` (monotonic seconds) has passed; how many were handed over."""
    return mail.send_claimed("digest", notices.claim_digests, letter, notices.finish_email, deadline)


def letter(row: Row) -> mail.Letter:
    """One e-mail out of a claimed row."""
    synced, totals, before = row["synced"], row["totals"], row["before"]
    week = (
        f"Synced: {_count(synced['runs'], 'run')}, {synced['created']} new and {synced['updated']} changed items",
        f"Followers: {_grown('followers', totals, before)}",
        f"Views: {_grown('views', totals, before)}",
        f"Suggestions made: {row['suggested']}",
        f"Pages indexed: {row['indexed']}",
    )
    quota = tuple(f"{name.capitalize()}: {_left(*used)}" for name, used in (row["quota"] or {}).items())
    greeting = f"Hello {row['name']}," if row["name"] else "Hello,"
    paragraphs = ((greeting,), ("Your week on StreamVibe:",), week, ("What your plan still allows:", *quota))
    return mail.Letter(row["email_id"], row["email"], "digest", row["token"], "Your week on StreamVibe", paragraphs)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _grown(name: str, totals: Row, before: Row | None) -> str:
    now = int(totals[name])
    return f"{now}" if before is None else f"{now} ({now - int(before[name]):+d} since the last digest)"


def _left(used: int, most: int | None) -> str:
    return "without limit" if most is None else f"{max(most - used, 0)} of {most}"
