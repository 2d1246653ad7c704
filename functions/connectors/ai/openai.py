"""OpenAI: the Responses API. https://platform.openai.com/docs/api-reference/responses"""

from __future__ import annotations

from typing import Final

from functions.connectors.ai import failures
from functions.connectors.ai.address import versioned
from functions.connectors.ai.parsing import count, dig, objects, text
from functions.connectors.client import Request, Response
from functions.connectors.spec import AIProviderSpec, Completion, Finish, Prompt
from functions.core import settings

_INCOMPLETE: Final[dict[str, Finish]] = {"max_output_tokens": "length", "content_filter": "blocked"}


def build(base_url: str, model: str, prompt: Prompt, key: str) -> Request:
    """`store` is false because what users wrote is not ours to leave there; reasoning models refuse a temperature."""
    return Request(
        "POST",
        f"{versioned(base_url, 'v1')}/responses",
        headers={"Authorization": f"Bearer {key}"},
        json={
            "model": model,
            "instructions": prompt.system,
            "input": prompt.user,
            "max_output_tokens": prompt.max_output_tokens,
            "store": False,
            "text": {
                "format": {"type": "json_schema", "name": prompt.schema_name, "strict": True, "schema": prompt.schema}
            },
        },
    )


def read(response: Response) -> Completion:
    """The first output is often a reasoning item, so the message is looked for. Raises UpstreamError."""
    body = response.json()
    status = dig(body, "status")
    if status == "failed" or dig(body, "error") is not None:
        word = dig(body, "error", "code")
        code = failures.OPENAI_CODES.get(text(word), "provider_unavailable")
        raise failures.failure(code, service=response.service, status=response.status, word=word)
    messages = [item for item in objects(dig(body, "output")) if item.get("type") == "message"]
    parts = [part for message in messages for part in objects(message.get("content"))]
    answer = "".join(text(part.get("text")) for part in parts if part.get("type") == "output_text")
    reason = dig(body, "incomplete_details", "reason")
    finish: Finish = "complete"
    if any(part.get("type") == "refusal" for part in parts):
        finish = "refusal"
    elif status == "incomplete":
        finish = _INCOMPLETE.get(text(reason), "other")
    elif status not in (None, "completed"):
        finish = "other"  # cancelled, or not done yet
    elif not messages:
        raise failures.malformed(response)
    return Completion(
        text=answer,
        finish=finish,
        prompt_tokens=count(dig(body, "usage", "input_tokens")),
        completion_tokens=count(dig(body, "usage", "output_tokens")),
        model=text(dig(body, "model")) or None,
    )


SPEC = AIProviderSpec(
    slug="openai",
    display_name="OpenAI",
    base_url="https://api.openai.com",
    api_key=settings.OPENAI_API_KEY,
    is_key_required=True,
    build=build,
    read=read,
    check=failures.from_openai,
)
