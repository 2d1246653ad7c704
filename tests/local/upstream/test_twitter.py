"""X as a client meets it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from infra.local.upstream.seed import APPS
from tests.local.upstream.visitor import REDIRECT_URI, VERIFIER, Visitor, s256

AUTHORIZE = "/x.com/i/oauth2/authorize"
TOKEN = "/api.x.com/2/oauth2/token"
REVOKE = "/api.x.com/2/oauth2/revoke"
API = "/api.x.com/2"
APP = APPS["twitter"]
BASIC = (APP.client_id, APP.client_secret)
SCOPES = "tweet.read users.read offline.access"
PKCE = {"code_challenge": s256(VERIFIER), "code_challenge_method": "S256"}
FIELDS = (
    "created_at,lang,author_id,public_metrics,entities,attachments,referenced_tweets,note_tweet,context_annotations"
)
MEDIA = "url,preview_image_url,duration_ms,width,height,variants,public_metrics"


def redeem(client: httpx.Client, code: str, **changes: str) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
    return client.post(TOKEN, data={**form, **changes}, auth=BASIC)


def refresh(client: httpx.Client, token: str) -> httpx.Response:
    return client.post(TOKEN, data={"grant_type": "refresh_token", "refresh_token": token}, auth=BASIC)


def get(client: httpx.Client, path: str, token: str, **params: str | int) -> httpx.Response:
    names = {name.replace("__", "."): value for name, value in params.items()}
    return client.get(f"{API}/{path}", params=names, headers={"Authorization": f"Bearer {token}"})


def own_id(client: httpx.Client, token: str) -> str:
    return str(get(client, "users/me", token).json()["data"]["id"])


def timeline(client: httpx.Client, token: str, **params: str | int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    path, page = f"users/{own_id(client, token)}/tweets", {"max_results": 100, **params}
    while True:
        body = get(client, path, token, **page).json()
        found += body.get("data", [])
        if "next_token" not in body["meta"]:
            return found
        page["pagination_token"] = body["meta"]["next_token"]


@pytest.fixture
def token(visitor: Visitor) -> str:
    return str(visitor.tokens("twitter")["access_token"])


def test_the_code_flow_needs_pkce_and_basic_auth(client: httpx.Client, visitor: Visitor) -> None:
    assert visitor.authorize("twitter", AUTHORIZE, scope=SCOPES)["error"] == "invalid_request"
    assert visitor.authorize("twitter", AUTHORIZE, scope=SCOPES, **PKCE, login_hint="deny")["error"] == "access_denied"
    code = visitor.authorize("twitter", AUTHORIZE, scope=SCOPES, **PKCE)["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
    secret = {"client_id": APP.client_id, "client_secret": APP.client_secret}
    assert client.post(TOKEN, data={**form, **secret}).json()["error"] == "unauthorized_client"
    assert client.post(TOKEN, data=form, auth=(APP.client_id, "no")).status_code == 401
    assert redeem(client, code, code_verifier="x" * 43).json()["error"] == "invalid_grant"
    tokens = redeem(client, code).json()
    assert tokens["expires_in"] == 7200
    assert tokens["scope"] == SCOPES
    assert redeem(client, code).status_code == 400


def test_codes_live_thirty_seconds(client: httpx.Client, visitor: Visitor) -> None:
    code = visitor.authorize("twitter", AUTHORIZE, scope=SCOPES, **PKCE)["code"]
    visitor.advance(30)
    assert redeem(client, code).json()["error"] == "invalid_grant"


def test_without_offline_access_there_is_no_refresh_token(client: httpx.Client, visitor: Visitor) -> None:
    code = visitor.authorize("twitter", AUTHORIZE, scope="tweet.read users.read", **PKCE)["code"]
    assert "refresh_token" not in redeem(client, code).json()
    back = visitor.authorize("twitter", AUTHORIZE, scope=SCOPES, **PKCE, login_hint="partial-scopes:leo_walks")
    tokens = redeem(client, back["code"]).json()
    assert tokens["scope"] == "tweet.read"
    assert get(client, "users/me", tokens["access_token"]).status_code == 403


def test_refresh_tokens_are_single_use(client: httpx.Client, visitor: Visitor) -> None:
    first = visitor.tokens("twitter")
    second = refresh(client, first["refresh_token"]).json()
    assert get(client, "users/me", second["access_token"]).status_code == 200
    visitor.control("twitter/quirks", dead_token_error="invalid_request")
    reused = refresh(client, first["refresh_token"])
    assert (reused.status_code, reused.json()["error"]) == (400, "invalid_request")
    assert get(client, "users/me", second["access_token"]).status_code == 401
    assert refresh(client, second["refresh_token"]).status_code == 400
    assert client.get("/_sim/twitter/grants").json()[0]["reuse_events"] == 1


def test_tokens_expire_and_are_revoked(client: httpx.Client, visitor: Visitor) -> None:
    tokens = visitor.tokens("twitter")
    visitor.advance(7_200)
    assert get(client, "users/me", tokens["access_token"]).status_code == 401
    fresh = refresh(client, tokens["refresh_token"]).json()
    assert client.post(REVOKE, data={"token": fresh["access_token"]}, auth=BASIC).json() == {"revoked": True}
    assert client.post(REVOKE, data={"token": fresh["access_token"]}).status_code == 401
    assert refresh(client, fresh["refresh_token"]).status_code == 400


def test_the_profile_shows_the_fields_asked_for(client: httpx.Client, token: str) -> None:
    assert set(get(client, "users/me", token).json()["data"]) == {"id", "name", "username"}
    user = get(client, "users/me", token, user__fields="public_metrics,protected,created_at").json()["data"]
    assert user["public_metrics"]["tweet_count"] == 70
    assert user["protected"] is False
    assert get(client, f"users/{user['id']}", token).json()["data"]["username"] == "maya_cooks"
    assert get(client, "users/12", token).json()["errors"][0]["type"].endswith("resource-not-found")


def test_both_spellings(client: httpx.Client, visitor: Visitor, token: str) -> None:
    path = f"users/{own_id(client, token)}/tweets"
    old = get(client, path, token, tweet__fields="public_metrics").json()["data"][0]
    assert "retweet_count" in old["public_metrics"]
    refused = get(client, path, token, post__fields="public_metrics")
    assert refused.status_code == 400
    assert "post.fields" in refused.json()["errors"][0]["message"]
    visitor.control("twitter/quirks", naming="post")
    assert get(client, path, token, tweet__fields="public_metrics").status_code == 400
    new = get(client, path, token, post__fields="public_metrics").json()["data"][0]
    assert "repost_count" in new["public_metrics"]
    assert "retweet_count" not in new["public_metrics"]
    assert "edit_history_post_ids" in new
    visitor.control("twitter/quirks", naming="both")
    both = get(client, path, token, tweet__fields="public_metrics").json()["data"][0]["public_metrics"]
    assert both["repost_count"] == both["retweet_count"]
    me = get(client, "users/me", token, user__fields="public_metrics").json()["data"]["public_metrics"]
    assert me["post_count"] == me["tweet_count"]


def test_the_timeline_pages_newest_first(client: httpx.Client, token: str) -> None:
    path = f"users/{own_id(client, token)}/tweets"
    for wrong in (4, 101):
        assert get(client, path, token, max_results=wrong).status_code == 400
    assert get(client, path, token, pagination_token="junk").status_code == 400
    posts = timeline(client, token, max_results=30)
    ids = [int(post["id"]) for post in posts]
    assert len(ids) == len(set(ids)) == 70
    assert ids == sorted(ids, reverse=True)
    first = get(client, path, token).json()
    assert first["meta"]["result_count"] == 10
    assert first["meta"]["newest_id"] == posts[0]["id"]
    assert [p["id"] for p in timeline(client, token, since_id=posts[3]["id"])] == [p["id"] for p in posts[:3]]
    empty = get(client, path, token, since_id=posts[0]["id"]).json()
    assert empty == {"meta": {"result_count": 0}}
    bounded = timeline(client, token, start_time="2026-06-01T00:00:00Z", tweet__fields="created_at")
    assert 0 < len(bounded) < 70
    assert all(post["created_at"] >= "2026-06-01" for post in bounded)


def test_posts_have_media_references_and_errors_beside_them(client: httpx.Client, token: str) -> None:
    body = get(
        client,
        f"users/{own_id(client, token)}/tweets",
        token,
        max_results=100,
        tweet__fields=FIELDS,
        expansions="attachments.media_keys,referenced_tweets.id,author_id",
        media__fields=MEDIA,
    ).json()
    posts, media = body["data"], {one["media_key"]: one for one in body["includes"]["media"]}
    assert {one["type"] for one in media.values()} == {"photo", "video"}
    assert all(key in media for post in posts for key in post.get("attachments", {}).get("media_keys", []))
    assert any(post.get("text", "").startswith("RT @") for post in posts)
    assert all(len(post["text"]) <= 280 for post in posts)
    long = [post for post in posts if "note_tweet" in post]
    assert long
    assert all(len(post["note_tweet"]["text"]) > 280 for post in long)
    assert any("hashtags" in post["entities"] for post in posts)
    assert body["includes"]["users"][0]["username"] == "maya_cooks"
    assert body["errors"][0]["type"].endswith("resource-not-found")
    reposts = [post for post in posts if post["text"].startswith("RT @")]
    assert all(post["public_metrics"]["like_count"] == 0 for post in reposts)
    kept = timeline(client, token, exclude="retweets,replies")
    assert len(kept) == len([post for post in posts if "referenced_tweets" not in post])


def test_only_the_newest_three_thousand_two_hundred(client: httpx.Client, visitor: Visitor) -> None:
    token = str(visitor.tokens("twitter", "pixelnews")["access_token"])
    assert len(timeline(client, token)) == 3_200


def test_deletions_and_additions(client: httpx.Client, visitor: Visitor, token: str) -> None:
    ids = [post["id"] for post in timeline(client, token)]
    visitor.control("twitter/content", action="delete", id=ids[0])
    looked = get(client, "tweets", token, ids=f"{ids[0]},{ids[1]}").json()
    assert [post["id"] for post in looked["data"]] == [ids[1]]
    assert looked["errors"][0]["resource_id"] == ids[0]
    (new,) = visitor.control("twitter/content", action="add", kind="post", title="Hello #there")["ids"]
    assert [post["id"] for post in timeline(client, token)] == [new, *ids[1:]]
    visitor.control("twitter/content", action="edit", id=new, likes=5)
    metrics = get(client, "tweets", token, ids=new, tweet__fields="public_metrics").json()["data"][0]["public_metrics"]
    assert metrics["like_count"] == 5


def test_protected_accounts_show_themselves_only(client: httpx.Client, visitor: Visitor, token: str) -> None:
    own = str(visitor.tokens("twitter", "quiet_room")["access_token"])
    assert len(timeline(client, own)) == 30
    refused = get(client, f"users/{own_id(client, own)}/tweets", token).json()
    assert refused["errors"][0]["type"].endswith("not-authorized-for-resource")
    assert "data" not in refused


def test_windows_and_caps(client: httpx.Client, visitor: Visitor, token: str) -> None:
    visitor.control("twitter/quirks", limits={"/2/users/me": 2})
    answers = [get(client, "users/me", token) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-rate-limit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert int(answers[-1].headers["x-rate-limit-reset"]) > client.get("/_sim/clock").json()["unix_seconds"]
    assert answers[-1].headers["content-type"] == "application/problem+json"
    visitor.advance(901)
    assert get(client, "users/me", token).status_code == 200
    path = f"users/{own_id(client, token)}/tweets"
    visitor.control("twitter/quirks", post_cap=10)
    assert get(client, path, token).status_code == 200
    capped = get(client, path, token)
    assert capped.status_code == 429
    assert capped.json()["type"].endswith("usage-capped")
