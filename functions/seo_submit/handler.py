"""The Lambda entry points: `api` (POST /seo/submit), `work` (the seo queue), `poll` (the schedule).

`work` and `poll` run at all hours and start without a web framework; `api` imports its own when it is first called.
"""

from __future__ import annotations

import time
from typing import Any

from functions.core import invocation, queues, settings
from functions.core.loading import without_collector
from functions.core.observability import begin, logger
from functions.seo_submit import poll as polling
from functions.seo_submit import service

SECONDS_WITHOUT_CONTEXT = 300.0

settings.require(settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY, settings.SEO_QUEUE_URL)


def api(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """An API Gateway HTTP API event (payload format 2.0) to its answer."""
    with without_collector():
        from functions.seo_submit.routes import handle

    return handle(event, context)


def work(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """An SQS batch of {content_item_id, connection_id}; answers the messages to deliver again."""
    return queues.work_through(event, context, service.submit_automatically)


def poll(event: dict[str, Any], context: Any) -> dict[str, int]:
    """A scheduled event; answers what was done."""
    del event
    begin(context)
    end_at = invocation.ends_at(context, SECONDS_WITHOUT_CONTEXT)
    done = polling.poll(lambda: end_at - time.monotonic())
    logger.info("polled", extra=done)
    return done
