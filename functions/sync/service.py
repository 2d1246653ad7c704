"""Starting runs: by their owner, and when they are due."""

from __future__ import annotations

import time
from typing import Any

from functions.core import queues, settings
from functions.core.errors import QuotaExceededError
from functions.core.observability import logger
from functions.database import sync


def start(user_id: str, social_account_id: str, idempotency_key: str | None) -> dict[str, Any]:
    """Start a run: `{run_id}`. The active one if there is one, uncharged.

    Raises NotFoundError, ConflictError, QuotaExceededError.
    """
    started = sync.start(user_id, social_account_id, idempotency_key)
    if started["run_id"] is None:
        raise QuotaExceededError(**started["quota"])
    logger.info("run wanted", extra={"run_id": started["run_id"], "is_new": started["created"]})
    if started["created"]:
        # The run is committed. If this message is not taken, the dispatcher sends another one.
        queues.send(settings.SYNC_QUEUE_URL.value(), [{"run_id": started["run_id"]}])
    return {"run_id": started["run_id"]}


def dispatch(deadline: float) -> int:
    """Send due runs to the queue, ten at a time, until none is left or `deadline` (time.monotonic()); how many.

    Each ten are claimed in one transaction before they are sent; what is not sent then comes up again by itself.
    """
    sent = 0
    more = True
    while more and time.monotonic() < deadline:
        run_ids, more = sync.due(queues.MESSAGES_PER_CALL)
        taken = queues.send(settings.SYNC_QUEUE_URL.value(), [{"run_id": run_id} for run_id in run_ids])
        if taken < len(run_ids):
            break  # the queue has trouble: claiming more would only make more runs wait
        sent += taken
    return sent
