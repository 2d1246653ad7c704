"""The one HTTP client of a process, shared by connectors and database.

Each httpx client builds a TLS context of its own, which costs more than the rest of a worker's start-up; here it is
built once, and only when the first https address is opened.
"""

from __future__ import annotations

import functools

import httpx

MAX_CONNECTIONS = 50
KEEPALIVE_SECONDS = 30
DEFAULT_TIMEOUT = httpx.Timeout(10.0, connect=5.0)


class _LazyTLSTransport(httpx.BaseTransport):
    """Makes the real transport, and with it the TLS context, at the first request."""

    @functools.cached_property
    def _transport(self) -> httpx.HTTPTransport:
        return httpx.HTTPTransport(limits=_limits(), trust_env=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._transport.handle_request(request)

    def close(self) -> None:
        if "_transport" in self.__dict__:
            self._transport.close()


def _limits() -> httpx.Limits:
    return httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_SECONDS)


@functools.cache
def client() -> httpx.Client:
    """The shared client. It follows no redirects and reads no proxy settings; callers set their own timeouts."""
    return httpx.Client(
        transport=_LazyTLSTransport(),
        # Plain http is spoken to configured origins only (the local stack); it needs no TLS context.
        mounts={"http://": httpx.HTTPTransport(verify=False, limits=_limits(), trust_env=False)},
        timeout=DEFAULT_TIMEOUT,
        follow_redirects=False,
        trust_env=False,
    )
