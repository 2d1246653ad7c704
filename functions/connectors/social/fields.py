"""Reading values that platforms send: forgiving about what is absent, strict about what the database can hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from functions.core import letters

MAX_COUNT = 2_147_483_647  # columns are integers; some videos have more views than that
MAX_TEXT_CHARACTERS = 100_000  # far above every platform's limit, far below what a text search vector can hold
MAX_TITLE_CHARACTERS = 500
MAX_LIST_ENTRIES = 500

# Not inside a word, an address (/#top) or an HTML entity (&#39;).
_HASHTAG = re.compile(rf"(?<![\w/&])[#\uff03]({letters.TAG})")
_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?")


def text(value: Any, limit: int = MAX_TEXT_CHARACTERS) -> str | None:
    """Text without what Postgres cannot store (NUL, lone surrogates); None if absent or blank."""
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return None
    clean = str(value)[:limit].replace("\x00", "").encode("utf-8", "ignore").decode()
    return clean if clean.strip() else None


def texts(values: Any) -> tuple[str, ...] | None:
    """A list of texts without repetitions; None if absent."""
    if not isinstance(values, list):
        return None
    read = (text(value, MAX_TITLE_CHARACTERS) for value in values[:MAX_LIST_ENTRIES])
    return tuple(dict.fromkeys(value for value in read if value is not None))


def count(value: Any) -> int | None:
    """A counter, sent as a number or as digits. None if absent: a hidden counter is not zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return None
    return min(number, MAX_COUNT) if number >= 0 else None


def first_count(values: Mapping[str, Any], *names: str) -> int | None:
    """The first counter that is there, for fields that were renamed."""
    return next((found for name in names if (found := count(values.get(name))) is not None), None)


def moment(value: Any) -> datetime | None:
    """A moment from ISO 8601 text (with or without a colon in its offset) or Unix seconds; None if it is neither."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        parsed = datetime.fromisoformat(value)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def iso_duration_seconds(value: Any) -> int | None:
    """Seconds of an ISO 8601 duration such as PT1H2M3S; None if it is none, or zero, as for what is still live."""
    matched = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if matched is None:
        return None
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in matched.groups())
    total = (((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds
    return min(total, MAX_COUNT) or None


def hashtags(*parts: str | None) -> tuple[str, ...]:
    """Hashtags in texts, without the sign, each once whatever its case, in order."""
    found: dict[str, str] = {}
    for tag in (tag for part in parts if part for tag in _HASHTAG.findall(part)):
        found.setdefault(tag.casefold(), tag)
    return tuple(found.values())[:MAX_LIST_ENTRIES]


def first_line(value: str | None) -> str | None:
    """The first line with something in it, as a title for what has none."""
    lines = (line.strip() for line in (value or "").splitlines())
    return next((line[:MAX_TITLE_CHARACTERS] for line in lines if line), None)


def obj(value: Any) -> Mapping[str, Any]:
    """`value` if it is a JSON object, else an empty one, so that reading goes on where something is absent."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> Iterable[Mapping[str, Any]]:
    """The objects in a JSON list; none if it is no list."""
    return (entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else ()
