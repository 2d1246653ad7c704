"""What a platform, an AI provider and a search engine are: data and pure functions, no flow.

The flow (authorise, exchange, refresh, page, retry, charge) is written once, elsewhere; it reads a spec and never
compares a provider's name. A provider module holds its documentation's address, one spec, and small pure parsers.
To add one: write the module, add one line to `registry.py`, a simulator and fixtures.

Normalised records (`AccountRecord`, `ContentRecord`) have the names and types of the columns that they are stored in;
None means that the service did not say, which is not the same as 0 or ''.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from functions.connectors.client import Check, Request, Response, check_status
from functions.core.settings import Setting

# ---------------------------------------------------------------------------------------------------- platforms

Visibility = Literal["public", "unlisted", "private"]
ContentType = Literal["long_video", "short_video", "image", "carousel", "story", "reel", "post"]
Pkce = Literal["S256", "hex", "none"]
ClientAuth = Literal["body", "basic"]


@dataclass(frozen=True, slots=True)
class Token:
    """What a platform grants. All times are seconds from the answer, so that the database dates them.

    `refresh_token` None means that the answer brought none; an older one stays good then. `scopes` None means that
    the answer does not say. `lifetime_seconds` None: no expiry is known.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    lifetime_seconds: int | None = None
    refresh_lifetime_seconds: int | None = None
    scopes: tuple[str, ...] | None = None
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Secrets:
    """The client's credentials, handed to the functions of a spec when they build a request."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OAuthSpec:
    """How a platform does OAuth 2.0. `oauth2.py` is the flow that reads it.

    `required_scopes` must be granted, or the connection is useless; `optional_scopes` maps further ones to what the
    connection cannot do without them. `exchange_steps` are requests that turn the first token into the one to keep
    (short-lived to long-lived); `refresh` builds the refresh request from the stored token, None where the platform
    has no refresh at all; `refresh_needs_refresh_token` is False where the access token renews itself;
    `refresh_after_seconds` is the age before which it refuses to. `issuer` is checked against the redirect's `iss`
    (RFC 9207) where one is sent. `inspect` asks for the granted scopes, read by `read_scopes`, where the token's answer
    does not name them.
    """

    authorize_url: str
    token_url: str
    client_id: Setting[str]
    client_secret: Setting[str]
    required_scopes: tuple[str, ...]
    optional_scopes: Mapping[str, str] = field(default_factory=dict)
    scope_separator: str = " "
    client_id_name: str = "client_id"
    client_auth: ClientAuth = "body"
    pkce: Pkce = "none"
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    issuer: str | None = None
    read_token: Callable[[Any], Token | None] | None = None
    exchange_steps: tuple[Callable[[Secrets, Token], Request], ...] = ()
    refresh: Callable[[Secrets, Token], Request] | None = None
    refresh_needs_refresh_token: bool = True
    refresh_ahead_seconds: int = 600
    refresh_after_seconds: int = 0
    inspect: Callable[[Secrets, Token], Request] | None = None
    read_scopes: Callable[[Any], tuple[str, ...] | None] | None = None
    revoke: Callable[[Secrets, Token], Request] | None = None
    check: Check = check_status


@dataclass(frozen=True, slots=True)
class Pause:
    """How long a platform wants to be left alone; `is_shared`: by everybody, not only on behalf of this account."""

    seconds: float
    is_shared: bool = False


class Api(Protocol):
    """A platform's API on behalf of one account: signs, sends and checks each request (`functions.connectors.api`)."""

    scopes: frozenset[str]  # what the connection was granted

    def call(self, request: Request) -> Any:
        """The JSON of the answer. Raises UpstreamError and its kin."""
        ...


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """A channel, page or profile, named by `platform_account_id`. `access_token` is its own where it has one."""

    platform_account_id: str
    account_name: str
    account_url: str | None = None
    username: str | None = None
    avatar_url: str | None = None
    description: str | None = None
    follower_count: int | None = None
    following_count: int | None = None
    post_count: int | None = None
    access_token: str | None = field(default=None, repr=False)
    sync_hint: Mapping[str, str] = field(default_factory=dict)
    """What the pages need to know (YouTube: the uploads playlist); handed to `fetch_page` with the account. An
    incremental run adds `newest_id`, the newest item that is stored."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Who granted, and the accounts that the grant opens. The same `platform_user_id` again is a reconnection."""

    platform_user_id: str | None
    username: str | None
    display_name: str | None
    avatar_url: str | None
    accounts: tuple[AccountRecord, ...]

    @classmethod
    def of_single(cls, accounts: tuple[AccountRecord, ...]) -> Profile:
        """For platforms where a grant is for one account, which is also who granted."""
        if not accounts:
            return cls(None, None, None, None, ())
        only = accounts[0]
        return cls(only.platform_account_id, only.username, only.account_name, only.avatar_url, accounts[:1])

    def find(self, account: AccountRecord) -> AccountRecord | None:
        """The account of this profile that is `account`, as the platform shows it now."""
        return next((one for one in self.accounts if one.platform_account_id == account.platform_account_id), None)


@dataclass(frozen=True, slots=True)
class ContentRecord:
    """One video, post or picture as the platform has it."""

    platform_content_id: str
    content_type: ContentType
    platform_url: str | None = None
    title: str | None = None
    description: str | None = None
    thumbnail_url: str | None = None
    media_url: str | None = None
    duration_seconds: int | None = None
    views_count: int | None = None
    likes_count: int | None = None
    comments_count: int | None = None
    shares_count: int | None = None
    tags: tuple[str, ...] | None = None
    hashtags: tuple[str, ...] | None = None
    category: str | None = None
    language: str | None = None
    published_at: datetime | None = None
    visibility: Visibility = "public"
    media: tuple[Mapping[str, Any], ...] = ()
    """Pictures and videos in order, each {type, url} and, where known, width and height."""
    not_asked: frozenset[str] = frozenset()
    """Of views_count, shares_count and duration_seconds those that were not asked for: what is stored of them stays."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an account's content. `cursor` leads to the next one, None ends the run.

    `warning` is a word for what the platform did not let us read; the run ends as partial then. `not_listed` are kinds
    of content that it does not list (any more), so that their absence says nothing about what is stored of them.
    """

    records: tuple[ContentRecord, ...]
    cursor: str | None = None
    warning: str | None = None
    not_listed: frozenset[ContentType] = frozenset()


@dataclass(frozen=True, slots=True)
class PlatformSpec:
    """A social platform: its OAuth, its errors, and how its accounts and pages are read.

    `sign` adds the access token to a request. `fetch_profile` reads a grant's accounts, `fetch_account` one of them
    anew (None if it is not there any more), `fetch_page` one page of its content from a cursor (None: the first).
    They only build requests and parse answers; `Api` does the rest.
    `check` reads the platform's error envelope: TokenRejectedError for an access token that is not good any more,
    UpstreamUnavailableError for limits and outages, UpstreamRefusedError otherwise. `read_pause` reads the pause
    that an answer's headers ask for before the next call. `app_limit_codes` are error codes of limits that all users
    share. `read_callback` checks and reads what the platform signs with our secret when it tells us of withdrawn
    consent and deletion requests (Meta): (signed request, client secret) -> payload, None if it is not genuine.
    """

    slug: str
    display_name: str
    oauth: OAuthSpec
    sign: Callable[[Request, str], Request]
    fetch_profile: Callable[[Api], Profile]
    fetch_account: Callable[[Api, AccountRecord], AccountRecord | None]
    fetch_page: Callable[[Api, AccountRecord, str | None], Page]
    check: Check = check_status
    read_pause: Callable[[Response], Pause | None] | None = None
    app_limit_codes: frozenset[str] = frozenset()
    read_callback: Callable[[str, str], Mapping[str, Any] | None] | None = None


# ------------------------------------------------------------------------------------------------- AI providers


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to ask a model: two texts, the JSON schema that the answer must follow, and a cap on its length."""

    system: str
    user: str
    schema: Mapping[str, Any]
    schema_name: str
    max_output_tokens: int


Finish = Literal["complete", "length", "refusal", "blocked", "other"]


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer. `text` is meant to be JSON and is not trusted to be; tokens are as billed, None if not said.

    `finish` is 'complete', 'length' (cut off), 'refusal' (the model declined), 'blocked' (a filter stopped it) or
    'other'.
    """

    text: str
    finish: Finish
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class AIProviderSpec:
    """An AI provider: one request, one answer. `api_key` is None where a provider works without one.

    `base_url` is where it is unless `ai_provider.base_url` says otherwise; None means that it is nowhere until an
    operator sets one, and that the built-in analyser answers in its place meanwhile. `build` makes the request from a
    base URL, a model's name, a prompt and the key ('' if none); `read` its completion. `is_schema_enforced` False:
    answers may not follow the schema, so a second try that names the mistake is worth making. `list_models` and
    `read_models` ask a server whose models are not in `ai_model` what it has.
    """

    slug: str
    display_name: str
    base_url: str | None
    api_key: Setting[str]
    is_key_required: bool
    build: Callable[[str, str, Prompt, str], Request]
    read: Callable[[Response], Completion]
    check: Check
    is_schema_enforced: bool = True
    list_models: Callable[[str, str], Request] | None = None
    read_models: Callable[[Response], tuple[str, ...]] | None = None


# ------------------------------------------------------------------------------------------------ search engines


SubmissionStatus = Literal["pending", "submitted", "crawled", "indexed", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Site:
    """A creator's site and the credentials for one engine, from Vault; what they hold is in the engine's module."""

    site_url: str
    credentials: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SubmissionOutcome:
    """What an engine said about one address, and no more than it said.

    `status` is the one to store; 'pending' means: not now, ask again. `reason` is a stable word, `message` a sentence
    for the creator. `request` and `response` are kept for the record and hold no secret. `remaining_today` is what the
    engine says is left of its own daily budget. `is_engine_down` tells an outage from a refusal; `are_credentials_bad`
    says that no other page of the site would fare better.
    """

    status: SubmissionStatus
    reason: str | None = None
    message: str | None = None
    method: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    response_status: int | None = None
    response: Mapping[str, Any] = field(default_factory=dict)
    coverage_state: str | None = None
    index_status_url: str | None = None
    retry_after_seconds: float | None = None
    remaining_today: int | None = None
    is_engine_down: bool = False
    are_credentials_bad: bool = False


@dataclass(frozen=True, slots=True)
class SearchEngineSpec:
    """A search engine: tells it about addresses, and asks it what has become of one.

    `submit` takes up to `urls_per_call` addresses of one host and answers one outcome for each, in their order.
    `inspect` takes an address and its stored `index_status_url`; None where the engine has no such question. `furthest`
    is the most that the engine can ever say: there is nothing to ask after it. `verify` tries the credentials without
    submitting anything: 'submitted' means that they are good.
    Both raise UpstreamUnavailableError if the engine cannot be reached at all.
    """

    slug: str
    display_name: str
    urls_per_call: int
    furthest: SubmissionStatus
    submit: Callable[[Site, Sequence[str]], Sequence[SubmissionOutcome]]
    verify: Callable[[Site], SubmissionOutcome]
    inspect: Callable[[Site, str, str | None], SubmissionOutcome] | None = None
