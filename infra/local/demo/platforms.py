"""The other four platforms: connected one after the other, synced side by side."""

from __future__ import annotations

import time
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from infra.local.demo.creator import POLL_SECONDS, WAIT_SECONDS, JourneyError
from infra.local.demo.journey import RUN_IS_OVER, Journey

PLATFORMS = ("instagram", "tiktok", "facebook", "twitter")


def connect_the_rest(journey: Journey) -> None:
    """Connect the four, start all their syncs at once and show how they get on."""
    accounts = {platform: journey.connect(platform) for platform in PLATFORMS}
    runs = {
        str(journey.creator.call("/sync", {"social_account_id": account["id"]})["run_id"]): platform
        for platform, account in accounts.items()
    }
    ended = _watch(journey, runs)
    failed = [f"{runs[run['id']]} ({run['error_code']})" for run in ended if run["status"] != "succeeded"]
    if failed:
        raise JourneyError(f"These syncs did not succeed: {', '.join(failed)}.")
    total = sum(run["items_created"] for run in ended)
    journey.tell(f"synced {total} items of four more platforms, side by side")


def _watch(journey: Journey, runs: dict[str, str]) -> list[dict[str, Any]]:
    """Show the runs' progress until all have ended; their rows."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    end = time.monotonic() + WAIT_SECONDS
    with Progress(*columns, console=journey.console, transient=True) as progress:
        tasks = {run_id: progress.add_task(f"Syncing {platform}", total=None) for run_id, platform in runs.items()}
        while time.monotonic() < end:
            rows = [row for row in journey.creator.rows("sync_run") if row["id"] in tasks]
            for row in rows:
                is_over = row["status"] in RUN_IS_OVER
                total = row["items_seen"] if is_over else row["total_estimate"]
                progress.update(tasks[row["id"]], completed=row["items_seen"], total=total)
            if all(row["status"] in RUN_IS_OVER for row in rows):
                return rows
            time.sleep(POLL_SECONDS)
    raise JourneyError(f"The syncs did not end in {WAIT_SECONDS:.0f} s.")
