"""The four AI providers' shapes: what is asked, what is read, and which of their errors means what."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from functions.analyze.schema import json_schema
from functions.connectors import registry
from functions.connectors.ai import failures
from functions.connectors.ai.address import versioned
from functions.connectors.client import Response
from functions.connectors.spec import Prompt
from functions.core.errors import UpstreamError
from tests.unit.connectors.mutants import NO_OBJECTS, mutants

PROMPT = Prompt("Be helpful.", "An item", json_schema(), "suggestion", 1000)
TEXT = '{"a": 1}'


def answer(body: Any, status: int = 200, **headers: str) -> Response:
    text = body if isinstance(body, str) else json.dumps(body)
    names = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Response("The provider", status, httpx.Headers(names), text.encode())


# ------------------------------------------------------------------------------------------------------ requests


def test_openai_asks_for_a_strict_schema_and_leaves_nothing_behind() -> None:
    request = registry.ai_provider("openai").build("https://api.openai.com", "gpt-5.4-mini", PROMPT, "sk-1")
    assert request.url == "https://api.openai.com/v1/responses"
    assert request.headers == {"Authorization": "Bearer sk-1"}
    assert request.json["store"] is False
    assert request.json["instructions"] == "Be helpful."
    assert request.json["text"]["format"] == {
        "type": "json_schema",
        "name": "suggestion",
        "strict": True,
        "schema": PROMPT.schema,
    }
    assert not {"temperature", "max_tokens", "tools", "functions"} & request.json.keys()


def test_anthropic_names_its_version_and_samples_nothing() -> None:
    request = registry.ai_provider("anthropic").build(
        "https://api.anthropic.com/", "claude-haiku-4-5", PROMPT, "sk-ant-1"
    )
    assert request.url == "https://api.anthropic.com/v1/messages"
    assert request.headers == {"x-api-key": "sk-ant-1", "anthropic-version": "2026-10-21"}
    assert request.json["max_tokens"] == 1000
    assert request.json["system"] == "Be helpful."
    assert request.json["output_config"] == {"format": {"type": "json_schema", "schema": PROMPT.schema}}
    assert not {"temperature", "top_p", "top_k", "tools"} & request.json.keys()


def test_gemini_keeps_its_key_out_of_the_address() -> None:
    origin = "https://generativelanguage.googleapis.com"
    request = registry.ai_provider("google").build(origin, "gemini-2.5-flash", PROMPT, "AIza1")
    assert request.url == f"{origin}/v1beta/models/gemini-2.5-flash:generateContent"
    assert request.headers == {"x-goog-api-key": "AIza1"}
    config = request.json["generationConfig"]
    assert (config["responseMimeType"], config["responseJsonSchema"]) == ("application/json", PROMPT.schema)
    assert "responseSchema" not in config
    assert [content["role"] for content in request.json["contents"]] == ["user"]


@pytest.mark.parametrize(("base", "key"), [("http://127.0.0.1:11434", ""), ("http://127.0.0.1:11434/v1/", "secret")])
def test_a_local_server_takes_chat_completions(base: str, key: str) -> None:
    request = registry.ai_provider("local").build(base, "llama", PROMPT, key)
    assert request.url == "http://127.0.0.1:11434/v1/chat/completions"
    assert request.headers == ({"Authorization": "Bearer secret"} if key else {})
    assert request.json["max_tokens"] == 1000
    assert "max_completion_tokens" not in request.json
    assert request.json["response_format"]["json_schema"]["schema"] == PROMPT.schema


def test_bases_with_and_without_a_path() -> None:
    assert versioned("https://host", "v1") == "https://host/v1"
    assert versioned("https://host/", "v1") == "https://host/v1"
    assert versioned("https://gateway/openai/v1", "v1") == "https://gateway/openai/v1"


# ------------------------------------------------------------------------------------------------------- answers


def openai(content: list[Any], **fields: Any) -> dict[str, Any]:
    output = [{"type": "reasoning", "summary": []}, {"type": "message", "role": "assistant", "content": content}]
    usage = {
        "input_tokens": 11,
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 18,
    }
    return {"status": "completed", "error": None, "model": "m-1", "output": output, "usage": usage, **fields}


def anthropic(stop: str, **fields: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 5,
        "cache_creation_input_tokens": 4,
        "cache_read_input_tokens": 2,
        "output_tokens": 7,
    }
    content = [{"type": "thinking", "thinking": "..."}, {"type": "text", "text": TEXT}]
    return {"type": "message", "model": "m-1", "content": content, "stop_reason": stop, "usage": usage, **fields}


def gemini(finish: str, **fields: Any) -> dict[str, Any]:
    parts = [{"text": "thinking", "thought": True}, {"text": TEXT}]
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 4, "thoughtsTokenCount": 3, "totalTokenCount": 18}
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": finish}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m-1", **fields}


def chat(finish: str | None, **message: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": TEXT, **message}}
    return {"model": "m-1", "choices": [choice], "usage": usage}


TEXT_PART = {"type": "output_text", "text": TEXT, "annotations": []}
REFUSAL = {"type": "refusal", "refusal": "No."}


@pytest.mark.parametrize(
    ("provider", "body", "finish"),
    [
        ("openai", openai([TEXT_PART]), "complete"),
        ("openai", openai([REFUSAL]), "refusal"),
        (
            "openai",
            openai([TEXT_PART], status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "length",
        ),
        (
            "openai",
            openai([TEXT_PART], status="incomplete", incomplete_details={"reason": "content_filter"}),
            "blocked",
        ),
        ("openai", openai([TEXT_PART], status="incomplete", incomplete_details=None), "other"),
        ("openai", openai([TEXT_PART], status="cancelled"), "other"),
        ("openai", openai([TEXT_PART], status="in_progress"), "other"),
        ("anthropic", anthropic("end_turn"), "complete"),
        ("anthropic", anthropic("max_tokens"), "length"),
        ("anthropic", anthropic("model_context_window_exceeded"), "length"),
        ("anthropic", anthropic("refusal"), "refusal"),
        ("anthropic", anthropic("pause_turn"), "other"),
        ("google", gemini("STOP"), "complete"),
        ("google", gemini("MAX_TOKENS"), "length"),
        ("google", gemini("SAFETY"), "blocked"),
        ("google", gemini("SPII"), "blocked"),
        ("google", gemini("MALFORMED_RESPONSE"), "other"),
        ("local", chat("stop"), "complete"),
        ("local", chat(None), "complete"),
        ("local", chat("length"), "length"),
        ("local", chat("content_filter"), "blocked"),
        ("local", chat("stop", refusal="No."), "refusal"),
        ("local", chat("tool_calls"), "other"),
        ("local", chat("stop", content=[{"type": "text", "text": TEXT}, 7]), "complete"),
    ],
)
def test_answers_are_read_with_their_own_numbers(provider: str, body: dict[str, Any], finish: str) -> None:
    completion = registry.ai_provider(provider).read(answer(body))
    assert completion.finish == finish
    assert completion.text == ("" if body == openai([REFUSAL]) else TEXT)
    assert (completion.prompt_tokens, completion.completion_tokens, completion.model) == (11, 7, "m-1")


def test_a_blocked_prompt_has_no_candidates() -> None:
    body = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 11}}
    completion = registry.ai_provider("google").read(answer(body))
    assert (completion.finish, completion.prompt_tokens, completion.completion_tokens) == ("blocked", 11, 0)


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("openai", openai([TEXT_PART], usage=None)),
        ("anthropic", anthropic("end_turn", usage=None)),
        ("google", {**gemini("STOP"), "usageMetadata": None}),
        ("local", {**chat("stop"), "usage": None}),
        ("local", {**chat("stop"), "usage": {"prompt_tokens": "11", "completion_tokens": -7}}),
        ("openai", openai([TEXT_PART], usage={"input_tokens": True, "output_tokens": 1e9})),
        ("google", gemini("STOP", usageMetadata={})),
        ("google", gemini("STOP", usageMetadata={"promptTokenCount": "11", "candidatesTokenCount": 7})),
    ],
)
def test_what_a_provider_does_not_say_is_unknown_not_zero(provider: str, body: dict[str, Any]) -> None:
    completion = registry.ai_provider(provider).read(answer(body))
    assert (completion.prompt_tokens, completion.completion_tokens) == (None, None)


def test_a_part_of_a_sum_is_no_sum() -> None:
    usage = {"input_tokens": 5, "cache_read_input_tokens": "many", "cache_creation_input_tokens": None}
    completion = registry.ai_provider("anthropic").read(answer(anthropic("end_turn", usage=usage)))
    assert completion.prompt_tokens is None
    usage = {"input_tokens": 5, "cache_read_input_tokens": None}
    assert registry.ai_provider("anthropic").read(answer(anthropic("end_turn", usage=usage))).prompt_tokens == 5
    counts = {"promptTokenCount": 11, "candidatesTokenCount": 4, "thoughtsTokenCount": "some"}
    assert registry.ai_provider("google").read(answer(gemini("STOP", usageMetadata=counts))).completion_tokens is None


STRANGE: list[Any] = [None, [], '"text"', 7, {}, {"output": 5}, {"choices": []}, {"content": {}}, {"candidates": [7]}]


@pytest.mark.parametrize("provider", registry.ai_providers())
@pytest.mark.parametrize("body", STRANGE)
def test_other_shapes_are_malformed(provider: str, body: Any) -> None:
    with pytest.raises(UpstreamError) as raised:
        registry.ai_provider(provider).read(answer(body))
    assert raised.value.problem_code == "provider_malformed"


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("openai", openai([TEXT_PART, REFUSAL])),
        ("openai", openai([], status="failed", error={"code": "server_error", "message": "..."})),
        ("anthropic", anthropic("end_turn")),
        ("google", gemini("STOP", promptFeedback={"blockReason": "SAFETY"})),
        ("local", chat("stop", refusal="No.")),
    ],
)
def test_whatever_an_answer_holds_it_is_read_or_refused(provider: str, body: dict[str, Any]) -> None:
    spec = registry.ai_provider(provider)
    for raw in [*(json.dumps(mutant).encode() for mutant in mutants(body)), *NO_OBJECTS]:
        assert spec.check(Response("The provider", 500, httpx.Headers(), raw)) is not None
        try:
            completion = spec.read(Response("The provider", 200, httpx.Headers(), raw))
        except UpstreamError:
            continue
        assert isinstance(completion.text, str)
        for tokens in (completion.prompt_tokens, completion.completion_tokens):
            assert tokens is None or 0 <= tokens < 2**31


# -------------------------------------------------------------------------------------------------------- errors


def openai_error(code: str | None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": "sk-secret was wrong", "type": kind, "param": None, "code": code}}


def anthropic_error(kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": "sk-ant-secret was wrong"}}


def gemini_error(status: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": 1, "message": "AIzaSecret was wrong", "status": status, "details": list(details)}}


PER_DAY = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}


@pytest.mark.parametrize(
    ("provider", "status", "body", "code"),
    [
        ("openai", 429, openai_error("rate_limit_exceeded", "rate_limit_error"), "provider_rate_limited"),
        ("openai", 429, openai_error("insufficient_quota", "insufficient_quota"), "provider_out_of_credit"),
        ("openai", 429, openai_error(None, "insufficient_quota"), "provider_out_of_credit"),
        ("openai", 401, openai_error("invalid_api_key"), "provider_misconfigured"),
        ("openai", 404, openai_error("model_not_found"), "provider_misconfigured"),
        ("openai", 400, openai_error("context_length_exceeded"), "provider_rejected"),
        ("openai", 400, openai_error("content_policy_violation"), "provider_blocked"),
        ("openai", 500, openai_error(None, "server_error"), "provider_unavailable"),
        ("openai", 503, "", "provider_overloaded"),
        ("anthropic", 429, anthropic_error("rate_limit_error"), "provider_rate_limited"),
        ("anthropic", 529, anthropic_error("overloaded_error"), "provider_overloaded"),
        ("anthropic", 529, "", "provider_overloaded"),
        ("anthropic", 402, anthropic_error("billing_error"), "provider_out_of_credit"),
        ("anthropic", 401, anthropic_error("authentication_error"), "provider_misconfigured"),
        ("anthropic", 413, anthropic_error("request_too_large"), "provider_rejected"),
        ("anthropic", 500, anthropic_error("api_error"), "provider_unavailable"),
        ("google", 429, gemini_error("RESOURCE_EXHAUSTED", {"retryDelay": "34s"}), "provider_rate_limited"),
        ("google", 429, gemini_error("RESOURCE_EXHAUSTED", PER_DAY), "provider_out_of_credit"),
        ("google", 400, gemini_error("INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}), "provider_misconfigured"),
        ("google", 400, gemini_error("INVALID_ARGUMENT"), "provider_rejected"),
        ("google", 503, gemini_error("UNAVAILABLE"), "provider_overloaded"),
        ("google", 500, gemini_error("INTERNAL"), "provider_unavailable"),
        ("local", 404, {"error": "model not found"}, "provider_misconfigured"),
        ("local", 429, openai_error("insufficient_quota"), "provider_out_of_credit"),
        ("local", 503, {"error": {"message": "Loading model"}}, "provider_overloaded"),
        ("local", 400, "context overflow", "provider_rejected"),
        ("local", 500, [], "provider_unavailable"),
    ],
)
def test_errors_are_told_apart(provider: str, status: int, body: Any, code: str) -> None:
    error = registry.ai_provider(provider).check(answer(body, status))
    assert error is not None
    assert error.problem_code == code
    assert error.retryable is (code in failures.LATER)
    assert "secret" not in f"{error} {error.upstream_code} {error.extra}".lower()


def test_how_long_to_wait_is_read_where_each_says_it() -> None:
    def wait(provider: str, body: Any, **headers: str) -> float | None:
        error = registry.ai_provider(provider).check(answer(body, 429, **headers))
        return error.retry_after_seconds if error else None

    assert wait("openai", openai_error(None), retry_after_ms="1500") == 1.5
    assert wait("openai", openai_error(None), retry_after="3") == 3
    assert wait("anthropic", anthropic_error("rate_limit_error"), retry_after="7") == 7
    for nonsense in ("²", "9" * 5000, "-3", "soon"):
        assert wait("openai", openai_error(None), retry_after_ms=nonsense) is None
    assert wait("google", gemini_error("RESOURCE_EXHAUSTED", {"retryDelay": "34.5s"})) == 34.5
    assert wait("google", gemini_error("RESOURCE_EXHAUSTED", {"retryDelay": "soon"})) is None


@pytest.mark.parametrize("provider", registry.ai_providers())
def test_a_good_answer_is_no_error(provider: str) -> None:
    assert registry.ai_provider(provider).check(answer({})) is None


def test_models_of_a_local_server() -> None:
    spec = registry.ai_provider("local")
    assert spec.list_models is not None
    assert spec.read_models is not None
    assert spec.list_models("http://h:1", "").url == "http://h:1/v1/models"
    assert spec.read_models(answer({"data": [{"id": "a"}, {"id": 7}, "x", {"id": "b"}]})) == ("a", "b")
    assert spec.read_models(answer("nothing")) == ()
