"""What a round of housekeeping does: each domain's steps, in their order.

Every step takes bounded batches that it claims in the database, so rounds may overlap and stop anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from functions.core.observability import record
from functions.database import connections, departures, metrics, notices, quotas, submissions, sync, system
from functions.maintenance import billing
from functions.oauth import departure
from functions.oauth import service as oauth
from functions.sync import tokens

BATCH = 1000

Step = Callable[[float], object]
"""Called with the time (monotonic seconds) at which it should have ended; returns what it did, for the log."""


def _record_metrics() -> int:
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
    "metrics_recorded": lambda _: _record_metrics(),
}
