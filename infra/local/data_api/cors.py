"""Cross-origin requests.

https://docs.postgrest.org/en/v14/references/api/cors.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.local.data_api.response import Response

if TYPE_CHECKING:
    from infra.local.data_api.config import Config
    from infra.local.data_api.request import RawRequest

_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "HEAD")
_EXPOSED = (
    "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server,"
    " Transfer-Encoding, Range-Unit"
)
_SIMPLE_HEADERS = ("Accept", "Accept-Language", "Content-Language")
_MAX_AGE_SECONDS = 86_400


def cors_headers(raw: RawRequest, config: Config) -> list[tuple[str, str]]:
    """Headers for the answer to a request that names its origin. What answers OPTIONS brings its own."""
    if raw.method == "OPTIONS":
        return []
    allowed = _allow_origin(raw, config)
    return [*allowed, ("Access-Control-Expose-Headers", _EXPOSED)] if allowed else []


def _allow_origin(raw: RawRequest, config: Config) -> list[tuple[str, str]]:
    origin = raw.headers.get("origin")
    if origin is None:
        return []
    if config.server_cors_allowed_origins is None:
        return [("Access-Control-Allow-Origin", "*")]
    if origin not in config.server_cors_allowed_origins:
        return []
    return [("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true")]


def preflight(raw: RawRequest, config: Config) -> Response | None:
    """The answer to a browser that asks before it sends; None for any other request."""
    method = raw.headers.get("access-control-request-method")
    if raw.method != "OPTIONS" or method not in _METHODS:
        return None
    allowed = _allow_origin(raw, config)
    if not allowed:
        return None
    headers = [*allowed, ("Access-Control-Allow-Methods", ", ".join(_METHODS))]
    asked = raw.headers.get("access-control-request-headers")
    if asked is not None:
        headers.append(("Access-Control-Allow-Headers", ", ".join(_allowed_headers(asked))))
    return Response(200, [*headers, ("Access-Control-Max-Age", str(_MAX_AGE_SECONDS))])


def _allowed_headers(asked: str) -> list[str]:
    """All that is asked for, and the headers that need no asking."""
    names = ["Authorization", *(name.strip() for name in asked.split(",") if name)]
    known = {name.lower() for name in names}
    return names + [name for name in _SIMPLE_HEADERS if name.lower() not in known]
