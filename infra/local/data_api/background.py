"""The data API in a thread of this process, for tests and benchmarks."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import uvloop

from infra.local.data_api.app import DataApi
from infra.local.data_api.config import from_settings
from infra.local.data_api.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.local.data_api.request import RawRequest
    from infra.local.data_api.response import Response

_START_SECONDS = 30.0


@contextmanager
def running(settings: Mapping[str, str], prefix: str = "") -> Iterator[str]:
    """Serve while the block lasts; yield the URL. `settings` are PostgREST's without PGRST_, e.g. DB_URI.

    Requests may carry `prefix` before their path, as they do behind a gateway.
    """
    api = DataApi(from_settings(settings), dict(settings))
    started, ended = threading.Event(), asyncio.Event()
    loop = uvloop.new_event_loop()
    ports: list[int] = []

    async def answer(raw: RawRequest) -> Response:
        return await api.answer(replace(raw, path=raw.path.removeprefix(prefix)) if prefix else raw)

    async def serve() -> None:
        server = HttpServer(answer)
        await api.start()
        ports.append(await server.listen("127.0.0.1", 0))
        started.set()
        await ended.wait()
        await server.close()
        await api.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()], name="data-api", daemon=True)
    thread.start()
    try:
        if not started.wait(_START_SECONDS):
            raise TimeoutError("The data API did not start in time.")
        yield f"http://127.0.0.1:{ports[0]}{prefix}"
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
