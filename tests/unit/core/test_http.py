"""One client for a process, whoever asks first."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from functions.core import http


def test_threads_that_ask_at_once_get_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one would be forgotten with its connections open, which shows only when it is collected."""
    made: list[httpx.Client] = []

    class Slow(httpx.Client):
        def __init__(self, **options: Any) -> None:
            time.sleep(0.02)  # long enough for the others to look, too
            super().__init__(**options)
            made.append(self)

    http.forget_client()
    monkeypatch.setattr(httpx, "Client", Slow)
    gate = threading.Barrier(6)

    def ask(_: int) -> httpx.Client:
        gate.wait()
        return http.client()

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(ask, range(6)))
    http.forget_client()
    assert len(made) == len({id(one) for one in found}) == 1
