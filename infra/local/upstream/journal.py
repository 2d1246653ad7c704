"""The journal of every request to a simulated host, newest last, bounded.

An entry is made when the request arrives (its `status` is null until it is answered, and stays null where the
connection was dropped), so that a hanging request can be seen. `at` is real UTC time, whatever the
simulated clock says.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

from infra.local.upstream.messages import Request

CAPACITY = 50_000
CAPACITY_BYTES = 128 * 1024 * 1024  # of bodies


@dataclass(slots=True)
class Entry:
    request: Request
    at: float
    status: int | None = None

    def describe(self) -> dict[str, object]:
        query: dict[str, object] = {}
        for name, value in self.request.query_pairs:
            if name in query:  # a repeated parameter becomes a list
                seen = query[name]
                query[name] = [*seen, value] if isinstance(seen, list) else [seen, value]
            else:
                query[name] = value
        return {
            "host": self.request.host,
            "method": self.request.method,
            "path": self.request.path,
            "query": query,
            "headers": dict(self.request.headers),
            "body": self.request.body.decode("utf-8", "replace"),
            "status": self.status,
            "at": datetime.fromtimestamp(self.at, UTC).isoformat(),
        }


class Journal:
    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    def open(self, request: Request, at: float) -> Entry:
        entry = Entry(request, at)
        self._entries.append(entry)
        self._bytes += len(request.body)
        while len(self._entries) > CAPACITY or self._bytes > CAPACITY_BYTES:
            self._bytes -= len(self._entries.popleft().request.body)
        return entry

    def describe(self, host: str | None) -> list[dict[str, object]]:
        return [entry.describe() for entry in self._entries if host in (None, entry.request.host)]

    def clear(self, host: str | None = None) -> int:
        """Forgets the entries of `host` (all without one); returns how many."""
        kept = [entry for entry in self._entries if host not in (None, entry.request.host)]
        cleared = len(self._entries) - len(kept)
        self._entries = deque(kept)
        self._bytes = sum(len(entry.request.body) for entry in kept)
        return cleared
