"""Bing Webmaster API: https://learn.microsoft.com/en-us/dotnet/api/microsoft.bing.webmaster.api.interfaces.iwebmasterapi.

Errors are 400 with an ErrorCode and a Message. A batch larger than what is left of the day is refused as a whole.
Controls: see `search_index`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from infra.local.upstream.messages import Refusal, Request, Response, json_response
from infra.local.upstream.provider import Route
from infra.local.upstream.providers.search_index import SearchEngine

API_HOST = "ssl.bing.com"
MAX_URLS = 500
MONTH_DAYS = 30
NEVER = "/Date(-62135568000000)/"


class BingWebmaster(SearchEngine):
    name = "search_bing"
    hosts = (API_HOST,)
    daily_limit = 1000

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", API_HOST, "/webmaster/api.svc/json/{method}", self._get),
            Route("POST", API_HOST, "/webmaster/api.svc/json/{method}", self._post),
        )

    def _get(self, request: Request, method: str) -> Response:
        self._authorise(request, request.query.get("siteUrl", ""))
        answers: dict[str, Callable[[Request], Response]] = {
            "geturlsubmissionquota": self._quota,
            "geturlinfo": self._url_info,
        }
        return self._dispatch(answers, method, request)

    def _post(self, request: Request, method: str) -> Response:
        try:
            site = str(request.json().get("siteUrl", ""))
        except ValueError:
            raise Refusal(_error(8, "InvalidParameter")) from None
        self._authorise(request, site)
        answers: dict[str, Callable[[Request], Response]] = {
            "submiturlbatch": self._submit,
            "submiturl": self._submit,
        }
        return self._dispatch(answers, method, request)

    def _dispatch(self, answers: dict[str, Callable[[Request], Response]], method: str, request: Request) -> Response:
        answer = answers.get(method.lower())
        return answer(request) if answer is not None else self.not_found(request)

    def _authorise(self, request: Request, site: str) -> None:
        key = request.query.get("apikey", "")
        if not key or key.startswith("invalid"):
            raise Refusal(_error(3, "InvalidApiKey"))
        if not self.owns(site):
            raise Refusal(_error(14, "NotAuthorized"))

    def _quota(self, request: Request) -> Response:
        left = self.quota.left(request.query["siteUrl"])
        return json_response(
            {
                "d": {
                    "__type": "UrlSubmissionQuota:#Microsoft.Bing.Webmaster.Api",
                    "DailyQuota": left,
                    "MonthlyQuota": left + self.quota.limit * (MONTH_DAYS - 1),
                }
            }
        )

    def _submit(self, request: Request) -> Response:
        body = request.json()
        urls = body.get("urlList") or [body.get("url")]
        if not all(isinstance(url, str) and self.owns(url) for url in urls):
            return _error(7, "InvalidUrl")
        if len(urls) > MAX_URLS:
            return _error(8, "InvalidParameter")
        if not self.quota.take(body["siteUrl"], len(urls)):
            left = self.quota.left(body["siteUrl"])
            return _error(2, f"Quota remaining for today: {left}, Submitted: {len(urls)}")
        for url in urls:
            self.index.tell(url)
        return json_response({"d": None})

    def _url_info(self, request: Request) -> Response:
        url = request.query.get("url", "")
        page, crawled_at = self.index.pages.get(url), self.index.crawled_at(url)
        return json_response(
            {
                "d": {
                    "__type": "UrlInfo:#Microsoft.Bing.Webmaster.Api",
                    "AnchorCount": 0,
                    "DiscoveryDate": NEVER if page is None else _date(page.told_at),
                    "DocumentSize": 0 if crawled_at is None else 14_336,
                    "HttpStatus": 0 if crawled_at is None else 200,
                    "IsPage": True,
                    "LastCrawledDate": NEVER if crawled_at is None else _date(crawled_at),
                    "TotalChildUrlCount": 0,
                    "Url": url,
                }
            }
        )


def _date(unix_seconds: float) -> str:
    return f"/Date({int(unix_seconds * 1000)})/"


def _error(code: int, word: str) -> Response:
    return json_response({"ErrorCode": code, "Message": f"ERROR!!! {word}"}, 400)
