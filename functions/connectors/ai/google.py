"""Google Gemini: the Developer API's generateContent. https://ai.google.dev/api/generate-content

A blocked prompt is a 200 without candidates; a bad key is a 400; there is no Retry-After, the pause is in the body.
"""

from __future__ import annotations

import re
from typing import Final

from functions.connectors.ai import failures
from functions.connectors.ai.address import versioned
from functions.connectors.ai.parsing import count, dig, objects, text, total
from functions.connectors.client import Request, Response
from functions.connectors.spec import AIProviderSpec, Completion, Finish, Prompt
from functions.core import settings
from functions.core.errors import UpstreamError

_FINISHES: Final[dict[str, Finish]] = {
    "STOP": "complete",
    "MAX_TOKENS": "length",
    **dict.fromkeys(("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"), "blocked"),
}  # fmt: skip
_STATUSES = {
    "RESOURCE_EXHAUSTED": "provider_rate_limited",
    "UNAVAILABLE": "provider_overloaded",
    "INTERNAL": "provider_unavailable",
    "DEADLINE_EXCEEDED": "provider_unavailable",
    "PERMISSION_DENIED": "provider_misconfigured",
    "UNAUTHENTICATED": "provider_misconfigured",
    "NOT_FOUND": "provider_misconfigured",
    "FAILED_PRECONDITION": "provider_misconfigured",
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)s")


def build(base_url: str, model: str, prompt: Prompt, key: str) -> Request:
    return Request(
        "POST",
        f"{versioned(base_url, 'v1beta')}/models/{model}:generateContent",
        headers={"x-goog-api-key": key},
        json={
            "systemInstruction": {"parts": [{"text": prompt.system}]},
            "contents": [{"role": "user", "parts": [{"text": prompt.user}]}],
            "generationConfig": {
                "responseMimeType": "application/json",
                "responseJsonSchema": prompt.schema,
                "maxOutputTokens": prompt.max_output_tokens,
                "temperature": 0.2,
            },
        },
    )


def read(response: Response) -> Completion:
    """Thoughts are billed as output but are not the answer; zero counts are left out of the JSON."""
    body = response.json()
    if not isinstance(body, dict):
        raise failures.malformed(response)
    usage = body.get("usageMetadata")
    prompt_tokens = count(dig(usage, "promptTokenCount"))
    candidate = dig(body, "candidates", 0)
    is_blocked = candidate is None and dig(body, "promptFeedback", "blockReason") is not None
    if not isinstance(candidate, dict) and not is_blocked:
        raise failures.malformed(response)
    parts = objects(dig(candidate, "content", "parts"))
    return Completion(
        text="".join(text(part.get("text")) for part in parts if not part.get("thought")),
        finish="blocked" if is_blocked else _FINISHES.get(text(dig(candidate, "finishReason")), "other"),
        prompt_tokens=prompt_tokens,
        # Only where anything is counted at all does a count that is left out mean zero.
        completion_tokens=None if prompt_tokens is None else total(usage, "candidatesTokenCount", "thoughtsTokenCount"),
        model=text(body.get("modelVersion")) or None,
    )


def check(response: Response) -> UpstreamError | None:
    if response.ok:
        return None
    error = dig(response.json_object(), "error")
    details = objects(dig(error, "details"))
    status = text(dig(error, "status"))
    code = _STATUSES.get(status)
    if any(detail.get("reason") == "API_KEY_INVALID" for detail in details):
        code = "provider_misconfigured"
    elif any("PerDay" in text(one.get("quotaId")) for detail in details for one in objects(detail.get("violations"))):
        code = "provider_out_of_credit"
    pauses = [_DURATION.fullmatch(text(detail.get("retryDelay"))) for detail in details]
    pause = next((float(found.group(1)) for found in pauses if found), None)
    return failures.from_response(response, code=code, word=status or None, retry_after=pause)


SPEC = AIProviderSpec(
    slug="google",
    display_name="Google",
    base_url="https://generativelanguage.googleapis.com",
    api_key=settings.GOOGLE_AI_API_KEY,
    is_key_required=True,
    build=build,
    read=read,
    check=check,
)
