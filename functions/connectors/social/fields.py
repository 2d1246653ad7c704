"""Reading values that platforms send: forgiving about what is absent, strict about what the database can hold."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from functions.core import letters
from functions.core.errors import UpstreamError

MAX_COUNT = 2_147_483_647  # columns are integers; some videos have more views than that
MAX_TEXT_CHARACTERS = 100_000  # far above every platform's limit, far below what a text search vector can hold
MAX_TITLE_CHARACTERS = 500
MAX_LIST_ENTRIES = 500
MAX_LIST_CHARACTERS = 20_000  # of all entries together, as the column has it
MAX_URL_CHARACTERS = 4_000
MAX_ID_CHARACTERS = 255
MAX_LANGUAGE_CHARACTERS = 35

# Not inside a word, an address (/#top) or an HTML entity (&#39;).
_HASHTAG = re.compile(rf"(?<![\w/&])[#\uff03]({letters.TAG})")
_UNIX_SECONDS = re.compile(r"[0-9]{9,11}", re.ASCII)
_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?")


def text(value: Any, limit: int = MAX_TEXT_CHARACTERS) -> str | None:
    """Text without what Postgres cannot store (NUL, lone surrogates); None if absent or blank."""
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return None
    clean = str(value)[:limit].replace("\x00", "").encode("utf-8", "ignore").decode()
    return clean if clean.strip() else None


def identifier(value: Any) -> str | None:
    """An id as text, whether it was sent as a number or not; None if it is none."""
    found = text(value)
    return found if found is not None and len(found) <= MAX_ID_CHARACTERS else None


def own_id(found: Mapping[str, Any]) -> str:
    """The id of a thing that cannot be without one. Raises UpstreamError."""
    value = identifier(found.get("id"))
    if value is None:
        raise UpstreamError("The platform sent something without an id.", upstream_status=200)
    return value


def link(value: Any) -> str | None:
    """A web address; None for anything else, for somebody will open it."""
    found = text(value)
    is_one = (
        found is not None and len(found) <= MAX_URL_CHARACTERS and found.lower().startswith(("https://", "http://"))
    )
    return found if is_one else None


def without_query(url: str | None) -> str | None:
    """An address without what follows its path."""
    return re.split("[?#]", url, maxsplit=1)[0] if url else None


def texts(values: Any) -> tuple[str, ...] | None:
    """A list of texts without repetitions; None if absent."""
    if not isinstance(values, list):
        return None
    return distinct(text(value, MAX_TITLE_CHARACTERS) for value in values[:MAX_LIST_ENTRIES])


def distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    """Texts in order, each once, as many as a list in the database holds."""
    kept: dict[str, None] = {}
    room = MAX_LIST_CHARACTERS
    for value in values:
        if value is None or value in kept:
            continue
        room -= len(value)
        if room < 0 or len(kept) == MAX_LIST_ENTRIES:
            break
        kept[value] = None
    return tuple(kept)


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


def number(value: Any) -> float | None:
    """A number, sent as such or as text; None if it is none, or not finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def rounded_seconds(value: Any) -> int | None:
    """A duration in seconds, rounded; None if absent."""
    found = number(value)
    return count(round(found)) if found is not None else None


def moment(value: Any) -> datetime | None:
    """A moment from ISO 8601 text (with or without a colon in its offset) or Unix seconds; None if it is neither."""
    try:
        if isinstance(value, str) and _UNIX_SECONDS.fullmatch(value):
            value = int(value)
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
    return distinct(found.values())


def size(found: Mapping[str, Any]) -> dict[str, int]:
    """Those of width and height that are said."""
    known = {name: count(found.get(name)) for name in ("width", "height")}
    return {name: value for name, value in known.items() if value is not None}


def first_line(value: str | None) -> str | None:
    """The first line with something in it, as a title for what has none."""
    lines = (line.strip() for line in (value or "").splitlines())
    return next((line[:MAX_TITLE_CHARACTERS] for line in lines if line), None)


def obj(value: Any) -> Mapping[str, Any]:
    """`value` if it is a JSON object, else an empty one, so that reading goes on where something is absent."""
    return value if isinstance(value, dict) else {}


def answer(body: Any) -> Mapping[str, Any]:
    """An answer, which is an object whatever is in it. Raises UpstreamError for anything else."""
    if not isinstance(body, dict):
        raise UpstreamError("The platform answered with something else than an object.", upstream_status=200)
    return body


def page_of(body: Any, name: str, *, is_page: bool = False) -> tuple[Mapping[str, Any], ...]:
    """The objects with an id of a page's list `name`.

    Raises UpstreamError for an answer without the list, unless `is_page` says that it is a page all the same: what
    cannot be read must never pass for an account whose items are all gone.
    """
    found = obj(body).get(name)
    if not isinstance(found, list) and not (found is None and is_page):
        raise UpstreamError("The platform answered with something else than a page.", upstream_status=200)
    return tuple(entry for entry in objects(found) if identifier(entry.get("id")) is not None)


def objects(value: Any) -> Iterable[Mapping[str, Any]]:
    """The objects in a JSON list; none if it is no list."""
    return (entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else ()
