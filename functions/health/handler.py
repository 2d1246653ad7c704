"""GET /health, and the answer to everything that no other route takes.

Health: the functions are deployed and answer. The database is not asked, so that a monitor costs nothing.
Without the second the gateway would refuse by itself, in a shape of its own and without a request id:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
"""

from __future__ import annotations

import json
from typing import Any

from functions import __version__
from functions.core import answers
from functions.core.errors import MethodNotAllowedError, NotFoundError
from functions.health import routes


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """An API Gateway HTTP API event (payload format 2.0) to `{status, version}`, or to 404 or 405."""
    identity = answers.request_id(event, context)
    if event.get("routeKey") == "$default":
        allowed = routes.methods_of(event.get("rawPath", ""))
        return answers.problem_answer(MethodNotAllowedError(allowed) if allowed else NotFoundError(), identity)
    body = json.dumps({"status": "ok", "version": __version__})
    return answers.answer(200, body, "application/json", identity)
