"""Whether a page belongs to a creator's site: same scheme, same registrable domain, below the site's path.

The registrable domain is what somebody can own: one label more than a public suffix (https://publicsuffix.org), so
that `alice.github.io` and `bob.github.io` are strangers, as are two sites under `co.uk`. A site with a path of its own
shares its host with others, so there the host counts too.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from functions.connectors.address import WebAddress, parse
from functions.core.errors import UrlRefusedError

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

_PLATFORM_DOMAINS = {
    "youtube.com": "YouTube",
    "youtu.be": "YouTube",
    "youtube-nocookie.com": "YouTube",
    "instagram.com": "Instagram",
    "instagr.am": "Instagram",
    "tiktok.com": "TikTok",
    "facebook.com": "Facebook",
    "fb.com": "Facebook",
    "fb.watch": "Facebook",
    "twitter.com": "X",
    "x.com": "X",
    "t.co": "X",
}


def platform_of(page: WebAddress) -> str | None:
    """The platform that `page` belongs to, None if it is nobody's that we know."""
    return _PLATFORM_DOMAINS.get(registrable_domain(page.host) or "")


def platform_refusal(platform: str) -> tuple[str, str]:
    """Reason and sentence for a page on a platform."""
    message = (
        f"This page belongs to {platform}, and search engines take addresses from their owner only. "
        "Submit the page of your own site that shows this content."
    )
    return "platform_url", message


def refusal(page: WebAddress, site_url: str) -> tuple[str, str] | None:
    """Why `page` does not belong to the site (a stable word, a sentence), None if it does."""
    platform = platform_of(page)
    if platform is not None:
        return platform_refusal(platform)
    try:
        site = parse(site_url)
    except UrlRefusedError as error:
        return error.problem_code, f"{error.detail}."
    domain = registrable_domain(site.host)
    if domain is None or registrable_domain(page.host) != domain:
        return "other_site", f"This page is not on {site.host}, the site that you have connected."
    if page.scheme != site.scheme:
        return "other_scheme", f"Your site is connected as {site.scheme}, this page is {page.scheme}."
    if site.path != "/" and (not _same_host(page.host, site.host) or not _is_below(page.path, site.path)):
        return "other_path", f"This page is not below {site}, the site that you have connected."
    return None


def registrable_domain(host: str) -> str | None:
    """What can be owned of `host`; None if it is a public suffix itself."""
    domain: str | None = _suffixes().privatesuffix(host)
    return domain


def _same_host(one: str, other: str) -> bool:
    return one.removeprefix("www.") == other.removeprefix("www.")


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else f"{prefix}/")


@functools.cache
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - reads a third of a megabyte

    return PublicSuffixList()
