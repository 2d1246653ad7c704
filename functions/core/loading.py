"""Loading a web framework and its models in a cold start, without the garbage collector.

Modules make many objects and no garbage; each full round of the collector visits all of them and frees none, which is a
sixth of the time that such a function takes to start (`python -m infra.bench cold_start`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Import in this block; afterwards the collector is as it was."""
    is_running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_running:
            gc.enable()
