"""Who is calling: Supabase access tokens, verified locally against the project's signing keys.

Docs: https://supabase.com/docs/guides/auth/jwts and https://supabase.com/docs/guides/auth/signing-keys.
"""

from __future__ import annotations

import functools
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from functions.core import settings
from functions.core.errors import UnauthenticatedError, UpstreamUnavailableError
from functions.core.observability import logger

if TYPE_CHECKING:
    import jwt

# jwt and what it brings (cryptography) are imported where a token is looked at: they are a quarter of a cold start, and
# a call without a token is refused without them.

ASYMMETRIC_ALGORITHMS = ("ES256", "RS256")
AUDIENCE = "authenticated"
KEYS_LIFETIME_SECONDS = 600  # Supabase asks clients not to cache signing keys for longer
MINIMUM_REFETCH_SECONDS = 10  # neither tokens that name unknown keys nor an outage may become a stream of requests
FETCH_SECONDS = 5
CLOCK_SKEW_SECONDS = 5


@dataclass(frozen=True, slots=True)
class User:
    """The signed-in caller. `id` is the `sub` claim; nothing else of the token is trusted for authorisation."""

    id: str


class SigningKeys:
    """The project's public keys by `kid`, fetched when first needed and when an unknown one appears."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._asked_at = float("-inf")

    def find(self, kid: str) -> jwt.PyJWK | None:
        """The key named `kid`, or None if the project has no such key.

        Raises UpstreamUnavailableError while nothing is known yet and cannot be asked for.
        """
        with self._lock:
            now = time.monotonic()
            is_known = self._fetched_at > float("-inf")
            is_due = kid not in self._keys or now - self._fetched_at > KEYS_LIFETIME_SECONDS
            if not is_known or (is_due and now - self._asked_at > MINIMUM_REFETCH_SECONDS):
                self._asked_at = now
                # Keys that are already known stay good; a stale key is better than turning everybody away.
                if not self._fetch() and not is_known:
                    raise UpstreamUnavailableError(
                        "Access tokens cannot be checked right now; try again.", service="auth", retry_after_seconds=5
                    )
            return self._keys.get(kid)

    def _fetch(self) -> bool:
        import httpx  # noqa: PLC0415
        import jwt  # noqa: PLC0415

        from functions.core import http  # noqa: PLC0415

        try:
            with http.deadline(FETCH_SECONDS):
                answer = http.client().get(self._url)
            answer.raise_for_status()
            listed = answer.json()["keys"]
            keys = jwt.PyJWKSet.from_dict({"keys": listed}).keys if listed else []
        except (httpx.HTTPError, ValueError, TypeError, LookupError, jwt.PyJWTError) as error:
            logger.warning("signing keys could not be fetched", extra={"reason": type(error).__name__})
            return False
        self._keys = {key.key_id: key for key in keys if key.key_id and key.algorithm_name in ASYMMETRIC_ALGORITHMS}
        self._fetched_at = time.monotonic()
        return True


@functools.cache
def _signing_keys(url: str) -> SigningKeys:
    return SigningKeys(url)


def _issuer() -> str:
    return f"{settings.SUPABASE_URL.value()}/auth/v1"


def _key_for(token: str) -> tuple[Any, str]:
    import jwt  # noqa: PLC0415

    header = jwt.get_unverified_header(token)
    algorithm = header.get("alg")
    if algorithm == "HS256" and (secret := settings.SUPABASE_JWT_SECRET.value()):
        return secret, "HS256"
    if algorithm in ASYMMETRIC_ALGORITHMS and isinstance(header.get("kid"), str):
        url = settings.SUPABASE_JWKS_URL.value() or f"{_issuer()}/.well-known/jwks.json"
        key = _signing_keys(url).find(header["kid"])
        if key is not None and key.algorithm_name == algorithm:
            return key.key, algorithm
    raise UnauthenticatedError("The access token is not signed by a known key.")


def verify(token: str) -> User:
    """The user of an access token.

    Raises UnauthenticatedError if signature, expiry, issuer or audience are wrong, UpstreamUnavailableError if the
    project's keys cannot be had.
    """
    import jwt  # noqa: PLC0415

    try:
        key, algorithm = _key_for(token)
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=AUDIENCE,
            issuer=_issuer(),
            leeway=CLOCK_SKEW_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        if claims.get("role") != "authenticated":
            raise UnauthenticatedError("The access token is not one of a signed-in user.")
        return User(id=str(uuid.UUID(claims["sub"])))
    except jwt.ExpiredSignatureError:
        raise UnauthenticatedError("The access token has expired; refresh it.") from None
    except (jwt.PyJWTError, ValueError):
        raise UnauthenticatedError("The access token is not valid.") from None


def bearer(authorization: str | None) -> User:
    """The user of an `Authorization` header's value. Raises UnauthenticatedError."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError("Send the access token as `Authorization: Bearer <token>`.")
    return verify(token.strip())
