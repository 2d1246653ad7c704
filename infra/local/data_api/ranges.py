"""Ranges of rows, from limit/offset and from the Range header.

https://docs.postgrest.org/en/v14/references/api/pagination_count.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """Rows `lower` to `upper`, both inclusive, counted from 0; without an upper bound, all the rest."""

    lower: int
    upper: int | None

    @property
    def limit(self) -> int | None:
        return None if self.upper is None else self.upper - self.lower + 1

    @property
    def is_empty(self) -> bool:
        return self.upper is not None and self.upper < self.lower

    @property
    def is_limit_zero(self) -> bool:
        """`limit=0` is the one empty range that may be asked for."""
        return self.upper == -1

    def restricted(self, limit: int | None) -> Range:
        """At most `limit` rows of it."""
        if limit is None:
            return self
        upper = self.lower + limit - 1
        return Range(self.lower, upper if self.upper is None else min(self.upper, upper))

    def intersected(self, other: Range) -> Range:
        lower = max(self.lower, other.lower)
        uppers = [bound for bound in (self.upper, other.upper) if bound is not None]
        return Range(lower, min(uppers) if uppers else None)


ALL = Range(0, None)
LIMIT_ZERO = Range(0, -1)


def parse_range_header(value: str | None) -> Range:
    """`Range: 0-9`; anything that does not look like it asks for all rows."""
    match = re.fullmatch(r"([0-9]+)-([0-9]*)", value or "")
    if not match:
        return ALL
    lower, upper = match.groups()
    return Range(int(lower), int(upper) if upper else None)


def content_range(lower: int, upper: int, total: int | None) -> str:
    """The Content-Range header's value: `0-9/20`, `*/0`, `0-9/*`."""
    shown = f"{lower}-{upper}" if total != 0 and lower <= upper else "*"
    return f"{shown}/{'*' if total is None else total}"
