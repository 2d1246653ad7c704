"""What each route of the functions owes to browsers and callers: CORS for the app alone, headers, problem documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from infra.docs.openapi import ROOT
from infra.local.stack import Stack
from tests import serverless_offline
from tests.e2e.creators import LIMITS

PATHS = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["paths"]
OPERATIONS = [(method.upper(), path) for path, operations in PATHS.items() for method in operations]
NEED_A_USER = [
    (method.upper(), path)
    for path, operations in PATHS.items()
    for method, operation in operations.items()
    if "security" in operation
]
OTHER_ORIGINS = (
    "https://evil.example",
    "null",
    "{app}.evil.example",
    "{app}@evil.example",
    "https{rest}",
    "{app}0",
    "{app}/",
    "http://localhost",
    "http://127.0.0.1",
    "file://",
    "*",
)


@pytest.fixture(scope="module")
def functions(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.env["FUNCTIONS_URL"], timeout=40, limits=LIMITS) as client:
        yield client


def filled(path: str) -> str:
    """A path with something in place of each parameter."""
    return path.replace("{platform}", "youtube").replace("{", str(uuid4()) + "-").replace("}", "")


def other(stack: Stack, origin: str) -> str:
    app = stack.env["APP_URL"]
    return origin.replace("{app}", app).replace("{rest}", app.removeprefix("http"))


def preflight(functions: httpx.Client, origin: str) -> httpx.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    return functions.options("/sync", headers=asked)


def test_the_apps_origin_is_let_in(functions: httpx.Client, stack: Stack) -> None:
    app = stack.env["APP_URL"]
    allowed = preflight(functions, app)
    assert allowed.headers["access-control-allow-origin"] == app
    assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
    assert functions.get("/health", headers={"Origin": app}).headers["access-control-allow-origin"] == app


@pytest.mark.parametrize("origin", OTHER_ORIGINS)
def test_no_other_origin_may_ask(functions: httpx.Client, stack: Stack, origin: str) -> None:
    answer = preflight(functions, other(stack, origin))
    assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.skipif(
    serverless_offline.is_chosen(),
    reason="serverless-offline compares origins in preflights only; API Gateway in every request",
)
@pytest.mark.parametrize("origin", OTHER_ORIGINS)
def test_no_other_origin_may_read(functions: httpx.Client, stack: Stack, origin: str) -> None:
    answer = functions.get("/health", headers={"Origin": other(stack, origin)})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_named_and_kept_from_caches(functions: httpx.Client, method: str, path: str) -> None:
    answer = functions.request(method, filled(path), json={} if method == "POST" else None)
    assert answer.status_code < 500
    assert answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        document = answer.json()
        assert (document["status"], document["request_id"]) == (answer.status_code, answer.headers["x-request-id"])
        assert document["code"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("GET", "/sync", 405, "method_not_allowed"),
        ("DELETE", "/oauth/youtube/callback", 405, "method_not_allowed"),
    ],
)
def test_what_is_no_route_answers_like_all_else(
    functions: httpx.Client, stack: Stack, method: str, path: str, status: int, code: str
) -> None:
    answer = functions.request(method, path, headers={"Origin": stack.env["APP_URL"]})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert answer.headers["access-control-allow-origin"] == stack.env["APP_URL"]


@pytest.mark.skipif(serverless_offline.is_chosen(), reason="the gateway itself answers, and each in its own words")
def test_a_body_that_is_too_large_even_for_the_gateway_gets_a_problem_too(functions: httpx.Client) -> None:
    answer = functions.post("/sync", content=b" " * (10 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("token", [None, "x", "sb_secret_x", "eyJhbGciOiJub25lIn0.e30."])
@pytest.mark.parametrize(("method", "path"), NEED_A_USER)
def test_without_a_good_token_the_answer_is_401(
    functions: httpx.Client, method: str, path: str, token: str | None
) -> None:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = functions.request(method, filled(path), json={} if method == "POST" else None, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
