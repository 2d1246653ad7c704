"""GET /health: the functions are deployed and answer. The database is not asked, so that a monitor costs nothing."""

from __future__ import annotations

import json
from typing import Any

from functions import __version__


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """An API Gateway HTTP API event (payload format 2.0) to `{status, version}`."""
    del context
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "X-Request-Id": str(event.get("requestContext", {}).get("requestId", "unknown")),
    }
    return {"statusCode": 200, "headers": headers, "body": json.dumps({"status": "ok", "version": __version__})}
