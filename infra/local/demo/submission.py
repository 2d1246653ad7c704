"""The journey's chapter on search engines: a page submitted, and watched until Google has indexed it.

The operator's part: the simulated engines' clock is moved on by the hour, what waits for its time is made due, and the
poll that runs every minute is called at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import psycopg
from rich.table import Table

from infra.local.demo.creator import JourneyError
from infra.local.demo.journey import Journey
from infra.local.upstream.seed import CREATOR_HOST, INDEXNOW_KEY

SITE = f"https://{CREATOR_HOST}/"
PAGE = (
    f"{SITE}videos/5"  # the recording of a live stream, which Google takes; of other pages it says what to do instead
)
HOURS_WATCHED = 3
TIMEOUT_SECONDS = 60.0


def submit(journey: Journey, item: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Connect four engines, submit the item's page to all of them, and watch what becomes of it."""
    creator = journey.creator
    with httpx.Client(timeout=TIMEOUT_SECONDS) as operator, psycopg.connect(environment["DATABASE_URL"]) as database:
        simulators = f"{environment['UPSTREAM_URL']}/_sim"
        key_file = operator.post(f"{simulators}/search_google/service_accounts", json={}).json()
        for engine, credentials in (
            ("google", key_file),
            ("bing", {"api_key": "a-key-of-bing-webmaster-tools"}),
            ("yandex", {"access_token": "a-token-of-yandex-webmaster"}),
            ("indexnow", {"key": INDEXNOW_KEY}),
        ):
            creator.rpc("connect_search_engine", engine=engine, site_url=SITE, credentials=credentials)
        answer = creator.call("/seo/submit", {"content_item_id": item["id"], "url": PAGE})
        submissions = answer["submissions"]
        if {one["status"] for one in submissions} != {"submitted"}:
            raise JourneyError(f"The page was not submitted everywhere: {submissions}")
        journey.tell(f"connected four search engines and submitted {PAGE} to each; each is charged for itself")

        table = Table("after", *(one["search_engine"] for one in submissions), title="What the engines say")
        for hour in range(HOURS_WATCHED):
            if hour:
                operator.post(f"{simulators}/clock", json={"advance_seconds": 3600})
            database.execute("update seo_submission set next_retry_at = now() where next_retry_at is not null")
            database.commit()
            operator.post(f"{environment['FUNCTIONS_URL']}/_local/invoke/seo_poll", json={}).raise_for_status()
            rows = {row["id"]: row for row in creator.rows("seo_submission", content_item_id=item["id"])}
            table.add_row(f"{hour} h", *(_said(rows[one["id"]]) for one in submissions))
        journey.console.print(table)
    if "indexed" not in {row["status"] for row in rows.values()}:
        raise JourneyError("No engine has indexed the page.")
    (notice,) = creator.rows("notification", "title", type="seo_indexed")
    journey.tell(f"“{notice['title']}”, says the notification; the others never claim more than they know")


def _said(row: dict[str, Any]) -> str:
    coverage = f"\n[dim]{row['coverage_state']}[/dim]" if row["coverage_state"] else ""
    return f"[bold]{row['status']}[/bold]{coverage}"
