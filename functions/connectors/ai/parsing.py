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


def total(usage: Any, *names: str, absent: int | None = 0) -> int | None:
    """The sum of `usage`'s counts of these names; those after the first may be absent, the first is `absent` then.

    None if any of them is there and is no count: a sum of a part would be a guess.
    """
    if not isinstance(usage, dict):
        return None
    counts = [count(usage[name]) if usage.get(name) is not None else 0 for name in names]
    if usage.get(names[0]) is None:
        counts[0] = absent
    return None if None in counts else sum(value or 0 for value in counts)
