"""Every provider by its slug. The only module that imports provider modules; each of them is one line here.

A provider is imported when it is asked for, so that a worker pays at its cold start for no more than it uses.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

from functions.connectors.spec import AIProviderSpec, PlatformSpec, SearchEngineSpec
from functions.core.errors import NotFoundError

# slug -> module below functions.connectors, which holds SPEC.
PLATFORMS = {
    "youtube": "social.youtube",
}
AI_PROVIDERS = {
    "openai": "ai.openai",
    "anthropic": "ai.anthropic",
    "google": "ai.google",
    "local": "ai.local",
}
SEARCH_ENGINES = {
    "google": "search.google",
    "bing": "search.bing",
    "yandex": "search.yandex",
    "indexnow": "search.indexnow",
}


@functools.cache
def platform(slug: str) -> PlatformSpec:
    """The platform named `slug`. Raises NotFoundError."""
    spec: PlatformSpec = _spec(PLATFORMS, slug, "platform")
    return spec


@functools.cache
def ai_provider(slug: str) -> AIProviderSpec:
    """The AI provider named `slug`. Raises NotFoundError."""
    spec: AIProviderSpec = _spec(AI_PROVIDERS, slug, "AI provider")
    return spec


@functools.cache
def search_engine(slug: str) -> SearchEngineSpec:
    """The search engine named `slug`. Raises NotFoundError."""
    spec: SearchEngineSpec = _spec(SEARCH_ENGINES, slug, "search engine")
    return spec


def _spec(known: dict[str, str], slug: str, kind: str) -> Any:
    if slug not in known:
        raise NotFoundError(f"There is no {kind} of this name.", code=f"unknown_{kind.lower().replace(' ', '_')}")
    return import_module(f"functions.connectors.{known[slug]}").SPEC
