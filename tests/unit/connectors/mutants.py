"""Answers of other services, each with one thing in it that nobody promised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VALUES: list[Any] = [
    None,
    -1,
    True,
    "",
    "\u00b2",
    "\ud800",
    "a\x00b",
    [],
    {},
    [None],
    [{}],
    float("nan"),
    1e999,
    10**12,
]
VALUES += [10**400, "x" * 5000, "/Date(99999999999999)/"]
NO_OBJECTS = [
    b"",
    b"null",
    b"[]",
    b"<html>It works!</html>",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":' * 900 + b"1" + b"}" * 900,
]


def mutants(value: Any) -> Iterator[Any]:
    """`value` with each of its parts left out or replaced by something else."""
    yield from VALUES
    if isinstance(value, dict):
        for name, part in value.items():
            yield {other: kept for other, kept in value.items() if other != name}
            yield from ({**value, name: mutant} for mutant in mutants(part))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from ([*value[:place], mutant, *value[place + 1 :]] for mutant in mutants(part))
