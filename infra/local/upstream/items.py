"""Seeded catalogues: what an account has published, made on demand from a fixed seed and editable by tests.

Item `index` of an account is a pure function of (seed, index), 0 the newest, so that 20,000 items cost
nothing until they
are read; edits, deletions and additions are kept beside it. Every platform renders these neutral items in
its own words.
"""

from __future__ import annotations

import bisect
import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from infra.local.upstream.vocabulary import NICHES

# The newest seeded item of every catalogue is somewhat older than this.
ANCHOR = datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Mix:
    """The shares of an account's items: kinds by weight, and how often things are missing or not public."""

    kinds: Mapping[str, int]
    hidden_likes: float = 0.03
    hidden_comments: float = 0.05
    untagged: float = 0.1
    unlisted: float = 0.04
    private: float = 0.03
    durations: Mapping[str, tuple[int, int]] = field(
        default_factory=lambda: {
            "short": (9, 60),
            "reel": (7, 90),
            "video": (185, 2400),
            "live": (3600, 90_000),
        }
    )


@dataclass(frozen=True, slots=True)
class Item:
    """One published thing. Counts are None where the creator hides them; times are unix seconds."""

    index: int
    kind: str
    title: str
    description: str
    tags: tuple[str, ...]
    language: str
    category: str
    published_at: float
    updated_at: float
    duration_seconds: int
    width: int
    height: int
    views: int | None
    likes: int | None
    comments: int | None
    shares: int | None
    privacy: str = "public"
    parts: int = 1  # how many pictures a carousel has
    extra: Mapping[str, Any] = field(default_factory=dict)


EDITABLE = frozenset(f.name for f in fields(Item)) - {"index"}


class Catalogue:
    """The items of one account, newest first."""

    def __init__(self, seed: str, size: int, niche: str, mix: Mix, spacing_seconds: float) -> None:
        self.size = size
        self._seed = seed
        self._niche = NICHES[niche]
        self._mix = mix
        self._spacing = spacing_seconds
        self._edited: dict[int, Item] = {}
        self._added: dict[int, Item] = {}
        self._gone: set[int] = set()
        self._born: dict[int, float] = {}  # when an added item was published first, whatever edits say
        self._phase = zlib.crc32(seed.encode())
        self._live: list[int] | None = None
        self._selected: dict[str, list[int]] = {}

    def published_at(self, index: int) -> float:
        """When the item appeared: strictly falling with the index of seeded ones, whole seconds, never edited."""
        if index in self._born:
            return self._born[index]
        jitter = (index * 7919 + self._phase) % 1000 / 1000
        return float(int(ANCHOR - (index + 0.9 * jitter) * self._spacing))

    def live(self) -> list[int]:
        """Indexes of what is there, newest first. Shared, not to be changed."""
        if self._live is None:
            indexes = [index for index in range(self.size) if index not in self._gone]
            for index in sorted(self._added, reverse=True):
                if index not in self._gone:
                    when = -self.published_at(index)
                    place = bisect.bisect_left(indexes, when, key=lambda i: -self.published_at(i))
                    indexes.insert(place, index)
            self._live = indexes
        return self._live

    def exists(self, index: int) -> bool:
        return (0 <= index < self.size or index in self._added) and index not in self._gone

    def item(self, index: int) -> Item:
        """The item as it stands, edited or made; KeyError where it is gone or never was."""
        if not self.exists(index):
            raise KeyError(f"no item {index}")
        return self._edited.get(index) or self._added.get(index) or _seeded(self, index)

    def add(self, now: float, changes: Mapping[str, Any]) -> int:
        """Publishes a public item at `now` (or at changes['published_at']), no two in one second; returns its index,
        which is past all others.
        """
        index = self.size + len(self._added)
        born = float(int(changes.get("published_at", now)))
        while born in self._born.values():
            born -= 1
        made = replace(self.make(index), **{"privacy": "public", **_checked(changes)})
        self._born[index] = born
        self._added[index] = replace(made, published_at=born, updated_at=born)
        self._changed()
        return index

    def edit(self, index: int, now: float, changes: Mapping[str, Any]) -> None:
        changed = replace(self.item(index), **{"updated_at": float(int(now)), **_checked(changes)})
        (self._added if index in self._added else self._edited)[index] = changed
        self._selected.clear()

    def delete(self, index: int) -> None:
        self.item(index)
        self._gone.add(index)
        self._changed()

    def restore(self, index: int) -> None:
        self._gone.discard(index)
        self._changed()

    def select(self, name: str, predicate: Callable[[Item], bool]) -> list[int]:
        """Indexes of the live items that satisfy a predicate, newest first, remembered under `name` until the next
        change. The first call makes every item (40 microseconds each). Shared, not to be changed.
        """
        if name not in self._selected:
            self._selected[name] = [index for index in self.live() if predicate(self.item(index))]
        return self._selected[name]

    def public(self) -> list[int]:
        return self.select("public", lambda item: item.privacy == "public")

    def _changed(self) -> None:
        self._live = None
        self._selected.clear()

    def make(self, index: int) -> Item:
        """The item as seeded."""
        rng = random.Random(f"{self._seed}/{index}")  # noqa: S311 - a repeatable catalogue, no secret
        niche, mix = self._niche, self._mix
        kind = rng.choices(list(mix.kinds), weights=list(mix.kinds.values()))[0]
        subject, number = rng.choice(niche.subjects), rng.randint(3, 60)
        title = rng.choice(niche.angles).format(subject=subject, n=number)
        title = title[0].upper() + title[1:]
        hashtags = rng.sample(niche.hashtags, rng.randint(0, min(3, len(niche.hashtags))))
        lines = rng.sample(niche.sentences, rng.randint(1, len(niche.sentences)))
        description = "\n\n".join(line.format(subject=subject) for line in lines)
        if hashtags:
            description += "\n\n" + " ".join(f"#{tag}" for tag in hashtags)
        tags = () if rng.random() < mix.untagged else tuple(rng.sample(niche.tags, rng.randint(2, len(niche.tags))))
        low, high = mix.durations.get(kind, (0, 0))
        upright = kind in ("short", "reel", "story")
        width, height = (1080, 1920) if upright else (1920, 1080)
        views = int(rng.lognormvariate(8.5, 1.6)) + 12
        published = self.published_at(index)
        chance = rng.random()
        not_public = "private" if chance < mix.private else "unlisted"
        privacy = not_public if chance < mix.private + mix.unlisted else "public"
        return Item(
            index=index,
            kind=kind,
            title=title,
            description=description,
            tags=tags,
            language=niche.language,
            category=niche.category,
            published_at=published,
            updated_at=published + 3600,
            duration_seconds=rng.randint(low, high) if high else 0,
            width=width,
            height=height,
            views=views,
            likes=None if rng.random() < mix.hidden_likes else int(views * rng.uniform(0.01, 0.09)),
            comments=None if rng.random() < mix.hidden_comments else int(views * rng.uniform(0.0005, 0.01)),
            shares=int(views * rng.uniform(0, 0.02)),
            privacy=privacy,
            parts=rng.randint(2, 8) if kind == "carousel" else 1,
        )


@lru_cache(maxsize=2_000)
def _seeded(catalogue: Catalogue, index: int) -> Item:
    """Remembered, because a page is usually read more than once: in a listing, by ids, again after a failure."""
    return catalogue.make(index)


def _checked(changes: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(changes) - EDITABLE)
    if unknown:
        raise ValueError(f"an item has no fields {unknown}; it has {sorted(EDITABLE)}")
    checked = dict(changes)
    if "tags" in checked:
        checked["tags"] = tuple(checked["tags"])
    return checked
