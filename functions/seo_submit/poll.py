"""What runs by the clock: retries, index checks, new credentials, hand-over to the seo queue.

It works in bounded batches until nothing is due or its time is up; whatever it leaves, the next one finds.
"""

from __future__ import annotations

from collections.abc import Callable

from functions.connectors import registry
from functions.connectors.spec import Site
from functions.core import queues, settings
from functions.core.errors import StreamVibeError
from functions.core.observability import logger
from functions.database import submissions
from functions.seo_submit import engines

VERIFICATIONS_PER_POLL = 50
HANDED_OVER_PER_POLL = 1000
RESERVE_SECONDS = 10.0  # kept for storing what the last batch brought


def poll(seconds_left: Callable[[], float]) -> dict[str, int]:
    """One round; how many submissions were looked at, credentials tried, items handed over."""

    def working_time() -> float:
        return seconds_left() - RESERVE_SECONDS

    return {
        "handed_over": _hand_over(),
        "verified": _verify(working_time),
        "polled": _poll_engines(working_time),
        "purged": submissions.purge(),
    }


def _poll_engines(seconds_left: Callable[[], float]) -> int:
    total = 0
    waiting = list(registry.search_engines())
    # In turns, so that an engine with a long queue does not keep the others waiting.
    while waiting and seconds_left() > engines.SECONDS_OF_A_CALL:
        for engine in tuple(waiting):
            try:
                claimed = engines.run(engine, seconds_left=seconds_left)
            except StreamVibeError as error:
                logger.error("engine could not be polled", extra={"engine": engine, "code": error.problem_code})
                claimed = 0
            total += claimed
            if not claimed:
                waiting.remove(engine)
    return total


def _verify(seconds_left: Callable[[], float]) -> int:
    tried = 0
    for connection in submissions.claim_verifications(VERIFICATIONS_PER_POLL):
        if seconds_left() < engines.SECONDS_OF_A_CALL:
            break  # those left are due again by their own waits
        site = Site(connection["site_url"], connection["credentials"] or {})
        outcome = engines.verify(connection["search_engine"], site)
        is_good = outcome.status == "submitted"
        submissions.complete_verification(
            connection["connection_id"],
            is_verified=is_good,
            error_message=None if is_good else outcome.message or "The search engine did not accept the credentials.",
        )
        tried += 1
    return tried


def _hand_over() -> int:
    due = submissions.dispatch_auto(HANDED_OVER_PER_POLL)
    if not due:
        return 0
    return queues.send(settings.SEO_QUEUE_URL.value(), due)
