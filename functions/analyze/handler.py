"""The Lambda entries of analysis: the API, the queue's worker, and the schedule that feeds the queue.

Each imports what it needs when it is first called, so that the schedule does not load FastAPI.
"""

from __future__ import annotations

from typing import Any

from functions.core import queues, settings
from functions.core.loading import without_collector
from functions.core.observability import begin, logger

settings.require(settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY, settings.ANALYZE_QUEUE_URL)
# They may be empty; where SSM should hold them, this says at start which one is not there.
settings.require(*settings.AI_KEYS)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """POST /analyze."""
    with without_collector():
        from functions.analyze.api import handle

    return handle(event, context)


def worker(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Messages `{"run_id"}` of the analyze queue."""

    def run(body: dict[str, Any]) -> None:
        from functions.analyze import service

        service.run_queued(str(body.get("run_id")))

    return queues.work_through(event, context, run)


def dispatch(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Every few minutes: automatic analyses that are due to the queue, trends brought up to date."""
    from functions.analyze import dispatch

    begin(context)
    done = dispatch.run()
    logger.info("dispatched", extra=done)
    return done
