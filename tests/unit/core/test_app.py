"""The HTTP face: every answer carries its request id, every error is a problem document that gives nothing away."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from pydantic import BaseModel

from functions.core.app import IdempotencyKey, create_app, lambda_handler
from functions.core.errors import QuotaExceededError, RateLimitedError, StreamVibeError
from functions.core.observability import logger

SECRET = "sk_live_do_not_show"


class Order(BaseModel):
    amount: int


app = create_app("test")


@app.post("/orders")
async def create_order(order: Order, idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    return {"amount": order.amount, "key": idempotency_key}


@app.get("/crash")
async def crash() -> None:
    raise KeyError(SECRET)


@app.get("/quota")
async def quota() -> None:
    raise QuotaExceededError(allowed=False, used=10, max=10)


@app.get("/slow-down")
async def slow_down() -> None:
    raise RateLimitedError(retry_after_seconds=7)


@app.get("/status")
async def misleading() -> None:
    raise StreamVibeError("broken", status=200, code_of_vendor="x")


handle = lambda_handler(app)


def call(method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", **headers},
        "requestContext": {
            "http": {"method": method, "path": path, "sourceIp": "192.0.2.1", "protocol": "HTTP/1.1"},
            "requestId": "request-1",
            "domainName": "api.example",
            "stage": "$default",
        },
        "body": body,
        "isBase64Encoded": False,
    }
    answer = handle(event, None)
    assert answer["isBase64Encoded"] is False
    return answer["statusCode"], json.loads(answer["body"]), answer["headers"]


def test_a_good_answer_carries_request_id_and_security_headers() -> None:
    status, body, headers = call("POST", "/orders", '{"amount": 3}', **{"idempotency-key": "k-1"})
    assert (status, body) == (200, {"amount": 3, "key": "k-1"})
    assert headers["x-request-id"] == "request-1"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/orders", "{", 422, "invalid_request"),
        ("POST", "/orders", None, 422, "invalid_request"),
        ("POST", "/orders", '{"amount": "' + SECRET + '"}', 422, "invalid_request"),
        ("POST", "/orders", "[]", 422, "invalid_request"),
        ("GET", "/nowhere", None, 404, "not_found"),
        ("DELETE", "/orders", None, 405, "method_not_allowed"),
        ("GET", "/crash", None, 500, "internal_error"),
        ("GET", "/quota", None, 402, "quota_exceeded"),
        ("GET", "/slow-down", None, 429, "rate_limited"),
    ],
)
def test_errors_are_problem_documents(method: str, path: str, body: str | None, status: int, code: str) -> None:
    answered, document, headers = call(method, path, body)
    assert answered == status
    assert headers["content-type"] == "application/problem+json"
    assert (document["status"], document["code"], document["request_id"]) == (status, code, "request-1")
    assert document["type"] == "about:blank"
    assert document["title"]
    assert document["detail"]
    assert SECRET not in json.dumps(document)


def test_extra_members_are_carried_but_replace_nothing() -> None:
    assert call("GET", "/quota")[1]["used"] == 10
    assert call("GET", "/status")[1]["status"] == 500


def test_retry_after_is_a_header() -> None:
    assert call("GET", "/slow-down")[2]["retry-after"] == "7"


@pytest.mark.parametrize("key", ["", "with space", "x" * 201, "tab\t"])
def test_a_malformed_idempotency_key_is_refused(key: str) -> None:
    status, document, _ = call("POST", "/orders", '{"amount": 1}', **{"idempotency-key": key})
    assert (status, document["code"]) == (422, "invalid_request")


def test_an_unexpected_error_is_logged_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", written)
    call("GET", "/crash")
    assert "KeyError" in written.getvalue()
    assert "request-1" in written.getvalue()
    assert SECRET not in written.getvalue()
