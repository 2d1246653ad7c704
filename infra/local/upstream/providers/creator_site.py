"""https://creator.example: a creator's own site, whose pages are submitted to search engines.

`/videos/1` to `/videos/20`, `/sitemap.xml`, `/robots.txt` and the IndexNow key file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from infra.local.upstream.items import Catalogue, Item, Mix
from infra.local.upstream.messages import Refusal, Request, Response, html_response, text_response
from infra.local.upstream.provider import Provider, Route
from infra.local.upstream.seed import CREATOR_HOST, CREATOR_PAGES, INDEXNOW_KEY

ORIGIN = f"https://{CREATOR_HOST}"
SPACING_SECONDS = 6 * 86_400


class CreatorSite(Provider):
    name = "creator"
    hosts = (CREATOR_HOST,)

    def reset(self) -> None:
        mix = Mix(kinds={"video": 1}, unlisted=0, private=0)
        self.pages = Catalogue("creator", CREATOR_PAGES, "cooking", mix, SPACING_SECONDS)

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", CREATOR_HOST, "/", self._home),
            Route("GET", CREATOR_HOST, "/videos/{number}", self._video),
            Route("GET", CREATOR_HOST, "/sitemap.xml", self._sitemap),
            Route("GET", CREATOR_HOST, "/robots.txt", self._robots),
            Route("GET", CREATOR_HOST, f"/{INDEXNOW_KEY}.txt", lambda _: text_response(INDEXNOW_KEY)),
        )

    def not_found(self, request: Request) -> Response:
        return html_response(f"<!doctype html><title>Not found</title><p>No page at {escape(request.path)}</p>", 404)

    def _page(self, number: int) -> Item:
        """Page 1 is the oldest."""
        return self.pages.item(CREATOR_PAGES - number)

    def _home(self, _: Request) -> Response:
        links = "".join(f'<li><a href="/videos/{n}">{escape(self._page(n).title)}</a></li>' for n in _numbers())
        return html_response(_document("Maya's Little Kitchen", "Home cooking without fuss.", "/", f"<ul>{links}</ul>"))

    def _video(self, request: Request, number: str) -> Response:
        if not (number.isascii() and number.isdecimal()) or int(number) not in _numbers() or number.startswith("0"):
            raise Refusal(self.not_found(request))
        page = self._page(int(number))
        data = _video_data(page, int(number))
        body = f'<article><p>{escape(page.description)}</p></article><script type="application/ld+json">{data}</script>'
        return html_response(_document(page.title, page.description.split("\n")[0], f"/videos/{number}", body))

    def _sitemap(self, _: Request) -> Response:
        urls = "".join(f"<url><loc>{ORIGIN}/videos/{number}</loc></url>" for number in _numbers())
        xml = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
        return text_response(f"{xml}{urls}</urlset>\n", content_type="application/xml")

    def _robots(self, _: Request) -> Response:
        return text_response(f"User-agent: *\nAllow: /\nSitemap: {ORIGIN}/sitemap.xml\n")


def _numbers() -> range:
    return range(1, CREATOR_PAGES + 1)


def _video_data(page: Item, number: int) -> str:
    """The page's structured data. Every fifth video was a live stream, the one kind that Google's Indexing API takes.

    https://developers.google.com/search/docs/appearance/structured-data/video
    """
    video: dict[str, object] = {
        "@context": "https://schema.org",
        "@type": "VideoObject",
        "name": page.title,
        "url": f"{ORIGIN}/videos/{number}",
    }
    if number % 5 == 0:
        video["publication"] = {"@type": "BroadcastEvent", "isLiveBroadcast": True, "name": page.title}
    return json.dumps(video).replace("<", "\\u003c")


def _document(title: str, description: str, path: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="description" content="{escape(description)}">'
        f'<link rel="canonical" href="{ORIGIN}{path}"></head>\n'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )
