"""Paired measurements. Baseline and candidate alternate, and the median of the pairs' ratios is the result.

A ratio survives what a time does not: another machine, a busy neighbour, a cold cache.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

Step = Callable[[], object]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ratio:
    """One result. `ratio` is candidate over baseline (of times), or the other way round for rates; `goal` as text."""

    name: str
    ratio: float
    goal: str
    baseline: str
    note: str = ""

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def time_ratio(
    candidate: Step,
    baseline: Step,
    *,
    pairs: int = 21,
    repeat: int = 1,
    at_least_seconds: float = 0.0,
    warm_up: int = 2,
) -> float:
    """Median of the ratios of the times that `repeat` calls of each take; the order within a pair alternates.

    There are `pairs` of them, and as many more as fit into `at_least_seconds`. Pairs of something short need that: a
    few are over within a moment, and one burst of a neighbour's work falls on half of them. Many short steps are better
    than fewer long ones: most of them are not interrupted at all.
    """
    for _ in range(warm_up):
        baseline()
        candidate()
    ratios: list[float] = []
    end = time.perf_counter() + at_least_seconds
    while len(ratios) < pairs or time.perf_counter() < end:
        swapped = len(ratios) % 2
        first, second = (baseline, candidate) if swapped else (candidate, baseline)
        one, two = _seconds(first, repeat), _seconds(second, repeat)
        ratios.append(two / one if swapped else one / two)
    return statistics.median(ratios)


def _seconds(step: Step, repeat: int) -> float:
    start = time.perf_counter()
    for _ in range(repeat):
        step()
    return time.perf_counter() - start
