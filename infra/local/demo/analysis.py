"""The journey's chapter on analysis: a suggestion beside the original, applied and taken back."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from infra.local.demo.creator import JourneyError
from infra.local.demo.journey import Journey

DESCRIPTION_CHARACTERS = 300


def analyse(journey: Journey, item: dict[str, Any]) -> None:
    """Analyse an item with the built-in analyser, look at it, apply its title, take that back."""
    creator = journey.creator
    suggestion = creator.call("/analyze", {"content_item_id": item["id"]})
    again = creator.post("/analyze", {"content_item_id": item["id"]})
    if (again.status_code, again.json()["id"]) != (200, suggestion["id"]):
        raise JourneyError(f"The unchanged item was analysed again: {again.status_code}")
    journey.console.print(_beside(item, suggestion))
    journey.tell(f"analysed in {suggestion['processing_time_ms']} ms without a network; asking again costs nothing")

    applied = creator.rpc("apply_suggestion", suggestion_id=suggestion["id"], fields=["title", "tags"])
    (row,) = creator.rows("content_item", "title, tags", id=item["id"])
    if row["title"] != suggestion["suggested_titles"][0]:
        raise JourneyError("The suggestion's title was not applied.")
    for revision in applied["revision_ids"]:
        creator.rpc("revert_revision", revision_id=revision)
    (row,) = creator.rows("content_item", "title, tags", id=item["id"])
    if (row["title"], row["tags"]) != (item["title"], item["tags"]):
        raise JourneyError("Reverting did not bring the original back.")
    journey.tell("applied its title and tags, then took both back: revisions keep every step")


def _beside(item: dict[str, Any], suggestion: dict[str, Any]) -> Table:
    current = suggestion["score_details"]["current"]
    titles = "\n".join(suggestion["suggested_titles"])
    table = Table("", "now", "suggested", title="Suggestion", show_lines=True)
    table.add_row("title", item["title"], titles)
    table.add_row("description", _short(item["description"]), _short(suggestion["suggested_description"]))
    table.add_row("tags", ", ".join(item["tags"]), ", ".join(suggestion["suggested_tags"]))
    table.add_row("hashtags", "", " ".join(suggestion["trending_hashtags"]))
    table.add_row("related topics", "", ", ".join(suggestion["related_topics"]))
    table.add_row("audience", "", ", ".join(suggestion["target_audience"]))
    table.add_row("SEO score", str(current["seo_score"]), str(suggestion["seo_score"]))
    table.add_row("readability", str(current["readability_score"]), str(suggestion["readability_score"]))
    return table


def _short(text: str | None) -> str:
    plain = text or ""
    return plain if len(plain) <= DESCRIPTION_CHARACTERS else f"{plain[:DESCRIPTION_CHARACTERS]} …"
