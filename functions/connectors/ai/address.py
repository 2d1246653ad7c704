"""Where a provider's API is: operators enter an origin or a whole base URL, both work."""

from __future__ import annotations

from urllib.parse import urlsplit


def versioned(base_url: str, version: str) -> str:
    """`base_url` without a trailing slash, with `/version` added if it has no path: 'http://h:1' -> 'http://h:1/v1'."""
    plain = base_url.rstrip("/")
    return plain if urlsplit(plain).path else f"{plain}/{version}"
