"""Web addresses that came from a user, read strictly: what a careful browser would open, and nothing else.

Only names are accepted as hosts. Every spelling of an IP address (dotted, decimal, octal, hexadecimal, IPv6) is refused
by the rule browsers use: a host whose last label is a number is an IP address (https://url.spec.whatwg.org/#ends-in-a-number-checker).
What a name resolves to is checked later, when the connection is made: see `guard`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin

from functions.core.errors import UrlRefusedError

MAX_URL_LENGTH = 2048
DEFAULT_PORTS = {"http": 80, "https": 443}

_PARTS = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?", re.I
)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\<>\"{}|^`]|[^\S ]")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ENCODED_UNSAFE = re.compile(r"%(?:0[0-9a-f]|1[0-9a-f]|7f)|%(?![0-9a-f]{2})", re.I)
_ENCODED = re.compile(r"%([0-9a-f]{2})", re.I)
_UNRESERVED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
# Names that never belong to the public web (RFC 6761, RFC 8375, RFC 9476 and the usual home routers').
_PRIVATE_SUFFIXES = (
    ("localhost",), ("localdomain",), ("local",), ("internal",), ("intranet",), ("lan",), ("home",), ("corp",),
    ("private",), ("home", "arpa"), ("arpa",), ("onion",), ("invalid",), ("alt",), ("test",),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A normalised address: lower-case ASCII host, no default port, no fragment, at least `/` as its path."""

    scheme: str
    host: str
    path: str
    query: str | None = None

    @property
    def origin(self) -> str:
        """Scheme and host, such as `https://creator.example`; the port is always the scheme's own."""
        return f"{self.scheme}://{self.host}"

    @property
    def target(self) -> str:
        """Path and query, as they stand in a request line."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    def __str__(self) -> str:
        return self.origin + self.target

    def join(self, location: str) -> WebAddress:
        """The address that a redirect from here to `location` names. Raises UrlRefusedError."""
        if len(location) > MAX_URL_LENGTH or _FORBIDDEN.search(location):
            raise UrlRefusedError
        try:
            return parse(urljoin(str(self), location))
        except ValueError:
            raise UrlRefusedError from None


def parse(url: str) -> WebAddress:
    """Read `url` strictly. Raises UrlRefusedError, always with the same words, for all that is not plain http(s)."""
    if len(url) > MAX_URL_LENGTH or _FORBIDDEN.search(url):
        raise UrlRefusedError
    parts = _PARTS.fullmatch(url)
    if parts is None or (scheme := parts["scheme"].lower()) not in DEFAULT_PORTS:
        raise UrlRefusedError
    path = _one_spelling(quote(parts["path"] or "/", safe="%/:@!$&'()*+,;=~-._[]"))
    query = None if parts["query"] is None else _one_spelling(quote(parts["query"], safe="%/:@!$&'()*+,;=~-._?[]"))
    if _ENCODED_UNSAFE.search(path + (query or "")) or _climbs(path):
        raise UrlRefusedError
    address = WebAddress(scheme, _host(parts["authority"], DEFAULT_PORTS[scheme]), path, query)
    if len(str(address)) > MAX_URL_LENGTH:
        raise UrlRefusedError
    return address


def _one_spelling(text: str) -> str:
    """Percent-encodings in capitals, and none where none is needed (RFC 3986, 6.2.2): `%7euser%2f` -> `~user%2F`."""
    return _ENCODED.sub(_plain_if_unreserved, text)


def _plain_if_unreserved(encoded: re.Match[str]) -> str:
    character = chr(int(encoded[1], 16))
    return character if character in _UNRESERVED else encoded[0].upper()


def _host(authority: str, default_port: int) -> str:
    host, colon, port = authority.partition(":")
    if colon and port != str(default_port):
        raise UrlRefusedError
    labels = _to_ascii(host.lower()).split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or len(labels) < 2 or len(".".join(labels)) > 253:
        raise UrlRefusedError
    if _NUMBER.fullmatch(labels[-1]) or any(tuple(labels[-len(end) :]) == end for end in _PRIVATE_SUFFIXES):
        raise UrlRefusedError
    return ".".join(labels)


def _to_ascii(host: str) -> str:
    if host.isascii() and "xn--" not in host:
        return host
    import idna  # noqa: PLC0415 - its tables cost more than most hosts need

    try:
        if host.isascii():
            idna.decode(host)  # for its refusal of what is no encoding of anything
            return host
        # Strict IDNA 2008: no mapping, so that full-width digits, circled letters and soft hyphens are refused, and
        # not read as something that they only look like. The other full stops would count as separators: no.
        if any(dot in host for dot in "\u3002\uff0e\uff61"):
            raise UrlRefusedError
        return idna.encode(host).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise UrlRefusedError from None


def _climbs(path: str) -> bool:
    """Whether `path` has `.` or `..` segments in any spelling; with them a path prefix would mean nothing."""
    plain = path
    for _ in range(3):
        plain = unquote(plain)
    return any(segment.strip() in {".", ".."} for segment in re.split(r"[/\\;]", plain))
