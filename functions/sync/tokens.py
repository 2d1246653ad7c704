"""Tokens in use: fresh when they are handed out, renewed by one worker at a time.

The database decides who renews (a lease) and whether what came back is still wanted (a version). What a platform
issued is stored before anybody uses it: with rotating refresh tokens the old one is dead by then.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from functions.connectors import oauth2, registry
from functions.connectors.spec import PlatformSpec, Token
from functions.core import http
from functions.core.errors import GrantRevokedError, UpstreamError, UpstreamUnavailableError
from functions.core.observability import logger, record
from functions.database import connections

LONGEST_WAIT_SECONDS = 25.0  # for another worker's refresh, which may take its call's whole deadline
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Held:
    """A token and the version that it is stored under."""

    token: Token
    version: int

    def has_own(self, platform_account_id: str) -> bool:
        """Whether the account has an access token of its own."""
        return f"account:{platform_account_id}" in self.token.extra

    def access_token(self, platform_account_id: str) -> str:
        """The account's own access token where it has one (a page's), else the grant's."""
        return self.token.extra.get(f"account:{platform_account_id}") or self.token.access_token


def use(platform: str, connection_id: str, *, rejected_version: int | None = None) -> Held:
    """The connection's token, renewed first if it ends soon or if `rejected_version` is the stored one.

    Raises GrantRevokedError if the user has to connect again, UpstreamUnavailableError if the platform cannot renew it
    now and the stored one is no good any more.
    """
    spec = registry.platform(platform)
    waits_until = time.monotonic() + min(LONGEST_WAIT_SECONDS, http.remaining_seconds())
    while True:
        answer = connections.begin_token_refresh(connection_id, spec.oauth.refresh_ahead_seconds, rejected_version)
        match answer["status"]:
            case "usable":
                return Held(oauth2.from_json(answer["token"]), answer["version"])
            case "refresh":
                held = _refresh(spec, connection_id, answer, is_usable=not answer["is_needed_now"])
                if held is not None:
                    return held
            case "busy":
                pause = POLL_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311 - spreads callers, no secret
                if time.monotonic() + pause > waits_until:
                    raise UpstreamUnavailableError(
                        f"{spec.display_name} could not renew its permission yet.",
                        service=spec.display_name,
                        retry_after_seconds=answer.get("wait_seconds"),
                    )
                time.sleep(pause)
            case "dead":
                if connections.mark_grant_dead(connection_id, answer["version"], "token_expired"):
                    _note_dead(spec, connection_id)
                raise GrantRevokedError(service=spec.display_name)
            case _:
                raise GrantRevokedError(service=spec.display_name)


def _refresh(spec: PlatformSpec, connection_id: str, lease: dict[str, object], *, is_usable: bool) -> Held | None:
    """The renewed token; None to look again, because somebody stored a newer one meanwhile."""
    stored = lease["token"]
    version = lease["version"]
    assert isinstance(stored, dict)
    assert isinstance(version, int)
    old = oauth2.from_json(stored)
    try:
        new = oauth2.refresh(spec, old)
    except GrantRevokedError:
        # Believed only while it speaks of the newest token; the database compares.
        if connections.mark_grant_dead(connection_id, version, "grant_revoked"):
            _note_dead(spec, connection_id)
            raise
        return None
    except UpstreamError:
        connections.finish_token_refresh(connection_id, str(lease["lease"]), version, None)
        record("TokenRefreshes", platform=spec.slug, outcome="failed")
        if is_usable:
            return Held(old, version)
        raise
    if connections.finish_token_refresh(connection_id, str(lease["lease"]), version, oauth2.to_json(spec, new)):
        record("TokenRefreshes", platform=spec.slug, outcome="renewed")
        return Held(new, version + 1)
    return None


def _note_dead(spec: PlatformSpec, connection_id: str) -> None:
    logger.warning("a grant is dead", extra={"platform": spec.slug, "connection_id": connection_id})
    record("TokenRefreshes", platform=spec.slug, outcome="dead")


def refresh_ahead(max_results: int = 100) -> int:
    """Renew tokens that end soon, for maintenance; how many are good again. No failure stops the others."""
    done = 0
    for spec in registry.platforms().values():
        for connection_id in connections.tokens_to_refresh(spec.slug, spec.oauth.refresh_ahead_seconds, max_results):
            try:
                use(spec.slug, connection_id)
            except UpstreamError:
                continue
            done += 1
    return done
