"""Instagram as a client meets it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest

from infra.local.upstream.seed import APPS
from tests.local.upstream.visitor import REDIRECT_URI, Visitor

AUTHORIZE = "/www.instagram.com/oauth/authorize"
EXCHANGE = "/api.instagram.com/oauth/access_token"
GRAPH = "/graph.instagram.com"
APP = APPS["instagram"]
SCOPES = "instagram_business_basic,instagram_business_manage_insights"
FIELDS = (
    "id,caption,media_type,media_product_type,media_url,thumbnail_url,permalink,shortcode,timestamp,username,like_count,"
    "comments_count,is_shared_to_feed,alt_text,children{id,media_type,media_url,thumbnail_url}"
)


def redeem(client: httpx.Client, code: str, **changes: str) -> httpx.Response:
    form = {
        "client_id": APP.client_id,
        "client_secret": APP.client_secret,
        "grant_type": "authorization_code",
        "redirect_uri": REDIRECT_URI,
        "code": code,
    }
    return client.post(EXCHANGE, data={**form, **changes})


def get(client: httpx.Client, path: str, token: str, **params: Any) -> httpx.Response:
    return client.get(f"{GRAPH}/v26.0/{path}", params={"access_token": token, **params})


def exchange(client: httpx.Client, token: str, secret: str = APP.client_secret) -> httpx.Response:
    params = {"grant_type": "ig_exchange_token", "client_secret": secret, "access_token": token}
    return client.get(f"{GRAPH}/access_token", params=params)


def refresh(client: httpx.Client, token: str) -> httpx.Response:
    params = {"grant_type": "ig_refresh_token", "access_token": token}
    return client.get(f"{GRAPH}/refresh_access_token", params=params)


def all_media(client: httpx.Client, token: str, limit: int = 100, fields: str = FIELDS) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        body = get(client, "me/media", token, fields=fields, limit=limit, **after).json()
        found += body["data"]
        if "next" not in body.get("paging", {}):
            return found
        after = {"after": body["paging"]["cursors"]["after"]}


def error(answer: httpx.Response) -> tuple[int, int | None]:
    told = answer.json()["error"]
    return told["code"], told.get("error_subcode")


@pytest.fixture
def token(visitor: Visitor) -> str:
    return str(visitor.tokens("instagram")["access_token"])


def test_code_to_short_to_long_token(client: httpx.Client, visitor: Visitor) -> None:
    answer = client.get(
        AUTHORIZE,
        params={"client_id": APP.client_id, "redirect_uri": REDIRECT_URI, "response_type": "code", "scope": SCOPES},
    )
    assert answer.headers["location"].endswith("#_")
    code = visitor.authorize("instagram", AUTHORIZE, scope=SCOPES)["code"]
    refused = redeem(client, code, redirect_uri=REDIRECT_URI + "x")
    assert (refused.status_code, refused.json()["error_type"]) == (400, "OAuthException")
    short = redeem(client, code).json()
    assert isinstance(short["user_id"], int)
    assert short["user_id"] > 2**53
    assert short["permissions"] == SCOPES.split(",")
    assert "Matching code" in redeem(client, code).json()["error_message"]
    assert error(exchange(client, short["access_token"], "wrong"))[0] == 1
    long = exchange(client, short["access_token"]).json()
    assert long["expires_in"] == 5_183_944
    assert get(client, "me", long["access_token"], fields="username").json()["username"] == "maya.eats"
    visitor.advance(3601)
    assert error(get(client, "me", short["access_token"])) == (190, 463)
    assert get(client, "me", long["access_token"]).status_code == 200


def test_answers_can_be_wrapped(client: httpx.Client, visitor: Visitor) -> None:
    visitor.control("instagram/quirks", wrapped=True)
    code = visitor.authorize("instagram", AUTHORIZE, scope=SCOPES)["code"]
    (short,) = redeem(client, code).json()["data"]
    assert short["permissions"] == SCOPES
    assert isinstance(short["user_id"], str)
    assert get(client, "me", short["access_token"], fields="name").json()["data"][0]["name"] == "Maya Eats"


def test_long_tokens_are_refreshed_after_a_day_and_before_they_end(client: httpx.Client, visitor: Visitor) -> None:
    first = str(visitor.tokens("instagram")["access_token"])
    assert error(refresh(client, first))[0] == 100
    visitor.advance(86_400)
    second = refresh(client, first).json()["access_token"]
    assert second != first
    assert get(client, "me", first).status_code == 200  # until its own end
    visitor.advance(59 * 86_400)
    assert error(refresh(client, first)) == (190, 463)
    assert get(client, "me", second).status_code == 200


def test_a_denial_and_missing_scopes(client: httpx.Client, visitor: Visitor) -> None:
    back = visitor.authorize("instagram", AUTHORIZE, scope=SCOPES, login_hint="deny")
    assert (back["error"], back["error_reason"]) == ("access_denied", "user_denied")
    back = visitor.authorize("instagram", AUTHORIZE, scope=SCOPES, login_hint="partial-scopes:leo.outside")
    short = redeem(client, back["code"]).json()
    assert short["permissions"] == ["instagram_business_basic"]
    media = all_media(client, short["access_token"])[0]["id"]
    assert error(get(client, f"{media}/insights", short["access_token"], metric="reach"))[0] == 10


def test_the_profile(client: httpx.Client, token: str) -> None:
    fields = "id,user_id,username,name,account_type,profile_picture_url,followers_count,follows_count,media_count"
    profile = get(client, "me", token, fields=fields).json()
    assert profile["id"] != profile["user_id"]
    assert profile["followers_count"] == 27_300
    assert profile["media_count"] == 90
    assert error(get(client, "me", token, fields="shoe_size"))[0] == 100


def test_media_have_the_gaps_of_the_real_ones(client: httpx.Client, token: str) -> None:
    media = all_media(client, token, limit=40)
    assert len({one["id"] for one in media}) == len(media) == 90
    assert {one["media_type"] for one in media} == {"IMAGE", "VIDEO", "CAROUSEL_ALBUM"}
    assert {one["media_product_type"] for one in media} == {"FEED", "REELS"}
    assert media[0]["timestamp"].endswith("+0000")
    assert any("like_count" not in one for one in media)
    assert any("caption" not in one for one in media)
    assert any("media_url" not in one for one in media)
    assert all("thumbnail_url" in one for one in media if one["media_type"] == "VIDEO")
    children = [one["children"]["data"] for one in media if one["media_type"] == "CAROUSEL_ALBUM"]
    assert all(set(row) <= {"id", "media_type", "media_url", "thumbnail_url"} for rows in children for row in rows)
    assert all(len(rows) >= 2 for rows in children)


def test_pages_have_cursors_and_bounds(client: httpx.Client, token: str) -> None:
    first = get(client, "me/media", token, fields="id,timestamp", limit=10).json()
    assert "previous" not in first["paging"]
    assert first["paging"]["next"].startswith("https://graph.instagram.com/v26.0/me/media?")
    second = get(client, "me/media", token, limit=10, after=first["paging"]["cursors"]["after"]).json()
    back = get(client, "me/media", token, fields="id,timestamp", limit=10, before=second["paging"]["cursors"]["before"])
    assert back.json()["data"] == first["data"]
    assert len(get(client, "me/media", token).json()["data"]) == 25
    assert error(get(client, "me/media", token, limit=101))[0] == 100
    assert error(get(client, "me/media", token, after="junk"))[0] == 100
    assert get(client, "me/media", token, until=1).json() == {"data": []}


def test_only_the_newest_ten_thousand(client: httpx.Client, visitor: Visitor) -> None:
    token = str(visitor.tokens("instagram", "huge.feed")["access_token"])
    visitor.control("instagram/limits", calls_a_day=100_000)
    assert len(all_media(client, token, fields="id")) == 10_000


def test_refused_fields_and_versions(client: httpx.Client, visitor: Visitor, token: str) -> None:
    visitor.control("instagram/quirks", refused_fields=["media_product_type"])
    assert error(get(client, "me/media", token, fields=FIELDS))[0] == 100
    assert get(client, "me/media", token, fields="id,caption").status_code == 200
    future = client.get(f"{GRAPH}/v99.0/me", params={"access_token": token})
    assert error(future)[0] == 2500
    unversioned = client.get(f"{GRAPH}/me", headers={"Authorization": f"Bearer {token}"})
    assert unversioned.headers["facebook-api-version"] == "v26.0"


def test_insights_by_product(client: httpx.Client, visitor: Visitor, token: str) -> None:
    media = all_media(client, token)
    reel = next(one["id"] for one in media if one["media_product_type"] == "REELS")
    feed = next(one["id"] for one in media if one["media_product_type"] == "FEED")
    views = get(client, f"{reel}/insights", token, metric="views,shares,ig_reels_avg_watch_time").json()["data"]
    assert [row["name"] for row in views] == ["views", "shares", "ig_reels_avg_watch_time"]
    assert views[0]["values"][0]["value"] > 0
    assert error(get(client, f"{feed}/insights", token, metric="views,ig_reels_avg_watch_time"))[0] == 100
    assert error(get(client, f"{feed}/insights", token, metric="impressions"))[0] == 100
    visitor.control("instagram/content", action="edit", id=feed, views=None)
    assert get(client, f"{feed}/insights", token, metric="views").json() == {"data": []}
    child = next(one["children"]["data"][0]["id"] for one in media if "children" in one)
    assert error(get(client, f"{child}/insights", token, metric="views")) == (100, 33)


def test_stories_last_a_day(client: httpx.Client, visitor: Visitor, token: str) -> None:
    (story,) = visitor.control("instagram/content", action="add", kind="story", views=3)["ids"]
    assert story not in [one["id"] for one in all_media(client, token)]
    (shown,) = get(client, "me/stories", token, fields="id,media_product_type").json()["data"]
    assert shown == {"id": story, "media_product_type": "STORY"}
    assert error(get(client, f"{story}/insights", token, metric="views"))[0] == 10
    visitor.advance(86_401)
    assert get(client, "me/stories", token).json() == {"data": []}


def test_deleted_media_are_gone(client: httpx.Client, visitor: Visitor, token: str) -> None:
    first, second = (one["id"] for one in all_media(client, token)[:2])
    visitor.control("instagram/content", action="delete", id=first)
    visitor.control("instagram/content", action="edit", id=second, privacy="private")  # archived
    for identifier in (first, second):
        assert error(get(client, identifier, token)) == (100, 33)
        assert identifier not in [one["id"] for one in all_media(client, token)]


def test_usage_is_shown_and_ends(client: httpx.Client, visitor: Visitor, token: str) -> None:
    visitor.control("instagram/limits", calls_a_day=2)
    usage = json.loads(get(client, "me", token).headers["x-business-use-case-usage"])
    ((identifier, [meter]),) = usage.items()
    assert identifier == get(client, "me", token, fields="user_id").json()["user_id"]
    assert (meter["type"], meter["call_count"]) == ("instagram", 50)
    refused = get(client, "me", token)
    assert error(refused)[0] == 80002
    (meter,) = json.loads(refused.headers["x-business-use-case-usage"])[identifier]
    assert meter["estimated_time_to_regain_access"] > 0
    visitor.advance(86_401)
    assert get(client, "me", token).status_code == 200


def test_removed_apps_and_changed_passwords(client: httpx.Client, visitor: Visitor) -> None:
    removed = str(visitor.tokens("instagram")["access_token"])
    client.delete("/_sim/instagram/grants")
    assert error(get(client, "me", removed)) == (190, 458)
    changed = str(visitor.tokens("instagram")["access_token"])
    client.delete("/_sim/instagram/grants", params={"reason": "password"})
    assert error(get(client, "me", changed)) == (190, 460)
    assert error(get(client, "me", "nonsense"))[0] == 190
    assert error(client.get(f"{GRAPH}/me"))[0] == 104


def test_signed_requests_verify(client: httpx.Client, visitor: Visitor, token: str) -> None:
    made = visitor.control("instagram/signed_request")
    signature, _, payload = made["signed_request"].partition(".")
    expected = hmac.new(APP.client_secret.encode(), payload.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(signature + "=") == expected
    told = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert told["algorithm"] == "HMAC-SHA256"
    assert told["user_id"] == get(client, "me", token, fields="id").json()["id"]
