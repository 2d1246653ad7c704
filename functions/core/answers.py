"""What every HTTP answer of a function carries, web framework or not: headers, request id, problem documents.

The shape of answers: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import json
from typing import Any

from functions.core.errors import StreamVibeError

PROBLEM_MEDIA_TYPE = "application/problem+json"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}


def request_id(event: dict[str, Any], context: Any) -> str:
    """The gateway's id of a request; it is in every answer and every log line."""
    from_gateway = event.get("requestContext", {}).get("requestId")
    return str(from_gateway or getattr(context, "aws_request_id", "") or "unknown")


def problem(
    status: int, code: str, title: str, detail: str, *, request_id: str, extra: dict[str, Any] | None = None
) -> str:
    """An RFC 9457 document. `extra` are further members; they never replace the standard ones."""
    document = {
        **(extra or {}),
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
    }
    return json.dumps(document, default=str)


def answer(status: int, body: str, media_type: str, request_id: str) -> dict[str, Any]:
    """A Lambda's answer to an HTTP API event (payload format 2.0)."""
    headers = {**SECURITY_HEADERS, "Content-Type": media_type, "X-Request-Id": request_id}
    return {"statusCode": status, "headers": headers, "body": body, "isBase64Encoded": False}


def problem_answer(error: StreamVibeError, request_id: str, *, detail: str | None = None) -> dict[str, Any]:
    """The answer that an error stands for; `detail` in place of the error's own, where that is not for the caller."""
    text = error.detail if detail is None else detail
    document = problem(error.status, error.problem_code, error.title, text, request_id=request_id)
    made = answer(error.status, document, PROBLEM_MEDIA_TYPE, request_id)
    made["headers"].update(error.headers)
    return made
