"""Runs the simulators over real HTTP: in the foreground for the stack, or in a thread for tests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from infra.local.upstream.app import TRANSPORT, Simulators

START_SECONDS = 10
BACKLOG = 2048


class Protocol(H11Protocol):
    """Hands the connection to the app, which must be able to cut it: an ASGI app alone cannot refuse to
    answer.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        inner = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[TRANSPORT] = self.transport
            await inner(scope, receive, send)

        self.app = with_transport


def make_server(simulators: Simulators) -> uvicorn.Server:
    config = uvicorn.Config(
        simulators,
        http=Protocol,
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        server_header=False,
        date_header=False,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; OSError where the port is taken."""
    # Named as TCP: only then does asyncio turn Nagle's algorithm off, which costs 40 ms an answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def running(port: int = 0) -> Iterator[tuple[str, Simulators]]:
    """The simulators in a thread of this process, for tests: yields their base URL and the app itself."""
    simulators = Simulators()
    listener = listen("127.0.0.1", port)
    listener.listen(BACKLOG)  # whoever calls before the server runs waits for it, and is not refused
    server = make_server(simulators)
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listener])), name="upstream", daemon=True
    )
    thread.start()
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield base_url, simulators
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
        listener.close()
