"""Every provider by its slug. The only module that imports provider modules.

Each kind is imported when it is first asked for, so that a sync worker does not load AI providers. To add a provider,
import its module and name its SPEC in the mapping of its kind.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, TypeVar

from functions.connectors.spec import AIProviderSpec, PlatformSpec, SearchEngineSpec
from functions.core.errors import NotFoundError


class _Named(Protocol):
    @property
    def slug(self) -> str: ...


S = TypeVar("S", bound=_Named)


@functools.cache
def platforms() -> Mapping[str, PlatformSpec]:
    """All social platforms."""
    from functions.connectors.social import facebook, instagram, tiktok, twitter, youtube

    return _by_slug(youtube.SPEC, instagram.SPEC, tiktok.SPEC, facebook.SPEC, twitter.SPEC)


@functools.cache
def ai_providers() -> Mapping[str, AIProviderSpec]:
    """All AI providers."""
    from functions.connectors.ai import anthropic, google, local, openai

    return _by_slug(openai.SPEC, anthropic.SPEC, google.SPEC, local.SPEC)


@functools.cache
def search_engines() -> Mapping[str, SearchEngineSpec]:
    """All search engines."""
    from functions.connectors.search import bing, google, indexnow, yandex

    return _by_slug(google.SPEC, bing.SPEC, yandex.SPEC, indexnow.SPEC)


def platform(slug: str) -> PlatformSpec:
    """The platform named `slug`. Raises NotFoundError."""
    return _find(platforms(), slug, "platform")


def ai_provider(slug: str) -> AIProviderSpec:
    """The AI provider named `slug`. Raises NotFoundError."""
    return _find(ai_providers(), slug, "AI provider")


def search_engine(slug: str) -> SearchEngineSpec:
    """The search engine named `slug`. Raises NotFoundError."""
    return _find(search_engines(), slug, "search engine")


def _by_slug(*specs: S) -> Mapping[str, S]:
    return MappingProxyType({spec.slug: spec for spec in specs})


def _find(known: Mapping[str, S], slug: str, kind: str) -> S:
    if slug not in known:
        raise NotFoundError(f"There is no {kind} of this name.", code=f"unknown_{kind.lower().replace(' ', '_')}")
    return known[slug]
