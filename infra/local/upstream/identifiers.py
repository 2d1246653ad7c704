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


# Decimal identifiers: 12 bits of account number, 20 bits of index.
_INDEX_BITS = 20
_RANGE = 10**14
_STEP = 31_415_926_535_897  # has no factor in common with 10**14
_SHIFT = 27_182_818_284_590


def pack(account: int, index: int) -> int:
    return account << _INDEX_BITS | index


def unpack(packed: int) -> tuple[int, int]:
    return packed >> _INDEX_BITS, packed & ((1 << _INDEX_BITS) - 1)


def timed_id(born: float, account: int, index: int) -> str:
    """Nineteen digits that grow with time, as TikTok's are: unix seconds above 32 bits of (account, index)."""
    return str(int(born) << 32 | pack(account, index))


def parse_timed_id(text: str) -> tuple[int, int] | None:
    return unpack(int(text) & 0xFFFFFFFF) if text.isdecimal() and len(text) < 25 else None


def meta_id(prefix: int, account: int, index: int) -> str:
    """`prefix` followed by fourteen digits, in no visible order, as Meta's ids are; larger than 2**53."""
    return str(prefix * _RANGE + (pack(account, index) * _STEP + _SHIFT) % _RANGE)


def parse_meta_id(prefix: int, text: str) -> tuple[int, int] | None:
    if not text.isdecimal() or len(text) > 24 or int(text) // _RANGE != prefix:
        return None
    packed = (int(text) - _SHIFT) % _RANGE * pow(_STEP, -1, _RANGE) % _RANGE
    return unpack(packed) if packed < 1 << 32 else None


_X_EPOCH_MS = 1_288_834_974_657


def snowflake(born: float, account: int, index: int) -> str:
    """An X id: milliseconds since X's epoch above 22 bits (7 of the account number, whose rest is in the
    milliseconds, and 15 of the index), so that ids sort by time.
    """
    milliseconds = int(born) * 1000 + account // 128 - _X_EPOCH_MS
    return str(milliseconds << 22 | (account % 128) << 15 | index)


def parse_snowflake(text: str) -> tuple[int, int] | None:
    if not text.isdecimal() or len(text) > 20:
        return None
    number = int(text)
    thousands = ((number >> 22) + _X_EPOCH_MS) % 1000
    return thousands * 128 + (number >> 15 & 127), number & 0x7FFF
