"""The signing key of access tokens: ES256, kept in one file, published as a JWKS.

https://supabase.com/docs/guides/auth/signing-keys
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from jwt.algorithms import ECAlgorithm

ACCESS_TOKEN_SECONDS = 3600
# What the gateway puts in place of an API key lives as long as the key itself would.
ROLE_TOKEN_SECONDS = 10 * 365 * 24 * 3600


@dataclass(frozen=True)
class SigningKey:
    """One private key and its id."""

    kid: str
    private: ec.EllipticCurvePrivateKey

    @classmethod
    def load(cls, path: Path) -> "SigningKey":
        """The key in `path`; the first caller makes it."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            private = ec.generate_private_key(ec.SECP256R1())
            pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
            staged = path.with_name(f"{path.name}.{os.getpid()}")
            with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump({"kid": str(uuid4()), "pem": pem}, file)
            staged.rename(path)
        stored = json.loads(path.read_text())
        private_key = load_pem_private_key(stored["pem"].encode(), password=None)
        if not isinstance(private_key, ec.EllipticCurvePrivateKey):
            raise TypeError("the signing key must be an elliptic curve key")
        return cls(stored["kid"], private_key)

    def jwks(self) -> dict[str, Any]:
        """The public half, as `/.well-known/jwks.json` shows it."""
        public = json.loads(ECAlgorithm.to_jwk(self.private.public_key()))
        extra = {"alg": "ES256", "ext": True, "key_ops": ["verify"], "kid": self.kid, "use": "sig"}
        return {"keys": [{**public, **extra}]}

    def sign(self, claims: Mapping[str, Any], seconds: int) -> str:
        """A token that carries `claims` and expires in `seconds`."""
        now = int(time.time())
        return jwt.encode({**claims, "iat": now, "exp": now + seconds}, self.private, "ES256", {"kid": self.kid})

    def role_token(self, role: str) -> str:
        """What an API key stands for: a token with a role and no user."""
        return self.sign({"iss": "supabase", "role": role}, ROLE_TOKEN_SECONDS)

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token that we signed. Raises jwt.PyJWTError."""
        claims: dict[str, Any] = jwt.decode(
            token, self.private.public_key(), ["ES256"], options={"verify_aud": False, "require": ["exp"]}
        )
        return claims
