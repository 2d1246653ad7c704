"""Anthropic: the Messages API, version 2026-10-21. https://platform.claude.com/docs/en/api/messages

That version refuses temperature, top_p and top_k, so none is sent. Its schemas know no bounds; `limits` enforces them.
"""

from __future__ import annotations

from typing import Final

from functions.connectors.ai import failures
from functions.connectors.ai.address import versioned
from functions.connectors.ai.parsing import count, dig, objects, text, total
from functions.connectors.client import Request, Response
from functions.connectors.spec import AIProviderSpec, Completion, Finish, Prompt
from functions.core import settings
from functions.core.errors import UpstreamError

API_VERSION = "2026-10-21"

_TYPES = {
    "billing_error": "provider_out_of_credit",
    "authentication_error": "provider_misconfigured",
    "permission_error": "provider_misconfigured",
    "not_found_error": "provider_misconfigured",
    "rate_limit_error": "provider_rate_limited",
    "overloaded_error": "provider_overloaded",
    "timeout_error": "provider_unavailable",
    "api_error": "provider_unavailable",
}
_FINISHES: Final[dict[str, Finish]] = {
    "end_turn": "complete",
    "stop_sequence": "complete",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}


def build(base_url: str, model: str, prompt: Prompt, key: str) -> Request:
    return Request(
        "POST",
        f"{versioned(base_url, 'v1')}/messages",
        headers={"x-api-key": key, "anthropic-version": API_VERSION},
        json={
            "model": model,
            "max_tokens": prompt.max_output_tokens,
            "system": prompt.system,
            "messages": [{"role": "user", "content": prompt.user}],
            "output_config": {"format": {"type": "json_schema", "schema": prompt.schema}},
        },
    )


def read(response: Response) -> Completion:
    """Cached tokens are not part of `input_tokens` but are billed. Raises UpstreamError on another shape."""
    body = response.json()
    if dig(body, "type") != "message" or not isinstance(dig(body, "content"), list):
        raise failures.malformed(response)
    usage = dig(body, "usage")
    return Completion(
        text="".join(text(block.get("text")) for block in objects(dig(body, "content")) if block.get("type") == "text"),
        finish=_FINISHES.get(text(dig(body, "stop_reason")), "other"),
        prompt_tokens=total(
            usage, "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", absent=None
        ),
        completion_tokens=count(dig(usage, "output_tokens")),
        model=text(dig(body, "model")) or None,
    )


def check(response: Response) -> UpstreamError | None:
    if response.ok:
        return None
    kind = text(dig(response.json_object(), "error", "type"))
    return failures.from_response(response, code=_TYPES.get(kind), word=kind or None)


SPEC = AIProviderSpec(
    slug="anthropic",
    display_name="Anthropic",
    base_url="https://api.anthropic.com",
    api_key=settings.ANTHROPIC_API_KEY,
    is_key_required=True,
    build=build,
    read=read,
    check=check,
)
