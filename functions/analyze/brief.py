"""Everything that an analysis may know: the item, what else its account published, current trends, the user's wishes.

It is made from the answer of the SQL function `begin_analysis`, which reads rows of one user and public trends only:
what is not in the brief cannot leak.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from functions.analyze.text import words

DEFAULT_TONE = "professional"
MAX_DESCRIPTION_CHARACTERS = 10_000  # no platform takes more than half of it; what comes after is not read


@dataclass(frozen=True, slots=True)
class Item:
    """The content item as it is now. `platform` and `content_type` are slugs."""

    title: str
    description: str
    tags: tuple[str, ...]
    hashtags: tuple[str, ...]
    category: str | None
    language: str | None
    platform: str
    content_type: str
    duration_seconds: int | None = None

    @property
    def text(self) -> str:
        """Title and description, as a reader meets them."""
        return f"{self.title}\n\n{self.description}".strip()

    @property
    def labels(self) -> tuple[str, ...]:
        """Tags and hashtags, also those written in the text, each once, without '#'."""
        written = (*self.hashtags, *words.hashtags(self.text))
        return tuple(dict.fromkeys(label.lstrip("#") for label in (*self.tags, *written) if label.strip("# ")))


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another item of the same account. `performance` is its engagement as a multiple of the account's median."""

    title: str
    tags: tuple[str, ...]
    hashtags: tuple[str, ...]
    category: str | None
    performance: float


@dataclass(frozen=True, slots=True)
class Trend:
    """A row of `trending_keyword` that is valid for the item's platform and language; score 0..100."""

    keyword: str
    score: float
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Brief:
    """What an analyser works from. `language` is the one to write in (ISO 639-1), `tone` a word or two."""

    item: Item
    siblings: tuple[Sibling, ...] = ()
    trends: tuple[Trend, ...] = ()
    tone: str = DEFAULT_TONE
    wanted_language: str | None = None
    user_language: str | None = None
    item_language: str = field(default="", init=False)

    def __post_init__(self) -> None:
        hints = (self.item.language, self.user_language)
        object.__setattr__(self, "item_language", words.detect_language(self.item.text, hints))

    @property
    def language(self) -> str:
        """The language that suggestions are asked for in: the user's choice, else the item's own."""
        return words.primary_subtag(self.wanted_language) or self.item_language

    @property
    def successful_siblings(self) -> tuple[Sibling, ...]:
        """The siblings that did better than the account's median, best first; all of them if none is known to."""
        better = [sibling for sibling in self.siblings if sibling.performance > 1]
        return tuple(sorted(better, key=lambda sibling: -sibling.performance)) or self.siblings


def read(facts: Mapping[str, Any]) -> Brief:
    """The brief from `begin_analysis`'s JSON: {item, siblings, trends, tone, language, user_language}."""
    item = facts["item"]
    return Brief(
        item=Item(
            title=item.get("title") or "",
            description=(item.get("description") or "")[:MAX_DESCRIPTION_CHARACTERS],
            tags=tuple(item.get("tags") or ()),
            hashtags=tuple(item.get("hashtags") or ()),
            category=item.get("category"),
            language=item.get("language"),
            platform=item["platform"],
            content_type=item["content_type"],
            duration_seconds=item.get("duration_seconds"),
        ),
        siblings=tuple(
            Sibling(
                title=one.get("title") or "",
                tags=tuple(one.get("tags") or ()),
                hashtags=tuple(one.get("hashtags") or ()),
                category=one.get("category"),
                performance=float(one.get("performance") or 0),
            )
            for one in facts.get("siblings") or ()
        ),
        trends=tuple(
            Trend(one["keyword"], float(one.get("score") or 0), one.get("category"))
            for one in facts.get("trends") or ()
        ),
        tone=facts.get("tone") or DEFAULT_TONE,
        wanted_language=facts.get("language"),
        user_language=facts.get("user_language"),
    )
