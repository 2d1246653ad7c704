"""The scheduled round of housekeeping: each domain's steps, one after the other.

A step that fails does not keep the others from their turn; the round fails at its end, for the alarm to see.
"""

from __future__ import annotations

from typing import Any

from functions.core import invocation, settings
from functions.core.errors import StreamVibeError
from functions.core.observability import begin, logger, record
from functions.maintenance.steps import STEPS

settings.require(
    settings.SUPABASE_URL,
    settings.SUPABASE_SECRET_KEY,
    settings.STRIPE_SECRET_KEY,
    *settings.PLATFORM_CREDENTIALS,
)

MARGIN_SECONDS = 20.0
SECONDS_WITHOUT_CONTEXT = 240.0  # called by hand


class MaintenanceError(StreamVibeError):
    code = "maintenance_failed"
    title = "Some steps of the maintenance round failed"


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """One round; what each step did."""
    begin(context)
    deadline = invocation.deadline(context, SECONDS_WITHOUT_CONTEXT, MARGIN_SECONDS)
    done: dict[str, Any] = {}
    failed = []
    for name, step in STEPS.items():
        try:
            done[name] = step(deadline)
        except Exception as error:  # noqa: BLE001 - the other steps must have their turn
            code = error.problem_code if isinstance(error, StreamVibeError) else type(error).__name__
            logger.error("maintenance step failed", extra={"step": name, "code": code})
            failed.append(name)
    logger.info("maintenance round", extra={"done": done, "failed": failed})
    if reaped := done.get("charges_reaped"):
        record("ChargesReaped", reaped)
    if failed:
        raise MaintenanceError(f"These steps of the maintenance round failed: {', '.join(failed)}.")
    return done
