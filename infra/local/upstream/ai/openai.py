"""OpenAI's Responses API, and the Chat Completions shape that local servers copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.local.upstream.ai.model import Reply
from infra.local.upstream.ai.provider import AIProvider, loose_objects
from infra.local.upstream.messages import Refusal, Request, Response, json_response
from infra.local.upstream.provider import Route

HOST = "api.openai.com"
LOCAL_HOST = "llm.example"
LOCAL_MODELS = ("llama-local-8b", "qwen-local-4b")
# kind -> (status, type, code, further headers)
_FAILURES: dict[str, tuple[int, str, str | None, dict[str, str]]] = {
    "rate_limited": (429, "rate_limit_error", "rate_limit_exceeded", {"retry-after-ms": "200"}),
    "overloaded": (503, "server_error", None, {}),
    "no_credit": (429, "insufficient_quota", "insufficient_quota", {}),
    "bad_key": (401, "invalid_request_error", "invalid_api_key", {}),
    "server_error": (500, "server_error", None, {}),
}


def error(status: int, kind: str, code: str | None, message: str, headers: dict[str, str] | None = None) -> Response:
    """The vendor's error envelope."""
    return json_response(
        {"error": {"message": message, "type": kind, "param": None, "code": code}}, status, headers or {}
    )


class OpenAI(AIProvider):
    """`POST /v1/responses`."""

    name = "openai"
    hosts = (HOST,)

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", HOST, "/v1/responses", self._responses),
            Route("POST", HOST, "/v1/chat/completions", self._chat),
            Route("GET", HOST, "/v1/models", lambda _: models("gpt-5.4-mini")),
        )

    def _chat(self, request: Request) -> Response:
        """The older shape, which compatible servers copy; without a key too, as those take it."""
        body = request.json()
        texts, schema = chat_question(body)
        answer = self.ask(texts.get("system", ""), texts.get("user", ""), schema)
        return chat_answer(body, answer, self.calls, int(self.clock.now()))

    def failure(self, kind: str) -> Response:
        status, error_type, code, headers = _FAILURES[kind]
        return error(status, error_type, code, "Ordered by a test.", headers)

    def _responses(self, request: Request) -> Response:
        if not request.bearer().startswith("sk-"):
            return error(
                401, "invalid_request_error", "invalid_api_key", f"Incorrect API key: {request.bearer()[:6]}***"
            )
        body = request.json()
        text_format = (body.get("text") or {}).get("format") or {}
        if not body.get("model") or not body.get("input") or text_format.get("type") != "json_schema":
            return error(400, "invalid_request_error", "missing_required_parameter", "model, input, text.format")
        if "temperature" in body:
            return error(
                400, "invalid_request_error", "unsupported_value", "temperature is not supported by this model"
            )
        problems = loose_objects(text_format.get("schema")) if text_format.get("strict") else []
        if problems:
            return error(400, "invalid_request_error", "invalid_json_schema", "; ".join(problems))
        answer = self.ask(str(body.get("instructions") or ""), str(body["input"]), text_format["schema"])
        return json_response(self._shape(body, answer))

    def _shape(self, body: dict[str, Any], answer: Reply) -> dict[str, Any]:
        content = {"type": "output_text", "text": answer.text, "annotations": []}
        if answer.finish == "refusal":
            content = {"type": "refusal", "refusal": answer.text}
        reasons = {"length": "max_output_tokens", "blocked": "content_filter"}
        message = {"type": "message", "role": "assistant", "content": [content]}
        usage = None
        if answer.prompt_tokens is not None and answer.completion_tokens is not None:
            usage = {
                "input_tokens": answer.prompt_tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": answer.completion_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": answer.prompt_tokens + answer.completion_tokens,
            }
        return {
            "id": f"resp_{self.calls}",
            "object": "response",
            "created_at": float(self.clock.now()),
            "status": "incomplete" if answer.finish in reasons else "completed",
            "error": None,
            "incomplete_details": {"reason": reasons[answer.finish]} if answer.finish in reasons else None,
            "model": f"{body['model']}-2026-09-01",
            "output": [{"type": "reasoning", "summary": []}, message],
            "usage": usage,
        }


class LocalServer(AIProvider):
    """An OpenAI-compatible server of the operator's own, such as Ollama or llama.cpp; no key, no strictness."""

    name = "llm"
    hosts = (LOCAL_HOST,)

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", LOCAL_HOST, "/v1/chat/completions", self._chat),
            Route("GET", LOCAL_HOST, "/v1/models", lambda _: models(*LOCAL_MODELS)),
        )

    def failure(self, kind: str) -> Response:
        status, error_type, code, headers = _FAILURES[kind]
        return error(status, error_type, code, "Ordered by a test.", headers)

    def _chat(self, request: Request) -> Response:
        body = request.json()
        if body.get("model") not in LOCAL_MODELS:
            raise Refusal(json_response({"error": f"model {body.get('model')!r} not found"}, 404))
        texts, schema = chat_question(body)
        answer = self.ask(texts.get("system", ""), texts.get("user", ""), schema)
        return chat_answer(body, answer, self.calls, int(self.clock.now()))


def models(*names: str) -> Response:
    """The list of models."""
    return json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})


def chat_question(body: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """The messages of a chat completion by their role, and the schema asked for."""
    texts = {str(message.get("role")): str(message.get("content")) for message in body.get("messages") or []}
    return texts, ((body.get("response_format") or {}).get("json_schema") or {}).get("schema") or {}


def chat_answer(body: dict[str, Any], answer: Reply, number: int, created: int) -> Response:
    """A chat completion."""
    finish = {"length": "length", "blocked": "content_filter"}.get(answer.finish, "stop")
    refusal = answer.text if answer.finish == "refusal" else None
    shaped: dict[str, Any] = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": created,
        "model": body.get("model"),
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": None if refusal else answer.text, "refusal": refusal},
            }
        ],
    }
    if answer.prompt_tokens is not None and answer.completion_tokens is not None:
        shaped["usage"] = {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        }
    return json_response(shaped)
