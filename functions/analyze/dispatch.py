"""What keeps the automatic part of analysis going: due items to the queue, trends up to date, scores hidden."""

from __future__ import annotations

from functions.analyze import trends
from functions.core import queues, settings
from functions.database import analysis

DISPATCH_SIZE = 100


def run() -> dict[str, int]:
    """Do all of it once; counts of each."""
    scores_off = settings.DERIVED_SCORES_OFF.value()
    hidden = analysis.hide_scores(scores_off) if scores_off else 0
    found = trends.refresh(scores_off)
    runs = analysis.plan_analyses(DISPATCH_SIZE)
    # A message that is not taken, or lost, is sent again by a later dispatch: the run's row says when it was queued.
    queues.send(settings.ANALYZE_QUEUE_URL.value(), [{"run_id": run_id} for run_id in runs])
    return {"queued": len(runs), "trends": found, "hidden": hidden}
