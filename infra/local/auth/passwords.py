"""Password hashing with the standard library's scrypt (Auth itself uses bcrypt, which is not in it)."""

import base64
import hashlib
import hmac
import os

COST, BLOCK, PARALLEL = 2**12, 8, 1  # a local stack: light enough for hundreds of test users


def hash_password(password: str) -> str:
    salt = os.urandom(16)
    return f"$scrypt${_encode(salt)}${_encode(_derive(password, salt))}"


def verify_password(password: str, stored: str | None) -> bool:
    """False also for a missing or foreign hash."""
    parts = (stored or "").split("$")
    if len(parts) != 4 or parts[1] != "scrypt":
        return False
    salt, expected = (base64.b64decode(part) for part in parts[2:])
    return hmac.compare_digest(_derive(password, salt), expected)


def _derive(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=COST, r=BLOCK, p=PARALLEL)


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
