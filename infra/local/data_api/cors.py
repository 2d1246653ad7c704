"""Cross-origin requests.

https://docs.postgrest.org/en/v14/references/api/cors.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.local.data_api.response import Response

if TYPE_CHECKING:
    from infra.local.data_api.config import Config
    from infra.local.data_api.request import RawRequest

_METHODS = "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD"
_EXPOSED = (
    "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server,"
    " Transfer-Encoding, Range-Unit"
)
_MAX_AGE_SECONDS = 86_400
_SIMPLE_HEADERS = "Authorization"


def cors_headers(raw: RawRequest, config: Config) -> list[tuple[str, str]]:
    """Headers for the answer to a request that names its origin."""
    origin = raw.headers.get("origin")
    if origin is None:
        return []
    allowed = config.server_cors_allowed_origins
    if allowed is None:
        return [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", _EXPOSED)]
    if origin not in allowed:
        return []
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", _EXPOSED),
        ("Vary", "Origin"),
    ]


def preflight(raw: RawRequest) -> Response | None:
    """The answer to a browser that asks before it sends; None for any other request."""
    if raw.method != "OPTIONS" or "origin" not in raw.headers:
        return None
    if "access-control-request-method" not in raw.headers:
        return None
    asked = raw.headers.get("access-control-request-headers", "")
    names = [name.strip() for name in asked.split(",") if name.strip()]
    headers = ", ".join(dict.fromkeys([_SIMPLE_HEADERS, *names, "Accept", "Accept-Language", "Content-Language"]))
    return Response(
        200,
        [
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Allow-Headers", headers),
            ("Access-Control-Max-Age", str(_MAX_AGE_SECONDS)),
        ],
    )
