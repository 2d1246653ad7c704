"""OAuth 2.0's variants, as data of a spec: what goes to the browser and to the token endpoint."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from functions.connectors import oauth2
from functions.connectors.client import Request, Response
from functions.connectors.registry import platforms
from functions.connectors.spec import PlatformSpec, Secrets, Token
from functions.core.errors import GrantRevokedError, UpstreamError, UpstreamRefusedError, UpstreamUnavailableError

CLIENT = Secrets("the-id", "the-secret")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for spec in platforms().values():
        monkeypatch.setenv(spec.oauth.client_id.name, CLIENT.client_id)
        monkeypatch.setenv(spec.oauth.client_secret.name, CLIENT.client_secret)


def with_pkce(spec: PlatformSpec, pkce: Any) -> PlatformSpec:
    return dataclasses.replace(spec, oauth=dataclasses.replace(spec.oauth, pkce=pkce))


def query(spec: PlatformSpec, state: str = "s") -> dict[str, str]:
    return dict(parse_qsl(urlsplit(oauth2.authorize_url(spec, state=state, redirect_uri="https://f.example/cb")).query))


def test_states_are_256_bits_and_never_the_same() -> None:
    states = {oauth2.new_state() for _ in range(100)}
    assert len(states) == 100
    assert all(len(base64.urlsafe_b64decode(state + "=")) == 32 for state in states)


def test_the_verifier_belongs_to_state_platform_and_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    youtube, twitter = platforms()["youtube"], platforms()["twitter"]
    verifier = oauth2.code_verifier(youtube, "s")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", verifier)  # RFC 7636: 43 to 128 of these
    assert oauth2.code_verifier(youtube, "s") == verifier
    others = {oauth2.code_verifier(youtube, "t"), oauth2.code_verifier(twitter, "s")}
    monkeypatch.setenv(youtube.oauth.client_secret.name, "another")
    others.add(oauth2.code_verifier(youtube, "s"))
    assert verifier not in others
    assert len(others) == 3


def test_pkce_variants() -> None:
    spec = platforms()["youtube"]
    digest = hashlib.sha256(oauth2.code_verifier(spec, "s").encode())
    plain = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    assert query(with_pkce(spec, "S256"))["code_challenge"] == plain
    assert query(with_pkce(spec, "hex"))["code_challenge"] == digest.hexdigest()
    assert "code_challenge" not in query(with_pkce(spec, "none"))


@pytest.mark.parametrize(
    ("slug", "identifier", "separator"),
    [
        ("youtube", "client_id", " "),
        ("instagram", "client_id", ","),
        ("tiktok", "client_key", ","),
        ("facebook", "client_id", ","),
        ("twitter", "client_id", " "),
    ],
)
def test_what_goes_to_the_browser(slug: str, identifier: str, separator: str) -> None:
    spec = platforms()[slug]
    sent = query(spec)
    assert sent[identifier] == CLIENT.client_id
    assert sent["scope"].split(separator) == [*spec.oauth.required_scopes, *spec.oauth.optional_scopes]
    assert (sent["response_type"], sent["state"]) == ("code", "s")
    assert CLIENT.client_secret not in str(sent)


def test_client_authentication() -> None:
    youtube, twitter, tiktok = (platforms()[slug].oauth for slug in ("youtube", "twitter", "tiktok"))
    basic = oauth2.token_request(twitter, CLIENT, {"code": "c"})
    assert basic.headers["Authorization"] == "Basic " + base64.b64encode(b"the-id:the-secret").decode()
    assert basic.form == {"code": "c"}
    assert oauth2.token_request(youtube, CLIENT, {}).form == {"client_id": "the-id", "client_secret": "the-secret"}
    assert oauth2.token_request(tiktok, CLIENT, {}).form == {"client_key": "the-id", "client_secret": "the-secret"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"access_token": "a"}, Token("a")),
        (
            {"access_token": "a", "refresh_token": "r", "expires_in": "3599", "scope": "x y"},
            Token("a", "r", 3599, None, ("x", "y")),
        ),
        (
            {"access_token": "a", "refresh_token": "", "expires_in": -1, "refresh_expires_in": 9},
            Token("a", None, None, 9),
        ),
        ({"access_token": ""}, None),
        ({"access_token": 1}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_reading_a_token(body: Any, expected: Token | None) -> None:
    assert oauth2.read_token(body) == expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"access_token": "a"}', None),
        (400, b'{"error": "invalid_grant"}', GrantRevokedError),
        (200, b'{"error": "invalid_grant"}', GrantRevokedError),
        (401, b'{"error": "invalid_client"}', UpstreamRefusedError),
        (200, b'{"error": "invalid_request"}', UpstreamRefusedError),
        (503, b"", UpstreamUnavailableError),
        (429, b"{}", UpstreamUnavailableError),
    ],
)
def test_errors_of_a_token_endpoint(status: int, body: bytes, expected: type[UpstreamError] | None) -> None:
    found = oauth2.check_oauth(Response("X", status, httpx.Headers(), body))
    assert found is None if expected is None else type(found) is expected


def test_scopes_that_were_not_granted() -> None:
    oauth = platforms()["tiktok"].oauth
    assert oauth2.missing_scopes(oauth, None) == ((), ())
    assert oauth2.missing_scopes(oauth, ("video.list",)) == (
        ("user.info.basic",),
        ("user.info.profile", "user.info.stats"),
    )


def test_a_token_there_and_back() -> None:
    spec = platforms()["instagram"]
    token = Token("a", None, 5183944, None, ("x",), {"account:1": "b"})
    stored = oauth2.to_json(spec, token)
    assert (
        stored.items() >= {"lifetime_seconds": 5183944, "is_refreshable": True, "refresh_after_seconds": 86400}.items()
    )
    assert oauth2.from_json(stored) == Token("a", None, extra={"account:1": "b"})
    # A refresh token that nothing can be done with is not kept.
    assert oauth2.to_json(platforms()["facebook"], Token("a", "r"))["refresh_token"] is None


@pytest.mark.parametrize("slug", ["youtube", "tiktok", "facebook", "twitter"])
def test_revocations_name_the_token_and_show_no_secret(slug: str) -> None:
    revoke = platforms()[slug].oauth.revoke
    assert revoke is not None
    request = revoke(CLIENT, Token("the-access-token", "the-refresh-token"))
    assert isinstance(request, Request)
    assert "the-" in str(request.form) + str(request.params)
    assert "the-" not in repr(request)
