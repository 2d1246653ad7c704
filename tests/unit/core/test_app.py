"""The HTTP face: every answer carries its request id, every error is a problem document that gives nothing away."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from pydantic import BaseModel

from functions.core.app import MAX_BODY_BYTES, IdempotencyKey, SignedIn, create_app, lambda_handler
from functions.core.errors import DatabaseError, QuotaExceededError, RateLimitedError, StreamVibeError
from functions.core.observability import logger

SECRET = "sk_live_do_not_show"


class Order(BaseModel):
    amount: int


app = create_app("test")


@app.post("/orders")
async def create_order(order: Order, idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    return {"amount": order.amount, "key": idempotency_key}


@app.post("/mine")
async def create_mine(user: SignedIn, order: Order) -> dict[str, Any]:
    return {"user": user.id, "amount": order.amount}


@app.get("/database")
async def database() -> None:
    raise DatabaseError(sqlstate="23505")


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


def call(
    method: str, path: str, body: str | bytes | None = None, **headers: str
) -> tuple[int, dict[str, Any], dict[str, str]]:
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", **headers},
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1"},
            "requestId": "request-1",
            "domainName": "api.example",
            "stage": "$default",
        },
        "body": base64.b64encode(body).decode() if isinstance(body, bytes) else body,
        "isBase64Encoded": isinstance(body, bytes),
    }
    answer = handle(event, None)
    assert answer["isBase64Encoded"] is False
    sent = {name.lower(): value for name, value in answer["headers"].items()}
    return answer["statusCode"], json.loads(answer["body"]), sent


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
        pytest.param("POST", "/orders", "[" * 100_000, 422, "invalid_request", id="deep"),
        pytest.param("POST", "/orders", f'{{"amount": {"9" * 5_000}}}', 422, "invalid_request", id="long number"),
        pytest.param("POST", "/orders", f'{{"note": "{"x" * MAX_BODY_BYTES}"}}', 413, "payload_too_large", id="long"),
        ("POST", "/mine", "{", 401, "unauthenticated"),
        ("GET", "/nowhere", None, 404, "not_found"),
        ("DELETE", "/orders", None, 405, "method_not_allowed"),
        ("GET", "/crash", None, 500, "internal_error"),
        ("GET", "/database", None, 500, "database_error"),
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
    assert "sqlstate" not in document


def test_a_body_that_is_no_utf8_is_not_valid() -> None:
    status, document, _ = call("POST", "/orders", b'{"amount": "\xff"}')
    assert (status, document["code"]) == (422, "invalid_request")


def test_a_body_without_a_content_type_is_read_as_json() -> None:
    assert call("POST", "/orders", '{"amount": 3}', **{"content-type": ""})[:2] == (200, {"amount": 3, "key": None})


def test_extra_members_are_carried_but_replace_nothing() -> None:
    assert call("GET", "/quota")[1]["used"] == 10
    assert call("GET", "/status")[1]["status"] == 500


def test_retry_after_is_a_header() -> None:
    assert call("GET", "/slow-down")[2]["retry-after"] == "7"


@pytest.mark.parametrize("key", ["", "with space", "x" * 256, "tab\t"])
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
