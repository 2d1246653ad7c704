"""Any server with OpenAI's Chat Completions API: Ollama, llama.cpp, vLLM and others, at `ai_provider.base_url`.

https://platform.openai.com/docs/api-reference/chat; https://docs.ollama.com/openai; llama.cpp's server README. They
take `max_tokens`, promise no strict schema, may leave out `usage`, and answer errors in shapes of their own.
"""

from __future__ import annotations

from typing import Final

from functions.connectors.ai import failures
from functions.connectors.ai.address import versioned
from functions.connectors.ai.parsing import count, dig, objects, text
from functions.connectors.client import Request, Response
from functions.connectors.spec import AIProviderSpec, Completion, Finish, Prompt
from functions.core import settings

_FINISHES: Final[dict[str, Finish]] = {
    "stop": "complete",
    "length": "length",
    "content_filter": "blocked",
}


def build(base_url: str, model: str, prompt: Prompt, key: str) -> Request:
    return Request(
        "POST",
        f"{versioned(base_url, 'v1')}/chat/completions",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        json={
            "model": model,
            "messages": [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
            "max_tokens": prompt.max_output_tokens,
            "temperature": 0.2,
            "stream": False,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": prompt.schema_name, "strict": True, "schema": prompt.schema},
            },
        },
    )


def read(response: Response) -> Completion:
    """Raises UpstreamError if there is no choice to read."""
    body = response.json()
    message = dig(body, "choices", 0, "message")
    if not isinstance(message, dict):
        raise failures.malformed(response)
    refused = bool(text(message.get("refusal")))
    # Small servers leave the reason out; the schema's check is what counts then.
    reason = text(dig(body, "choices", 0, "finish_reason")) or "stop"
    content = message.get("content")
    parts = [text(part.get("text")) for part in objects(content)]  # some servers answer in parts, as one may ask
    return Completion(
        text=content if isinstance(content, str) else "".join(parts),
        finish="refusal" if refused else _FINISHES.get(reason, "other"),
        prompt_tokens=count(dig(body, "usage", "prompt_tokens")),
        completion_tokens=count(dig(body, "usage", "completion_tokens")),
        model=text(dig(body, "model")) or None,
    )


def list_models(base_url: str, key: str) -> Request:
    return Request(
        "GET",
        f"{versioned(base_url, 'v1')}/models",
        headers={"Authorization": f"Bearer {key}"} if key else {},
    )


def read_models(response: Response) -> tuple[str, ...]:
    return tuple(filter(None, (text(model.get("id")) for model in objects(dig(response.json_object(), "data")))))


SPEC = AIProviderSpec(
    slug="local",
    display_name="Local",
    base_url=None,
    api_key=settings.LOCAL_AI_API_KEY,
    is_key_required=False,
    build=build,
    read=read,
    check=failures.from_openai,  # 503 means that the model is still being loaded
    is_schema_enforced=False,
    list_models=list_models,
    read_models=read_models,
)
