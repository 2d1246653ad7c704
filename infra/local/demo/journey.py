"""The chapters of the journey. Each does one thing as the creator, checks what came of it, and tells it in a line."""

from __future__ import annotations

import re
from typing import Any, cast

import httpx
from postgrest import CountMethod
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra.local.demo.creator import Creator, JourneyError

RUN_IS_OVER = ("succeeded", "partial", "failed", "canceled")
ROWS_SHOWN = 5


class Journey:
    """A creator, a stranger who must see nothing, and the console that the story is told on."""

    def __init__(self, creator: Creator, stranger: Creator, console: Console) -> None:
        self.creator = creator
        self.stranger = stranger
        self.console = console

    def tell(self, text: str) -> None:
        self.console.print(f"[green]✓[/green] {text}")

    def sign_up(self) -> None:
        email = self.creator.sign_up()
        self.stranger.sign_up()
        (plan,) = self.creator.rows("subscription", "subscription_tier(display_name)")
        self.tell(f"{email} signed up, on the plan {plan['subscription_tier']['display_name']}")

    def connect(self, platform: str) -> dict[str, Any]:
        accounts = self.creator.connect(platform)
        names = ", ".join(account["account_name"] for account in accounts)
        self.tell(f"connected {platform}: {names}")
        return accounts[0]

    def sync(self, account: dict[str, Any]) -> int:
        """Sync an account and show its progress; returns how many items there are now."""
        run_id = self.creator.call("/sync", {"social_account_id": account["id"]})["run_id"]
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(f"Syncing {account['account_name']}", total=None)
            for run in self.creator.watch("sync_run", run_id, lambda run: run["status"] in RUN_IS_OVER):
                progress.update(task, completed=run["items_seen"], total=run["total_estimate"])
        if run["status"] != "succeeded":
            raise JourneyError(f"The sync ended as {run['status']}: {run['error_message']}")
        self.tell(f"synced {account['account_name']}: {run['items_created']} items in {run['pages_done']} pages")
        return int(run["items_created"])

    def show_content(self, account: dict[str, Any], expected: int) -> list[dict[str, Any]]:
        """The creator's most watched items, read through the data API; the stranger's view of them must be empty."""
        columns = "id, title, description, tags, views_count, likes_count, published_at, content_type(display_name)"
        query = self.creator.supabase.table("content_item").select(columns, count=CountMethod.exact)
        answer = (
            query.eq("social_account_id", account["id"]).order("views_count", desc=True).limit(ROWS_SHOWN).execute()
        )
        if answer.count != expected:
            raise JourneyError(f"{expected} items were synced, {answer.count} can be read.")
        rows = cast("list[dict[str, Any]]", answer.data)
        table = Table("title", "type", "views", "likes", "published", title=f"Most watched of {answer.count}")
        for row in rows:
            table.add_row(
                row["title"],
                row["content_type"]["display_name"],
                _number(row["views_count"]),
                _number(row["likes_count"]),
                row["published_at"][:10],
            )
        self.console.print(table)
        if self.stranger.rows("content_item", "id", social_account_id=account["id"]):
            raise JourneyError("A stranger can read the creator's items.")
        self.tell("a stranger, signed in just like the creator, sees none of them")
        return rows

    def edit(self, item: dict[str, Any]) -> None:
        title = f"{item['title']} (new cut)"
        self.creator.supabase.table("content_item").update({"title": title}).eq("id", item["id"]).execute()
        (revision,) = self.creator.rows("content_revision", content_item_id=item["id"])
        if (revision["old_value"], revision["new_value"]) != (item["title"], title):
            raise JourneyError("The revision does not hold what was changed.")
        self.tell(f"edited a title; the {revision['change_source']} revision keeps the old one")

    def search(self, item: dict[str, Any]) -> None:
        word = max(re.findall(r"\w+", item["title"]), key=len)
        hits = self.creator.rpc("search_content", query=word)
        if item["id"] not in [hit["id"] for hit in hits]:
            raise JourneyError(f"Searching for {word!r} does not find {item['title']!r}.")
        self.tell(f"searched for “{word}”: {len(hits)} found, first “{_bold(hits[0]['highlight'])}”")

    def run_out_of_analyses(self, account: dict[str, Any]) -> dict[str, Any]:
        """Analyse until the plan's quota is used up; returns the item that was refused."""
        items = self.creator.rows("content_item", "id", social_account_id=account["id"])
        for done, item in enumerate(items):
            answer = self.creator.post("/analyze", {"content_item_id": item["id"]})
            if answer.status_code == httpx.codes.PAYMENT_REQUIRED:
                problem = answer.json()
                used = f"{problem['used']} of {problem['max']}"
                self.tell(f"{done} analyses later the quota is used up: 402 {problem['code']}, {used}")
                return item
            if not answer.is_success:
                raise JourneyError(f"POST /analyze answered {answer.status_code}: {answer.text[:300]}")
        raise JourneyError("The free plan never ran out of analyses.")

    def upgrade(self, refused: dict[str, Any]) -> None:
        """Buy premium, wait for Stripe's webhook, and see the refused analysis allowed."""
        self.creator.pay(self.creator.call("/billing/checkout", {"tier": "premium"})["url"])
        (subscription,) = self.creator.rows("subscription", "id")
        with self.console.status("Paid; waiting for Stripe's webhook ..."):
            columns = "id, subscription_tier(slug)"
            for _ in self.creator.watch(
                "subscription", subscription["id"], lambda row: row["subscription_tier"]["slug"] == "premium", columns
            ):
                pass
        self.creator.call("/analyze", {"content_item_id": refused["id"]})
        self.tell("paid at Stripe's checkout; its webhook made the plan premium, and the refused analysis is allowed")

    def quota(self) -> None:
        self.console.print(_quota_table(self.creator.rpc("my_quota")))


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _bold(html: str) -> str:
    return html.replace("<mark>", "[bold]").replace("</mark>", "[/bold]")


def _quota_table(quota: list[dict[str, Any]]) -> Table:
    table = Table("quota", "used", "of", title="Used in this cycle")
    for row in quota:
        table.add_row(row["quota_type"], str(row["used"]), "unlimited" if row["max"] is None else str(row["max"]))
    return table
