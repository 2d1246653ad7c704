"""The Prefer header.

https://docs.postgrest.org/en/v14/references/api/preferences.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_KNOWN = {
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "return": ("representation", "minimal", "headers-only"),
    "count": ("exact", "planned", "estimated"),
    "tx": ("commit", "rollback"),
    "handling": ("strict", "lenient"),
}


@dataclass(frozen=True, slots=True)
class Preferences:
    """The preferences that were understood, and those that were not."""

    resolution: str | None = None
    missing: str | None = None
    returned: str | None = None
    count: str | None = None
    tx: str | None = None
    handling: str | None = None
    timezone: str | None = None
    max_affected: int | None = None
    invalid: tuple[str, ...] = ()

    @property
    def is_strict(self) -> bool:
        return self.handling == "strict"

    @property
    def counts(self) -> bool:
        """Whether rows are counted, not only estimated by the planner."""
        return self.count in ("exact", "estimated")

    def applied(self, *names: str) -> str | None:
        """The Preference-Applied header's value for those of `names` that were given."""
        if self is _NONE:
            return None
        values = {
            "resolution": self.resolution,
            "missing": self.missing,
            "return": self.returned,
            "count": self.count,
            "tx": self.tx,
            "handling": self.handling,
            "timezone": self.timezone,
            "max-affected": str(self.max_affected) if self.is_strict and self.max_affected is not None else None,
        }
        shown = [f"{name}={value}" for name, value in values.items() if name in names and value is not None]
        return ", ".join(shown) or None


_NONE = Preferences()


def parse_preferences(header: str, timezones: frozenset[str], *, tx_allowed: bool) -> Preferences:
    """Read a Prefer header; of a preference given twice the first counts."""
    if not header:
        return _NONE
    found: dict[str, str] = {}
    invalid = []
    for item in (part.strip() for part in header.split(",")):
        name, _, value = item.partition("=")
        if (
            (name in _KNOWN and value in _KNOWN[name])
            or (name == "timezone" and value in timezones)
            or name == "max-affected"
        ):
            found.setdefault(name, value)
        else:
            invalid.append(item)
    max_affected = found.get("max-affected", "")
    return Preferences(
        resolution=found.get("resolution"),
        missing=found.get("missing"),
        returned=found.get("return"),
        count=found.get("count"),
        tx=found.get("tx") if tx_allowed else None,
        handling=found.get("handling"),
        timezone=found.get("timezone"),
        max_affected=int(max_affected) if re.fullmatch("-?[0-9]+", max_affected) else None,
        invalid=tuple(invalid),
    )
