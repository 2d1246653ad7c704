"""Trends: found in the creators' own content by SQL, and read from an operator's feed if there is one.

A feed is JSON, `{"trends": [{"keyword", "platform"?, "category"?, "score"?, "search_volume"?, "competition_level"?,
"region"?, "language"?}]}`; scores are 0 to 100, `platform` a slug. Another source is one more function in `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from functions.connectors.client import Request, send
from functions.core import settings
from functions.core.errors import StreamVibeError, UpstreamError
from functions.core.observability import logger
from functions.database import analysis

MAX_TRENDS = 500
FEED_SECONDS = 10.0
MAX_FEED_BYTES = 1024 * 1024
_TEXTS = ("keyword", "platform", "category", "competition_level", "region", "language")


def read_feed() -> list[dict[str, Any]] | None:
    """The operator's feed; None if there is none. Raises UpstreamError if it is no feed."""
    url = settings.TREND_FEED_URL.value()
    if not url:
        return None
    answer = send(Request("GET", url), service="Trend feed", deadline_seconds=FEED_SECONDS, max_bytes=MAX_FEED_BYTES)
    listed = answer.json_object().get("trends")
    if not isinstance(listed, list):
        # A page of maintenance is no empty list: what was read before stays.
        raise UpstreamError("The trend feed has no list of trends.", service="Trend feed")
    return [_checked(one) for one in listed if isinstance(one, dict)][:MAX_TRENDS]


def _checked(one: Mapping[str, Any]) -> dict[str, Any]:
    """A trend with texts as texts and numbers as numbers; anything else is left out."""
    texts = {name: _storable(one[name]) for name in _TEXTS if isinstance(one.get(name), str)}
    score, volume = one.get("score"), one.get("search_volume")
    return {
        **texts,
        "score": score
        if isinstance(score, (int, float)) and not isinstance(score, bool) and 0 <= score <= 100
        else None,
        "search_volume": volume if type(volume) is int and 0 <= volume < 2**31 else None,
    }


def _storable(text: str) -> str:
    """Without what no text column takes, so that one bad entry does not cost all others."""
    return text.encode(errors="replace").decode().replace("\x00", "")


SOURCES: Mapping[str, Callable[[], list[dict[str, Any]] | None]] = MappingProxyType({"feed": read_feed})


def refresh(scores_off: Sequence[str]) -> int:
    """Bring all trends up to date; how many there are new. A source that fails keeps its old ones."""
    count = analysis.refresh_trends(scores_off)
    if not count:
        return 0
    for name, read in SOURCES.items():
        try:
            listed = read()
            count += analysis.import_trends(name, listed) if listed is not None else 0
        except StreamVibeError as error:
            logger.warning("trend source failed", extra={"source": name, "code": error.problem_code})
    return count
