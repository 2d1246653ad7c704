"""The time that an invocation has."""

from __future__ import annotations

import time
from typing import Any

LEAST_SECONDS = 1.0


def ends_at(context: Any, seconds_without_context: float) -> float:
    """When this invocation is ended, on time.monotonic()'s clock. Called by hand it has `seconds_without_context`."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return time.monotonic() + (float(remaining()) / 1000 if remaining else seconds_without_context)


def deadline(context: Any, seconds_without_context: float, margin_seconds: float) -> float:
    """When to have done: `margin_seconds` before the end, but a second from now at the earliest."""
    end = ends_at(context, seconds_without_context)
    return max(end - margin_seconds, time.monotonic() + LEAST_SECONDS)
