"""`/_sim/…`: the journal, faults, the clock, and each provider's own controls. README.md lists them."""

from __future__ import annotations

import json

from infra.local.upstream.faults import Fault, Faults
from infra.local.upstream.journal import Journal
from infra.local.upstream.messages import Refusal, Request, Response, json_response
from infra.local.upstream.origins import origins
from infra.local.upstream.provider import Provider, Route, World


class Control:
    def __init__(self, world: World, journal: Journal, faults: Faults) -> None:
        self._world = world
        self._journal = journal
        self._faults = faults
        routes = [
            Route("GET", "", "/health", self._health),
            Route("GET", "", "/origins", lambda request: json_response(origins(request.base_url))),
            Route("GET", "", "/requests", self._read_journal),
            Route("DELETE", "", "/requests", self._clear_journal),
            Route("GET", "", "/faults", lambda _: json_response(self._faults.describe())),
            Route("POST", "", "/faults", self._add_fault),
            Route("DELETE", "", "/faults", self._clear_faults),
            Route("GET", "", "/clock", lambda _: json_response(self._world.clock.describe())),
            Route("POST", "", "/clock", self._move_clock),
            Route("POST", "", "/reset", self._reset),
        ]
        self._routes = [(route.method, route.compile(), route.handler) for route in routes]
        self._provider_routes = {
            name: [(route.method, route.compile(), route.handler) for route in provider.controls()]
            for name, provider in world.providers.items()
        }

    def handle(self, request: Request) -> Response:
        """Answers a control request; a bad one gets 400 or 404 with a sentence."""
        try:
            return self._dispatch(request)
        except Refusal as refusal:
            return refusal.response
        except (ValueError, TypeError, KeyError, json.JSONDecodeError) as error:
            return json_response({"error": f"{type(error).__name__}: {error}"}, 400)

    def _dispatch(self, request: Request) -> Response:
        for method, pattern, handler in self._routes:
            if method == request.method and (match := pattern.fullmatch(request.path)):
                return handler(request, *match.groups())
        name, _, rest = request.path.removeprefix("/").partition("/")
        for method, pattern, handler in self._provider_routes.get(name, ()):
            if method == request.method and (match := pattern.fullmatch(f"/{rest}")):
                return handler(request, *match.groups())
        return json_response({"error": f"no such control: {request.method} /_sim{request.path}"}, 404)

    def _health(self, _: Request) -> Response:
        hosts = sorted({host for provider in self._world.providers.values() for host in provider.hosts})
        return json_response({"status": "ok", "providers": sorted(self._world.providers), "hosts": hosts})

    def _read_journal(self, request: Request) -> Response:
        return json_response(self._journal.describe(_host(request)))

    def _clear_journal(self, request: Request) -> Response:
        return json_response({"cleared": self._journal.clear(_host(request))})

    def _add_fault(self, request: Request) -> Response:
        fault = Fault.parse(request.json())
        self._faults.add(fault)
        return json_response(fault.describe(), 201)

    def _clear_faults(self, request: Request) -> Response:
        return json_response({"cleared": self._faults.clear(_host(request))})

    def _move_clock(self, request: Request) -> Response:
        self._world.clock.advance(float(request.json()["advance_seconds"]))
        return json_response(self._world.clock.describe())

    def _reset(self, request: Request) -> Response:
        """All state anew, or one provider's with `?provider=`."""
        only = request.query.get("provider")
        chosen: list[Provider] = [p for name, p in self._world.providers.items() if only in (None, name)]
        if only is None:
            self._world.clock.reset()
            self._journal.clear()
            self._faults.clear()
        for provider in chosen:
            provider.reset()
        return json_response({"reset": [provider.name for provider in chosen]})


def _host(request: Request) -> str | None:
    """The host that the request is about; None, also for an empty one, means all."""
    return request.query.get("host", "").lower() or None
