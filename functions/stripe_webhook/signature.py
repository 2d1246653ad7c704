"""Stripe's webhook signature, checked on the raw bytes with nothing but the standard library.

`t=<unix seconds>,v1=<hex>[,v1=<hex>…]`; what is signed is `t`, a dot and the body. Unlike Stripe's own library a time
too far in the future is refused as well: a captured key must not buy signatures for later.

Docs: https://docs.stripe.com/webhooks#verify-manually
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

TOLERANCE_SECONDS = 300
MAX_HEADER_BYTES = 4096
MAX_SIGNATURES = 16  # one for each secret that is being rolled; more is somebody trying


def is_valid(body: bytes, header: str, secrets: Iterable[str], *, now: float) -> bool:
    """Whether one of `secrets` signed `body` within five minutes of `now` (seconds since 1970)."""
    parsed = _parse(header)
    if parsed is None:
        return False
    timestamp, signatures = parsed
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    signed = timestamp.encode() + b"." + body
    expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets if secret]
    # Every pair is compared: which of them matched shall not show in the time it takes.
    return sum(hmac.compare_digest(one, given) for one in expected for given in signatures) > 0


def _parse(header: str) -> tuple[str, list[str]] | None:
    """The time and the v1 signatures, None for a header that Stripe would not send."""
    if len(header) > MAX_HEADER_BYTES or not header.isascii():
        return None
    pairs = [part.partition("=") for part in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"]
    if len(times) != 1 or not times[0].isdigit() or len(times[0]) > 12:
        return None
    if not 1 <= len(signatures) <= MAX_SIGNATURES:
        return None
    return times[0], signatures
