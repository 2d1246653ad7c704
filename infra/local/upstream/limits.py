"""Rate limits on the simulated clock."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

from infra.local.upstream.clock import Clock


@dataclass(slots=True)
class SlidingWindow:
    """At most `limit` uses of a key in any `seconds`."""

    clock: Clock
    limit: int
    seconds: float
    _uses: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def allow(self, key: str) -> bool:
        now, uses = self.clock.now(), self._uses[key]
        while uses and uses[0] <= now - self.seconds:
            uses.popleft()
        if len(uses) >= self.limit:
            return False
        uses.append(now)
        return True


@dataclass(slots=True)
class FixedWindow:
    """At most `limit` uses of a key in each window of `seconds`, which starts with its first use."""

    clock: Clock
    limit: int
    seconds: float
    _windows: dict[str, tuple[float, int]] = field(default_factory=dict)

    def use(self, key: str, limit: int | None = None) -> tuple[bool, int, int, int]:
        """(allowed, limit, remaining, unix second of the reset)."""
        limit = self.limit if limit is None else limit
        now = self.clock.now()
        start, used = self._windows.get(key, (now, 0))
        if now >= start + self.seconds:
            start, used = now, 0
        allowed = used < limit
        used += allowed
        self._windows[key] = (start, used)
        return allowed, limit, max(0, limit - used), int(start + self.seconds) + 1
