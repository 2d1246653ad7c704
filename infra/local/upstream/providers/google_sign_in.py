"""Google's OAuth 2.0: accounts.google.com and oauth2.googleapis.com.

https://developers.google.com/identity/protocols/oauth2/web-server

Refresh tokens are static, and given only for `access_type=offline` on the first consent or with
`prompt=consent`. A revoke
ends every grant of that account to the client. Other Google APIs add their own grant types to `grant_types`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from infra.local.upstream.messages import Refusal, Request, Response, json_response, redirect
from infra.local.upstream.oauth import Client, Grant, OAuthError, Policy
from infra.local.upstream.platform import Consent, Platform
from infra.local.upstream.provider import Route

ISSUER = "https://accounts.google.com"
# What every consent grants whatever was unticked.
BASIC_SCOPES = ("openid", "https://www.googleapis.com/auth/userinfo.email")
ACCESS_SECONDS = 3599
CODE_SECONDS = 600
STATUS_OF = {"invalid_client": 401}


class GoogleSignIn(Platform):
    hosts: tuple[str, ...] = ("accounts.google.com", "oauth2.googleapis.com")

    def reset(self) -> None:
        super().reset()
        self.grant_types: dict[str, Callable[[Request], Response]] = {
            "authorization_code": self._redeem_code,
            "refresh_token": self._refresh,
        }

    def policy(self) -> Policy:
        return Policy(
            code_seconds=CODE_SECONDS,
            access_seconds=ACCESS_SECONDS,
            code_prefix="4/0A",
            access_prefix="ya29.a0",
            refresh_prefix="1//0",
        )

    def sign_in_routes(self) -> tuple[Route, ...]:
        return (
            Route("GET", "accounts.google.com", "/o/oauth2/v2/auth", self._authorize),
            Route("GET", "accounts.google.com", "/o/oauth2/auth", self._authorize),
            Route("POST", "oauth2.googleapis.com", "/token", self._token),
            Route("POST", "oauth2.googleapis.com", "/revoke", self._revoke),
            Route("GET", "oauth2.googleapis.com", "/tokeninfo", self._inspect),
        )

    def token_answer(self, account: object, scopes: tuple[str, ...]) -> dict[str, object]:
        client_id = next(iter(self.oauth.clients))
        grant = self.oauth.grant(client_id, self.required_account(getattr(account, "slug", None)).slug, scopes)
        return self._answer(grant, with_refresh=True)

    def _authorize(self, request: Request) -> Response:
        consent = self.consent(request)
        back = {"state": consent.state} if consent.state is not None else {}
        if consent.denied:
            return redirect(consent.redirect_uri, {"error": "access_denied", **back})
        query = request.query
        scopes = consent.granted if consent.granted else BASIC_SCOPES
        first = not self._live_grants(consent)
        offline = query.get("access_type") == "offline" and (first or "consent" in query.get("prompt", "").split())
        grant = self.oauth.grant(consent.client.client_id, consent.account.slug, scopes, offline=offline)
        code = self.oauth.issue_code(
            grant,
            consent.redirect_uri,
            query.get("code_challenge", ""),
            query.get("code_challenge_method", ""),
        )
        shown = {"scope": " ".join(scopes), "authuser": "0", "prompt": "consent"}
        return redirect(consent.redirect_uri, {**back, "iss": ISSUER, "code": code, **shown})

    def _live_grants(self, consent: Consent) -> list[Grant]:
        return [
            grant
            for grant in self.oauth.grants
            if (grant.account, grant.client_id, grant.revoked)
            == (consent.account.slug, consent.client.client_id, False)
            and grant.access_token is not None
        ]

    def _token(self, request: Request) -> Response:
        grant_type = request.form().get("grant_type", "")
        handler = self.grant_types.get(grant_type)
        if handler is None:
            return _error(OAuthError("unsupported_grant_type", f"Invalid grant_type: {grant_type}"))
        try:
            return handler(request)
        except OAuthError as error:
            return _error(error)

    def _client(self, request: Request) -> Client:
        form = request.form()
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                client_id = secret = ""
        return self.oauth.authenticate(client_id, secret)

    def _redeem_code(self, request: Request) -> Response:
        form = request.form()
        client = self._client(request)
        grant = self.oauth.redeem(
            form.get("code", ""), client, form.get("redirect_uri", ""), form.get("code_verifier", "")
        )
        return json_response(self._answer(grant, with_refresh=grant.offline))

    def _refresh(self, request: Request) -> Response:
        grant = self.oauth.refresh(request.form().get("refresh_token", ""), self._client(request))
        return json_response(self._answer(grant, with_refresh=False))

    def _answer(self, grant: Grant, *, with_refresh: bool) -> dict[str, object]:
        access = self.oauth.issue_access(grant)
        answer: dict[str, object] = {
            "access_token": access.value,
            "expires_in": int(self.oauth.policy.access_seconds),
        }
        if with_refresh:
            answer["refresh_token"] = self.oauth.issue_refresh(grant).value
        return {**answer, "scope": " ".join(grant.scopes), "token_type": "Bearer"}

    def _revoke(self, request: Request) -> Response:
        value = request.form().get("token") or request.query.get("token", "")
        token = self.oauth.refreshes.get(value) or self.oauth.access.get(value)
        if token is None or token.grant.revoked:
            raise Refusal(
                json_response({"error": "invalid_token", "error_description": "Token expired or revoked"}, 400)
            )
        self.oauth.revoke_account(token.grant.account, "revoked by the client", token.grant.client_id)
        return json_response({})

    def _inspect(self, request: Request) -> Response:
        token = self.oauth.find(request.query.get("access_token", ""))
        if token is None or token.expires_at is None:
            return json_response({"error": "invalid_token", "error_description": "Invalid Value"}, 400)
        left = str(int(token.expires_at - self.clock.now()))
        return json_response({"aud": token.grant.client_id, "scope": " ".join(token.grant.scopes), "expires_in": left})


def _error(error: OAuthError) -> Response:
    said = {"invalid_client": "Unauthorized", "redirect_uri_mismatch": "Bad Request"}
    body = {"error": error.error, "error_description": said.get(error.error, error.description)}
    return json_response(body, STATUS_OF.get(error.error, 400))
