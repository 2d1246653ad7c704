"""The loops that handlers run on: kept while their thread lives, closed when it ends."""

from __future__ import annotations

import asyncio
import threading

from functions.core import app


def test_the_loop_of_a_thread_is_closed_when_the_thread_ends() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    def call() -> None:
        for _ in range(2):
            app._ensure_event_loop()
            loops.append(asyncio.get_event_loop())

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    del thread
    first, second = loops
    assert first is second
    assert first.is_closed()
