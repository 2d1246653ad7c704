"""Texts that break parsers and stores, in every field of every body, on items and accounts that are really there.

Generated requests (test_generated_requests.py) hardly ever come past the first check: they do not know of any item.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.creators import Creator

TEXTS = (
    "", " ", "\x00", "a\x00b", "\ud800", "x" * 20_000, "\u202e", "\U0001f600" * 60, "' or 1=1 --", "%00", "../..",
    "null", "1e400", "${x}", "https://[::1", "https://creator.example:99999/", "https://creator.example/\x00",
    "https://u:p@creator.example/videos/1", "https://xn--/", "//creator.example", "https://creator.example/\r\nX: y",
)  # fmt: skip
VALUES: tuple[Any, ...] = (*TEXTS, None, True, 0, -1, 1.5, 10**400, [], [[]], {}, {"a": "\x00"})


@pytest.fixture(scope="module")
def creator(sign_up: Callable[[], Creator]) -> Creator:
    return sign_up()


@pytest.fixture(scope="module")
def bodies(creator: Creator) -> dict[str, dict[str, Any]]:
    """A good body for each route, of an account with items."""
    account = creator.connect("youtube")["accounts"][0]["id"]
    creator.sync(account)
    item = creator.rest(f"content_item?social_account_id=eq.{account}&select=id&limit=1")[0]["id"]
    return {
        "/oauth/youtube/authorize": {"return_to": "/"},
        "/oauth/youtube/callback": {"code": "x", "state": "y" * 43, "iss": "https://accounts.google.com"},
        "/sync": {"social_account_id": account},
        "/analyze": {"content_item_id": item, "provider": "local", "model": "x", "force": False},
        "/seo/submit": {"content_item_id": item, "url": "https://creator.example/videos/1", "search_engines": ["bing"]},
        "/billing/checkout": {"tier": "premium"},
    }


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/oauth/youtube/authorize", "return_to"),
        ("/oauth/youtube/callback", "code"),
        ("/oauth/youtube/callback", "state"),
        ("/oauth/youtube/callback", "iss"),
        ("/sync", "social_account_id"),
        ("/analyze", "content_item_id"),
        ("/analyze", "provider"),
        ("/analyze", "model"),
        ("/analyze", "force"),
        ("/seo/submit", "content_item_id"),
        ("/seo/submit", "url"),
        ("/seo/submit", "search_engines"),
        ("/billing/checkout", "tier"),
    ],
)
def test_no_value_of_a_field_is_a_fault(
    creator: Creator, bodies: dict[str, dict[str, Any]], path: str, field: str
) -> None:
    for value in VALUES:
        for sent in (value, [value]) if field == "search_engines" else (value,):
            content = json.dumps({**bodies[path], field: sent}).encode()
            answer = creator.call("POST", path, content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code < 500, (sent, answer.text)
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json", sent
                assert answer.json()["code"], sent


@pytest.mark.parametrize("path", ["/sync", "/analyze", "/seo/submit"])
@pytest.mark.parametrize("key", [b"", b"a b", b"\xff", b"x" * 256, b"a\tb"])
def test_a_malformed_idempotency_key_is_refused_everywhere(
    creator: Creator, bodies: dict[str, dict[str, Any]], path: str, key: bytes
) -> None:
    answer = creator.call("POST", path, json=bodies[path], headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
