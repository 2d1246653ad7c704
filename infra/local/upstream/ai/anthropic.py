"""Anthropic's Messages API, version 2026-10-21: sampling parameters are refused there."""

from __future__ import annotations

from collections.abc import Sequence

from infra.local.upstream.ai.provider import AIProvider, loose_objects
from infra.local.upstream.messages import Request, Response, json_response
from infra.local.upstream.provider import Route

HOST = "api.anthropic.com"
VERSIONS = ("2023-06-01", "2026-10-21")
_FAILURES = {
    "rate_limited": (429, "rate_limit_error", {"retry-after": "1"}),
    "overloaded": (529, "overloaded_error", {}),
    "no_credit": (402, "billing_error", {}),
    "bad_key": (401, "authentication_error", {}),
    "server_error": (500, "api_error", {}),
}
_STOPS = {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal", "blocked": "refusal"}


def error(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> Response:
    """The vendor's error envelope."""
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_local"}
    return json_response(body, status, headers or {})


class Anthropic(AIProvider):
    """`POST /v1/messages`."""

    name = "anthropic"
    hosts = (HOST,)

    def routes(self) -> Sequence[Route]:
        return (Route("POST", HOST, "/v1/messages", self._messages),)

    def failure(self, kind: str) -> Response:
        status, error_type, headers = _FAILURES[kind]
        return error(status, error_type, "Ordered by a test.", headers)

    def _messages(self, request: Request) -> Response:
        version = request.headers.get("anthropic-version")
        if version not in VERSIONS:
            return error(400, "invalid_request_error", "anthropic-version: header is required")
        if not (request.headers.get("x-api-key") or request.bearer()).startswith("sk-ant-"):
            return error(401, "authentication_error", "invalid x-api-key")
        body = request.json()
        if not body.get("model") or not body.get("messages") or not isinstance(body.get("max_tokens"), int):
            return error(400, "invalid_request_error", "model, messages, max_tokens: Field required")
        if version == "2026-10-21" and {"temperature", "top_p", "top_k"} & body.keys():
            return error(400, "invalid_request_error", "temperature: Extra inputs are not permitted")
        schema = ((body.get("output_config") or {}).get("format") or {}).get("schema") or {}
        if problems := loose_objects(schema):
            return error(400, "invalid_request_error", "; ".join(problems))
        answer = self.ask(str(body.get("system") or ""), str(body["messages"][-1]["content"]), schema)
        usage = None
        if answer.prompt_tokens is not None:
            # A part comes from the cache: the total is the sum of all three.
            usage = {
                "input_tokens": answer.prompt_tokens - answer.prompt_tokens // 3,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": answer.prompt_tokens // 3,
                "output_tokens": answer.completion_tokens,
                "service_tier": "standard",
            }
        return json_response(
            {
                "id": f"msg_{self.calls}",
                "type": "message",
                "role": "assistant",
                "model": body["model"],
                "content": [{"type": "text", "text": answer.text}],
                "stop_reason": _STOPS[answer.finish],
                "stop_sequence": None,
                "usage": usage,
            },
            headers={"request-id": f"req_{self.calls}"},
        )
