"""`send` against real sockets: what it repeats, what it cuts off, and what its errors never hold."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate

import httpx
import pytest

from functions.connectors import client
from functions.connectors.client import Request, send
from functions.core.errors import UpstreamError, UpstreamRefusedError, UpstreamUnavailableError

SECRET = "tok-very-secret"
Answer = Callable[[socket.socket, bytes], None]


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> Answer:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    head += "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())

    def write(connection: socket.socket, _: bytes) -> None:
        connection.sendall(head.encode() + b"\r\n" + body)

    return write


@contextmanager
def server(*answers: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """Gives each connection the next of `answers` (the last one again and again); collects the requests."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    seen.append(connection.recv(65536))
                    answers[min(len(seen), len(answers)) - 1](connection, seen[-1])
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr("functions.connectors.client.time.sleep", taken.append)
    return taken


def get(url: str, **options: object) -> client.Response:
    request = Request("GET", url, params={"access_token": SECRET}, headers={"Authorization": f"Bearer {SECRET}"})
    return send(request, service="Example", **options)  # type: ignore[arg-type]


def test_sends_to_the_overridden_origin_and_keeps_the_query(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(answer(body=b'{"a": 1}')) as (origin, seen):
        monkeypatch.setenv("UPSTREAM_OVERRIDES", json.dumps({"https://api.example": f"{origin}/api.example"}))
        response = send(Request("GET", "https://api.example/v1?x=1", params={"y": "ä b"}), service="Example")
    assert response.json() == {"a": 1}
    assert seen[0].startswith(b"GET /api.example/v1?x=1&y=%C3%A4+b HTTP/1.1")


def test_an_origin_that_only_begins_like_an_override_is_not_redirected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_OVERRIDES", json.dumps({"https://api.example": "http://elsewhere"}))
    assert client.upstream_url("https://api.example.evil/x") == "https://api.example.evil/x"
    assert client.upstream_url("https://api.example/x") == "http://elsewhere/x"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_repeats_an_idempotent_call_while_the_service_is_unavailable(status: int, pauses: list[float]) -> None:
    with server(answer(status), answer(status), answer(200)) as (origin, seen):
        assert get(origin).ok
    assert len(seen) == 3
    assert 0.25 <= pauses[0] <= 0.75
    assert 0.5 <= pauses[1] <= 1.5


def test_gives_up_after_the_last_retry() -> None:
    with server(answer(503)) as (origin, seen), pytest.raises(UpstreamUnavailableError) as caught:
        get(origin)
    assert (len(seen), caught.value.upstream_status) == (3, 503)


def test_never_repeats_what_might_have_happened() -> None:
    with server(answer(503)) as (origin, seen), pytest.raises(UpstreamUnavailableError):
        send(Request("POST", origin, form={"code": SECRET}), service="Example")
    assert len(seen) == 1


def test_repeats_a_post_that_says_it_is_idempotent() -> None:
    with server(answer(503), answer(200)) as (origin, seen):
        assert send(Request("POST", origin, json={}), service="Example", idempotent=True).ok
    assert len(seen) == 2


def test_a_refusal_is_not_repeated() -> None:
    with server(answer(403)) as (origin, seen), pytest.raises(UpstreamRefusedError):
        get(origin)
    assert len(seen) == 1


def test_a_redirect_is_a_refusal() -> None:
    with server(answer(302, Location="http://127.0.0.1:1/")) as (origin, _), pytest.raises(UpstreamRefusedError):
        get(origin)


def test_keeps_a_short_retry_after_and_leaves_a_long_one_to_the_caller(pauses: list[float]) -> None:
    with server(answer(429, Retry_After="2"), answer(200)) as (origin, _):
        get(origin)
    assert pauses == [2.0]
    with server(answer(429, Retry_After="120")) as (origin, seen), pytest.raises(UpstreamUnavailableError) as caught:
        get(origin)
    assert (len(seen), caught.value.retry_after_seconds) == (1, 120.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("soon", None),
        ("nan", None),
        ("-5", 0.0),
        ("1e9", 86400.0),
        ("inf", 86400.0),
        ("0.5", 0.5),
        ("Wed, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Wed, 99 Foo 2026 99:99:99 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
def test_reads_retry_after_numbers(text: str, expected: float | None) -> None:
    assert client.retry_after_seconds(httpx.Headers({"Retry-After": text})) == expected


def test_reads_a_retry_after_date() -> None:
    seconds = client.retry_after_seconds(httpx.Headers({"Retry-After": formatdate(time.time() + 100, usegmt=True)}))
    assert seconds is not None
    assert 90 < seconds <= 100


def hang(_: socket.socket, __: bytes) -> None:
    threading.Event().wait(2)


def drip_headers(connection: socket.socket, _: bytes) -> None:
    for letter in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 200:
        connection.sendall(bytes([letter]))
        threading.Event().wait(0.02)


def drip_body(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _i in range(200):
        connection.sendall(b"x")
        threading.Event().wait(0.02)


@pytest.mark.parametrize("slow", [hang, drip_headers, drip_body])
def test_the_deadline_bounds_the_whole_call(slow: Answer) -> None:
    with server(slow) as (origin, _), pytest.raises(UpstreamUnavailableError, match="in time"):
        get(origin, deadline_seconds=0.2)


def endless(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def reset(connection: socket.socket, _: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def test_an_endless_body_is_cut_at_the_cap() -> None:
    with server(endless) as (origin, _), pytest.raises(UpstreamError, match="more than 1000000 bytes"):
        get(origin, max_bytes=1_000_000)


def test_a_gzip_bomb_is_cut_at_the_cap() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    with (
        server(answer(body=bomb, Content_Encoding="gzip")) as (origin, _),
        pytest.raises(UpstreamError, match="more than 1000000 bytes"),
    ):
        get(origin, max_bytes=1_000_000)


def test_bytes_after_a_compressed_body_are_cut_at_the_cap_too() -> None:
    body = gzip.compress(b"{}") + b"0" * 3_000_000
    with (
        server(answer(body=body, Content_Encoding="gzip")) as (origin, _),
        pytest.raises(UpstreamError, match="more than 1000000 bytes"),
    ):
        get(origin, max_bytes=1_000_000)


def test_a_body_of_exactly_the_cap_is_read_with_and_without_compression() -> None:
    body = json.dumps("x" * 998).encode()
    with server(answer(body=gzip.compress(body), Content_Encoding="gzip"), answer(body=body)) as (origin, _):
        assert [len(get(origin, max_bytes=1000).body) for _i in range(2)] == [1000, 1000]


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_a_body_that_cannot_be_decoded_is_an_upstream_error(encoding: str) -> None:
    with (
        server(answer(body=b"nonsense", Content_Encoding=encoding)) as (origin, _),
        pytest.raises(UpstreamError, match="decoded"),
    ):
        get(origin)


def test_something_that_is_not_json_is_an_upstream_error() -> None:
    with server(answer(body=b"<html>")) as (origin, _), pytest.raises(UpstreamError, match="not JSON"):
        get(origin).json()


@pytest.mark.parametrize("bad", [answer(400), answer(503), reset])
def test_no_error_holds_what_was_sent(bad: Answer) -> None:
    with server(bad) as (origin, _), pytest.raises(UpstreamError) as caught:
        get(origin)
    shown = repr(caught.value) + str(caught.value.__dict__) + repr(caught.value.__cause__)
    assert SECRET not in shown
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_request_and_a_response_show_no_secret() -> None:
    request = Request("POST", "https://x.example", headers={"Authorization": SECRET}, form={"a": SECRET})
    response = client.Response("X", 200, httpx.Headers({"x": SECRET}), SECRET.encode())
    assert SECRET not in repr(request) + repr(response)


def test_a_cookie_is_not_kept_for_the_next_call() -> None:
    with server(answer(200, Set_Cookie="session=one; Path=/")) as (origin, seen):
        get(origin)
        get(origin)
    assert b"cookie" not in seen[1].lower()
