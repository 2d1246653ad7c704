"""Whatever text is given: it is refused in one way, or read as a name on the web that every parser reads alike."""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.connectors.address import MAX_URL_LENGTH, WebAddress, parse
from functions.core.errors import UrlRefusedError

EXAMPLES = 20_000 if os.environ.get("STREAMVIBE_PROFILE") == "soak" else 400
# fmt: off
PIECES = st.sampled_from([
    "http", "https", "HTTP", "ftp", ":", "//", "/", "\\", "@", "#", "?", "%", ".", "..", "%2e", "%2f", "%00", "%0d%0a",
    "localhost", "127.0.0.1", "127.1", "0x7f", "0177", "2130706433", "[::1]", "[", "]", "::ffff:127.0.0.1", "\t",
    "\x00", "example.com", "creator.example", "xn--", "b\u00fccher", "\u3002", "\uff11", "\u2460", "\u00ad", "\u200d",
    "-", "_", "80", "443", "8080", "a" * 63, "user", "pass", ";", "&", "=", "~", "'", '"', "<", "|", "^", "`", "{", " ",
])
# fmt: on
URLS = st.one_of(
    st.text(max_size=60),
    st.lists(PIECES, max_size=10).map("".join),
    st.lists(PIECES, max_size=8).map(lambda pieces: "http://" + "".join(pieces)),
    st.lists(PIECES, max_size=6).map(lambda pieces: "https://example.com/" + "".join(pieces)),
)


def read(url: str) -> WebAddress | None:
    try:
        return parse(url)
    except UrlRefusedError:
        return None


def is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@settings(max_examples=EXAMPLES, deadline=None)
@given(URLS)
def test_a_url_is_refused_or_means_the_same_to_everybody(url: str) -> None:
    address = read(url)
    if address is None:
        return
    text = str(address)
    assert len(text) <= MAX_URL_LENGTH
    assert re.fullmatch(r"https?://[a-z0-9.-]+/[!-~]*", text)
    assert not is_ip_address(address.host)
    assert not re.fullmatch(r"\d+|0x[0-9a-f]*", address.host.rsplit(".", 1)[-1])
    assert "." in address.host
    by_library, by_client = urlsplit(text), httpx.URL(text)
    assert (by_library.scheme, by_library.hostname, by_library.port) == (address.scheme, address.host, None)
    assert (by_library.username, by_library.password, by_library.fragment) == (None, None, "")
    assert (by_client.raw_host.decode(), by_client.raw_path.decode()) == (address.host, address.target)
    assert parse(text) == address


@settings(max_examples=EXAMPLES, deadline=None)
@given(URLS)
def test_a_redirect_is_refused_or_read_like_any_url(location: str) -> None:
    page = parse("https://example.com/a/b?c=d")
    try:
        target = page.join(location)
    except UrlRefusedError:
        return
    assert parse(str(target)) == target
