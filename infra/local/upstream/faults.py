"""Faults that tests put in a simulator's way: wrong answers, delays, dropped connections, hostile bodies.

Only `host` is required. The first live fault that matches a request is spent on it, one use each, in the
order they were
posted; everything runs on one event loop, so counting is atomic however many requests arrive at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.local.upstream.messages import JSON_TYPE, Request, Response

STREAMS = ("drip", "endless", "gzip_bomb", "reset")
FIELDS = (
    "host",
    "path",
    "method",
    "times",
    "status",
    "headers",
    "body",
    "delay_seconds",
    "drop",
    "stream",
    "after",
)
KINDS: Mapping[str, type | tuple[type, ...]] = {
    "path": str,
    "method": str,
    "times": int,
    "status": int,
    "headers": dict,
    "delay_seconds": (int, float),
    "drop": bool,
    "after": bool,
}


@dataclass(slots=True)
class Fault:
    """See README.md for the meaning of each field."""

    host: str
    path: str = "/"
    method: str | None = None
    times: int | None = 1  # None: until cleared
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    delay_seconds: float = 0
    drop: bool = False
    stream: str | None = None
    after: bool = False
    hits: int = 0

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Fault:
        """ValueError for an unknown field, a missing host or a value that cannot be meant."""
        unknown = sorted(set(fields) - set(FIELDS))
        if unknown:
            raise ValueError(f"unknown fault fields {unknown}; known are {list(FIELDS)}")
        if not isinstance(fields.get("host"), str) or not fields["host"]:
            raise ValueError("a fault needs the host it applies to")
        for name, kinds in KINDS.items():
            value = fields.get(name)
            if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool)):
                raise ValueError(f"{name} cannot be {value!r}")
        fault = cls(**{name: value for name, value in fields.items() if value is not None or name == "times"})
        fault.host = fault.host.lower()
        if fault.stream not in (None, *STREAMS):
            raise ValueError(f"stream is one of {list(STREAMS)}")
        if fault.times is not None and fault.times < 1:
            raise ValueError("times is at least 1, or null for a fault that stays until cleared")
        return fault

    def matches(self, request: Request) -> bool:
        return (
            (self.times is None or self.hits < self.times)
            and self.host == request.host
            and request.path.startswith(self.path)
            and self.method in (None, request.method)
        )

    @property
    def replaces_answer(self) -> bool:
        return self.status is not None or self.body is not None

    def answer(self) -> Response:
        """The answer given in place of the real one."""
        if self.body is None:
            body, content_type = b"", ""
        elif isinstance(self.body, str):
            body, content_type = self.body.encode(), "text/plain; charset=utf-8"
            if self.body.lstrip().startswith(("{", "[")):
                content_type = JSON_TYPE
        else:
            body, content_type = json.dumps(self.body).encode(), JSON_TYPE
        headers = {"content-type": content_type} if content_type else {}
        given = {name.lower(): str(value) for name, value in self.headers.items()}
        return Response(self.status or 200, body, {**headers, **given})

    def describe(self) -> dict[str, object]:
        return {**{name: getattr(self, name) for name in FIELDS}, "hits": self.hits}


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def take(self, request: Request) -> Fault | None:
        """The fault to apply to this request, its use counted; None where there is none."""
        for fault in self._faults:
            if fault.matches(request):
                fault.hits += 1
                return fault
        return None

    def describe(self) -> list[dict[str, object]]:
        return [fault.describe() for fault in self._faults]

    def clear(self, host: str | None = None) -> int:
        kept = [fault for fault in self._faults if host not in (None, fault.host)]
        cleared = len(self._faults) - len(kept)
        self._faults = kept
        return cleared
