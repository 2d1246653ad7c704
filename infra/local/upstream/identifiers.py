"""Identifiers that look random, never collide, and lead back to (account, index) without a table."""

from __future__ import annotations

import base64
import binascii

_MASK = (1 << 64) - 1
_FACTOR = 0x9E3779B97F4A7C15  # odd, so multiplication modulo 2**64 can be undone
_INVERSE = pow(_FACTOR, -1, 1 << 64)
_SALT = 0x5DEECE66D1234567


def scramble(account: int, index: int) -> int:
    """A 64-bit number for item `index` (< 2**32) of account number `account` (< 2**31)."""
    return (((account << 32 | index) * _FACTOR) & _MASK) ^ _SALT


def unscramble(number: int) -> tuple[int, int]:
    """(account, index) of a number that `scramble` made; nonsense, but no error, for any other."""
    value = ((number ^ _SALT) * _INVERSE) & _MASK
    return value >> 32, value & 0xFFFFFFFF


def short_id(account: int, index: int) -> str:
    """Eleven characters of base64url, as YouTube's video ids are."""
    return base64.urlsafe_b64encode(scramble(account, index).to_bytes(8, "big")).decode().rstrip("=")


def parse_short_id(text: str) -> tuple[int, int] | None:
    """(account, index), or None where the text cannot be one of ours."""
    if len(text) != 11:
        return None
    try:
        raw = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    # The last character carries two bits more than it needs: only the canonical spelling is ours.
    number = int.from_bytes(raw, "big")
    account, index = unscramble(number)
    return (account, index) if short_id(account, index) == text else None
