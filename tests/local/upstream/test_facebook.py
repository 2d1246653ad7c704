"""Facebook as a client meets it."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest

from infra.local.upstream.seed import APPS
from tests.local.upstream.visitor import REDIRECT_URI, Visitor

AUTHORIZE = "/www.facebook.com/v26.0/dialog/oauth"
GRAPH = "/graph.facebook.com/v26.0"
APP = APPS["facebook"]
CREDENTIALS = {"client_id": APP.client_id, "client_secret": APP.client_secret}
SCOPES = "pages_show_list,pages_read_engagement,read_insights"
FIELDS = (
    "id,message,story,created_time,updated_time,permalink_url,full_picture,status_type,is_published,shares,"
    "attachments{media_type,type,title,media{image{src,width,height},source},target{id,url},subattachments{media_type}},"
    "reactions.limit(0).summary(total_count),comments.limit(0).summary(total_count)"
)


def proof(token: str) -> str:
    return hmac.new(APP.client_secret.encode(), token.encode(), hashlib.sha256).hexdigest()


def call(client: httpx.Client, path: str, token: str, method: str = "GET", **params: Any) -> httpx.Response:
    params = {"access_token": token, "appsecret_proof": proof(token), **params}
    return client.request(method, f"{GRAPH}/{path}", params=params)


def exchange(client: httpx.Client, **params: str) -> httpx.Response:
    return client.get(f"{GRAPH}/oauth/access_token", params={**CREDENTIALS, **params})


def error(answer: httpx.Response) -> tuple[int, int | None]:
    told = answer.json()["error"]
    return told["code"], told.get("error_subcode")


def pages(client: httpx.Client, token: str, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        fields = "id,name,username,followers_count,access_token,picture{url}"
        body = call(client, "me/accounts", token, fields=fields, **params, **after).json()
        found += body["data"]
        if "next" not in body.get("paging", {}):
            return found
        after = {"after": body["paging"]["cursors"]["after"]}


def every(client: httpx.Client, path: str, token: str, fields: str = FIELDS) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        body = call(client, path, token, fields=fields, limit=100, **after).json()
        found += body["data"]
        if "next" not in body.get("paging", {}):
            return found
        after = {"after": body["paging"]["cursors"]["after"]}


@pytest.fixture
def user_token(visitor: Visitor) -> str:
    return str(visitor.tokens("facebook")["access_token"])


@pytest.fixture
def page(client: httpx.Client, user_token: str) -> dict[str, Any]:
    return pages(client, user_token)[0]


def test_code_to_short_to_long_to_unending_page_token(client: httpx.Client, visitor: Visitor) -> None:
    code = visitor.authorize("facebook", AUTHORIZE, scope=SCOPES)["code"]
    assert error(exchange(client, code=code, redirect_uri=REDIRECT_URI, client_secret="no"))[0] == 1
    assert error(exchange(client, code=code, redirect_uri=REDIRECT_URI, client_id="no"))[0] == 101
    assert error(exchange(client, code=code, redirect_uri=REDIRECT_URI + "x")) == (100, 36008)
    short = exchange(client, code=code, redirect_uri=REDIRECT_URI).json()
    assert short["expires_in"] == 5_400
    assert error(exchange(client, code=code, redirect_uri=REDIRECT_URI)) == (100, 36009)
    long = exchange(client, grant_type="fb_exchange_token", fb_exchange_token=short["access_token"]).json()
    assert long["expires_in"] == 5_183_944
    brief, lasting = pages(client, short["access_token"])[0], pages(client, long["access_token"])[0]
    visitor.advance(5_401)
    assert error(call(client, "me", short["access_token"])) == (190, 463)
    assert error(call(client, "me", brief["access_token"])) == (190, 463)
    visitor.advance(61 * 86_400)
    assert error(call(client, "me", long["access_token"])) == (190, 463)
    assert call(client, "me", lasting["access_token"]).json()["name"] == "Maya's Little Kitchen"


def test_the_token_can_be_inspected(client: httpx.Client, user_token: str, page: dict[str, Any]) -> None:
    def inspect(token: str) -> dict[str, Any]:
        params = {"input_token": token, "access_token": f"{APP.client_id}|{APP.client_secret}"}
        told: dict[str, Any] = client.get(f"{GRAPH}/debug_token", params=params).json()["data"]
        return told

    assert inspect(user_token)["is_valid"] is True
    assert inspect(page["access_token"])["expires_at"] == 0
    assert inspect(page["access_token"])["profile_id"] == page["id"]
    assert inspect("nonsense")["is_valid"] is False


def test_the_proof_is_checked(client: httpx.Client, visitor: Visitor, user_token: str) -> None:
    assert "argument" in client.get(f"{GRAPH}/me", params={"access_token": user_token}).json()["error"]["message"]
    assert error(call(client, "me", user_token, appsecret_proof="0" * 64))[0] == 100
    visitor.control("facebook/quirks", proof_required=False)
    assert client.get(f"{GRAPH}/me", params={"access_token": user_token}).status_code == 200
    assert error(call(client, "me", user_token, appsecret_proof="0" * 64))[0] == 100


def test_pages_come_in_pages_with_tokens(client: httpx.Client, visitor: Visitor, user_token: str) -> None:
    own = pages(client, user_token)
    assert [page["name"] for page in own] == ["Maya's Little Kitchen", "Supper Club", "Jam & More"]
    assert "username" not in own[2]
    assert set(own[0]["picture"]["data"]) == {"url"}
    agency = str(visitor.tokens("facebook", "agency-anna")["access_token"])
    assert len(call(client, "me/accounts", agency).json()["data"]) == 25
    found = pages(client, agency)
    assert len({page["access_token"] for page in found}) == len({page["id"] for page in found}) == 60
    pageless = str(visitor.tokens("facebook", "pageless-paul")["access_token"])
    assert call(client, "me/accounts", pageless).json() == {"data": []}


def test_denied_and_missing_scopes(client: httpx.Client, visitor: Visitor) -> None:
    back = visitor.authorize("facebook", AUTHORIZE, scope=SCOPES, login_hint="deny")
    assert (back["error"], back["error_code"], back["state"]) == ("access_denied", "200", "state-1")
    back = visitor.authorize("facebook", AUTHORIZE, scope=SCOPES, login_hint="partial-scopes:maya-chen")
    token = exchange(client, code=back["code"], redirect_uri=REDIRECT_URI).json()["access_token"]
    states = {row["permission"]: row["status"] for row in call(client, "me/permissions", token).json()["data"]}
    assert states == {
        "pages_show_list": "granted",
        "pages_read_engagement": "declined",
        "read_insights": "declined",
    }
    page = pages(client, token)[0]
    refused = call(client, f"{page['id']}/published_posts", page["access_token"])
    assert (refused.status_code, error(refused)[0]) == (403, 10)
    visitor.control("facebook/authorize", drop_scopes=["pages_show_list"])
    code = visitor.authorize("facebook", AUTHORIZE, scope=SCOPES)["code"]
    token = exchange(client, code=code, redirect_uri=REDIRECT_URI).json()["access_token"]
    assert pages(client, token) == []


def test_posts_have_the_gaps_of_the_real_ones(client: httpx.Client, page: dict[str, Any]) -> None:
    posts = every(client, f"{page['id']}/published_posts", page["access_token"])
    assert len({post["id"] for post in posts}) == len(posts) > 80
    assert all(post["id"].startswith(f"{page['id']}_") for post in posts)
    assert any("shares" not in post for post in posts) or all(post["shares"]["count"] for post in posts)
    assert any("message" not in post for post in posts)
    kinds = {post["attachments"]["data"][0]["media_type"] for post in posts if "attachments" in post}
    assert kinds == {"photo", "album", "video", "link"}
    assert any("attachments" not in post for post in posts)
    assert posts[0]["reactions"]["data"] == []
    assert posts[0]["reactions"]["summary"]["total_count"] >= 0
    assert posts[0]["created_time"].endswith("+0000")
    everything = every(client, f"{page['id']}/feed", page["access_token"])
    assert len(everything) > len(posts)


def test_reels_are_only_on_their_own_edge(client: httpx.Client, page: dict[str, Any]) -> None:
    fields = "id,title,description,length,permalink_url,views,post_id,likes.summary(true)"
    reels = every(client, f"{page['id']}/video_reels", page["access_token"], fields)
    videos = every(client, f"{page['id']}/videos", page["access_token"], fields)
    posts = {post["id"] for post in every(client, f"{page['id']}/published_posts", page["access_token"])}
    assert reels
    assert all(reel["permalink_url"].startswith("/reel/") for reel in reels)
    assert not posts & {reel["post_id"] for reel in reels}
    assert {video["post_id"] for video in videos} <= posts
    assert isinstance(videos[0]["length"], float)


def test_deletions_edits_and_hidden_posts(client: httpx.Client, visitor: Visitor, page: dict[str, Any]) -> None:
    path, token = f"{page['id']}/published_posts", page["access_token"]
    ids = [post["id"] for post in every(client, path, token)]
    visitor.control("facebook/content", account="maya-page", action="delete", id=ids[0])
    visitor.control("facebook/content", account="maya-page", action="edit", id=ids[1], title="New words", shares=0)
    assert error(call(client, ids[0], token)) == (100, 33)
    edited = call(client, ids[1], token, fields="message,shares").json()
    assert edited["message"].startswith("New words")
    assert "shares" not in edited
    visitor.control("facebook/content", account="maya-page", action="edit", id=ids[2], privacy="private")
    assert [post["id"] for post in every(client, path, token)] == [ids[1], *ids[3:]]
    (new,) = visitor.control("facebook/content", account="maya-page", action="add", kind="post")["ids"]
    assert every(client, path, token)[0]["id"] == new
    both = call(client, "", token, ids=f"{ids[3]},{ids[4]}", fields="id").json()
    assert set(both) == {ids[3], ids[4]}


def test_a_page_takes_its_own_token(client: httpx.Client, user_token: str, page: dict[str, Any]) -> None:
    assert error(call(client, f"{page['id']}/posts", user_token))[0] == 190
    other = pages(client, user_token)[1]
    assert error(call(client, f"{other['id']}/posts", page["access_token"]))[0] == 2500


def test_insights(client: httpx.Client, page: dict[str, Any]) -> None:
    post = every(client, f"{page['id']}/posts", page["access_token"], "id")[0]["id"]
    rows = call(client, f"{post}/insights", page["access_token"], metric="post_media_view").json()["data"]
    assert rows[0]["values"][0]["value"] > 0
    assert error(call(client, f"{post}/insights", page["access_token"], metric="post_impressions"))[0] == 100


def test_permissions_are_revoked_one_or_all(client: httpx.Client, user_token: str, page: dict[str, Any]) -> None:
    assert call(client, "me/permissions/read_insights", user_token, "DELETE").json() == {"success": True}
    assert call(client, f"{page['id']}/posts", page["access_token"]).status_code == 200
    assert call(client, "me/permissions", user_token, "DELETE").json() == {"success": True}
    for token in (user_token, page["access_token"]):
        assert error(call(client, "me", token)) == (190, 458)


def test_usage_is_metered_for_each_page(client: httpx.Client, visitor: Visitor, page: dict[str, Any]) -> None:
    visitor.control("facebook/limits", calls_a_day=3)
    answers = [call(client, "me", page["access_token"]) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 400]
    assert error(answers[-1])[0] == 80001
    assert json.loads(answers[0].headers["x-app-usage"])["call_count"] == 33
    assert list(json.loads(answers[0].headers["x-business-use-case-usage"])) == [page["id"]]


def test_people_and_pages_are_made(client: httpx.Client, visitor: Visitor) -> None:
    visitor.control("facebook/accounts", count=3, prefix="fb-", size=12)
    made = pages(client, str(visitor.tokens("facebook", "fb-3")["access_token"]))
    assert len(made) == 1
    visitor.control("facebook/pages", slug="second", owner="fb-3", size=5)
    made = pages(client, str(visitor.tokens("facebook", "fb-3")["access_token"]))
    assert len(made) == 2
    assert len(every(client, f"{made[1]['id']}/feed", made[1]["access_token"], "id")) <= 5
    assert visitor.control("facebook/signed_request", account="fb-3")["user_id"]
