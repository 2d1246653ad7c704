"""Connecting a platform: start, complete, end. The order of the steps is what makes it safe; see each function."""

from __future__ import annotations

import dataclasses
import re
from typing import Any
from urllib.parse import urlencode

from functions.connectors import oauth2, registry
from functions.connectors.api import PlatformApi
from functions.connectors.spec import AccountRecord, PlatformSpec, Profile, Token
from functions.core import http, settings
from functions.core.errors import InvalidRequestError, UpstreamError
from functions.core.observability import logger
from functions.database import connections, departures

Row = dict[str, Any]

UPSTREAM_SECONDS = 18.0  # for all calls of one request together; the gateway gives up after 30
LONGEST_STATE_CHARACTERS = 512
LONGEST_CODE_CHARACTERS = 4096
# What a browser brings back and the app may see. Free text of the platform is not passed on.
RELAYED = ("code", "state", "iss", "error")
STATE_REFUSED = "The authorisation was started by somebody else, elsewhere, too long ago, or is used up; start again."


def authorize(user_id: str, platform: str, return_to: str | None) -> Row:
    """Start: `{authorize_url, expires_at}`. Raises NotFoundError, InvalidRequestError for a foreign `return_to`."""
    spec = registry.platform(platform)
    _require_own(return_to)
    state = oauth2.new_state()
    started = connections.begin_oauth(user_id, platform, oauth2.state_hash(state), return_to)
    url = oauth2.authorize_url(spec, state=state, redirect_uri=_redirect_uri(platform))
    return {"authorize_url": url, "expires_at": started["expires_at"]}


def relay_url(platform: str, params: dict[str, str]) -> str:
    """Where the browser goes after the platform: to the app, with what it brought in the fragment.

    A fragment stays in the browser: it is in no server's log and no Referer. Nothing is looked up or exchanged here,
    because nothing says yet that this browser is the user who started.
    """
    registry.platform(platform)
    relayed = {name: params[name] for name in RELAYED if params.get(name)}
    too_long = (
        len(relayed.get("state", "")) > LONGEST_STATE_CHARACTERS
        or sum(map(len, relayed.values())) > LONGEST_CODE_CHARACTERS + LONGEST_STATE_CHARACTERS
    )
    if too_long or not ("error" in relayed or {"code", "state"} <= relayed.keys()):
        relayed = {"error": "invalid_request"}
    return f"{settings.APP_URL.value()}/#{urlencode({'platform': platform, **relayed})}"


def complete(user_id: str, platform: str, code: object, state: str, iss: object) -> Row:
    """Complete: `{connection, accounts, skipped_accounts, missing_scopes, cannot, return_to}`.

    The state is burnt first, by whoever presents it and whatever else is wrong; only then the rest is looked at, and
    only if all of it is right the platform is asked for a token.
    """
    spec = registry.platform(platform)
    taken = connections.take_oauth_state(user_id, platform, oauth2.state_hash(state))
    if not taken["accepted"]:
        logger.warning("authorisation refused", extra={"platform": platform, "reason": taken["reason"]})
        raise InvalidRequestError(STATE_REFUSED, code="invalid_state")
    if iss is not None and iss != oauth2.expected_issuer(spec.oauth):
        raise InvalidRequestError("The answer does not come from the platform that was asked.", code="invalid_issuer")
    if not isinstance(code, str) or not 0 < len(code) <= LONGEST_CODE_CHARACTERS:
        raise InvalidRequestError("The platform gave no authorisation code.", code="missing_code")
    with http.deadline(UPSTREAM_SECONDS):
        # Some platforms append this to the redirect; it is no part of the code.
        token = oauth2.exchange(spec, code=code.removesuffix("#_"), state=state, redirect_uri=_redirect_uri(platform))
        token, profile = _explored(spec, token)
    return _connect(user_id, spec, token, profile) | {"return_to": taken["return_to"]}


def _explored(spec: PlatformSpec, token: Token) -> tuple[Token, Profile]:
    """The token with the scopes that it has, and what it opens: nothing, if a scope is missing that all needs."""
    asked = (*spec.oauth.required_scopes, *spec.oauth.optional_scopes)
    granted = asked if token.scopes is None else token.scopes
    token = dataclasses.replace(token, scopes=granted)
    if oauth2.missing_scopes(spec.oauth, granted)[0]:
        return token, Profile(None, None, None, None, ())
    profile = spec.fetch_profile(PlatformApi(spec, token.access_token, frozenset(granted)))
    if not profile.accounts:
        raise InvalidRequestError(
            f"There is nothing to connect at {spec.display_name}: this login has no account that can be read.",
            code="no_accounts",
        )
    return token, profile


def _connect(user_id: str, spec: PlatformSpec, token: Token, profile: Profile) -> Row:
    required, optional = oauth2.missing_scopes(spec.oauth, token.scopes)
    own_tokens = {
        f"account:{account.platform_account_id}": account.access_token
        for account in profile.accounts
        if account.access_token
    }
    # Accounts with tokens of their own are read by those, which do not expire with the person's.
    lifetime = None if own_tokens else token.lifetime_seconds
    token = dataclasses.replace(token, extra={**token.extra, **own_tokens}, lifetime_seconds=lifetime)
    cannot = sorted({spec.oauth.optional_scopes[scope] for scope in optional} | ({"read"} if required else set()))
    answer = connections.complete(
        user_id,
        spec.slug,
        oauth2.to_json(spec, token),
        _profile_json(profile, {"cannot": cannot}),
        f"missing_scopes: {' '.join(required)}" if required else None,
    )
    return {**answer, "missing_scopes": [*required, *optional], "cannot": cannot}


def disconnect(user_id: str, connection_id: str) -> None:
    """End a connection. The rows and the secret go first; a platform that cannot take the grant back is asked again.

    Raises NotFoundError if it is not the user's.
    """
    departures.purge_items(user_id, connection_id)
    ended = connections.disconnect(user_id, connection_id)
    if ended["revocation_id"]:
        give_back(ended)


def give_back(ended: Row, seconds: float = UPSTREAM_SECONDS) -> bool:
    """Give an ended grant back to its platform; False if the platform cannot take it within so long."""
    spec = registry.platform(ended["platform"])
    try:
        # A secret that was lost (a restore without Vault) cannot be given back and must not be asked for for ever.
        if ended["token"] is not None:
            with http.deadline(seconds):
                oauth2.revoke(spec, oauth2.from_json(ended["token"]))
    except UpstreamError as error:
        logger.warning(
            "a grant could not be given back yet",
            extra={"platform": spec.slug, "code": error.problem_code, "status": error.upstream_status},
        )
        return False
    connections.finish_revocation(ended["revocation_id"])
    return True


def retry_revocations(max_results: int = 20) -> int:
    """Give back what a platform did not take before; how many it took now. For maintenance."""
    return sum(give_back(ended) for ended in connections.claim_revocations(max_results))


def _redirect_uri(platform: str) -> str:
    return f"{settings.FUNCTIONS_URL.value()}/oauth/{platform}/callback"


def _require_own(return_to: str | None) -> None:
    """Only pages of the app: a path, or an address at one of its origins."""
    if return_to is None:
        return
    readable = return_to.isprintable() and "\\" not in return_to
    if readable and return_to.startswith("/") and not return_to.startswith("//"):
        return
    origins = (settings.APP_URL.value(), *settings.APP_ORIGINS.value())
    # Compared as text: what no parser has taken apart, none can take for another address.
    if not readable or not any(re.match(re.escape(origin) + r"(?![^/?#])", return_to) for origin in origins):
        raise InvalidRequestError("`return_to` must be a page of the app.", code="return_to_not_allowed")


def _profile_json(profile: Profile, capabilities: Row) -> Row:
    return {
        "platform_user_id": profile.platform_user_id,
        "username": profile.username,
        "display_name": profile.display_name,
        "avatar_url": profile.avatar_url,
        "accounts": [{**_account_json(account), "capabilities": capabilities} for account in profile.accounts],
    }


def _account_json(account: AccountRecord) -> Row:
    fields = {field.name: getattr(account, field.name) for field in dataclasses.fields(account)}
    fields.pop("access_token")
    return fields
