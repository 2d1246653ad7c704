"""HTTP/1.1 on asyncio: just enough of it, parsed by httptools, for one handler that takes a request and answers it.

An application framework costs as much time as a short query takes, and there is nothing here for it to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, cast

import httptools

from infra.local.data_api.request import RawRequest
from infra.local.data_api.response import Response, reason_phrase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger("data_api")

_SERVER = b"Server: postgrest/14.18\r\n"
_GOODBYE_SECONDS = 5.0


class _Protocol(asyncio.Protocol):
    """One connection. Pipelined requests are answered in turn, and reading waits while one is being answered."""

    def __init__(self, handler: Callable[[RawRequest], Awaitable[Response]], connections: set[_Protocol]) -> None:
        self._handler = handler
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: list[tuple[RawRequest, bool]] = []
        self._task: asyncio.Task[None] | None = None
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_closing = False
        self._is_paused = False
        self._is_between = True  # requests

    # --- the transport ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it
        self._connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        self._writable.set()
        if self._task:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if self._is_between and not data.isascii():
            data = _with_plain_target(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the request is answered as it is; what follows it is not HTTP/1.1
        except httptools.HttpParserInvalidMethodError:
            self._answer_unknown_method(data)
        except httptools.HttpParserError:
            self._refuse()

    def _refuse(self) -> None:
        if self._transport:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self._transport.close()

    def _answer_unknown_method(self, data: bytes) -> None:
        """The parser knows no methods but HTTP's; the answer to any other is the handler's, and the last."""
        line = re.match(rb"([A-Za-z]+) (/\S*) HTTP/1\.1\r\n", data)
        if line is None or self._task is not None:
            self._refuse()
            return
        path, _, query = line.group(2).decode("latin-1").partition("?")
        self._waiting.append((RawRequest(line.group(1).decode(), path, query, {}), False))
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def close(self) -> asyncio.Task[None] | None:
        """Close at once if idle, else after the answer under way, whose task is returned."""
        self._is_closing = True
        if self._task is None and self._transport:
            self._transport.close()
        return self._task

    # --- the parser ---------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._is_between = False
        self._target, self._headers, self._body = b"", {}, []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("utf-8", "replace")
        known = self._headers.get(key)
        self._headers[key] = text if known is None else f"{known},{text}"

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue" and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        self._is_between = True
        path, _, query = self._target.decode("latin-1").partition("?")
        if "://" in path[:8]:  # a proxy's absolute form
            path = "/" + path.split("/", 3)[3] if path.count("/") > 2 else "/"
        method = self._parser.get_method().decode("latin-1")
        raw = RawRequest(method, path, query, self._headers, b"".join(self._body))
        self._waiting.append((raw, self._parser.should_keep_alive() and not self._parser.should_upgrade()))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._serve())
        elif self._transport and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    # --- answers ------------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Answer what has been asked so far, in order."""
        while self._waiting and self._transport:
            raw, keeps_alive = self._waiting.pop(0)
            response = await self._handler(raw)
            if not self._writable.is_set():
                await self._writable.wait()
            if self._transport is None:
                return
            keeps_alive = keeps_alive and not self._is_closing
            self._transport.write(_encode(response, keeps_alive=keeps_alive, headers_only=raw.method == "HEAD"))
            if not keeps_alive:
                self._transport.close()
                return
        self._task = None
        if self._transport and self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()


def _with_plain_target(data: bytes) -> bytes:
    """The same with the letters of the request line escaped that the parser would refuse there."""
    line, end, rest = data.partition(b"\r\n")
    return b"".join(b"%%%02X" % byte if byte > 127 else b"%c" % byte for byte in line) + end + rest


def _encode(response: Response, *, keeps_alive: bool, headers_only: bool) -> bytes:
    """The bytes of an answer. A header that SQL has set cannot smuggle in others."""
    status = response.status if 200 <= response.status <= 999 else 500
    reason = _one_line(response.reason) if response.reason else reason_phrase(status)
    lines = [f"HTTP/1.1 {status} {reason}\r\n"]
    for name, value in response.headers:
        line = f"{name}: {value}"
        lines.append((line if line.isprintable() else _one_line(line)) + "\r\n")
    if status not in (204, 304) and (response.body or not headers_only):
        lines.append(f"Content-Length: {len(response.body)}\r\n")
    if not keeps_alive:
        lines.append("Connection: close\r\n")
    head = "".join(lines).encode("utf-8", "replace") + _SERVER + _date()
    return head if headers_only or status in (204, 304) else head + response.body


def _one_line(text: str) -> str:
    return "".join(" " if character in "\r\n\0" else character for character in text)


class _Clock:
    second = 0
    line = b""


def _date() -> bytes:
    """The Date header's line and the end of the head, made once a second."""
    now = int(time.time())
    if now != _Clock.second:
        _Clock.second, _Clock.line = now, f"Date: {formatdate(now, usegmt=True)}\r\n\r\n".encode()
    return _Clock.line


class HttpServer:
    """Listens on a port, 0 for any free one, or on a Unix socket."""

    def __init__(self, handler: Callable[[RawRequest], Awaitable[Response]]) -> None:
        self._handler = handler
        self._connections: set[_Protocol] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str | None, port: int, socket_path: str | None = None) -> int:
        """Begin to accept connections; return the port."""
        loop = asyncio.get_running_loop()
        if socket_path:
            self._server = await loop.create_unix_server(self._protocol, socket_path)
            return 0
        self._server = await loop.create_server(self._protocol, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    def _protocol(self) -> _Protocol:
        return _Protocol(self._handler, self._connections)

    async def close(self) -> None:
        """Accept no more, and let the answers under way go out, within limits."""
        if self._server:
            self._server.close()
        answering = [task for connection in list(self._connections) if (task := connection.close())]
        if answering:
            await asyncio.wait(answering, timeout=_GOODBYE_SECONDS)


async def until_interrupted() -> None:
    """Wait for SIGINT or SIGTERM."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, interrupted.set)
    await interrupted.wait()
