"""Every setting of the functions, in one list; each is an environment variable.

A handler names what it needs with `require(...)` when it is loaded, so that a missing setting is one clear sentence at
start and not a failure at the first request. Values are read when they are used, never copied into module state.
A value of the form `ssm:/path` or `secretsmanager:name` names where the real one is kept: it is fetched with Powertools
Parameters and cached. The configuration table of the documentation is made from this list.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from functions.core.errors import ConfigurationError

T = TypeVar("T")

STORES = ("ssm:", "secretsmanager:")
STORED_LIFETIME_SECONDS = 300
NOTHING = "none"  # SSM keeps no empty value; this word stands for one


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """One environment variable: `parse` turns its text into a value and raises ValueError with a reason."""

    name: str
    parse: Callable[[str], T]
    description: str
    default: str | None = None
    secret: bool = False

    def value(self, *, fresh: bool = False) -> T:
        """The parsed value; `fresh` passes over the cache of a stored one, for use after it was refused.

        Raises ConfigurationError if it is missing, malformed or cannot be fetched.
        """
        text = os.environ.get(self.name, "") or self.default
        if text is None:
            raise ConfigurationError(f"The setting {self.name} is missing: {self.description}.")
        if text.startswith(STORES):
            text = _stored(self.name, text, fresh=fresh)
            if text == NOTHING and self.default is not None:
                text = self.default
        try:
            return self.parse(text)
        except ValueError as error:
            # The reason is ours (see the parsers below) and never repeats the text, which may be a secret.
            raise ConfigurationError(f"The setting {self.name} is not usable: {error}.") from None


def require(*settings: Setting[Any], entry: str | None = None) -> None:
    """Check at load time that all of `settings` can be read. Raises ConfigurationError naming every one that cannot.

    `entry` says which of several handlers in a module needs them. Lambda tells in _HANDLER which one it has loaded the
    module for (docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html); the local stack calls all of them.
    """
    loaded_for = os.environ.get("_HANDLER", "")
    if entry and loaded_for and loaded_for.rpartition(".")[2] != entry:
        return
    problems = []
    for setting in settings:
        try:
            setting.value()
        except ConfigurationError as error:
            problems.append(error.detail)
    if problems:
        raise ConfigurationError(" ".join(problems))


def _stored(name: str, reference: str, *, fresh: bool) -> str:
    # boto3 is slow to load: a function whose settings are plain values never pays for it.
    from aws_lambda_powertools.utilities import parameters  # noqa: PLC0415

    store, _, key = reference.partition(":")
    try:
        if store == "ssm":
            found = parameters.get_parameter(key, decrypt=True, max_age=STORED_LIFETIME_SECONDS, force_fetch=fresh)
        else:
            found = parameters.get_secret(key, max_age=STORED_LIFETIME_SECONDS, force_fetch=fresh)
    except parameters.exceptions.GetParameterError:
        raise ConfigurationError(
            f"The setting {name} cannot be fetched: {reference} does not exist or this function may not read it."
        ) from None
    return str(found)


def _text(text: str) -> str:
    return text


def _origin(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("it must start with http:// or https://")
    return text.rstrip("/")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)


def _slugs(text: str) -> tuple[str, ...]:
    return _words(text.lower())


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("it must be a whole number") from None


def _overrides(text: str) -> Mapping[str, str]:
    try:
        mapping = json.loads(text)
    except ValueError:
        raise ValueError("it must be a JSON object of origins") from None
    if not isinstance(mapping, dict) or not all(isinstance(value, str) for value in mapping.values()):
        raise ValueError("it must be a JSON object of origins")
    return {str(origin).rstrip("/"): base.rstrip("/") for origin, base in mapping.items()}


SUPABASE_URL = Setting("SUPABASE_URL", _origin, "the project's address, such as https://ref.supabase.co")
SUPABASE_SECRET_KEY = Setting(
    "SUPABASE_SECRET_KEY",
    _text,
    "the project's secret key (sb_secret_..., or the legacy service_role key)",
    secret=True,
)
SUPABASE_JWKS_URL = Setting(
    "SUPABASE_JWKS_URL",
    _text,
    "where the signing keys of access tokens are; derived from SUPABASE_URL if empty",
    default="",
)
SUPABASE_JWT_SECRET = Setting(
    "SUPABASE_JWT_SECRET",
    _text,
    "the legacy HS256 secret; set it only while the project still signs with it",
    "",
    secret=True,
)
APP_URL = Setting("APP_URL", _origin, "the client app's address, where browsers are sent back to")
APP_ORIGINS = Setting(
    "APP_ORIGINS",
    _words,
    "further origins that `return_to` accepts, besides APP_URL; separated by spaces (for CORS see serverless.yml)",
    default="",
)
FUNCTIONS_URL = Setting(
    "FUNCTIONS_URL", _origin, "the functions' public address; OAuth redirect URIs are built from it"
)
UPSTREAM_OVERRIDES = Setting(
    "UPSTREAM_OVERRIDES",
    _overrides,
    "JSON object, real origin -> other base URL; empty in production",
    default="{}",
)
AWS_ENDPOINT_URL = Setting("AWS_ENDPOINT_URL", _text, "another endpoint for AWS calls; empty in production", default="")
SYNC_QUEUE_URL = Setting("SYNC_QUEUE_URL", _text, "the SQS queue of sync runs")
ANALYZE_QUEUE_URL = Setting("ANALYZE_QUEUE_URL", _text, "the SQS queue of automatic analyses")
SEO_QUEUE_URL = Setting("SEO_QUEUE_URL", _text, "the SQS queue of automatic submissions")

GOOGLE_CLIENT_ID = Setting("GOOGLE_CLIENT_ID", _text, "OAuth client id of the Google Cloud project (YouTube)")
GOOGLE_CLIENT_SECRET = Setting("GOOGLE_CLIENT_SECRET", _text, "its client secret", secret=True)
INSTAGRAM_CLIENT_ID = Setting("INSTAGRAM_CLIENT_ID", _text, "the Instagram App ID (not the Meta app id)")
INSTAGRAM_CLIENT_SECRET = Setting("INSTAGRAM_CLIENT_SECRET", _text, "the Instagram App Secret", secret=True)
TIKTOK_CLIENT_KEY = Setting("TIKTOK_CLIENT_KEY", _text, "TikTok's client_key")
TIKTOK_CLIENT_SECRET = Setting("TIKTOK_CLIENT_SECRET", _text, "TikTok's client secret", secret=True)
FACEBOOK_CLIENT_ID = Setting("FACEBOOK_CLIENT_ID", _text, "the Meta app id")
FACEBOOK_CLIENT_SECRET = Setting("FACEBOOK_CLIENT_SECRET", _text, "the Meta app secret", secret=True)
TWITTER_CLIENT_ID = Setting("TWITTER_CLIENT_ID", _text, "OAuth 2.0 client id of the X app")
TWITTER_CLIENT_SECRET = Setting("TWITTER_CLIENT_SECRET", _text, "its client secret", secret=True)
PLATFORM_CREDENTIALS: tuple[Setting[str], ...] = (
    GOOGLE_CLIENT_ID,
    GOOGLE_CLIENT_SECRET,
    INSTAGRAM_CLIENT_ID,
    INSTAGRAM_CLIENT_SECRET,
    TIKTOK_CLIENT_KEY,
    TIKTOK_CLIENT_SECRET,
    FACEBOOK_CLIENT_ID,
    FACEBOOK_CLIENT_SECRET,
    TWITTER_CLIENT_ID,
    TWITTER_CLIENT_SECRET,
)
"""Of each platform one id and one secret. Who does not offer a platform gives it the word `none` for both."""

STRIPE_SECRET_KEY = Setting("STRIPE_SECRET_KEY", _text, "Stripe's secret or restricted API key", secret=True)
STRIPE_WEBHOOK_SECRET = Setting(
    "STRIPE_WEBHOOK_SECRET",
    _words,
    "the webhook endpoint's signing secret; several, separated by spaces, during rotation",
    secret=True,
)

OPENAI_API_KEY = Setting("OPENAI_API_KEY", _text, "OpenAI API key; empty: the provider is not offered", "", secret=True)
ANTHROPIC_API_KEY = Setting(
    "ANTHROPIC_API_KEY", _text, "Anthropic API key; empty: the provider is not offered", "", secret=True
)
GOOGLE_AI_API_KEY = Setting(
    "GOOGLE_AI_API_KEY", _text, "Gemini API key; empty: the provider is not offered", "", secret=True
)
LOCAL_AI_API_KEY = Setting(
    "LOCAL_AI_API_KEY",
    _text,
    "key of the OpenAI-compatible server at ai_provider.base_url, if it wants one",
    "",
    secret=True,
)
AI_KEYS: tuple[Setting[str], ...] = (OPENAI_API_KEY, ANTHROPIC_API_KEY, GOOGLE_AI_API_KEY, LOCAL_AI_API_KEY)
TREND_FEED_URL = Setting(
    "TREND_FEED_URL", _text, "a JSON feed of trending keywords to add to those found in the content; may be empty", ""
)

DERIVED_SCORES_OFF = Setting(
    "DERIVED_SCORES_OFF",
    _slugs,
    "platforms whose terms forbid derived scores: they are hidden there; default none",
    default="",
)
EMAIL_FROM = Setting(
    "EMAIL_FROM", _text, "the sender of notices and digests, such as StreamVibe <hello@your.domain>; verified in SES"
)
LOG_LEVEL = Setting("LOG_LEVEL", _text, "DEBUG, INFO, WARNING or ERROR", default="INFO")


def all_settings() -> list[Setting[object]]:
    """Every setting declared in this module, in order of declaration."""
    return [value for value in globals().values() if isinstance(value, Setting)]
