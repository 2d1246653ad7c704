"""Bearer tokens, keys and roles, as documented under "Authentication"."""

import base64
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from infra.local.data_api.config import Config
from infra.local.data_api.errors import ApiError
from infra.local.data_api.tokens import Authenticator
from tests.databases import Database
from tests.local.data_api.conftest import SECRET, Ask, bearer, serving, settings_for

FAR = 4_000_000_000  # seconds; parameters are made long before their test runs


def config(**settings: object) -> Config:
    return Config(db_uri="", db_anon_role="anon", **{"jwt_secret": SECRET, **settings})  # type: ignore[arg-type]


def refusal(authorization: str, **settings: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        Authenticator(config(**settings)).identify(authorization)
    return caught.value


def test_a_role_sees_its_own_rows(ask: Ask) -> None:
    for subject, number in [("u1", 1), ("u2", 2), ("u1", 1)]:
        answer = ask("GET /gated?select=id", Authorization=bearer(role="authenticated", sub=subject))
        assert answer.json() == [{"id": number}]
    seen = ask("GET /rpc/who", Authorization=bearer(role="authenticated", sub="u1", extra=["é"])).json()
    assert seen["role"] == "authenticated"
    assert seen["claims"] == {"role": "authenticated", "sub": "u1", "extra": ["é"]}
    assert ask("GET /rpc/who", Authorization=bearer(sub="u1")).json()["role"] == "anon"
    assert ask("GET /rpc/who", Authorization="Basic eDp5").json()["role"] == "anon"
    assert ask("GET /rpc/who", Authorization=bearer(role="service_role").replace("Bearer", "bearer")).json()[
        "role"
    ] == ("service_role")


def test_an_unknown_role_is_refused(ask: Ask) -> None:
    answer = ask("GET /tags", Authorization=bearer(role="ghost"))
    assert answer.status_code == 401
    assert answer.json()["message"] == 'role "ghost" does not exist'
    forbidden = ask("GET /tags", Authorization=bearer(role="supabase_admin"))
    assert forbidden.status_code == 403
    assert forbidden.json()["code"] == "42501"


@pytest.mark.parametrize(
    ("authorization", "code", "message", "details"),
    [
        ("Bearer x", "PGRST301", "Expected 3 parts in JWT; got 1", None),
        ("Bearer ", "PGRST301", "Empty JWT is sent in Authorization header", None),
        ("Bearer a.b.c", "PGRST301", "JWT cryptographic operation failed", None),
        (
            bearer("y" * 32, role="anon"),
            "PGRST301",
            "No suitable key or wrong key type",
            "None of the keys was able to decode the JWT",
        ),
        (
            "Bearer " + jwt.encode({"role": "anon"}, "", algorithm="none"),
            "PGRST301",
            "Wrong or unsupported encoding algorithm",
            "JWT is unsecured but expected 'alg' was not 'none'",
        ),
        (
            "Bearer " + jwt.encode({"role": "anon"}, SECRET * 2, algorithm="HS512"),
            "PGRST301",
            "No suitable key or wrong key type",
            "No suitable key was found to decode the JWT",
        ),
        (bearer(exp=1), "PGRST303", "JWT expired", None),
        (bearer(nbf=FAR), "PGRST303", "JWT not yet valid", None),
        (bearer(iat=FAR), "PGRST303", "JWT issued at future", None),
        (bearer(exp="soon"), "PGRST303", "The JWT 'exp' claim must be a number", None),
        (bearer(nbf=True), "PGRST303", "The JWT 'nbf' claim must be a number", None),
        (bearer(aud=5), "PGRST303", "The JWT 'aud' claim must be a string or an array of strings", None),
    ],
)
def test_tokens_that_are_refused(authorization: str, code: str, message: str, details: str | None) -> None:
    error = refusal(authorization)
    assert (error.status, error.code, error.message, error.details) == (401, code, message, details)
    challenge = f'Bearer error="invalid_token", error_description="{message}"'
    assert error.headers == [("WWW-Authenticate", challenge)]


def test_clocks_may_differ_a_little() -> None:
    now = int(time.time())
    assert Authenticator(config()).identify(bearer(role="r", exp=now - 20, nbf=now + 20, iat=now + 20)).role == "r"


def test_a_known_token_still_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    authenticator = Authenticator(config())
    token = bearer(role="r", exp=int(time.time()) + 5)
    assert authenticator.identify(token).role == "r"
    later = time.time() + 100
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(ApiError, match="JWT expired"):
        authenticator.identify(token)


def test_audiences() -> None:
    for aud in ("us", ["us", "them"], [], None):
        claims = {} if aud is None else {"aud": aud}
        assert Authenticator(config(jwt_aud="us")).identify(bearer(role="r", **claims)).role == "r"
    for aud in ("them", ["them"]):
        assert refusal(bearer(aud=aud), jwt_aud="us").message == "JWT not in audience"


@pytest.mark.parametrize(
    ("path", "claims", "role"),
    [
        (".role", {"role": "a"}, "a"),
        (".app.roles[1]", {"app": {"roles": ["a", "b"]}}, "b"),
        ('."https://x/role".key', {"https://x/role": {"key": "c"}}, "c"),
        ('.roles[?(@ == "b")]', {"roles": ["a", "b"]}, "b"),
        ('.roles[?(@ != "a")]', {"roles": ["a", "b"]}, "b"),
        ('.roles[?(@ ^== "be")]', {"roles": ["a", "bee"]}, "bee"),
        ('.roles[?(@ ==^ "ee")]', {"roles": ["a", "bee"]}, "bee"),
        ('.roles[?(@ *== "e")]', {"roles": ["a", "bee"]}, "bee"),
        (".nowhere", {"role": "a"}, "anon"),
        (".roles[9]", {"roles": []}, "anon"),
        (".role", {"role": 5}, "5"),
    ],
)
def test_where_the_role_stands(path: str, claims: dict[str, object], role: str) -> None:
    assert Authenticator(config(jwt_role_claim_key=path)).identify(bearer(**claims)).role == role


def test_key_sets() -> None:
    private_ec, private_rsa = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    ec_key = json.loads(ECAlgorithm.to_jwk(private_ec.public_key())) | {"kid": "e", "alg": "ES256"}
    rsa_key = json.loads(RSAAlgorithm.to_jwk(private_rsa.public_key())) | {"kid": "r"}
    shared = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).rstrip(b"=").decode()}
    authenticator = Authenticator(config(jwt_secret=json.dumps({"keys": [ec_key, rsa_key, shared]})))
    fitting: list[tuple[Any, str, str | None]] = [
        (private_ec, "ES256", "e"),
        (private_ec, "ES256", None),
        (private_rsa, "RS256", "r"),
        (private_rsa, "PS512", None),
        (SECRET, "HS256", None),
    ]
    for key, algorithm, kid in fitting:
        headers = {"kid": kid} if kid else None
        token = jwt.encode({"role": "r"}, key, algorithm=algorithm, headers=headers)
        assert authenticator.identify(f"Bearer {token}").role == "r"
    unfitting: list[tuple[Any, str, str]] = [
        (private_ec, "ES256", "r"),
        (private_rsa, "RS256", "x"),
        (SECRET, "HS256", "e"),
    ]
    for key, algorithm, kid in unfitting:
        token = jwt.encode({"role": "r"}, key, algorithm=algorithm, headers={"kid": kid})
        with pytest.raises(ApiError, match="No suitable key or wrong key type"):
            authenticator.identify(f"Bearer {token}")
    # A public key is no shared secret.
    signed = jwt.encode({"role": "r"}, SECRET, algorithm="HS256").rpartition(".")[0]
    for public in (json.dumps(ec_key), ec_key["x"], ""):
        signature = hmac.digest(public.encode(), signed.encode(), "sha256")
        forged = f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
        with pytest.raises(ApiError, match="No suitable key or wrong key type"):
            authenticator.identify(f"Bearer {forged}")
    single = Authenticator(config(jwt_secret=json.dumps(ec_key)))
    token = jwt.encode({"role": "r"}, private_ec, algorithm="ES256")
    assert single.identify(f"Bearer {token}").role == "r"
    encoded = base64.b64encode(SECRET.encode()).decode()
    in_base64 = Authenticator(config(jwt_secret=encoded, jwt_secret_is_base64=True))
    assert in_base64.identify(bearer(role="r")).role == "r"


def test_without_secret_or_anonymous_role(shop: Database) -> None:
    assert refusal(bearer(role="r"), jwt_secret=None).code == "PGRST300"
    settings = settings_for(shop)
    del settings["DB_ANON_ROLE"]
    with serving(settings) as ask:
        answer = ask("GET /tags")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json() == {
            "code": "PGRST302",
            "message": "Anonymous access is disabled",
            "details": None,
            "hint": None,
        }
        assert ask("GET /tags", Authorization=bearer(role="anon")).status_code == 200
