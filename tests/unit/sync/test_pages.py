"""Pages of a run in a row."""

from __future__ import annotations

from functions.connectors.spec import Page
from functions.sync.worker import without_circles


def test_a_listing_that_goes_round_ends() -> None:
    listing = {None: "a", "a": "b", "b": "c", "c": "a"}
    cursor: str | None = None
    seen: set[str | None] = {cursor}
    pages: list[Page] = []
    while not pages or cursor is not None:
        pages.append(without_circles(Page((), listing[cursor]), seen))
        cursor = pages[-1].cursor
    assert [page.cursor for page in pages] == ["a", "b", "c", None]
    assert [page.warning for page in pages] == [None, None, None, "listing_goes_round"]


def test_the_last_page_and_its_warning_stay_as_they_are() -> None:
    assert without_circles(Page(()), {None, "a"}) == Page(())
    assert without_circles(Page((), "a", "missing_scope"), {"a"}) == Page((), None, "missing_scope")
