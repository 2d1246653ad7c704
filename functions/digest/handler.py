"""The weekly digest by e-mail (scheduled). Calls of one week beyond the first send what is left."""

from __future__ import annotations

from typing import Any

from functions.core import invocation, settings
from functions.core.observability import begin, logger
from functions.digest import service

settings.require(
    settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY, settings.APP_URL, settings.FUNCTIONS_URL, settings.EMAIL_FROM
)

MARGIN_SECONDS = 10.0
SECONDS_WITHOUT_CONTEXT = 60.0  # called by hand


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """One round."""
    begin(context)
    sent = service.send_due(invocation.deadline(context, SECONDS_WITHOUT_CONTEXT, MARGIN_SECONDS))
    logger.info("e-mails sent", extra={"count": sent})
    return {"sent": sent}
