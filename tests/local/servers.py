"""Runs an ASGI application in this process, on a port of its own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp


@contextmanager
def serving(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """Its URL, while the block lasts. Requests wait in the socket's queue until the application is up."""
    with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on", proxy_headers=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)
