"""Nearest names for hints, ranked as the FuzzySet of PostgREST ranks them: by shared n-grams, then by edit distance."""

from __future__ import annotations

from collections import Counter
from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_GRAM_SIZES = (3, 2)
_REFINED = 50  # how many of the best by n-grams are ranked by edit distance


def nearest(names: Iterable[str], wanted: str, *, least: float = 0.33) -> str | None:
    """The name most like `wanted`, if it is at least this similar (0 to 1)."""
    ranked = ranking(names, wanted, least=least)
    return ranked[0][1] if ranked else None


def ranking(names: Iterable[str], wanted: str, *, least: float = 0.33) -> list[tuple[float, str]]:
    """(similarity, name), best first."""
    by_lower: dict[str, str] = {}
    for name in names:
        by_lower.setdefault(name.lower(), name)
    wanted = wanted.lower()
    if wanted in by_lower:
        return [(1.0, by_lower[wanted])]
    for size in _GRAM_SIZES:
        grams = _grams(wanted, size)
        scored = []
        for lower, name in by_lower.items():
            other = _grams(lower, size)
            shared = sum(count * other[gram] for gram, count in grams.items() if gram in other)
            if shared:
                scored.append((shared / (_norm(grams) * _norm(other)), lower, name))
        scored.sort(key=lambda item: item[0], reverse=True)
        found = [
            (1 - _distance(wanted, lower) / max(len(wanted), len(lower)), name) for _, lower, name in scored[:_REFINED]
        ]
        found = sorted((item for item in found if item[0] >= least), key=lambda item: item[0], reverse=True)
        if found:
            return found
    return []


def _grams(text: str, size: int) -> Counter[str]:
    padded = "-" + "".join(c for c in text if c.isalnum() or c.isspace() or c == ",") + "-"
    return Counter(padded[i : i + size] for i in range(len(padded) - size + 1))


def _norm(grams: Counter[str]) -> float:
    return sqrt(sum(count * count for count in grams.values()))


def _distance(one: str, other: str) -> int:
    """Levenshtein's distance."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]
