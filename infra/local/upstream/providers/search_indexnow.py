"""IndexNow: https://www.indexnow.org/documentation.

One post is passed on to the engines that take part. Keys: creator.example's, and those of
`POST /_sim/search_indexnow/keys` `{host, key, pending_seconds?}`; while a key is pending, posts get 202.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from infra.local.upstream.messages import Request, Response, json_response
from infra.local.upstream.provider import Provider, Route
from infra.local.upstream.providers.search_bing import BingWebmaster
from infra.local.upstream.providers.search_yandex import YandexWebmaster
from infra.local.upstream.seed import CREATOR_HOST, INDEXNOW_KEY

API_HOST = "api.indexnow.org"
MAX_URLS = 10_000
_KEY = re.compile(r"[A-Za-z0-9-]{8,128}")


class IndexNow(Provider):
    name = "search_indexnow"
    hosts = (API_HOST,)

    def reset(self) -> None:
        # host -> (key, simulated second from which on the key counts as checked)
        self.keys: dict[str, tuple[str, float]] = {CREATOR_HOST: (INDEXNOW_KEY, 0.0)}
        self.submitted: dict[str, int] = {}

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", API_HOST, "/indexnow", self._submit_many),
            Route("GET", API_HOST, "/indexnow", self._submit_one),
        )

    def controls(self) -> Sequence[Route]:
        return (
            Route("POST", "", "/keys", self._add_key),
            Route("GET", "", "/pages", lambda _: json_response(self.submitted)),
        )

    def not_found(self, request: Request) -> Response:
        return Response(405 if request.path == "/indexnow" else 404)

    def _add_key(self, request: Request) -> Response:
        body = request.json()
        checked_at = self.clock.now() + float(body.get("pending_seconds", 0))
        self.keys[str(body["host"]).lower()] = (str(body["key"]), checked_at)
        return json_response(sorted(self.keys))

    def _submit_one(self, request: Request) -> Response:
        url = request.query.get("url", "")
        return self._submit(urlsplit(url).hostname or "", request.query.get("key", ""), [url])

    def _submit_many(self, request: Request) -> Response:
        try:
            body = request.json()
        except ValueError:
            return _refuse(400, "Invalid request")
        urls = body.get("urlList")
        if not isinstance(urls, list) or not urls or not all(isinstance(url, str) for url in urls):
            return _refuse(400, "Invalid request")
        return self._submit(str(body.get("host", "")).lower(), str(body.get("key", "")), urls)

    def _submit(self, host: str, key: str, urls: list[str]) -> Response:
        if len(urls) > MAX_URLS:
            return _refuse(422, "No more than 10000 urls allowed")
        if not _KEY.fullmatch(key):
            return _refuse(422, "Key must be at least 8 characters and no longer than 128")
        if any((urlsplit(url).hostname or "") != host for url in urls):
            return _refuse(422, "Invalid url")
        known, checked_at = self.keys.get(host, ("", 0.0))
        if key != known:
            return _refuse(403, "Key was not found on the site")
        for url in urls:
            self.submitted[url] = self.submitted.get(url, 0) + 1
            for kind in (BingWebmaster, YandexWebmaster):
                self.world.get(kind).index.tell(url)
        return Response(202 if self.clock.now() < checked_at else 200)


def _refuse(status: int, message: str) -> Response:
    return json_response({"success": False, "message": message}, status)
