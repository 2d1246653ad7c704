"""GET /health answers by itself, with the version that the project declares."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from functions.health.handler import handler

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_it_tells_status_and_version() -> None:
    answer = handler({"requestContext": {"requestId": "r-1"}}, None)
    assert answer["statusCode"] == 200
    assert answer["headers"]["X-Request-Id"] == "r-1"
    declared = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"]
    assert json.loads(answer["body"]) == {"status": "ok", "version": declared}
