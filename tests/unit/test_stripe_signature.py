"""Stripe's signature: our check against many variants, and against Stripe's own library."""

from __future__ import annotations

import hashlib
import hmac
import json
import time

import pytest
import stripe

from functions.stripe_webhook.signature import MAX_HEADER_BYTES, MAX_SIGNATURES, TOLERANCE_SECONDS, is_valid

SECRET, OTHER = "whsec_current", "whsec_other"
BODY = json.dumps({"id": "evt_1", "object": "event", "type": "customer.created", "data": {"object": {}}}).encode()
NOW = 1_800_000_000


def v1(body: bytes = BODY, secret: str = SECRET, t: int | str = NOW) -> str:
    return hmac.new(secret.encode(), f"{t}.".encode() + body, hashlib.sha256).hexdigest()


GOOD = v1()
BYTES = b"\xff\xfe"
# name -> (header, body, secrets, verdict)
VARIANTS: dict[str, tuple[str, bytes, tuple[str, ...], bool]] = {
    "plain": (f"t={NOW},v1={GOOD}", BODY, (SECRET,), True),
    "order of parts does not matter": (f"v1={GOOD},t={NOW}", BODY, (SECRET,), True),
    "spaces after commas": (f"t={NOW}, v1={GOOD}", BODY, (SECRET,), False),
    "an old scheme beside": (f"t={NOW},v1={GOOD},v0=00ff", BODY, (SECRET,), True),
    "secret being rolled, at Stripe": (f"t={NOW},v1={v1(secret=OTHER)},v1={GOOD}", BODY, (SECRET,), True),
    "secret being rolled, here": (f"t={NOW},v1={GOOD}", BODY, (OTHER, SECRET), True),
    "oldest that is taken": (f"t={NOW - 300},v1={v1(t=NOW - 300)}", BODY, (SECRET,), True),
    "furthest ahead that is taken": (f"t={NOW + 300},v1={v1(t=NOW + 300)}", BODY, (SECRET,), True),
    "empty body": (f"t={NOW},v1={v1(b'')}", b"", (SECRET,), True),
    "bytes that are no text": (f"t={NOW},v1={v1(BYTES)}", BYTES, (SECRET,), True),
    "too old": (f"t={NOW - 301},v1={v1(t=NOW - 301)}", BODY, (SECRET,), False),
    "too far ahead": (f"t={NOW + 301},v1={v1(t=NOW + 301)}", BODY, (SECRET,), False),
    "another secret": (f"t={NOW},v1={v1(secret=OTHER)}", BODY, (SECRET,), False),
    "another body": (f"t={NOW},v1={GOOD}", BODY + b" ", (SECRET,), False),
    "time changed after signing": (f"t={NOW + 1},v1={GOOD}", BODY, (SECRET,), False),
    "no header": ("", BODY, (SECRET,), False),
    "no signature": (f"t={NOW}", BODY, (SECRET,), False),
    "no time": (f"v1={GOOD}", BODY, (SECRET,), False),
    "only the old scheme": (f"t={NOW},v0={GOOD}", BODY, (SECRET,), False),
    "empty signature": (f"t={NOW},v1=", BODY, (SECRET,), False),
    "cut signature": (f"t={NOW},v1={GOOD[:-1]}", BODY, (SECRET,), False),
    "longer signature": (f"t={NOW},v1={GOOD}0", BODY, (SECRET,), False),
    "signature in capitals": (f"t={NOW},v1={GOOD.upper()}", BODY, (SECRET,), False),
    "time that is no number": (f"t=now,v1={GOOD}", BODY, (SECRET,), False),
    "negative time": (f"t=-{NOW},v1={GOOD}", BODY, (SECRET,), False),
    "time with digits of another script": (f"t=١٢٣,v1={GOOD}", BODY, (SECRET,), False),
    "endless time": (f"t={'9' * 400},v1={GOOD}", BODY, (SECRET,), False),
    "two times": (f"t={NOW},t={NOW - 9999},v1={GOOD}", BODY, (SECRET,), False),
    "header too long": (f"t={NOW},v1={GOOD},v0={'0' * MAX_HEADER_BYTES}", BODY, (SECRET,), False),
    "too many signatures": (f"t={NOW}" + f",v1={GOOD}" * (MAX_SIGNATURES + 1), BODY, (SECRET,), False),
    "no secret configured": (f"t={NOW},v1={v1(secret='')}", BODY, ("",), False),
    "no secrets at all": (f"t={NOW},v1={GOOD}", BODY, (), False),
    "garbage": ("garbage", BODY, (SECRET,), False),
    "commas only": (",,,,", BODY, (SECRET,), False),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants(name: str) -> None:
    header, body, secrets, verdict = VARIANTS[name]
    assert is_valid(body, header, secrets, now=NOW) is verdict


def test_what_stripes_library_signs_is_accepted() -> None:
    now = int(time.time())
    header = stripe.WebhookSignature.generate_signature_header(BODY.decode(), SECRET, timestamp=now)
    assert is_valid(BODY, header, [SECRET], now=now)
    assert not is_valid(BODY, header, [OTHER], now=now)


# Where Stripe's library is laxer: it lets the future pass, and headers that Stripe never sends.
STRICTER = {"too far ahead", "two times", "header too long", "too many signatures"}


@pytest.mark.parametrize("name", VARIANTS)
def test_our_verdict_beside_that_of_stripes_library(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    header, body, secrets, verdict = VARIANTS[name]
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    if body == BYTES:
        return  # their check takes text only
    theirs = any(_accepted_by_stripe(body.decode(), header, secret) for secret in secrets)
    assert theirs is (verdict or name in STRICTER)


def _accepted_by_stripe(text: str, header: str, secret: str) -> bool:
    try:
        return bool(stripe.WebhookSignature.verify_header(text, header, secret, TOLERANCE_SECONDS))
    except (stripe.SignatureVerificationError, ValueError):
        return False
