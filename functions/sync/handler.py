"""Sync: POST /sync, the queue's worker, the scheduled dispatcher.

Each is a Lambda function of its own. FastAPI is loaded by the first one only, when it is called.
"""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import UUID

from functions.core import invocation, settings
from functions.core.errors import StreamVibeError
from functions.core.loading import without_collector
from functions.core.observability import begin, logger
from functions.sync import service
from functions.sync import worker as run_worker

settings.require(
    settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY, settings.SYNC_QUEUE_URL, settings.ANALYZE_QUEUE_URL
)
settings.require(*settings.PLATFORM_CREDENTIALS, entry="worker")  # it renews tokens

DISPATCH_MARGIN_SECONDS = 15.0
SECONDS_WITHOUT_CONTEXT = 60.0  # called by hand


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """POST /sync."""
    with without_collector():
        from functions.sync.api import handle

    return handle(event, context)


def worker(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """An SQS batch of `{run_id}`; answers which messages should be delivered again."""
    end_at = invocation.ends_at(context, SECONDS_WITHOUT_CONTEXT)
    failures = []
    records = event["Records"]
    for number, record in enumerate(records):
        begin(context)  # for each message, so that none is logged under another one's run
        # What is left of the time is shared by the messages that are left.
        now = time.monotonic()
        available = run_worker.Time(now + (end_at - now) / (len(records) - number), end_at)
        try:
            run_id = str(UUID(json.loads(record["body"])["run_id"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            logger.error("message names no run", extra={"message_id": record["messageId"]})
            failures.append(record["messageId"])
            continue
        try:
            run_worker.work_on(run_id, available)
        except run_worker.NotDoneError:
            failures.append(record["messageId"])
        except StreamVibeError as error:
            # The database did not let it begin or end; the other messages have their turn all the same.
            logger.error(error.detail, extra={"code": error.problem_code, "message_id": record["messageId"]})
            failures.append(record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failures]}


def dispatch(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The schedule: send due runs to the queue."""
    begin(context)
    sent = service.dispatch(invocation.ends_at(context, SECONDS_WITHOUT_CONTEXT) - DISPATCH_MARGIN_SECONDS)
    logger.info("runs sent", extra={"count": sent})
    return {"sent": sent}
