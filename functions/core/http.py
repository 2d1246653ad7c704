"""The one HTTP client of a process, shared by connectors and database, and deadlines that bound it.

Each httpx client builds a TLS context of its own, which costs more than the rest of a worker's start-up; here it is
built once, and only when the first https address is opened.

httpx's timeouts bound single reads, so a server that drips a byte now and then holds a caller for ever. `deadline`
bounds everything that happens inside it: connecting, headers, body.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore
import httpx

MAX_CONNECTIONS = 50
KEEPALIVE_SECONDS = 30
DEFAULT_TIMEOUT = httpx.Timeout(10.0, connect=5.0)

# Their log lines hold whole addresses, and some platforms want secrets in them.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Whatever the shared client does inside ends within `seconds`, or within an outer deadline that comes sooner.

    What takes longer raises httpx's timeout errors.
    """
    now = time.monotonic()
    outer = _deadline.get()
    token = _deadline.set(now + seconds if outer is None else min(outer, now + seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining_seconds() -> float:
    """Time left until the innermost deadline; infinite outside of one."""
    at = _deadline.get()
    return float("inf") if at is None else at - time.monotonic()


def _bounded(timeout: float | None, error: type[httpcore.TimeoutException]) -> float | None:
    left = remaining_seconds()
    if left <= 0:
        raise error("the deadline has passed")
    if left == float("inf"):
        return timeout
    return left if timeout is None else min(timeout, left)


class _BoundedStream(httpcore.NetworkStream):
    """A connection whose every read and write ends before the deadline of whoever uses it at that moment."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _bounded(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _bounded(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        limit = _bounded(timeout, httpcore.ConnectTimeout)
        return _BoundedStream(self._stream.start_tls(ssl_context, server_hostname, limit))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class BoundedBackend(httpcore.SyncBackend):
    """Connections that obey `deadline`."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        limit = _bounded(timeout, httpcore.ConnectTimeout)
        return _BoundedStream(super().connect_tcp(host, port, limit, local_address, socket_options))


class _Transport(httpx.HTTPTransport):
    """httpx's transport over connections that know the deadline; httpx takes no backend by itself."""

    def __init__(self, *, verify: bool) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(verify=verify, trust_env=False),
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=BoundedBackend(),
        )


class _LazyTLSTransport(httpx.BaseTransport):
    """Makes the real transport, and with it the TLS context, at the first request."""

    def __init__(self) -> None:
        self._made: _Transport | None = None
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            transport = self._made = self._made or _Transport(verify=True)
        return transport.handle_request(request)

    def close(self) -> None:
        if self._made is not None:
            self._made.close()


_making = threading.Lock()


def client() -> httpx.Client:
    """The shared client. It follows no redirects and reads no proxy settings; callers set their own timeouts."""
    # Several engines are asked at once: without the lock each thread could make a client, of which all but one are
    # forgotten with their connections open.
    with _making:
        return _client()


def forget_client() -> None:
    """Close the shared client; the next call makes another one. For tests, whose servers come and go."""
    with _making:
        _client().close()
        _client.cache_clear()


@functools.cache
def _client() -> httpx.Client:
    return httpx.Client(
        transport=_LazyTLSTransport(),
        # Plain http is spoken to configured origins only (the local stack); it needs no TLS context.
        mounts={"http://": _Transport(verify=False)},
        timeout=DEFAULT_TIMEOUT,
        follow_redirects=False,
        # A cookie that one user's call was given must not travel with the next user's.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,
    )
