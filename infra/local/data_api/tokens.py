"""The bearer token: who asks, and as which role.

https://docs.postgrest.org/en/v14/references/auth.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from jwt.algorithms import get_default_algorithms

from infra.local.data_api import errors
from infra.local.data_api.config import CLAIM_STEP

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.local.data_api.config import Config

_SKEW_SECONDS = 30
_CACHED_TOKENS = 1000
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Identity:
    """The role to become, the claims as JSON, and whether the role is another than that for everybody."""

    role: str
    claims: str
    signed_in: bool


class Authenticator:
    """Verifies tokens against the configured secret, key or key set."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._keys = _read_keys(config)
        self._algorithms = get_default_algorithms()
        self._anonymous: Identity | None = None
        self._verified: OrderedDict[str, tuple[dict[str, Any], Identity]] = OrderedDict()

    def identify(self, authorization: str | None) -> Identity:
        """The identity behind an Authorization header; raise ApiError PGRST301, 302 or 303."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            self._anonymous = self._anonymous or self._identity({})
            return self._anonymous
        token = token.strip()
        known = self._verified.get(token)
        claims = known[0] if known else self._claims(token)
        _check_claims(claims, self._config.jwt_aud)
        if known:
            return known[1]
        identity = self._identity(claims)
        self._verified[token] = (claims, identity)
        if len(self._verified) > _CACHED_TOKENS:
            self._verified.popitem(last=False)
        return identity

    def _identity(self, claims: dict[str, Any]) -> Identity:
        role = _walk(claims, self._config.jwt_role_claim_key)
        if role is _MISSING:
            if self._config.db_anon_role is None:
                raise errors.token_required()
            role = self._config.db_anon_role
        elif not isinstance(role, str):
            role = json.dumps(role)
        shown = json.dumps({**claims, "role": role}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return Identity(role, shown, signed_in=role != self._config.db_anon_role)

    def _claims(self, token: str) -> dict[str, Any]:
        if not token:
            raise errors.bad_token("Empty JWT is sent in Authorization header")
        if self._config.jwt_secret is None:
            raise errors.no_jwt_secret()
        return self._decode(token)

    def _decode(self, token: str) -> dict[str, Any]:
        parts = token.split(".")
        if len(parts) != 3:
            raise errors.bad_token(f"Expected 3 parts in JWT; got {len(parts)}")
        try:
            shown, signature = _unpadded(parts[0]), _unpadded(parts[2])
        except ValueError:
            raise errors.bad_token("JWT cryptographic operation failed") from None
        try:
            header = json.loads(shown)
        except ValueError:
            header = None
        if not isinstance(header, dict):
            raise errors.bad_token("JWT couldn't be decoded")
        self._verify(header, f"{parts[0]}.{parts[1]}".encode(), signature)
        try:
            claims = json.loads(_unpadded(parts[1]))
        except ValueError:
            raise errors.bad_claims("Parsing claims failed") from None
        if not isinstance(claims, dict):
            raise errors.bad_claims("Parsing claims failed")
        return claims

    def _verify(self, header: dict[str, Any], message: bytes, signature: bytes) -> None:
        wrong = "Wrong or unsupported encoding algorithm"
        name = header.get("alg")
        if name == "none":
            raise errors.bad_token(wrong, "JWT is unsecured but expected 'alg' was not 'none'")
        algorithm = self._algorithms.get(name) if isinstance(name, str) else None
        if algorithm is None:
            raise errors.bad_token("JWT couldn't be decoded")
        candidates = [key for key in self._keys if key.fits(header)]
        for key in candidates:
            try:
                if algorithm.verify(message, algorithm.prepare_key(key.material), signature):
                    return
            except (jwt.InvalidKeyError, TypeError, ValueError, AttributeError):
                continue
        reason = "None of the keys was able to decode the JWT"
        if not candidates:
            reason = "No suitable key was found to decode the JWT"
        raise errors.bad_token("No suitable key or wrong key type", reason)


@dataclass(frozen=True, slots=True)
class _Key:
    """A verification key; `family` is HS, RS, ES or Ed."""

    family: str
    material: Any
    key_id: str | None = None
    algorithm: str | None = None

    def fits(self, header: dict[str, Any]) -> bool:
        name = str(header.get("alg"))
        family = "RS" if name.startswith("PS") else name[:2]
        if family != self.family or self.algorithm not in (None, name):
            return False
        return header.get("kid") in (None, self.key_id)


_FAMILIES = {"oct": "HS", "RSA": "RS", "EC": "ES", "OKP": "Ed"}


def _read_keys(config: Config) -> list[_Key]:
    """A plain secret, perhaps in base64, or a JWK, or a JWK set."""
    secret = config.jwt_secret
    if secret is None:
        return []
    try:
        value = json.loads(secret)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return [_from_jwk(jwk) for jwk in value.get("keys", [value])]
    material = secret.encode()
    if config.jwt_secret_is_base64:
        text = secret.strip().replace("_", "/").replace("-", "+").replace(".", "=")
        material = base64.b64decode(text + "=" * (-len(text) % 4))
    return [_Key("HS", material, algorithm="HS256")]


def _from_jwk(jwk: dict[str, Any]) -> _Key:
    kind = str(jwk.get("kty"))
    if kind == "oct":
        material: Any = _unpadded(str(jwk["k"]))
    else:
        material = jwt.PyJWK(jwk, algorithm=jwk.get("alg")).key
    return _Key(_FAMILIES[kind], material, jwk.get("kid"), jwk.get("alg"))


def _unpadded(text: str) -> bytes:
    """Decode base64url without padding; raise ValueError if it is none."""
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise ValueError("not base64url")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def _check_claims(claims: dict[str, Any], audience: str | None) -> None:
    """Times with some skew, and the audience if one is configured."""
    now = int(time.time())
    expires = _seconds(claims, "exp")
    if expires is not None and now - _SKEW_SECONDS > expires:
        raise errors.bad_claims("JWT expired")
    starts = _seconds(claims, "nbf")
    if starts is not None and now + _SKEW_SECONDS < starts:
        raise errors.bad_claims("JWT not yet valid")
    issued = _seconds(claims, "iat")
    if issued is not None and now + _SKEW_SECONDS < issued:
        raise errors.bad_claims("JWT issued at future")
    aud = claims.get("aud")
    if not (aud is None or isinstance(aud, str) or _is_text_list(aud)):
        raise errors.bad_claims("The JWT 'aud' claim must be a string or an array of strings")
    if audience is not None and aud not in (None, [], audience) and (isinstance(aud, str) or audience not in aud):
        raise errors.bad_claims("JWT not in audience")


def _seconds(claims: dict[str, Any], name: str) -> int | None:
    """A time claim; one that is no whole number is as good as 0."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise errors.bad_claims(f"The JWT '{name}' claim must be a number")
    return int(value) if value == int(value) else 0


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _walk(claims: Any, path: str) -> Any:
    """The claim at a path such as `.app_metadata.role`, `."https://x/role"`, `.roles[0]`, `.roles[?(@ == "a")]`."""
    for match in CLAIM_STEP.finditer(path):
        name, quoted, index, operator, operand = match.groups()
        if operator is not None:
            claims = _first_that(claims, operator, operand)
        elif index is not None:
            claims = claims[int(index)] if isinstance(claims, list) and int(index) < len(claims) else _MISSING
        else:
            key = name if name is not None else quoted
            claims = claims.get(key, _MISSING) if isinstance(claims, dict) else _MISSING
    return claims


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "==": str.__eq__,
    "!=": str.__ne__,
    "^==": str.startswith,
    "==^": str.endswith,
    "*==": str.__contains__,
}


def _first_that(items: Any, operator: str, operand: str) -> Any:
    if not isinstance(items, list):
        return _MISSING
    test = _TESTS[operator]
    return next((item for item in items if isinstance(item, str) and test(item, operand)), _MISSING)
