"""E-mail through Amazon SES: plain text and HTML side by side, with a link and a header that end them.

Docs: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html, RFC 8058 (one-click unsubscribe).
Sending is at least once: the e-mail's id goes along as a header, so that a copy can be told.
"""

from __future__ import annotations

import functools
import html
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlencode

from functions.core import settings
from functions.core.observability import logger, record

BATCH = 25


@dataclass(frozen=True, slots=True)
class Letter:
    """`paragraphs` become text and HTML; a paragraph of several lines becomes a list. `kind` is notice or digest."""

    email_id: str
    to: str
    kind: str
    token: str
    subject: str
    paragraphs: tuple[tuple[str, ...], ...]


@functools.cache
def _client() -> Any:
    import boto3  # noqa: PLC0415 - most rounds send nothing
    from botocore.config import Config  # noqa: PLC0415

    config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
    return boto3.client("sesv2", endpoint_url=settings.AWS_ENDPOINT_URL.value() or None, config=config)


def send(letter: Letter) -> bool:
    """Hand one e-mail to SES; False, and a log line without the address, if it was not taken."""
    try:
        message = compose(letter)
        destination = {"ToAddresses": [letter.to]}
        _client().send_email(
            FromEmailAddress=settings.EMAIL_FROM.value(),
            Destination=destination,
            Content={"Raw": {"Data": message.as_bytes()}},
        )
    except Exception as error:  # noqa: BLE001 - one address that cannot be must not keep the others waiting
        logger.error("e-mail was not taken", extra={"email_id": letter.email_id, "error_type": type(error).__name__})
        return False
    return True


def send_claimed(
    kind: str,
    claim: Callable[[int], list[dict[str, Any]]],
    letter: Callable[[dict[str, Any]], Letter],
    finish: Callable[[str], object],
    deadline: float,
) -> int:
    """Claim and send until nothing is due or `deadline` (monotonic seconds) has passed; how many were handed over.

    Noted after it was handed over: whoever dies between the two sends a copy, and nothing is lost.
    """
    sent = 0
    while time.monotonic() < deadline:
        claimed = claim(BATCH)
        for row in claimed:
            if send(letter(row)):
                finish(row["email_id"])
                sent += 1
                record("EmailsSent", kind=kind)
            else:
                record("EmailsFailed", kind=kind)
        if len(claimed) < BATCH:
            break
    return sent


def compose(letter: Letter) -> EmailMessage:
    """The message as it leaves. Raises ValueError for an address that no header can hold."""
    unsubscribe = (
        f"{settings.FUNCTIONS_URL.value()}/unsubscribe?{urlencode({'token': letter.token, 'kind': letter.kind})}"
    )
    message = EmailMessage()
    message["From"] = settings.EMAIL_FROM.value()
    message["To"] = Address(addr_spec=letter.to)
    message["Subject"] = " ".join(letter.subject.split())
    message["X-Entity-Ref-ID"] = letter.email_id
    message["List-Unsubscribe"] = f"<{unsubscribe}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(_text(letter, unsubscribe))
    message.add_alternative(_html(letter, unsubscribe), subtype="html")
    return message


def _text(letter: Letter, unsubscribe: str) -> str:
    blocks = ["\n".join(lines) for lines in letter.paragraphs]
    return (
        "\n\n".join([*blocks, f"Open StreamVibe: {settings.APP_URL.value()}", f"No more of these: {unsubscribe}"])
        + "\n"
    )


def _html(letter: Letter, unsubscribe: str) -> str:
    # Titles are people's own texts: every line is escaped.
    blocks = ["<p>" + "<br>".join(html.escape(line) for line in lines) + "</p>" for lines in letter.paragraphs]
    app, out = html.escape(settings.APP_URL.value()), html.escape(unsubscribe)
    links = f'<p><a href="{app}">Open StreamVibe</a></p><p><small><a href="{out}">No more of these</a></small></p>'
    return f'<!doctype html><html lang="en"><body>{"".join(blocks)}{links}</body></html>'
