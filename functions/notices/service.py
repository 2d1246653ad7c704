"""Sends what users were told in the app to those who left e-mail on: one e-mail a user and quarter of an hour."""

from __future__ import annotations

from typing import Any

from functions.core import mail
from functions.database import notices

Row = dict[str, Any]


def send_due(deadline: float) -> int:
    """Send until nothing is due or `deadline` (monotonic seconds) has passed; how many were handed over."""
    return mail.send_claimed("notice", notices.claim_notices, letter, notices.finish_email, deadline)


def letter(row: Row) -> mail.Letter:
    """One e-mail out of a claimed row."""
    told = row["notices"]
    subject = told[0]["title"] if len(told) == 1 else f"{len(told)} notices from StreamVibe"
    greeting = f"Hello {row['name']}," if row["name"] else "Hello,"
    paragraphs = [(greeting,), *((one["title"], *([one["message"]] if one["message"] else [])) for one in told)]
    return mail.Letter(row["email_id"], row["email"], "notice", row["token"], subject, tuple(paragraphs))
