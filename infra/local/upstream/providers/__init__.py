"""The one list of simulators. A new one is a module here and a line below."""

from __future__ import annotations

from infra.local.upstream.ai.anthropic import Anthropic
from infra.local.upstream.ai.gemini import Gemini
from infra.local.upstream.ai.openai import LocalServer, OpenAI
from infra.local.upstream.provider import Provider
from infra.local.upstream.providers.youtube import YouTube
from infra.local.upstream.stripe.provider import Stripe

PROVIDERS: tuple[type[Provider], ...] = (YouTube, Stripe, OpenAI, Anthropic, Gemini, LocalServer)
