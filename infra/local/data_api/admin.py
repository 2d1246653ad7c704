"""The admin server: health checks.

https://docs.postgrest.org/en/v14/references/admin_server.html
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from infra.local.data_api.response import Response

if TYPE_CHECKING:
    from infra.local.data_api.app import DataApi
    from infra.local.data_api.request import RawRequest

_PLAIN = "text/plain; charset=utf-8"


class Admin:
    """Answers /live, /ready, /schema_cache and /metrics."""

    def __init__(self, api: DataApi) -> None:
        self._api = api

    async def answer(self, raw: RawRequest) -> Response:
        match raw.path:
            case "/live":
                return _shown(200, _PLAIN)
            case "/ready":
                return _shown(200 if self._api.is_ready else 503, _PLAIN)
            case "/schema_cache" if self._api.loaded is not None:
                return _shown(200, "application/json; charset=utf-8", self._schema_cache())
            case "/metrics":
                return _shown(200, _PLAIN, self._metrics())
        return _shown(404, _PLAIN)

    def _schema_cache(self) -> str:
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
        return json.dumps(shown)

    def _metrics(self) -> str:
        name = "pgrst_schema_cache_loads_total"
        return (
            f"# HELP {name} The total number of times the schema cache was loaded\n"
            f"# TYPE {name} counter\n"
            f'{name}{{status="SUCCESS"}} {float(self._api.reloads)}\n'
        )


def _shown(status: int, content_type: str, body: str = "") -> Response:
    return Response(status, [("Content-Type", content_type)], body.encode())
