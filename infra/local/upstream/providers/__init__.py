"""The one list of simulators. A new one is a module here or in a folder beside, and a line below."""

from __future__ import annotations

from infra.local.upstream.ai.anthropic import Anthropic
from infra.local.upstream.ai.gemini import Gemini
from infra.local.upstream.ai.openai import LocalServer, OpenAI
from infra.local.upstream.provider import Provider
from infra.local.upstream.providers.creator_site import CreatorSite
from infra.local.upstream.providers.facebook import Facebook
from infra.local.upstream.providers.instagram import Instagram
from infra.local.upstream.providers.search_bing import BingWebmaster
from infra.local.upstream.providers.search_google import GoogleSearch
from infra.local.upstream.providers.search_indexnow import IndexNow
from infra.local.upstream.providers.search_yandex import YandexWebmaster
from infra.local.upstream.providers.tiktok import TikTok
from infra.local.upstream.providers.twitter import Twitter
from infra.local.upstream.providers.youtube import YouTube
from infra.local.upstream.stripe.provider import Stripe

PROVIDERS: tuple[type[Provider], ...] = (
    YouTube,
    Instagram,
    TikTok,
    Facebook,
    Twitter,
    CreatorSite,
    Stripe,
    OpenAI,
    Anthropic,
    Gemini,
    LocalServer,
    GoogleSearch,
    BingWebmaster,
    YandexWebmaster,
    IndexNow,
)
