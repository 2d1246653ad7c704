"""The simulators' one clock: real time plus an offset that tests move forward, so that tokens and windows
expire at will.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    def __init__(self) -> None:
        self.offset_seconds = 0.0

    def now(self) -> float:
        """Unix seconds, simulated."""
        return time.time() + self.offset_seconds

    def datetime(self) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC)

    def advance(self, seconds: float) -> None:
        self.offset_seconds += seconds

    def reset(self) -> None:
        self.offset_seconds = 0.0

    def describe(self) -> dict[str, object]:
        return {
            "now": self.datetime().isoformat(),
            "unix_seconds": self.now(),
            "offset_seconds": self.offset_seconds,
        }
