"""GET /health answers by itself, with the version that the project declares; what is no route gets 404 or 405."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from functions.health import routes
from functions.health.handler import handler

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_it_tells_status_and_version() -> None:
    answer = handler({"requestContext": {"requestId": "r-1"}}, None)
    assert answer["statusCode"] == 200
    assert answer["headers"]["X-Request-Id"] == "r-1"
    declared = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"]
    assert json.loads(answer["body"]) == {"status": "ok", "version": declared}


def refused(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    event = {"routeKey": "$default", "rawPath": path, "requestContext": {"requestId": "r-2"}}
    answer = handler(event, None)
    document = json.loads(answer["body"])
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert (document["status"], document["request_id"]) == (answer["statusCode"], "r-2")
    return document, answer["headers"]


@pytest.mark.parametrize("path", ["/nowhere", "/", "", "/sync/", "/sync/x", "/connections/", "/oauth/youtube"])
def test_what_is_no_route_is_not_found(path: str) -> None:
    assert refused(path)[0]["code"] == "not_found"


@pytest.mark.parametrize(("path", "allowed"), [("/sync", "POST"), ("/oauth/youtube/callback", "GET, POST")])
def test_a_route_s_other_methods_are_named(path: str, allowed: str) -> None:
    document, headers = refused(path)
    assert (document["status"], document["code"], headers["Allow"]) == (405, "method_not_allowed", allowed)


def test_its_routes_are_those_of_the_gateway() -> None:
    made: dict[str, set[str]] = {}
    for function in yaml.safe_load((PROJECT.parent / "serverless.yml").read_text(encoding="utf-8"))[
        "functions"
    ].values():
        for event in function["events"]:
            route = event.get("httpApi")
            if isinstance(route, dict):
                made.setdefault(re.sub(r"\{\w+\}", "*", route["path"]), set()).add(route["method"])
    assert {path: set(methods) for path, methods in routes.METHODS.items()} == made
