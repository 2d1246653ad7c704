"""The scheduled round of housekeeping: each domain's steps, one after the other.

Every step takes bounded batches that it claims in the database, so rounds may overlap and stop anywhere. A step that
fails does not keep the others from their turn; the round fails at its end, for the alarm to see.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from functions.core import invocation, settings
from functions.core.errors import StreamVibeError
from functions.core.observability import begin, logger, record
from functions.database import connections, departures, metrics, notices, quotas, submissions, sync, system
from functions.maintenance import billing
from functions.oauth import departure
from functions.oauth import service as oauth
from functions.sync import tokens

settings.require(
    settings.SUPABASE_URL,
    settings.SUPABASE_SECRET_KEY,
    settings.STRIPE_SECRET_KEY,
    *settings.PLATFORM_CREDENTIALS,
)

MARGIN_SECONDS = 20.0
SECONDS_WITHOUT_CONTEXT = 240.0  # called by hand
BATCH = 1000

Step = Callable[[float], object]


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


def _record_metrics(deadline: float) -> int:
    """What SQL functions of many domains did: charges, refunds, runs that ended. How many metrics were recorded."""
    counted = metrics.count()
    for part in counted["quota"]:
        if part["operation"] == "increment":
            record("Charges", part["units"], quota_type=part["quota_type"])
        else:
            record("Refunds", part["units"], quota_type=part["quota_type"])
    for part in counted["sync_runs"]:
        record("SyncRuns", part["runs"], platform=part["platform"], outcome=part["outcome"])
    return len(counted["quota"]) + len(counted["sync_runs"])


def _until_empty(purge: Callable[[int], int]) -> Step:
    """Repeats a bounded purge until it finds less than it might take."""

    def step(deadline: float) -> int:
        total = 0
        while time.monotonic() < deadline:
            count = purge(BATCH)
            total += count
            if count < BATCH:
                break
        return total

    return step


STEPS: dict[str, Step] = {
    "charges_reaped": lambda _: quotas.reap(),
    "cycles_rolled": _until_empty(quotas.roll_cycles),
    "tokens_refreshed": lambda _: tokens.refresh_ahead(),
    "grants_given_back": lambda _: oauth.retry_revocations(),
    "accounts_deleted": lambda _: departure.resume_account_deletions(),
    "billing": billing.run,
    "stale_items": _until_empty(departures.purge_stale_content),
    "oauth_states": lambda _: connections.purge_oauth_states(),
    "sync_runs": lambda _: sync.purge(),
    "submission_records": lambda _: submissions.purge(),
    "emails": _until_empty(notices.purge_emails),
    "expired_rows": _until_empty(system.purge_expired),
    "metrics_recorded": _record_metrics,
}
