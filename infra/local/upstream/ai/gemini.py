"""Google's Gemini Developer API: `models/{model}:generateContent`. A blocked prompt is a 200 without candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.local.upstream.ai.provider import AIProvider
from infra.local.upstream.messages import Request, Response, json_response
from infra.local.upstream.provider import Route

HOST = "generativelanguage.googleapis.com"
_TYPES = "type.googleapis.com/google.rpc"
_FAILURES: dict[str, tuple[int, str, list[dict[str, Any]]]] = {
    "rate_limited": (429, "RESOURCE_EXHAUSTED", [{"@type": f"{_TYPES}.RetryInfo", "retryDelay": "0.2s"}]),
    "overloaded": (503, "UNAVAILABLE", []),
    "no_credit": (
        429,
        "RESOURCE_EXHAUSTED",
        [
            {
                "@type": f"{_TYPES}.QuotaFailure",
                "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
            },
            {"@type": f"{_TYPES}.RetryInfo", "retryDelay": "34s"},
        ],
    ),
    "bad_key": (400, "INVALID_ARGUMENT", [{"@type": f"{_TYPES}.ErrorInfo", "reason": "API_KEY_INVALID"}]),
    "server_error": (500, "INTERNAL", []),
}
_FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "refusal": "PROHIBITED_CONTENT"}


def error(status: int, word: str, message: str, details: list[dict[str, Any]] | None = None) -> Response:
    """The vendor's error envelope."""
    body = {"error": {"code": status, "message": message, "status": word, "details": details or []}}
    return json_response(body, status)


class Gemini(AIProvider):
    """`POST /v1beta/models/{model}:generateContent`."""

    name = "gemini"
    hosts = (HOST,)

    def routes(self) -> Sequence[Route]:
        return (Route("POST", HOST, "/v1beta/models/{call}", self._generate),)

    def failure(self, kind: str) -> Response:
        status, word, details = _FAILURES[kind]
        return error(status, word, "Ordered by a test.", details)

    def _generate(self, request: Request, call: str) -> Response:
        model, _, verb = call.partition(":")
        if verb != "generateContent":
            return error(404, "NOT_FOUND", "no such method")
        if not request.headers.get("x-goog-api-key", "").startswith("AIza"):
            return self.failure("bad_key")
        body = request.json()
        config = body.get("generationConfig") or {}
        contents = body.get("contents") or []
        if not contents or {content.get("role") for content in contents} - {"user", "model"}:
            return error(400, "INVALID_ARGUMENT", "contents: roles are user and model")
        if "responseJsonSchema" in config and config.get("responseMimeType") != "application/json":
            return error(400, "INVALID_ARGUMENT", "responseJsonSchema needs responseMimeType application/json")
        system = "".join(part.get("text", "") for part in (body.get("systemInstruction") or {}).get("parts", []))
        user = "".join(part.get("text", "") for part in contents[-1].get("parts", []))
        answer = self.ask(system, user, config.get("responseJsonSchema") or {})
        shaped: dict[str, Any] = {"modelVersion": model, "responseId": f"r{self.calls}"}
        if answer.prompt_tokens is not None and answer.completion_tokens is not None:
            # Thoughts are billed as output besides the candidates.
            thoughts = answer.completion_tokens // 4
            shaped["usageMetadata"] = {
                "promptTokenCount": answer.prompt_tokens,
                "candidatesTokenCount": answer.completion_tokens - thoughts,
                "thoughtsTokenCount": thoughts,
                "totalTokenCount": answer.prompt_tokens + answer.completion_tokens,
            }
        if answer.finish == "blocked":
            return json_response({**shaped, "promptFeedback": {"blockReason": "SAFETY"}})
        parts = [{"text": "The item is about ...", "thought": True}, {"text": answer.text}]
        candidate: dict[str, Any] = {"index": 0, "finishReason": _FINISHES[answer.finish]}
        if answer.text:
            candidate["content"] = {"role": "model", "parts": parts}
        return json_response({**shaped, "candidates": [candidate]})
