"""The analysis domain of the database (sql/…011000_analysis.sql): runs and their charges, suggestions, trends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functions.database.client import rpc

Row = dict[str, Any]


def begin_analysis(
    user_id: str,
    content_item_id: str,
    *,
    idempotency_key: str | None,
    provider: str | None,
    model: str | None,
    force: bool,
    providers: Sequence[str],
) -> Row:
    """Reserve an analysis of a user's own item.

    `{state: started, run_id, attempt, user_id, provider, base_url, model, is_builtin, facts,
    cents_per_1k_tokens}` (charged; the prices are [input, output], each may be None),
    `{state: done | unchanged, suggestion, platform}` (not charged), `{state: running}` or `{state: refused, quota}`.
    `providers` are those that are set up. Raises NotFoundError, ConflictError, ForbiddenError or InvalidRequestError.
    """
    answer: Row = rpc(
        "begin_analysis",
        user_id=user_id,
        content_item_id=content_item_id,
        idempotency_key=idempotency_key,
        provider=provider,
        model=model,
        force=force,
        providers=list(providers),
    )
    return answer


def begin_queued_analysis(run_id: str, providers: Sequence[str]) -> Row:
    """As `begin_analysis`, for a run that the queue delivered; `{state: over}` where nothing is left to do."""
    answer: Row = rpc("begin_queued_analysis", run_id=run_id, providers=list(providers))
    return answer


def finish_analysis(user_id: str, run_id: str, attempt: int, suggestion: Row, usage: Row) -> Row:
    """Store the suggestion and settle the charge: `{state: stored | done | superseded | gone | refused, ...}`."""
    answer: Row = rpc(
        "finish_analysis", user_id=user_id, run_id=run_id, attempt=attempt, suggestion=suggestion, usage=usage
    )
    return answer


def fail_analysis(user_id: str, run_id: str, attempt: int, code: str, usage: Row, *, will_retry: bool) -> bool:
    """Give the charge back. False if somebody else has taken the run up, or finished it."""
    return bool(
        rpc(
            "fail_analysis",
            user_id=user_id,
            run_id=run_id,
            attempt=attempt,
            code=code,
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
            will_retry=will_retry,
        )
    )


def plan_analyses(most: int, user_id: str | None = None) -> list[str]:
    """Queue automatic analyses, newest items first; the runs to send."""
    return [str(run_id) for run_id in rpc("plan_analyses", user_id=user_id, most=most)]


def refresh_trends(scores_off: Sequence[str]) -> int:
    """Look for rising terms in the content, unless that was just done; how many were found."""
    return int(rpc("refresh_trends", force=False, scores_off=list(scores_off)))


def import_trends(source: str, trends: Sequence[Row]) -> int:
    """Replace the trends of an outside source; how many were taken."""
    return int(rpc("import_trends", source=source, trends=list(trends)))


def hide_scores(platforms: Sequence[str]) -> int:
    """Remove derived scores that were stored before they were switched off; of how many suggestions."""
    return int(rpc("hide_scores", platforms=list(platforms)))
