"""Reading answers that may have any shape at all: each helper returns None instead of raising."""

from __future__ import annotations

from typing import Any

MAX_TOKENS_BELIEVED = 100_000_000


def dig(value: Any, *path: str | int) -> Any:
    """`value[path[0]][path[1]]...`, None where a step is missing or of another type."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def objects(value: Any) -> list[dict[str, Any]]:
    """The dictionaries in a list; none if it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """`value` if it is a string, else ''."""
    return value if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    """`value` if it is a believable number of tokens. An absent or absurd number is unknown, not 0."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MAX_TOKENS_BELIEVED else None


def total(*values: int | None) -> int | None:
    """The sum of what is known; None if the first, which all others add to, is not."""
    return None if values[0] is None else sum(value or 0 for value in values)
