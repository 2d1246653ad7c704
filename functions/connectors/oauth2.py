"""OAuth 2.0 with any platform: authorise, exchange, refresh, revoke. What differs between them is data in their specs.

RFC 6749 (framework), RFC 7636 (PKCE), RFC 7009 (revocation), RFC 9207 (issuer in redirects), RFC 9700 (good practice).
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from functions.connectors.client import Request, Response, error_for, plain_word, send, upstream_url
from functions.connectors.spec import OAuthSpec, PlatformSpec, Secrets, Token
from functions.core.errors import GrantRevokedError, InvalidRequestError, UpstreamError, UpstreamRefusedError

STATE_BYTES = 32
TOKEN_DEADLINE_SECONDS = 15.0
# RFC 6749, 5.2: the grant is dead, not merely this request. All others are our fault or pass by.
DEAD_GRANT_CODES = frozenset({"invalid_grant"})
SECONDS_PER_DAY = 86400


def new_state() -> str:
    """An unguessable one-time value of 256 bits, safe in an address."""
    return secrets.token_urlsafe(STATE_BYTES)


def state_hash(state: str) -> str:
    """What is stored of a state: whoever reads the database cannot complete somebody's authorisation."""
    return hashlib.sha256(state.encode()).hexdigest()


def code_verifier(platform: PlatformSpec, state: str) -> str:
    """The PKCE verifier that belongs to `state`.

    It is derived with the client's secret instead of stored, so there is nowhere to steal it from.
    """
    key = platform.oauth.client_secret.value().encode()
    digest = hmac.new(key, b"pkce:" + platform.slug.encode() + b":" + state.encode(), hashlib.sha256).digest()
    return _base64url(digest)


def authorize_url(platform: PlatformSpec, *, state: str, redirect_uri: str) -> str:
    """Where to send the browser for the user's consent."""
    oauth = platform.oauth
    params = {
        "response_type": "code",
        oauth.client_id_name: oauth.client_id.value(),
        "redirect_uri": redirect_uri,
        "scope": oauth.scope_separator.join((*oauth.required_scopes, *oauth.optional_scopes)),
        "state": state,
        **oauth.authorize_params,
    }
    if oauth.pkce != "none":
        digest = hashlib.sha256(code_verifier(platform, state).encode())
        params["code_challenge"] = digest.hexdigest() if oauth.pkce == "hex" else _base64url(digest.digest())
        params["code_challenge_method"] = "S256"
    return f"{upstream_url(oauth.authorize_url)}?{urlencode(params)}"


def exchange(platform: PlatformSpec, *, code: str, state: str, redirect_uri: str) -> Token:
    """The token for an authorisation code, taken through the platform's further steps (short-lived to long-lived).

    A code is good for one attempt, so nothing here is repeated. Raises InvalidRequestError (code `code_refused`) for
    a code that the platform does not take, UpstreamUnavailableError if it cannot answer.
    """
    oauth = platform.oauth
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    if oauth.pkce != "none":
        form["code_verifier"] = code_verifier(platform, state)
    try:
        token = _ask(platform, token_request(oauth, client_secrets(oauth), form))
        for step in oauth.exchange_steps:
            token = _merged(token, _ask(platform, step(client_secrets(oauth), token)))
        if oauth.inspect is not None and oauth.read_scopes is not None:
            answer = _send(platform, oauth.inspect(client_secrets(oauth), token))
            token = dataclasses.replace(token, scopes=oauth.read_scopes(answer.json()))
    except GrantRevokedError:
        raise InvalidRequestError(
            f"{platform.display_name} did not accept the authorisation; start again.", code="code_refused"
        ) from None
    return token


def refresh(platform: PlatformSpec, token: Token) -> Token:
    """The next token. What the answer leaves out (the refresh token, the scopes) is kept from `token`.

    Not repeated after an answer may have been lost: a rotating refresh token must not be presented twice.
    Raises GrantRevokedError if the platform says that the grant is dead.
    """
    build = platform.oauth.refresh
    if build is None:
        raise UpstreamRefusedError(
            f"{platform.display_name} has no way to renew this permission.", service=platform.display_name
        )
    return _merged(token, _ask(platform, build(client_secrets(platform.oauth), token)))


def revoke(platform: PlatformSpec, token: Token) -> None:
    """Give the grant back. An answer that says it is gone already is as good. Raises UpstreamError."""
    if platform.oauth.revoke is None:
        return
    try:
        _give_back(platform, platform.oauth.revoke, token)
    except GrantRevokedError:
        return
    except UpstreamRefusedError as error:
        if error.upstream_code in {"invalid_token", "invalid_grant"}:
            return
        if platform.oauth.refresh is None or token.refresh_token is None:
            raise
        # Where the access token is what is given back, it may have ended since: then its successor is.
        try:
            _give_back(platform, platform.oauth.revoke, refresh(platform, token))
        except GrantRevokedError:
            return


def client_secrets(oauth: OAuthSpec) -> Secrets:
    """The client's credentials from the settings."""
    return Secrets(oauth.client_id.value(), oauth.client_secret.value())


def token_request(oauth: OAuthSpec, client: Secrets, form: Mapping[str, str]) -> Request:
    """A request to the token endpoint, with the client's credentials where the platform wants them."""
    headers = {"Accept": "application/json"}
    if oauth.client_auth == "basic":
        headers["Authorization"] = basic_credentials(client)
        return Request("POST", oauth.token_url, headers=headers, form=form)
    identified = {oauth.client_id_name: client.client_id, "client_secret": client.client_secret, **form}
    return Request("POST", oauth.token_url, headers=headers, form=identified)


def basic_credentials(client: Secrets) -> str:
    """The value of an Authorization header (RFC 6749, 2.3.1, without its form-encoding: ids and secrets are plain)."""
    pair = f"{client.client_id}:{client.client_secret}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def read_token(body: Any, scope_separator: str = " ") -> Token | None:
    """The token in a standard answer (RFC 6749, 5.1), None if there is none in it."""
    if not isinstance(body, dict) or not isinstance(body.get("access_token"), str) or not body["access_token"]:
        return None
    scope = body.get("scope")
    return Token(
        access_token=body["access_token"],
        refresh_token=str(body["refresh_token"]) if body.get("refresh_token") else None,
        lifetime_seconds=seconds(body.get("expires_in")),
        refresh_lifetime_seconds=seconds(body.get("refresh_token_expires_in", body.get("refresh_expires_in"))),
        scopes=split_scopes(scope, scope_separator) if isinstance(scope, str) else None,
    )


def split_scopes(text: str, separator: str) -> tuple[str, ...]:
    """Scopes as a platform lists them; every one is forgiving about blanks."""
    return tuple(dict.fromkeys(part for part in text.replace(separator, " ").split() if part))


def seconds(value: Any) -> int | None:
    """A lifetime, None if it is not a positive number of seconds."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number <= 10 * 366 * SECONDS_PER_DAY else None


def check_oauth(response: Response) -> UpstreamError | None:
    """What a token endpoint says (RFC 6749, 5.2). An `error` counts whatever the status: some send it with 200."""
    body = response.json_object()
    code = plain_word(body.get("error"))
    if code in DEAD_GRANT_CODES:
        return GrantRevokedError(service=response.service, upstream_status=response.status, upstream_code=code)
    if response.ok and not body.get("error"):
        return None
    return error_for(response, code=code)


def expected_issuer(oauth: OAuthSpec) -> str:
    """What `iss` must be in a redirect that has one: the named issuer, else where the user was sent."""
    parts = urlsplit(oauth.authorize_url)
    return oauth.issuer or f"{parts.scheme}://{parts.netloc}"


def missing_scopes(oauth: OAuthSpec, granted: tuple[str, ...] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(required, optional) scopes that were asked for and not granted. Not said means as asked (RFC 6749, 5.1)."""
    if granted is None:
        return (), ()
    have = frozenset(granted)
    required = tuple(scope for scope in oauth.required_scopes if scope not in have)
    return required, tuple(scope for scope in oauth.optional_scopes if scope not in have)


def to_json(platform: PlatformSpec, token: Token) -> dict[str, Any]:
    """A token as the database takes it; lifetimes are seconds from now, so that the database dates them."""
    oauth = platform.oauth
    renews_itself = oauth.refresh is not None and not oauth.refresh_needs_refresh_token
    return {
        "access_token": token.access_token,
        "refresh_token": token.refresh_token if oauth.refresh is not None else None,
        "lifetime_seconds": token.lifetime_seconds,
        "refresh_lifetime_seconds": token.refresh_lifetime_seconds,
        "is_refreshable": renews_itself,
        "refresh_after_seconds": oauth.refresh_after_seconds,
        "scopes": list(token.scopes or ()),
        "extra": dict(token.extra),
    }


def from_json(stored: Mapping[str, Any]) -> Token:
    """A token as the database gives it back. Its times are not in it: the database judges them."""
    return Token(
        access_token=stored["access_token"],
        refresh_token=stored.get("refresh_token"),
        extra=stored.get("extra") or {},
    )


def _give_back(platform: PlatformSpec, build: Callable[[Secrets, Token], Request], token: Token) -> None:
    send(
        build(client_secrets(platform.oauth), token),
        service=platform.display_name,
        check=platform.oauth.check,
        idempotent=True,
        deadline_seconds=TOKEN_DEADLINE_SECONDS,
    )


def _send(platform: PlatformSpec, request: Request) -> Response:
    return send(
        request,
        service=platform.display_name,
        check=platform.oauth.check,
        idempotent=False,
        deadline_seconds=TOKEN_DEADLINE_SECONDS,
    )


def _ask(platform: PlatformSpec, request: Request) -> Token:
    response = _send(platform, request)
    read = platform.oauth.read_token
    body = response.json()
    token = read(body) if read else read_token(body, platform.oauth.scope_separator)
    if token is None:
        raise UpstreamError(
            f"{platform.display_name} answered without a token.",
            service=platform.display_name,
            upstream_status=response.status,
        )
    return token


def _merged(old: Token, new: Token) -> Token:
    return Token(
        access_token=new.access_token,
        refresh_token=new.refresh_token or old.refresh_token,
        lifetime_seconds=new.lifetime_seconds,
        refresh_lifetime_seconds=new.refresh_lifetime_seconds,
        scopes=old.scopes if new.scopes is None else new.scopes,
        extra={**old.extra, **new.extra},
    )


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
