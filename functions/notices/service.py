"""Sends what users were told in the app to those who left e-mail on: one e-mail a user and quarter of an hour."""

from __future__ import annotations

import time
from typing import Any

from functions.core import mail
from functions.core.observability import record
from functions.database import notices

BATCH = 25
Row = dict[str, Any]


def send_due(deadline: float) -> int:
    """Send until nothing is due or `deadline` (monotonic seconds) has passed; how many were handed over.

    Noted after it was handed over: whoever dies between the two sends a copy, and nothing is lost.
    """
    sent = 0
    while time.monotonic() < deadline:
        claimed = notices.claim_notices(BATCH)
        for row in claimed:
            if mail.send(letter(row)):
                notices.finish_email(row["email_id"])
                sent += 1
        if len(claimed) < BATCH:
            break
    record("EmailsSent", sent, kind="notice")
    return sent


def letter(row: Row) -> mail.Letter:
    """One e-mail out of a claimed row."""
    told = row["notices"]
    subject = told[0]["title"] if len(told) == 1 else f"{len(told)} notices from StreamVibe"
    greeting = f"Hello {row['name']}," if row["name"] else "Hello,"
    paragraphs = [(greeting,), *((one["title"], *([one["message"]] if one["message"] else [])) for one in told)]
    return mail.Letter(row["email_id"], row["email"], "notice", row["token"], subject, tuple(paragraphs))
