"""The simulated AI APIs refuse what the real ones refuse, and do what is ordered."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from infra.local.upstream.seed import AI_KEYS

SCHEMA = {
    "type": "object",
    "properties": {"titles": {"type": "array", "items": {"type": "string"}}, "mood": {"type": "string"}},
    "required": ["titles", "mood"],
    "additionalProperties": False,
}
LOOSE = {**SCHEMA, "required": ["titles"]}
QUESTION = '{"item": {"title": "Sourdough bread"}}'


def openai(client: httpx.Client, key: str = AI_KEYS["OPENAI_API_KEY"], **changes: Any) -> httpx.Response:
    body = {"model": "m", "instructions": "Be good.", "input": QUESTION, "text": _format(SCHEMA), **changes}
    return client.post("/api.openai.com/v1/responses", json=body, headers={"Authorization": f"Bearer {key}"})


def _format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"format": {"type": "json_schema", "name": "x", "strict": True, "schema": schema}}


def anthropic(client: httpx.Client, version: str | None = "2026-10-21", **changes: Any) -> httpx.Response:
    body = {
        "model": "m",
        "max_tokens": 100,
        "system": "Be good.",
        "messages": [{"role": "user", "content": QUESTION}],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        **changes,
    }
    headers = {"x-api-key": AI_KEYS["ANTHROPIC_API_KEY"], **({"anthropic-version": version} if version else {})}
    return client.post("/api.anthropic.com/v1/messages", json=body, headers=headers)


def gemini(client: httpx.Client, key: str = AI_KEYS["GOOGLE_AI_API_KEY"], **config: Any) -> httpx.Response:
    body = {
        "systemInstruction": {"parts": [{"text": "Be good."}]},
        "contents": [{"role": "user", "parts": [{"text": QUESTION}]}],
        "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA, **config},
    }
    path = "/generativelanguage.googleapis.com/v1beta/models/gemini-flash:generateContent"
    return client.post(path, json=body, headers={"x-goog-api-key": key})


def test_all_fill_the_schema(client: httpx.Client) -> None:
    answers = (openai(client), anthropic(client), gemini(client))
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert all("Sourdough bread" in answer.text for answer in answers)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"key": "wrong"}, 401, "invalid_api_key"),
        ({"temperature": 0.2}, 400, "unsupported_value"),
        ({"text": _format(LOOSE)}, 400, "invalid_json_schema"),
        ({"input": ""}, 400, "missing_required_parameter"),
    ],
)
def test_openai_refuses(client: httpx.Client, changes: dict[str, Any], status: int, code: str) -> None:
    answer = openai(client, **changes)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_anthropic_refuses(client: httpx.Client) -> None:
    assert anthropic(client, version=None).status_code == 400
    assert anthropic(client, max_tokens=None).status_code == 400
    assert anthropic(client, temperature=1.0).status_code == 400
    assert anthropic(client, "2023-06-01", temperature=1.0).status_code == 200


def test_gemini_refuses(client: httpx.Client) -> None:
    bad_key = gemini(client, key="wrong")
    assert (bad_key.status_code, bad_key.json()["error"]["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    assert gemini(client, responseMimeType="text/plain").status_code == 400


def test_orders_are_counted(client: httpx.Client) -> None:
    assert client.post("/_sim/anthropic/orders", json={"kind": "overloaded", "times": 2}).is_success
    assert [anthropic(client).status_code for _ in range(3)] == [529, 529, 200]
    assert client.post("/_sim/anthropic/orders", json={"kind": "nonsense"}).status_code == 400
    assert client.get("/_sim/anthropic/calls").json() == {"calls": 3}


def test_a_local_server_knows_its_models(client: httpx.Client) -> None:
    listed = client.get("/llm.example/v1/models").json()["data"]
    body = {"model": listed[0]["id"], "messages": [{"role": "user", "content": QUESTION}]}
    assert client.post("/llm.example/v1/chat/completions", json=body).status_code == 200
    assert client.post("/llm.example/v1/chat/completions", json={**body, "model": "other"}).status_code == 404
