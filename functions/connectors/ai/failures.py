"""The ways in which an AI provider says no, under one set of names.

provider_rate_limited     too many calls or tokens a minute: later           503
provider_overloaded       the provider has too much to do: later             503
provider_unavailable      an error on its side, or no answer in time: later  503
provider_out_of_credit    the operator's credit or daily quota is used up    502, not repeated
provider_misconfigured    the key or the model is not accepted               502, not repeated
provider_rejected         the request is not accepted (too long, malformed)  502, not repeated
provider_refused          the model declined to answer                       502, not repeated
provider_blocked          a safety filter stopped the prompt or the answer   502, not repeated
provider_truncated        the answer was cut off                             502, not repeated
provider_malformed        the answer is not what was asked for               502, not repeated
"""

from __future__ import annotations

import re
from typing import Any, Final

from functions.connectors.ai.parsing import dig, text
from functions.connectors.client import Response, plain_word, retry_after_seconds
from functions.connectors.spec import Completion
from functions.core.errors import UpstreamError, UpstreamRefusedError, UpstreamUnavailableError

LATER: Final = {
    "provider_rate_limited": "The AI provider asks for fewer calls; try again a little later.",
    "provider_overloaded": "The AI provider is overloaded; try again a little later.",
    "provider_unavailable": "The AI provider cannot answer right now; try again a little later.",
}
FINAL: Final = {
    "provider_out_of_credit": "The AI provider's credit is used up; the operator has been told.",
    "provider_misconfigured": "The AI provider does not accept our key or model; the operator has been told.",
    "provider_rejected": "The AI provider did not accept the request.",
    "provider_refused": "The model declined to analyse this item.",
    "provider_blocked": "The AI provider's safety filter stopped the analysis of this item.",
    "provider_truncated": "The model's answer was cut off.",
    "provider_malformed": "The model's answer was not usable.",
}
_BY_STATUS = {
    401: "provider_misconfigured",
    402: "provider_out_of_credit",
    403: "provider_misconfigured",
    404: "provider_misconfigured",
    408: "provider_unavailable",
    409: "provider_unavailable",
    429: "provider_rate_limited",
    503: "provider_overloaded",
    529: "provider_overloaded",
}
_MILLISECONDS = re.compile(r"[0-9]{1,12}")
_FINISHES = {"length": "provider_truncated", "refusal": "provider_refused", "blocked": "provider_blocked"}
# OpenAI's own codes, which those who copy its API copy, too.
OPENAI_CODES: Final = {
    "insufficient_quota": "provider_out_of_credit",
    "billing_hard_limit_reached": "provider_out_of_credit",
    "rate_limit_exceeded": "provider_rate_limited",
    "invalid_api_key": "provider_misconfigured",
    "model_not_found": "provider_misconfigured",
    "content_filter": "provider_blocked",
    "content_policy_violation": "provider_blocked",
}


def by_status(status: int) -> str:
    """The name of a failure of which only the HTTP status is known."""
    return _BY_STATUS.get(status, "provider_unavailable" if status >= 500 else "provider_rejected")


def failure(
    code: str, *, service: str, status: int | None = None, word: Any = None, retry_after: float | None = None
) -> UpstreamError:
    """The error named `code`. `word` is the provider's own error code, kept if it is a plain word."""
    kind = UpstreamUnavailableError if code in LATER else UpstreamRefusedError
    return kind(
        LATER.get(code) or FINAL[code],
        code=code,
        service=service,
        upstream_status=status,
        upstream_code=plain_word(word),
        retry_after_seconds=retry_after,
    )


def from_response(
    response: Response, *, code: str | None = None, word: Any = None, retry_after: float | None = None
) -> UpstreamError:
    """The error for a bad HTTP answer: `code` where the body told more than the status does."""
    milliseconds = response.headers.get("retry-after-ms", "")
    if retry_after is None and _MILLISECONDS.fullmatch(milliseconds):
        retry_after = int(milliseconds) / 1000
    return failure(
        code or by_status(response.status),
        service=response.service,
        status=response.status,
        word=word,
        retry_after=retry_after if retry_after is not None else retry_after_seconds(response.headers),
    )


def from_finish(completion: Completion, *, service: str) -> UpstreamError | None:
    """The error that a completion's `finish` stands for; None if it is complete."""
    if completion.finish == "complete":
        return None
    return failure(_FINISHES.get(completion.finish, "provider_malformed"), service=service)


def from_openai(response: Response) -> UpstreamError | None:
    """The error of a bad answer in OpenAI's form. 429 means 'slower' or 'no credit'; only the body tells which."""
    if response.ok:
        return None
    error = dig(response.json_object(), "error")
    words = [text(dig(error, "code")), text(dig(error, "type"))]
    code = next((OPENAI_CODES[word] for word in words if word in OPENAI_CODES), None)
    return from_response(response, code=code, word=next(filter(None, words), None))


def malformed(response: Response) -> UpstreamError:
    """The error for a 2xx answer that does not have the provider's shape."""
    return failure("provider_malformed", service=response.service, status=response.status)
