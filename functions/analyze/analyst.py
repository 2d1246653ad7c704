"""One analysis: ask the chosen analyser, distrust its answer, score what is left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from functions.analyze import appraisal, brief, builtin, cleaning, prompt
from functions.analyze.brief import Brief
from functions.analyze.schema import Answer
from functions.connectors import client, registry
from functions.connectors.ai import failures
from functions.connectors.spec import AIProviderSpec, Completion, Prompt
from functions.core.errors import ConfigurationError, UpstreamError, UpstreamUnavailableError
from functions.core.observability import logger

MAX_ANSWER_BYTES = 512 * 1024
MINIMUM_SECONDS = 3.0  # with less time left a call is not worth its price
LISTING_SECONDS = 3.0
ANY_MODEL = "default"  # servers with one model take any name


@dataclass(slots=True)
class Usage:
    """What was used so far, also by answers that were of no use. None: a provider did not say."""

    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    started: float = field(default_factory=time.monotonic)

    def add(self, completion: Completion) -> None:
        """Count one answer as its provider does."""
        self.prompt_tokens = _sum(self.prompt_tokens, completion.prompt_tokens)
        self.completion_tokens = _sum(self.completion_tokens, completion.completion_tokens)

    def cost_cents(self, cents_per_1k_tokens: Sequence[float | None]) -> float:
        """At the model's prices for input and output; 0 where a count or a price is unknown."""
        counts = (self.prompt_tokens, self.completion_tokens)
        return sum(
            count * price / 1000
            for count, price in zip(counts, cents_per_1k_tokens, strict=True)
            if count is not None and price is not None
        )

    def as_row(self) -> dict[str, int | None]:
        """{prompt_tokens, completion_tokens, processing_time_ms}"""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "processing_time_ms": round((time.monotonic() - self.started) * 1000),
        }


def _sum(known: int | None, more: int | None) -> int | None:
    return None if known is None or more is None else known + more


def providers_set_up() -> list[str]:
    """Slugs of the providers that can be asked: those with a key, and those that need none."""
    specs = registry.ai_providers().values()
    return [spec.slug for spec in specs if not spec.is_key_required or spec.api_key.value()]


def suggest(begun: dict[str, Any], usage: Usage, deadline: float) -> dict[str, Any]:
    """The suggestion for a begun analysis as a row, `usage` counted along. `deadline` is on the monotonic clock.

    Raises UpstreamError with one of the codes of `connectors.ai.failures`.
    """
    facts = brief.read(begun["facts"])
    answer = builtin.answer(facts) if begun["is_builtin"] else _ask(begun, facts, usage, deadline)
    return appraisal.appraise(answer, facts).model_dump()


def _ask(begun: dict[str, Any], facts: Brief, usage: Usage, deadline: float) -> Answer:
    spec = registry.ai_provider(begun["provider"])
    base_url = begun["base_url"] or spec.base_url
    if not base_url:
        raise ConfigurationError(f"ai_provider.base_url of {spec.slug} is empty and there is no built-in model.")
    key = spec.api_key.value()
    model = begun["model"] or _first_model(spec, base_url, key)
    question = prompt.compose(facts)
    rules = cleaning.Filter(facts, question.prompt.system, [question.canary])
    asked, tries = question.prompt, 1 if spec.is_schema_enforced else 2
    for attempt in range(tries):
        completion = _complete(spec, (base_url, model, asked, key), usage, deadline)
        try:
            return cleaning.clean(cleaning.parse(completion.text), facts, rules)
        except cleaning.UnusableAnswerError as error:
            logger.info("answer not usable", extra={"provider": spec.slug, "reason": str(error)})
            if attempt + 1 == tries or deadline - time.monotonic() < MINIMUM_SECONDS:
                raise failures.failure("provider_malformed", service=spec.display_name) from None
            asked = prompt.correct(question, str(error))
    raise AssertionError("unreachable")


def _complete(spec: AIProviderSpec, call: tuple[str, str, Prompt, str], usage: Usage, deadline: float) -> Completion:
    """One complete answer. What went wrong without the provider saying so gets one of its names too."""
    try:
        response = client.send(
            spec.build(*call),
            service=spec.display_name,
            check=spec.check,
            # Asking again costs tokens at most; nothing is changed by it.
            idempotent=True,
            deadline_seconds=max(deadline - time.monotonic(), 0.001),
            max_bytes=MAX_ANSWER_BYTES,
        )
        completion = spec.read(response)
    except UpstreamError as error:
        if error.problem_code in failures.LATER or error.problem_code in failures.FINAL:
            raise
        code = "provider_unavailable" if isinstance(error, UpstreamUnavailableError) else "provider_malformed"
        raise failures.failure(code, service=spec.display_name, status=error.upstream_status) from None
    usage.add(completion)
    failure = failures.from_finish(completion, service=spec.display_name)
    if failure is not None:
        raise failure
    return completion


def _first_model(spec: AIProviderSpec, base_url: str, key: str) -> str:
    """The server's first model, where the catalogue names none for it."""
    if spec.list_models is None or spec.read_models is None:
        raise ConfigurationError(f"There is no active row in ai_model for {spec.slug}.")
    try:
        answer = client.send(
            spec.list_models(base_url, key), service=spec.display_name, deadline_seconds=LISTING_SECONDS, retries=0
        )
    except UpstreamError:
        return ANY_MODEL
    return next(iter(spec.read_models(answer)), ANY_MODEL)
