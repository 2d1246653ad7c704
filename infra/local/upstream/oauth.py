"""An OAuth 2.0 authorisation server's memory: codes, grants, tokens. The vendors' wording is left to
their modules.

All lifetimes run on the simulated clock. A grant is one authorisation by one account; with rotating
refresh tokens it
is also the token family that dies when a spent refresh token comes back.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field

from infra.local.upstream.clock import Clock

LOOPBACK_PREFIXES = ("http://127.0.0.1", "http://localhost", "http://[::1]")


class OAuthError(Exception):
    """`error` is an RFC 6749 code; each vendor dresses it in its own body."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class Client:
    """A registered app. Loopback redirect URIs are always accepted, others where they are listed."""

    client_id: str
    client_secret: str


@dataclass(slots=True)
class Policy:
    """How long things live (seconds; None: for ever) and whether refresh tokens rotate."""

    code_seconds: float
    access_seconds: float
    refresh_seconds: float | None = None
    rotating: bool = False
    hex_challenge: bool = False  # TikTok's desktop variant: hex(SHA-256), not base64url
    code_prefix: str = ""
    code_suffix: str = ""
    access_prefix: str = ""
    refresh_prefix: str = ""


@dataclass(slots=True)
class Grant:
    client_id: str
    account: str
    scopes: tuple[str, ...]
    created_at: float
    offline: bool = True
    declined: tuple[str, ...] = ()  # asked for and unticked
    revoked: bool = False
    revoked_because: str | None = None
    refreshes: int = 0
    reuse_events: int = 0
    access_token: str | None = None  # the last ones issued
    refresh_token: str | None = None


@dataclass(slots=True)
class Code:
    grant: Grant
    redirect_uri: str
    challenge: str
    challenge_method: str
    expires_at: float
    used: bool = False


@dataclass(slots=True)
class Token:
    value: str
    grant: Grant
    issued_at: float
    expires_at: float | None
    spent: bool = False
    kind: str = ""  # what a vendor distinguishes: Meta's short, long and page tokens
    subject: str = ""  # what it speaks for, where that is not the grant's account: a page


@dataclass(slots=True)
class AuthorizationServer:
    clock: Clock
    clients: dict[str, Client]
    policy: Policy
    redirect_uris: set[str] = field(default_factory=set)
    grants: list[Grant] = field(default_factory=list)
    codes: dict[str, Code] = field(default_factory=dict)
    access: dict[str, Token] = field(default_factory=dict)
    refreshes: dict[str, Token] = field(default_factory=dict)

    def accepts_redirect(self, uri: str) -> bool:
        return uri in self.redirect_uris or any(
            uri.startswith(prefix) and uri[len(prefix) : len(prefix) + 1] in (":", "/", "")
            for prefix in LOOPBACK_PREFIXES
        )

    def authenticate(self, client_id: str, client_secret: str) -> Client:
        client = self.clients.get(client_id)
        if client is None or not secrets.compare_digest(client.client_secret.encode(), client_secret.encode()):
            raise OAuthError("invalid_client", "The client is unknown or its secret is wrong.")
        return client

    def grant(self, client_id: str, account: str, scopes: tuple[str, ...], *, offline: bool = True) -> Grant:
        made = Grant(client_id, account, scopes, self.clock.now(), offline)
        self.grants.append(made)
        return made

    def issue_code(self, grant: Grant, redirect_uri: str, challenge: str = "", challenge_method: str = "") -> str:
        code = self.policy.code_prefix + secrets.token_urlsafe(36) + self.policy.code_suffix
        expires_at = self.clock.now() + self.policy.code_seconds
        self.codes[code] = Code(grant, redirect_uri, challenge, challenge_method or "plain", expires_at)
        return code

    def redeem(self, code: str, client: Client, redirect_uri: str, verifier: str) -> Grant:
        """The grant behind a code, once; OAuthError('invalid_grant') for every reason to refuse."""
        found = self.codes.get(code)
        if found is None or found.used or found.grant.client_id != client.client_id:
            raise OAuthError("invalid_grant", "Malformed or already redeemed auth code.")
        if self.clock.now() >= found.expires_at:
            raise OAuthError("invalid_grant", "Authorization code is expired.")
        if redirect_uri != found.redirect_uri:
            raise OAuthError("redirect_uri_mismatch", "The redirect URI is not that of the authorization request.")
        if found.challenge and not verifier:
            raise OAuthError("invalid_grant", "Missing code verifier.")
        if found.challenge and self._challenge(found.challenge_method, verifier) != found.challenge:
            raise OAuthError("invalid_grant", "Invalid code verifier.")
        found.used = True
        return found.grant

    def _challenge(self, method: str, verifier: str) -> str:
        if method != "S256":
            return verifier
        digest = hashlib.sha256(verifier.encode()).digest()
        return digest.hex() if self.policy.hex_challenge else base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def issue_access(self, grant: Grant, *, seconds: float | None = -1, kind: str = "", subject: str = "") -> Token:
        """A new access token; `seconds` None makes it unending, -1 takes the policy's lifetime."""
        now = self.clock.now()
        life = self.policy.access_seconds if seconds == -1 else seconds
        value = self.policy.access_prefix + secrets.token_urlsafe(48)
        token = Token(value, grant, now, None if life is None else now + life, kind=kind, subject=subject)
        self.access[value] = token
        if not subject:
            grant.access_token = value
        return token

    def issue_refresh(self, grant: Grant) -> Token:
        now = self.clock.now()
        life = self.policy.refresh_seconds
        value = self.policy.refresh_prefix + secrets.token_urlsafe(48)
        token = Token(value, grant, now, None if life is None else now + life)
        self.refreshes[value] = token
        grant.refresh_token = value
        return token

    def refresh(self, value: str, client: Client) -> Grant:
        """The live grant behind a refresh token, which is spent where they rotate. Presenting a spent one
        revokes
        the whole grant and counts a reuse event."""
        token = self.refreshes.get(value)
        if token is None or token.grant.client_id != client.client_id:
            raise OAuthError("invalid_grant", "Bad Request")
        if token.spent:
            token.grant.reuse_events += 1
            self.revoke(token.grant, "refresh token reuse")
            raise OAuthError("invalid_grant", "The refresh token was already used; its token family is revoked.")
        expired = token.expires_at is not None and self.clock.now() >= token.expires_at
        if token.grant.revoked or expired:
            raise OAuthError("invalid_grant", "Token has been expired or revoked.")
        token.spent = self.policy.rotating
        token.grant.refreshes += 1
        return token.grant

    def find(self, value: str) -> Token | None:
        """A live access token, or None where it is unknown, expired or revoked."""
        token = self.access.get(value)
        if token is None or token.grant.revoked or self.is_expired(token):
            return None
        return token

    def is_expired(self, token: Token) -> bool:
        return token.expires_at is not None and self.clock.now() >= token.expires_at

    def revoke(self, grant: Grant, because: str) -> None:
        if not grant.revoked:
            grant.revoked, grant.revoked_because = True, because

    def revoke_account(self, account: str, because: str, client_id: str | None = None) -> int:
        """Revokes every live grant of an account (with one client, or all); returns how many."""
        live = [g for g in self.grants if g.account == account and not g.revoked and client_id in (None, g.client_id)]
        for grant in live:
            self.revoke(grant, because)
        return len(live)
