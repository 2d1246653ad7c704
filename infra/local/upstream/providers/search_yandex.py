"""Yandex Webmaster API v4: https://yandex.com/dev/webmaster/doc/en/.

A recrawl task is IN_PROGRESS until the crawl, then DONE (or FAILED for a page whose state is `broken`); an address that
is already in the queue gets 409. Controls: see `search_index`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from infra.local.upstream.messages import Refusal, Request, Response, json_response
from infra.local.upstream.provider import Route
from infra.local.upstream.providers.search_index import SearchEngine

API_HOST = "api.webmaster.yandex.net"
USER_ID = 123456789
HOST = "/v4/user/{user}/hosts/{host}"


class YandexWebmaster(SearchEngine):
    name = "search_yandex"
    hosts = (API_HOST,)
    daily_limit = 120

    def reset(self) -> None:
        super().reset()
        self.tasks: dict[str, tuple[str, float]] = {}  # id -> (address, simulated second)

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", API_HOST, "/v4/user", self._user),
            Route("GET", API_HOST, f"{HOST}/recrawl/quota", self._read_quota),
            Route("POST", API_HOST, f"{HOST}/recrawl/queue", self._add),
            Route("GET", API_HOST, f"{HOST}/recrawl/queue", self._list),
            Route("GET", API_HOST, f"{HOST}/recrawl/queue/{{task}}", self._task),
        )

    def not_found(self, request: Request) -> Response:
        return _error(404, "RESOURCE_NOT_FOUND", f"No resource at {request.path}.")

    def _authorise(self, request: Request, user: str = "", host: str = "") -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "OAuth" or not token or token.startswith("invalid"):
            raise Refusal(_error(403, "INVALID_OAUTH_TOKEN", "The OAuth token is missing or invalid."))
        if user and user != str(USER_ID):
            raise Refusal(_error(403, "INVALID_USER_ID", "Invalid user id."))
        if host:
            scheme, _, rest = host.partition(":")
            if not self.owns(f"{scheme}://{rest}"):
                raise Refusal(_error(404, "HOST_NOT_FOUND", f"The host {host} was not found."))

    def _user(self, request: Request) -> Response:
        self._authorise(request)
        return json_response({"user_id": USER_ID})

    def _read_quota(self, request: Request, user: str, host: str) -> Response:
        self._authorise(request, user, host)
        return json_response({"daily_quota": self.quota.limit, "quota_remainder": self.quota.left(host)})

    def _add(self, request: Request, user: str, host: str) -> Response:
        self._authorise(request, user, host)
        url = str(request.json().get("url", ""))
        if not self.owns(url):
            return _error(400, "INVALID_URL", "The address does not belong to the host.")
        if any(address == url and self._state(address) == "IN_PROGRESS" for address, _ in self.tasks.values()):
            return _error(409, "URL_ALREADY_ADDED", "The address is in the queue already.")
        if not self.quota.take(host):
            tomorrow = datetime.fromtimestamp((self.clock.now() // 86_400 + 1) * 86_400, UTC).isoformat()
            body = {"daily_quota": self.quota.limit, "exceeded_until": tomorrow}
            return _error(429, "QUOTA_EXCEEDED", "The daily quota is used up.", **body)
        task = str(uuid.uuid4())
        self.tasks[task] = (url, self.clock.now())
        self.index.tell(url)
        return json_response({"task_id": task, "quota_remainder": self.quota.left(host)}, 202)

    def _list(self, request: Request, user: str, host: str) -> Response:
        self._authorise(request, user, host)
        offset, limit = int(request.query.get("offset", 0)), int(request.query.get("limit", 50))
        newest_first = list(reversed(self.tasks))[offset : offset + limit]
        return json_response({"tasks": [self._describe(task) for task in newest_first]})

    def _task(self, request: Request, user: str, host: str, task: str) -> Response:
        self._authorise(request, user, host)
        if task not in self.tasks:
            return _error(404, "TASK_NOT_FOUND", "There is no such task.")
        return json_response(self._describe(task))

    def _describe(self, task: str) -> dict[str, str]:
        url, added_at = self.tasks[task]
        added = datetime.fromtimestamp(added_at, UTC).isoformat(timespec="milliseconds")
        return {"task_id": task, "url": url, "added_time": added, "state": self._state(url)}

    def _state(self, url: str) -> str:
        if self.index.is_broken(url):
            return "FAILED"
        return "IN_PROGRESS" if self.index.crawled_at(url) is None else "DONE"


def _error(status: int, code: str, message: str, **more: object) -> Response:
    return json_response({"error_code": code, "error_message": message, **more}, status)
