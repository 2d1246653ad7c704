"""How long each phase of an answer took, for the Server-Timing header.

https://docs.postgrest.org/en/v14/references/observability.html#server-timing-header
"""

from __future__ import annotations

from time import perf_counter


class Stopwatch:
    """Laps named after PostgREST's phases: jwt, parse, plan, transaction, response."""

    def __init__(self) -> None:
        self._laps: list[tuple[str, float]] = []
        self._last = perf_counter()

    def lap(self, phase: str) -> None:
        """What happened since the last lap was this phase."""
        now = perf_counter()
        self._laps.append((phase, now - self._last))
        self._last = now

    def header(self) -> tuple[str, str]:
        """The header, in milliseconds."""
        return "Server-Timing", ", ".join(f"{phase};dur={seconds * 1000:.1f}" for phase, seconds in self._laps)
