"""What the simulated search engines have in common: pages that are crawled, and later indexed, some time after the
engine was told of them; the sites whose owners it knows; and how much it takes a day.

Everything runs on the simulated clock. `POST /_sim/{engine}/delays` `{crawl_seconds?, index_seconds?}` says how long an
engine takes, `POST /_sim/{engine}/pages` `{url, state}` decides a page's fate: `index` (the usual one), `crawl` (seen,
not taken), `ignore` (never looked at), `broken` (could not be loaded).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from infra.local.upstream.clock import Clock
from infra.local.upstream.messages import Request, Response, json_response
from infra.local.upstream.provider import Provider, Route
from infra.local.upstream.seed import CREATOR_HOST

FATES = ("index", "crawl", "ignore", "broken")
DAY_SECONDS = 86_400


@dataclass(slots=True)
class Page:
    """One address as an engine knows it."""

    url: str
    told_at: float
    fate: str = "index"
    submissions: int = 1


@dataclass(slots=True)
class SearchIndex:
    """What an engine knows. Delays are seconds after it was first told."""

    clock: Clock
    crawl_seconds: float = 1800
    index_seconds: float = 7200
    pages: dict[str, Page] = field(default_factory=dict)
    fates: dict[str, str] = field(default_factory=dict)

    def tell(self, url: str) -> Page:
        page = self.pages.get(url)
        if page is None:
            page = self.pages[url] = Page(url, self.clock.now(), self.fates.get(url, "index"))
        else:
            page.submissions += 1
        return page

    def crawled_at(self, url: str) -> float | None:
        """Unix seconds of the crawl, None before it."""
        page = self.pages.get(url)
        if page is None or page.fate in {"ignore", "broken"}:
            return None
        at = page.told_at + self.crawl_seconds
        return at if at <= self.clock.now() else None

    def is_indexed(self, url: str) -> bool:
        page = self.pages.get(url)
        return page is not None and page.fate == "index" and page.told_at + self.index_seconds <= self.clock.now()

    def is_broken(self, url: str) -> bool:
        page = self.pages.get(url)
        return page is not None and page.fate == "broken" and page.told_at + self.crawl_seconds <= self.clock.now()


@dataclass(slots=True)
class DailyQuota:
    """So many a key and day; the day begins at midnight, simulated UTC."""

    clock: Clock
    limit: int
    _used: dict[tuple[str, int], int] = field(default_factory=dict)

    def left(self, key: str) -> int:
        return max(0, self.limit - self._used.get(self._today(key), 0))

    def take(self, key: str, amount: int = 1) -> bool:
        if amount > self.left(key):
            return False
        today = self._today(key)
        self._used[today] = self._used.get(today, 0) + amount
        return True

    def _today(self, key: str) -> tuple[str, int]:
        return key, int(self.clock.now() // DAY_SECONDS)


class SearchEngine(Provider):
    """A provider with an index, verified sites, and the controls for both.

    Any credential that does not begin with `invalid` belongs to somebody who has verified creator.example and the hosts
    of `POST /_sim/{engine}/sites` `{host}`.
    """

    daily_limit = 10_000

    def reset(self) -> None:
        self.index = SearchIndex(self.clock)
        self.quota = DailyQuota(self.clock, self.daily_limit)
        self.hosts_verified = {CREATOR_HOST, f"www.{CREATOR_HOST}"}

    def owns(self, url: str) -> bool:
        """Whether the host of `url` is one of the verified ones."""
        return (urlsplit(url).hostname or "") in self.hosts_verified

    def controls(self) -> Sequence[Route]:
        return (
            Route("GET", "", "/pages", self._list_pages),
            Route("POST", "", "/pages", self._decide_page),
            Route("POST", "", "/delays", self._set_delays),
            Route("POST", "", "/quota", self._set_quota),
            Route("POST", "", "/sites", self._verify_site),
        )

    def _list_pages(self, _: Request) -> Response:
        return json_response(
            [
                {
                    "url": page.url,
                    "submissions": page.submissions,
                    "crawled": self.index.crawled_at(page.url) is not None,
                    "indexed": self.index.is_indexed(page.url),
                }
                for page in self.index.pages.values()
            ]
        )

    def _decide_page(self, request: Request) -> Response:
        body = request.json()
        if body["state"] not in FATES:
            raise ValueError(f"state is one of {list(FATES)}")
        self.index.fates[body["url"]] = body["state"]
        if body["url"] in self.index.pages:
            self.index.pages[body["url"]].fate = body["state"]
        return json_response(body)

    def _set_delays(self, request: Request) -> Response:
        body = request.json()
        self.index.crawl_seconds = float(body.get("crawl_seconds", self.index.crawl_seconds))
        self.index.index_seconds = float(body.get("index_seconds", self.index.index_seconds))
        return json_response({"crawl_seconds": self.index.crawl_seconds, "index_seconds": self.index.index_seconds})

    def _set_quota(self, request: Request) -> Response:
        self.quota.limit = int(request.json()["limit"])
        return json_response({"limit": self.quota.limit})

    def _verify_site(self, request: Request) -> Response:
        self.hosts_verified.add(str(request.json()["host"]).lower())
        return json_response(sorted(self.hosts_verified))
