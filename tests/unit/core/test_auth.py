"""Access tokens are believed only with a known key, the right algorithm, issuer, audience, role and time."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from functions.core import auth
from functions.core.errors import UnauthenticatedError, UpstreamUnavailableError

LEGACY_SECRET = "a-legacy-secret-of-more-than-thirty-two-characters"
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGE_KEY = ec.generate_private_key(ec.SECP256R1())


def jwk(key: Any, kid: str, algorithm: str) -> dict[str, Any]:
    public = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": kid, "alg": algorithm, "use": "sig"}


class Keys:
    """A JWKS endpoint over real HTTP that counts how often it was asked."""

    def __init__(self) -> None:
        self.keys = [jwk(EC_KEY, "ec", "ES256"), jwk(RSA_KEY, "rsa", "RS256")]
        self.asked = 0
        self.is_down = False
        self.document: Any = None
        keys = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys.asked += 1
                body = json.dumps({"keys": keys.keys} if keys.document is None else keys.document).encode()
                self.send_response(503 if keys.is_down else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keys]:
    served = Keys()
    thread = threading.Thread(target=served.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("SUPABASE_URL", served.origin)
    monkeypatch.delenv("SUPABASE_JWKS_URL", raising=False)
    monkeypatch.delenv("SUPABASE_JWT_SECRET", raising=False)
    yield served
    served.server.shutdown()
    served.server.server_close()
    thread.join()


USER = str(uuid.uuid4())


def claims(origin: str, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {
        "iss": f"{origin}/auth/v1",
        "aud": "authenticated",
        "sub": USER,
        "role": "authenticated",
        "exp": now + 60,
        "iat": now,
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


def signed(keys: Keys, key: Any = EC_KEY, algorithm: str = "ES256", kid: str | None = "ec", **changes: Any) -> str:
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(keys.origin, **changes), key, algorithm, headers=headers)


@pytest.mark.parametrize(("key", "algorithm", "kid"), [(EC_KEY, "ES256", "ec"), (RSA_KEY, "RS256", "rsa")])
def test_a_good_token_names_its_user(keys: Keys, key: Any, algorithm: str, kid: str) -> None:
    assert auth.bearer(f"Bearer {signed(keys, key, algorithm, kid)}") == auth.User(id=USER)


BAD: dict[str, Callable[[Keys], str]] = {
    "expired": lambda keys: signed(keys, exp=int(time.time()) - 60),
    "no expiry": lambda keys: signed(keys, exp=None),
    "other issuer": lambda keys: signed(keys, iss="https://evil.example/auth/v1"),
    "no issuer": lambda keys: signed(keys, iss=None),
    "other audience": lambda keys: signed(keys, aud="anon"),
    "no audience": lambda keys: signed(keys, aud=None),
    "service role": lambda keys: signed(keys, role="service_role"),
    "anonymous role": lambda keys: signed(keys, role="anon"),
    "no subject": lambda keys: signed(keys, sub=None),
    "subject is no uuid": lambda keys: signed(keys, sub="root"),
    "strange key under a known id": lambda keys: signed(keys, STRANGE_KEY),
    "unknown key id": lambda keys: signed(keys, STRANGE_KEY, kid="unknown"),
    "no key id": lambda keys: signed(keys, kid=None),
    "key of another algorithm": lambda keys: signed(keys, RSA_KEY, "RS256", "ec"),
    "unsigned": lambda keys: jwt.encode(claims(keys.origin), "", "none", headers={"kid": "ec"}),
    "HS256 without a configured secret": lambda keys: signed(keys, LEGACY_SECRET, "HS256"),
    "tampered": lambda keys: signed(keys)[:-8] + "AAAAAAAA",
    "not a token": lambda keys: "sb_secret_something",
    "empty": lambda keys: "",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_is_refused(keys: Keys, name: str) -> None:
    token = BAD[name](keys)
    with pytest.raises(UnauthenticatedError) as refusal:
        auth.bearer(f"Bearer {token}")
    assert token == "" or token not in refusal.value.detail


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic abc", "bearer  "])
def test_a_header_without_a_token_is_refused(keys: Keys, header: str | None) -> None:
    with pytest.raises(UnauthenticatedError, match="Bearer"):
        auth.bearer(header)


def test_the_legacy_secret_counts_only_while_it_is_configured(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    token = signed(keys, LEGACY_SECRET, "HS256", None)
    with pytest.raises(UnauthenticatedError):
        auth.verify(token)
    monkeypatch.setenv("SUPABASE_JWT_SECRET", LEGACY_SECRET)
    assert auth.verify(token).id == USER


def test_a_public_key_is_never_taken_for_a_shared_secret(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_JWT_SECRET", LEGACY_SECRET)
    # PyJWT refuses to sign with a public key, so the forgery is put together by hand.
    head, body, _ = signed(keys, LEGACY_SECRET, "HS256").split(".")
    public = json.dumps(keys.keys[0]).encode()
    forgery = base64.urlsafe_b64encode(hmac.digest(public, f"{head}.{body}".encode(), "sha256")).rstrip(b"=")
    forged = f"{head}.{body}.{forgery.decode()}"
    with pytest.raises(UnauthenticatedError):
        auth.verify(forged)


def test_keys_are_fetched_once_and_unknown_ids_cause_no_stream_of_requests(keys: Keys) -> None:
    for _ in range(5):
        auth.verify(signed(keys))
    for number in range(20):
        with pytest.raises(UnauthenticatedError):
            auth.verify(signed(keys, STRANGE_KEY, kid=f"unknown-{number}"))
    assert keys.asked == 1


def test_without_keys_nobody_is_told_that_a_token_is_bad(keys: Keys) -> None:
    keys.is_down = True
    with pytest.raises(UpstreamUnavailableError):
        auth.verify(signed(keys))
    keys.is_down = False
    assert auth.verify(signed(keys)).id == USER


def test_known_keys_outlive_an_outage_which_is_not_asked_about_by_every_call(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth.verify(signed(keys))
    keys.is_down = True
    monkeypatch.setattr(auth, "KEYS_LIFETIME_SECONDS", -1)
    monkeypatch.setattr(auth, "MINIMUM_REFETCH_SECONDS", -1)
    assert auth.verify(signed(keys)).id == USER
    monkeypatch.setattr(auth, "MINIMUM_REFETCH_SECONDS", 3600)
    for _ in range(3):
        assert auth.verify(signed(keys)).id == USER
    assert keys.asked == 2


@pytest.mark.parametrize("document", [[], {}, {"keys": None}, {"keys": [{"kty": "oct"}]}, {"keys": [1]}, "x"])
def test_a_document_that_holds_no_keys_is_no_fault_of_ours(keys: Keys, document: Any) -> None:
    keys.document = document
    with pytest.raises((UnauthenticatedError, UpstreamUnavailableError)):
        auth.verify(signed(keys))


def test_a_rotated_key_is_found(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    auth.verify(signed(keys))
    keys.keys.append(jwk(STRANGE_KEY, "next", "ES256"))
    monkeypatch.setattr(auth, "MINIMUM_REFETCH_SECONDS", -1)
    assert auth.verify(signed(keys, STRANGE_KEY, kid="next")).id == USER
