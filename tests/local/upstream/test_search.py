"""The simulated search engines answer as the real ones are documented to."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from infra.local.upstream.seed import INDEXNOW_KEY

PAGE = "https://creator.example/videos/5"
INDEXNOW = "/api.indexnow.org/indexnow"
BING = "/ssl.bing.com/webmaster/api.svc/json"
YANDEX = "/api.webmaster.yandex.net/v4/user"
QUEUE = f"{YANDEX}/123456789/hosts/https:creator.example:443/recrawl/queue"
INSPECT = "/searchconsole.googleapis.com/v1/urlInspection/index:inspect"
PUBLISH = "/indexing.googleapis.com/v3/urlNotifications:publish"
OAUTH = {"Authorization": "OAuth a-token"}
BEARER = {"Authorization": "Bearer a-token"}


@pytest.fixture(autouse=True)
def _afresh(client: httpx.Client) -> None:
    assert client.post("/_sim/reset").is_success


def post(client: httpx.Client, url: str, body: Any, **headers: str) -> httpx.Response:
    return client.post(url, json=body, headers=headers)


def test_indexnow_answers_by_its_codes(client: httpx.Client) -> None:
    good = {"host": "creator.example", "key": INDEXNOW_KEY, "urlList": [PAGE]}
    assert post(client, INDEXNOW, good).status_code == 200
    assert client.get(INDEXNOW, params={"url": PAGE, "key": INDEXNOW_KEY}).status_code == 200
    for change, status in (
        ({"urlList": "x"}, 400),
        ({"urlList": []}, 400),
        ({"key": "unknown-key"}, 403),
        ({"key": "short"}, 422),
        ({"urlList": ["https://other.example/"]}, 422),
        ({"urlList": [f"{PAGE}?n={n}" for n in range(10_001)]}, 422),
    ):
        assert post(client, INDEXNOW, {**good, **change}).status_code == status
    assert client.put(INDEXNOW).status_code == 405
    assert client.get("/_sim/search_indexnow/pages").json() == {PAGE: 2}
    known = client.get("/_sim/search_bing/pages").json()
    assert [page["url"] for page in known] == [PAGE]  # it was passed on


def test_an_indexnow_key_may_be_pending(client: httpx.Client) -> None:
    body = {"host": "creator.example", "key": INDEXNOW_KEY, "pending_seconds": 60}
    post(client, "/_sim/search_indexnow/keys", body)
    good = {"host": "creator.example", "key": INDEXNOW_KEY, "urlList": [PAGE]}
    assert post(client, INDEXNOW, good).status_code == 202
    post(client, "/_sim/clock", {"advance_seconds": 61})
    assert post(client, INDEXNOW, good).status_code == 200


def test_bing_counts_a_day_and_refuses_a_batch_as_a_whole(client: httpx.Client) -> None:
    post(client, "/_sim/search_bing/quota", {"limit": 3})

    def quota() -> int:
        params = {"siteUrl": "https://creator.example/", "apikey": "key"}
        return int(client.get(f"{BING}/GetUrlSubmissionQuota", params=params).json()["d"]["DailyQuota"])

    def submit(count: int, key: str = "key", site: str = "https://creator.example/") -> httpx.Response:
        urls = [f"{PAGE}?n={n}" for n in range(count)]
        return post(client, f"{BING}/SubmitUrlbatch?apikey={key}", {"siteUrl": site, "urlList": urls})

    assert submit(2).json() == {"d": None}
    assert quota() == 1
    refused = submit(2)
    assert (refused.status_code, refused.json()["Message"][:8]) == (400, "ERROR!!!")
    assert quota() == 1
    assert submit(1, key="invalid-key").json() == {"ErrorCode": 3, "Message": "ERROR!!! InvalidApiKey"}
    assert submit(1, site="https://other.example/").json()["ErrorCode"] == 14
    post(client, "/_sim/clock", {"advance_seconds": 86_400})
    assert quota() == 3


def test_bing_says_when_it_crawled(client: httpx.Client) -> None:
    params = {"siteUrl": "https://creator.example/", "url": PAGE, "apikey": "key"}
    post(client, f"{BING}/SubmitUrl?apikey=key", {"siteUrl": params["siteUrl"], "url": PAGE})

    def crawled() -> str:
        return str(client.get(f"{BING}/GetUrlInfo", params=params).json()["d"]["LastCrawledDate"])

    assert crawled().startswith("/Date(-")
    post(client, "/_sim/clock", {"advance_seconds": 3600})
    assert not crawled().startswith("/Date(-")


def test_yandex_queues_once_and_says_when_the_robot_came(client: httpx.Client) -> None:
    assert client.get(YANDEX, headers=OAUTH).json() == {"user_id": 123456789}
    assert client.get(YANDEX, headers=BEARER).json()["error_code"] == "INVALID_OAUTH_TOKEN"
    added = client.post(QUEUE, json={"url": PAGE}, headers=OAUTH)
    assert (added.status_code, added.json()["quota_remainder"]) == (202, 119)
    again = client.post(QUEUE, json={"url": PAGE}, headers=OAUTH)
    assert (again.status_code, again.json()["error_code"]) == (409, "URL_ALREADY_ADDED")
    task = f"{QUEUE}/{added.json()['task_id']}"
    assert client.get(task, headers=OAUTH).json()["state"] == "IN_PROGRESS"
    post(client, "/_sim/clock", {"advance_seconds": 3600})
    assert client.get(task, headers=OAUTH).json()["state"] == "DONE"
    assert [one["url"] for one in client.get(QUEUE, headers=OAUTH).json()["tasks"]] == [PAGE]
    post(client, "/_sim/search_yandex/quota", {"limit": 1})
    over = client.post(QUEUE, json={"url": f"{PAGE}?n=2"}, headers=OAUTH)
    assert (over.status_code, over.json()["error_code"]) == (429, "QUOTA_EXCEEDED")
    elsewhere = QUEUE.replace("creator.example", "other.example")
    assert client.post(elsewhere, json={"url": PAGE}, headers=OAUTH).json()["error_code"] == "HOST_NOT_FOUND"


def test_google_knows_crawls_and_indexes_in_this_order(client: httpx.Client) -> None:
    def status() -> tuple[str, str, bool]:
        body = {"inspectionUrl": PAGE, "siteUrl": "sc-domain:creator.example", "languageCode": "en-US"}
        found = post(client, INSPECT, body, **BEARER).json()["inspectionResult"]["indexStatusResult"]
        return found["verdict"], found["coverageState"], "lastCrawlTime" in found

    assert status() == ("NEUTRAL", "URL is unknown to Google", False)
    assert post(client, PUBLISH, {"url": PAGE, "type": "URL_UPDATED"}, **BEARER).is_success
    assert status() == ("NEUTRAL", "Discovered - currently not indexed", False)
    post(client, "/_sim/clock", {"advance_seconds": 3600})
    assert status() == ("NEUTRAL", "Crawled - currently not indexed", True)
    post(client, "/_sim/clock", {"advance_seconds": 7200})
    assert status() == ("PASS", "Submitted and indexed", True)
    post(client, "/_sim/search_google/pages", {"url": PAGE, "state": "crawl"})
    assert status() == ("NEUTRAL", "Crawled - currently not indexed", True)


def test_google_refuses_strangers_and_more_than_its_quota(client: httpx.Client) -> None:
    assert post(client, PUBLISH, {"url": PAGE, "type": "URL_UPDATED"}).status_code == 401
    other = post(client, PUBLISH, {"url": "https://other.example/", "type": "URL_UPDATED"}, **BEARER)
    assert (other.status_code, other.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    post(client, "/_sim/search_google/quota", {"limit": 1})
    answers = [post(client, PUBLISH, {"url": PAGE, "type": "URL_UPDATED"}, **BEARER) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    detail = answers[1].json()["error"]["details"][0]
    assert detail["metadata"]["quota_limit"] == "DefaultPublishRequestsPerDayPerProject"
