"""GET /health: the functions are deployed and answer. The database is not asked, so that a monitor costs nothing."""

from __future__ import annotations

import json
from typing import Any

from functions import __version__
from functions.core import answers


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """An API Gateway HTTP API event (payload format 2.0) to `{status, version}`."""
    body = json.dumps({"status": "ok", "version": __version__})
    return answers.answer(200, body, "application/json", answers.request_id(event, context))
