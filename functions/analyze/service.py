"""Analysis: reserve, work, settle; by request and by queue.

The charge is reserved before and made final together with the suggestion, in one transaction each. Whatever goes wrong
in between gives it back; if this process dies, the lease of the run ends, and the next call with the same key (or the
next dispatch, or the reaper) does so.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from functions.analyze import analyst
from functions.core import settings
from functions.core.errors import ConflictError, GoneError, QuotaExceededError, StreamVibeError
from functions.core.observability import logger, record
from functions.database import analysis

REQUEST_SECONDS = 24.0  # the gateway hangs up at 30, the contract says 25
QUEUED_SECONDS = 45.0  # below the lease of a run
STORING_SECONDS = 3.0
WAITING_SECONDS = 0.5
SCORES = ("trending_score", "seo_score", "readability_score", "confidence_score", "score_details")


class AnalysisRunningError(ConflictError):
    """Somebody else analyses this item, or this very call was made before; its result can be had soon."""

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": "2"}


@dataclass(frozen=True, slots=True)
class Result:
    """The suggestion's row, and whether it was made (or was made before) for this very call."""

    suggestion: dict[str, Any]
    is_new: bool


def analyse(
    user_id: str,
    content_item_id: str,
    *,
    provider: str | None = None,
    model: str | None = None,
    force: bool = False,
    idempotency_key: str | None = None,
) -> Result:
    """Analyse an item of `user_id`. A call that finds its result being made waits for it.

    Raises QuotaExceededError, NotFoundError, ConflictError (key used otherwise, still running), ForbiddenError (plan),
    InvalidRequestError (unknown provider or model) or UpstreamError (the charge has been given back).
    """
    deadline = time.monotonic() + REQUEST_SECONDS
    while True:
        begun = analysis.begin_analysis(
            user_id,
            content_item_id,
            idempotency_key=idempotency_key,
            provider=provider,
            model=model,
            force=force,
            providers=analyst.providers_set_up(),
        )
        if begun["state"] == "started":
            return Result(_work(begun, deadline, is_queued=False), is_new=True)
        if begun["state"] in ("done", "unchanged"):
            return Result(_shown(begun), is_new=begun["state"] == "done")
        if begun["state"] == "refused":
            raise QuotaExceededError("The plan's analyses of this cycle are used up.", **begun["quota"])
        if deadline - time.monotonic() < WAITING_SECONDS + STORING_SECONDS:
            raise AnalysisRunningError(
                "This item is being analysed; repeat the call in a moment.", code="analysis_running"
            )
        time.sleep(WAITING_SECONDS)


def run_queued(run_id: str) -> None:
    """Do the automatic analysis that a message names. Raises what the queue should deliver again for."""
    logger.thread_safe_append_keys(run_id=run_id)
    begun = analysis.begin_queued_analysis(run_id, analyst.providers_set_up())
    if begun["state"] != "started":
        logger.info("nothing to analyse", extra={"state": begun["state"]})
        return
    try:
        _work(begun, time.monotonic() + QUEUED_SECONDS, is_queued=True)
    except StreamVibeError as error:
        logger.warning("automatic analysis failed", extra={"code": error.problem_code})
        if error.retryable:
            raise


def _work(begun: dict[str, Any], deadline: float, *, is_queued: bool) -> dict[str, Any]:
    """From a reserved charge to a stored suggestion, or to a refund."""
    user_id, run_id, attempt = begun["user_id"], begun["run_id"], begun["attempt"]
    usage = analyst.Usage()
    logger.thread_safe_append_keys(run_id=run_id, user_id=user_id)
    try:
        try:
            suggestion = analyst.suggest(begun, usage, deadline - STORING_SECONDS)
        finally:
            # A failed analysis is paid for like any other.
            record("AICostCents", usage.cost_cents(begun["cents_per_1k_tokens"]))
        finished = analysis.finish_analysis(user_id, run_id, attempt, suggestion, usage.as_row())
    except Exception as error:
        code = error.problem_code if isinstance(error, StreamVibeError) else StreamVibeError.code
        will_retry = is_queued and isinstance(error, StreamVibeError) and error.retryable
        _give_back(begun, code, usage, will_retry=will_retry)
        record("Analyses", outcome="failed")
        raise
    if finished["state"] == "stored":
        record("Analyses", outcome="stored")
    if finished["state"] in ("stored", "done"):
        return _shown(finished)
    if finished["state"] == "refused":
        raise QuotaExceededError("The plan's analyses of this cycle are used up.", **finished["quota"])
    if finished["state"] == "gone":
        raise GoneError("The item was deleted while it was analysed.", code="content_item_gone")
    raise AnalysisRunningError("This item is being analysed; repeat the call in a moment.", code="analysis_running")


def _give_back(begun: dict[str, Any], code: str, usage: analyst.Usage, *, will_retry: bool) -> None:
    """Refund. If the database cannot be reached the run's lease sees to it; the first error is the one to tell."""
    try:
        analysis.fail_analysis(
            begun["user_id"], begun["run_id"], begun["attempt"], code, usage.as_row(), will_retry=will_retry
        )
    except StreamVibeError as error:
        logger.warning("refund left to the lease", extra={"code": error.problem_code})


def _shown(answer: dict[str, Any]) -> dict[str, Any]:
    """The suggestion's row, without scores where the platform's terms forbid them."""
    suggestion: dict[str, Any] = answer["suggestion"]
    if answer["platform"] in settings.DERIVED_SCORES_OFF.value():
        return {**suggestion, **dict.fromkeys(SCORES)}
    return suggestion
