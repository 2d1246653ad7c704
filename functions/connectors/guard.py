"""The one way to open a URL that came from a user.

A name is resolved once, when the connection is made, and the connection goes to the very address that was checked:
there is no moment in which a name could change its mind (DNS rebinding). If any of a name's addresses is not public,
none is used. Redirects are followed by hand and pass the same checks. The whole fetch, slow trickles included, ends
at one deadline. Every refusal answers in the same words, so that nobody can map a network by asking.

Address ranges: https://www.iana.org/assignments/iana-ipv4-special-registry and .../iana-ipv6-special-registry.
"""

from __future__ import annotations

import concurrent.futures
import functools
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import httpcore

from functions.connectors.address import WebAddress, parse
from functions.core import http, settings
from functions.core.errors import UrlRefusedError, UrlUnreachableError

MAX_SECONDS = 8.0
CONNECT_SECONDS = 3.0
MAX_REDIRECTS = 3
MAX_ADDRESSES = 4
MAX_BYTES = 1024 * 1024
USER_AGENT = "StreamVibe/1.0 (site check)"
_REDIRECTS = {301, 302, 303, 307, 308}

Resolver = Callable[[str, int], Sequence[str]]
"""From host and port to IP addresses as text; raises OSError if the name is not known."""

_BLOCKED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent: a public address that means "the machine below"
        "169.254.0.0/16",  # link-local, and with it the clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation, as are 198.51.100.0/24 and 203.0.113.0/24
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_BLOCKED_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # Teredo and other protocol assignments
        "2001:db8::/32",  # documentation, as is 3fff::/20
        "2002::/16",  # 6to4: would tunnel to any IPv4 address
        "3fff::/20",
    )
)
# These carry an IPv4 address in their last 32 bits, which decides: IPv4-mapped, and NAT64 (IPv6-only networks).
_CARRIES_V4 = tuple(ipaddress.IPv6Network(network) for network in ("::ffff:0:0/96", "64:ff9b::/96"))


@dataclass(frozen=True, slots=True)
class Page:
    """What was found. `body` holds at most the bytes asked for; `url` is where the redirects ended."""

    url: WebAddress
    status: int
    content_type: str
    body: bytes


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet; anything that is not an address is not."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if any(ip in network for network in _CARRIES_V4):
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        else:
            return ip.scope_id is None and ip in _PUBLIC_V6 and not any(ip in network for network in _BLOCKED_V6)
    return not any(ip in network for network in _BLOCKED_V4)


def system_resolver(host: str, port: int) -> list[str]:
    """The operating system's resolver. It knows no timeouts; `_Guarded` waits no longer than the deadline."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def fetch(url: str | WebAddress, *, max_bytes: int = MAX_BYTES, resolver: Resolver | None = None) -> Page:
    """GET a user's URL.

    Raises UrlRefusedError if it, or what it redirects to, may not be opened, and UrlUnreachableError, with the same
    words, if it may but cannot be (try again later).
    """
    address = parse(url) if isinstance(url, str) else url
    with http.deadline(MAX_SECONDS):
        for _ in range(MAX_REDIRECTS + 1):
            page, location = _get(address, max_bytes, resolver or system_resolver)
            if page.status not in _REDIRECTS or location is None:
                return page
            address = address.join(location)
    raise UrlRefusedError


def _get(address: WebAddress, max_bytes: int, resolver: Resolver) -> tuple[Page, str | None]:
    override = settings.UPSTREAM_OVERRIDES.value().get(address.origin)
    url = str(address) if override is None else override + address.target
    # A configured origin may be anywhere, as the operator says; all others only in public.
    backend = _Guarded(resolver) if override is None else http.BoundedBackend()
    headers = [("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", USER_AGENT), ("Connection", "close")]
    context = _tls() if url.startswith("https://") else None
    try:
        with (
            httpcore.ConnectionPool(ssl_context=context, network_backend=backend) as pool,
            pool.stream("GET", url, headers=headers, extensions={"timeout": {"connect": CONNECT_SECONDS}}) as answer,
        ):
            found = {name.lower(): value.decode("latin-1") for name, value in answer.headers}
            body = b"" if answer.status in _REDIRECTS else _read(answer, max_bytes)
            page = Page(address, answer.status, found.get(b"content-type", ""), body)
            return page, found.get(b"location")
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError):
        raise UrlUnreachableError from None
    except (httpcore.UnsupportedProtocol, httpcore.ConnectionNotAvailable, ValueError):
        raise UrlRefusedError from None


def _read(answer: httpcore.Response, max_bytes: int) -> bytes:
    body = bytearray()
    for chunk in answer.iter_stream():
        body += chunk
        if len(body) >= max_bytes:
            break
    return bytes(body[:max_bytes])


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpcore.default_ssl_context()


class _Guarded(http.BoundedBackend):
    """Connections to public addresses only, made to the address that was checked."""

    def __init__(self, resolver: Resolver) -> None:
        super().__init__()
        self._resolver = resolver

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failure: httpcore.NetworkError | httpcore.TimeoutException = httpcore.ConnectError()
        for address in self._public_addresses(host, port):
            try:
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
        raise failure

    def _public_addresses(self, host: str, port: int) -> Sequence[str]:
        # In a thread of its own, because a name server that never answers must not hold the function.
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        try:
            found = pool.submit(self._resolver, host, port).result(timeout=max(http.remaining_seconds(), 0.0))
        except (OSError, UnicodeError, concurrent.futures.TimeoutError):
            raise UrlUnreachableError from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if not found:
            raise UrlUnreachableError
        if not all(is_public(address) for address in found):
            raise UrlRefusedError
        return found[:MAX_ADDRESSES]
