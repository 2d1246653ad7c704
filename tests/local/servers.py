"""Runs an ASGI application in this process, on a port of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from infra.local.ports import free_port


@contextmanager
def serving(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """Its URL, while the block lasts."""
    chosen = port or free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=chosen, log_level="error", lifespan="on"))
    ready = threading.Event()
    startup = server.startup

    async def announce(*args: object, **kwargs: object) -> None:
        await startup(*args, **kwargs)  # type: ignore[arg-type]
        ready.set()

    server.startup = announce  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert ready.wait(20)
    yield f"http://127.0.0.1:{chosen}"
    server.should_exit = True
    thread.join(20)
