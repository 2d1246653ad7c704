"""No URL that a user gives reaches a private address: not by its spelling, not by its name, not by a redirect.

The tests' internet is a table from IP address to a server on loopback, laid under `socket.create_connection`: whatever
the guard connects to is seen there, the canary on 127.0.0.1 included.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from functions.connectors import guard
from functions.connectors.address import parse
from functions.connectors.guard import fetch, is_public
from functions.core.errors import UrlRefusedError, UrlUnreachableError
from tests.hostile_urls import HOSTILE, NOT_PUBLIC

PUBLIC = "93.184.216.34"
OTHER_PUBLIC = "2606:2800:220:1:248:1893:25c8:1946"


class Internet:
    """A server on loopback for each IP address, and a record of every address that somebody connected to."""

    def __init__(self) -> None:
        self.connected: list[tuple[str, int]] = []
        self._ports: dict[str, int] = {}
        self._listeners: list[socket.socket] = []
        self._connect = socket.create_connection

    def serve(self, ip: str, *answers: bytes) -> list[bytes]:
        """Answer requests to `ip` with `answers`, the last one again and again; gives the list of what arrives."""
        listener = socket.create_server(("127.0.0.1", 0))
        self._listeners.append(listener)
        self._ports[ip] = listener.getsockname()[1]
        seen: list[bytes] = []

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    seen.append(connection.recv(65536))
                    connection.sendall(answers[min(len(seen), len(answers)) - 1])

        threading.Thread(target=run, daemon=True).start()
        return seen

    def create_connection(
        self, address: tuple[str, int], timeout: float | None = None, source_address: object = None
    ) -> socket.socket:
        self.connected.append(address)
        if address[0] not in self._ports:
            raise ConnectionRefusedError
        return self._connect(("127.0.0.1", self._ports[address[0]]), timeout)

    def close(self) -> None:
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    network = Internet()
    monkeypatch.setattr(socket, "create_connection", network.create_connection)
    yield network
    network.close()


@pytest.fixture
def canary(internet: Internet) -> list[bytes]:
    """What reached the machine itself. It stays empty."""
    return internet.serve("127.0.0.1", page(b"secret"))


def page(body: bytes, head: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), head, body)


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def to(*addresses: str) -> guard.Resolver:
    return lambda host, port: addresses


def refusal(url: str, resolver: guard.Resolver | None = None) -> str:
    with pytest.raises(UrlRefusedError) as refused:
        fetch(url, resolver=resolver or to("127.0.0.1"))
    return json.dumps([refused.value.status, refused.value.problem_code, refused.value.detail, refused.value.extra])


def test_there_are_enough_hostile_urls() -> None:
    assert len(set(HOSTILE)) >= 40


@pytest.mark.parametrize("url", HOSTILE, ids=ascii)
def test_a_hostile_url_opens_nothing(url: str, internet: Internet, canary: list[bytes]) -> None:
    refusal(url)
    assert internet.connected == []
    assert canary == []


@pytest.mark.parametrize("location", [url for url in HOSTILE if "://" in url and "\n" not in url], ids=ascii)
def test_a_redirect_to_a_hostile_url_opens_nothing_more(location: str, internet: Internet, canary: list[bytes]) -> None:
    internet.serve(PUBLIC, redirect(location))
    refusal("http://good.example.com/", to(PUBLIC))
    assert {ip for ip, _ in internet.connected} == {PUBLIC}
    assert canary == []


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_name_that_resolves_to_a_private_address_opens_nothing(
    address: str, internet: Internet, canary: list[bytes]
) -> None:
    refusal("http://good.example.com/", to(address))
    refusal("http://good.example.com/", to(PUBLIC, address))  # one bad apple
    assert internet.connected == []
    assert canary == []


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_redirect_to_a_name_that_resolves_to_a_private_address(
    address: str, internet: Internet, canary: list[bytes]
) -> None:
    internet.serve(PUBLIC, redirect("http://inside.example.com/"))
    refusal("http://good.example.com/", lambda host, port: [PUBLIC if host.startswith("good") else address])
    assert {ip for ip, _ in internet.connected} == {PUBLIC}
    assert canary == []


def test_a_name_that_changes_its_mind_is_asked_once_and_pinned(internet: Internet, canary: list[bytes]) -> None:
    internet.serve(PUBLIC, page(b"hello"))
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    asked: list[str] = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    assert fetch("http://good.example.com/", resolver=rebinding).body == b"hello"
    assert asked == ["good.example.com"]
    assert internet.connected == [(PUBLIC, 80)]
    refusal("http://good.example.com/", rebinding)
    assert canary == []


def test_the_name_is_checked_again_when_a_site_redirects_to_itself(internet: Internet, canary: list[bytes]) -> None:
    internet.serve(PUBLIC, redirect("/again"))
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    refusal("http://good.example.com/", lambda host, port: next(answers))
    assert canary == []


def test_every_refusal_has_the_same_words(internet: Internet) -> None:
    internet.serve(PUBLIC, redirect("http://127.0.0.1/"))
    answers = {refusal(url) for url in HOSTILE}
    answers |= {refusal("http://good.example.com/", to(address)) for address in NOT_PUBLIC}
    answers |= {refusal("http://good.example.com/", to(PUBLIC)), refusal("http://good.example.com/", to(OTHER_PUBLIC))}
    assert len(answers) == 1


def test_without_the_address_check_the_canary_would_sing(
    monkeypatch: pytest.MonkeyPatch, internet: Internet, canary: list[bytes]
) -> None:
    monkeypatch.setattr(guard, "is_public", lambda address: True)
    assert fetch("http://good.example.com/", resolver=to("127.0.0.1")).body == b"secret"
    assert len(canary) == 1


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("http://good.example.com", "http://good.example.com/"),
        ("HTTP://Good.Example.COM:80/Path?a=b#fragment", "http://good.example.com/Path?a=b"),
        ("https://good.example.com:443/", "https://good.example.com/"),
        ("https://b\u00fccher.example.com/\u00fcber?q=\u00fc", "https://xn--bcher-kva.example.com/%C3%BCber?q=%C3%BC"),
        ("https://example.co.uk/a%20b;c=d/...", "https://example.co.uk/a%20b;c=d/..."),
        ("https://1and1.example.com/", "https://1and1.example.com/"),
        ("https://example.com/?next=http://127.0.0.1/", "https://example.com/?next=http://127.0.0.1/"),
    ],
)
def test_normal_addresses_are_read_as_browsers_read_them(url: str, normal: str) -> None:
    assert str(parse(url)) == normal


@pytest.mark.parametrize("address", [PUBLIC, OTHER_PUBLIC, "8.8.8.8", "64:ff9b::808:808", "::ffff:8.8.8.8", "1.1.1.1"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


def test_a_normal_site_works_over_redirects_and_with_several_addresses(internet: Internet) -> None:
    seen = internet.serve(PUBLIC, redirect("//www.example.com/home?x=1", 301), page(b"<html>hello</html>"))
    found = fetch("http://example.com/", resolver=to(OTHER_PUBLIC, PUBLIC))  # the first one does not answer
    assert (found.status, found.body, found.content_type) == (200, b"<html>hello</html>", "text/html")
    assert str(found.url) == "http://www.example.com/home?x=1"
    assert seen[0].startswith(b"GET / HTTP/1.1\r\n")
    assert b"\r\nHost: www.example.com\r\n" in seen[1]
    assert b"Authorization" not in b"".join(seen)


def test_the_size_is_capped(internet: Internet) -> None:
    internet.serve(PUBLIC, page(b"a" * 3_000_000))
    assert len(fetch("http://example.com/", resolver=to(PUBLIC)).body) == guard.MAX_BYTES
    assert len(fetch("http://example.com/", resolver=to(PUBLIC), max_bytes=10).body) == 10


def test_redirects_are_counted(internet: Internet) -> None:
    seen = internet.serve(PUBLIC, redirect("/again"))
    refusal("http://example.com/", to(PUBLIC))
    assert len(seen) == guard.MAX_REDIRECTS + 1


@pytest.mark.parametrize("silent", ["the site", "its name server"])
def test_the_whole_fetch_ends_at_the_deadline(silent: str, internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_SECONDS", 0.3)
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    internet._ports[PUBLIC] = listener.getsockname()[1]

    def trickle() -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # closed before anybody came
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not over.wait(0.05):
                try:
                    connection.sendall(b"a")
                except OSError:
                    return

    def never(host: str, port: int) -> Sequence[str]:
        over.wait(10)
        return [PUBLIC]

    threading.Thread(target=trickle, daemon=True).start()
    with pytest.raises(UrlUnreachableError):
        fetch("http://example.com/", resolver=to(PUBLIC) if silent == "the site" else never)
    over.set()
    listener.close()


def test_unreachable_is_refused_in_the_same_words_but_worth_another_try(internet: Internet) -> None:
    with pytest.raises(UrlUnreachableError) as unreachable:
        fetch("http://example.com/", resolver=to(PUBLIC))
    assert unreachable.value.retryable
    assert (unreachable.value.detail, unreachable.value.problem_code) == (UrlRefusedError().detail, "url_refused")


def test_a_configured_origin_goes_where_the_operator_says(
    internet: Internet, canary: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "UPSTREAM_OVERRIDES", json.dumps({"https://creator.example": "http://127.0.0.1:9/creator.example"})
    )
    assert fetch("https://creator.example/videos/1?a=b").body == b"secret"
    assert canary[0].startswith(b"GET /creator.example/videos/1?a=b HTTP/1.1\r\n")
    assert internet.connected == [("127.0.0.1", 9)]
    # Only that very origin: not its subdomains, not another scheme, and not by climbing out of it.
    for url in (
        "https://www.creator.example/",
        "http://creator.example/",
        "https://creator.example/../_sim/faults",
        "https://creator.example/%2e%2e/_sim/faults",
        "https://creator.example@127.0.0.1/",
        "http://127.0.0.1:9/creator.example/",
    ):
        refusal(url)
    assert len(canary) == 1


def test_a_configured_origin_cannot_redirect_into_private_space(
    internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = internet.serve("127.0.0.1", redirect("http://127.0.0.1:9/_sim/requests"))
    monkeypatch.setenv(
        "UPSTREAM_OVERRIDES", json.dumps({"https://creator.example": "http://127.0.0.1:9/creator.example"})
    )
    refusal("https://creator.example/videos/1")
    assert len(seen) == 1
