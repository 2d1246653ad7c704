"""The admin server: health checks.

https://docs.postgrest.org/en/v14/references/admin_server.html
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infra.local.data_api.app import DataApi, Message, Receive, Send


class Admin:
    """An ASGI application with /live, /ready, /schema_cache and /metrics."""

    def __init__(self, api: DataApi) -> None:
        self._api = api

    async def __call__(self, scope: Message, _receive: Receive, send: Send) -> None:
        status, content_type, body = self._answer(scope["path"])
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        plain = "text/plain; charset=utf-8"
        match path:
            case "/live":
                return 200, plain, b""
            case "/ready":
                is_ready = self._api.loaded is not None and self._api.is_listening
                return 200 if is_ready else 503, plain, b""
            case "/schema_cache" if self._api.loaded is not None:
                return 200, "application/json; charset=utf-8", self._schema_cache()
            case "/metrics":
                return 200, plain, self._metrics().encode()
        return 404, plain, b""

    def _schema_cache(self) -> bytes:
        assert self._api.loaded is not None
        cache = self._api.loaded.cache
        shown: dict[str, Any] = {
            "dbTables": [[list(name), asdict(table)] for name, table in cache.tables.items()],
            "dbRelationships": [
                [[list(name), schema], [asdict(one) for one in found]]
                for (name, schema), found in cache.relationships.items()
            ],
            "dbRoutines": [[list(name), [asdict(one) for one in found]] for name, found in cache.routines.items()],
        }
        return json.dumps(shown).encode()

    def _metrics(self) -> str:
        name = "pgrst_schema_cache_loads_total"
        return (
            f"# HELP {name} The total number of times the schema cache was loaded\n"
            f"# TYPE {name} counter\n"
            f'{name}{{status="SUCCESS"}} {float(self._api.reloads)}\n'
        )
