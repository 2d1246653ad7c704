"""The ASGI application: finds the simulator that a request is for, applies faults, keeps the journal.

Handlers are plain functions that run on the event loop one after the other, so a simulator's state needs
no locks.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from infra.local.upstream import hostile
from infra.local.upstream.control import Control
from infra.local.upstream.faults import Fault, Faults
from infra.local.upstream.journal import Journal
from infra.local.upstream.messages import Refusal, Request, Response, json_response
from infra.local.upstream.provider import Handler, Provider, World
from infra.local.upstream.providers import PROVIDERS

TRANSPORT = "streamvibe.transport"  # where server.Protocol leaves the connection in the scope
CONTROL_PREFIX = "/_sim"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
CompiledRoute = tuple[str, re.Pattern[str], Handler]


class Simulators:
    """All simulators of one process, callable as an ASGI app."""

    def __init__(self) -> None:
        self.world = World()
        self.journal = Journal()
        self.faults = Faults()
        self._routes: dict[str, list[CompiledRoute]] = {}
        self._hosts: dict[str, Provider] = {}
        for kind in PROVIDERS:
            self._add(kind(self.world))
        self._control = Control(self.world, self.journal, self.faults)

    def _add(self, provider: Provider) -> None:
        self.world.providers[provider.name] = provider
        for host in provider.hosts:
            self._hosts.setdefault(host, provider)
        for route in provider.routes():
            assert route.host in provider.hosts, f"{provider.name} serves {route.host} but does not list it"
            self._routes.setdefault(route.host, []).append((route.method, route.compile(), route.handler))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await _read(scope, receive)
        if request.host == CONTROL_PREFIX.strip("/"):
            await _write(send, self._control.handle(request), request.method)
            return
        entry = self.journal.open(request, time.time())
        fault = self.faults.take(request)
        if fault is not None and fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
        if fault is not None and fault.after:
            self.answer(request)  # the effect happens, its answer is lost
        if fault is not None and fault.drop:
            scope["extensions"][TRANSPORT].close()
            return
        if fault is not None and fault.stream is not None:
            entry.status = fault.status or 200
            await hostile.stream(fault.stream, entry.status, send, scope["extensions"][TRANSPORT])
            return
        try:
            response = self._faulty(request, fault) if fault is not None else self.answer(request)
        except Exception:
            entry.status = 500  # a bug of ours: uvicorn answers so and prints the traceback
            raise
        if response.delay_seconds:
            await asyncio.sleep(response.delay_seconds)
        entry.status = response.status
        await _write(send, response, request.method)

    def answer(self, request: Request) -> Response:
        """The simulator's own answer, without faults or journal."""
        provider = self._hosts.get(request.host)
        if provider is None:
            return json_response({"error": f"no simulator serves the host {request.host}"}, 502)
        method = "GET" if request.method == "HEAD" else request.method
        for route_method, pattern, handler in self._routes.get(request.host, ()):
            if route_method == method and (match := pattern.fullmatch(request.route_path)):
                try:
                    return handler(request, *(value.replace("%2F", "/") for value in match.groups()))
                except Refusal as refusal:
                    return refusal.response
        return provider.not_found(request)

    def _faulty(self, request: Request, fault: Fault) -> Response:
        if fault.replaces_answer:
            return fault.answer()
        return self.answer(request).with_headers({k.lower(): str(v) for k, v in fault.headers.items()})


async def _read(scope: Scope, receive: Receive) -> Request:
    chunks: list[bytes] = []
    more = True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    raw_path = scope["raw_path"].decode("ascii").partition("?")[0]
    # The query is part of raw_path in some servers; the host is the first segment, undecoded.
    host, slash, rest = raw_path.removeprefix("/").partition("/")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(
        host=host.lower(),
        method=scope["method"],
        path=unquote(slash + rest) or "/",
        route_path=unquote(re.sub("%2F", "%252F", slash + rest, flags=re.IGNORECASE)) or "/",
        query_pairs=tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers=headers,
        body=b"".join(chunks),
        base_url=f"http://{headers.get('host', '127.0.0.1')}",
    )


async def _write(send: Send, response: Response, method: str) -> None:
    bodiless = response.status in (204, 304)
    length = [] if bodiless else [(b"content-length", str(len(response.body)).encode())]
    headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in response.headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": [*length, *headers]})
    body = b"" if bodiless or method == "HEAD" else response.body
    await send({"type": "http.response.body", "body": body})
