"""The simulators answer in the shapes of answers that were recorded from the real APIs: same fields, same types."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.upstream.seed import APPS
from tests.local.upstream.visitor import Visitor

YOUTUBE = "/www.googleapis.com/youtube/v3"
INSTAGRAM = "/graph.instagram.com/v26.0"
FACEBOOK = "/graph.facebook.com/v26.0"
X = "/api.x.com/2"

# Recorded, but no longer part of the API or not for media inside an album.
NOT_ANSWERED = {".items[].statistics.commentCount", ".data[].children.data[].permalink"}
INSIDE_BOTH = {".paging.previous"}  # of a page in the middle


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(path, type) of everything in a JSON value; lists count once."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{path}[]")
    else:
        yield path, type(value).__name__


def differences(recorded: Any, *answers: Any) -> dict[str, str]:
    """Fields that were recorded and are not answered, or not with the recorded type."""
    simulated = dict(pair for answer in answers for pair in leaves(answer))
    return {
        path: f"{kind}, answered {simulated.get(path)}"
        for path, kind in leaves(recorded)
        if simulated.get(path) != kind and path not in NOT_ANSWERED | INSIDE_BOTH
    }


def read(recordings: Path, name: str) -> Any:
    return json.loads((recordings / name).read_text("utf-8"))


def test_differences_are_seen() -> None:
    assert differences({"a": [{"b": "1"}], "c": 1}, {"a": [{"b": 1}]}) == {
        ".a[].b": "str, answered int",
        ".c": "int, answered None",
    }


def test_youtube(client: httpx.Client, visitor: Visitor, recordings: Path) -> None:
    headers = {"Authorization": f"Bearer {visitor.tokens('youtube', 'werkstatt-nord')['access_token']}"}

    def get(method: str, **params: str | int) -> Any:
        return client.get(f"{YOUTUBE}/{method}", params=params, headers=headers).json()

    channel = get("channels", part="snippet,contentDetails,statistics,status", mine="true")
    uploads = channel["items"][0]["contentDetails"]["relatedPlaylists"]["uploads"]
    page = get("playlistItems", part="snippet,contentDetails,status", playlistId=uploads, maxResults=50)
    more = get("playlistItems", part="snippet", playlistId=uploads, pageToken=page["nextPageToken"])
    ids = ",".join(item["contentDetails"]["videoId"] for item in page["items"])
    videos = get("videos", part="snippet,contentDetails,statistics,status,player", id=ids)
    for name in ("channel_info_single", "info"):
        assert differences(read(recordings, f"youtube/{name}.json"), channel) == {}
    for name in ("playlist_items_paged_1", "playlist_items_paged_2"):
        assert differences(read(recordings, f"youtube/{name}.json"), page, more) == {}
    assert differences(read(recordings, "youtube/videos_info_multi.json"), videos) == {}
    categories = get("videoCategories", part="snippet", regionCode="US")
    assert differences(read(recordings, "youtube/video_category_by_region.json"), categories) == {}


def test_instagram(client: httpx.Client, visitor: Visitor, recordings: Path) -> None:
    token = visitor.tokens("instagram")["access_token"]

    def get(path: str, **params: str | int) -> Any:
        return client.get(f"{INSTAGRAM}/{path}", params={"access_token": token, **params}).json()

    profile = get("me", fields="id,biography,name,username,profile_picture_url,followers_count,media_count")
    assert differences(read(recordings, "instagram/user_fields.json"), profile) == {}
    fields = (
        "id,caption,comments_count,children{id,media_type,media_url,shortcode,thumbnail_url,timestamp},like_count,"
        "media_type,media_url,permalink,timestamp"
    )
    media = get("me/media", fields=fields, limit=50)
    for name in ("medias_p1", "medias_p2"):
        assert differences(read(recordings, f"instagram/{name}.json"), media) == {}
    picture = next(one["id"] for one in media["data"] if one["media_type"] == "IMAGE")
    insights = get(f"{picture}/insights", metric="profile_activity")
    assert differences(read(recordings, "instagram/insights_new.json"), insights) == {}


def test_facebook(client: httpx.Client, visitor: Visitor, recordings: Path) -> None:
    def get(path: str, token: str, **params: str | int) -> Any:
        secret = APPS["facebook"].client_secret.encode()
        proof = hmac.new(secret, token.encode(), hashlib.sha256).hexdigest()
        return client.get(
            f"{FACEBOOK}/{path}", params={"access_token": token, "appsecret_proof": proof, **params}
        ).json()

    accounts = get("me/accounts", visitor.tokens("facebook")["access_token"], limit=2, summary=1)
    assert differences(read(recordings, "facebook/user_accounts_p1.json"), accounts) == {}
    page, token = accounts["data"][0]["id"], accounts["data"][0]["access_token"]
    posts = get(f"{page}/posts", token, fields="id,message,created_time", limit=50)
    for name in ("feed_fields_p1", "feed_fields_p2"):
        assert differences(read(recordings, f"facebook/{name}.json"), posts) == {}
    fields = "id,created_time,description,title,published,length,permalink_url,updated_time"
    videos = get(f"{page}/videos", token, fields=fields, limit=5)
    assert differences(read(recordings, "facebook/videos_p1.json"), videos) == {}


@pytest.mark.parametrize(("recording", "path"), [("me_resp", "users/me"), ("timeline_tweets", "users/{id}/tweets")])
def test_x(client: httpx.Client, visitor: Visitor, recordings: Path, recording: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {visitor.tokens('twitter')['access_token']}"}
    identifier = client.get(f"{X}/users/me", headers=headers).json()["data"]["id"]
    params = {
        "user.fields": "created_at,pinned_tweet_id",
        "tweet.fields": "created_at,public_metrics",
        "expansions": "pinned_tweet_id",
    }
    answer = client.get(f"{X}/{path.format(id=identifier)}", params=params, headers=headers).json()
    assert differences(read(recordings, f"twitter/{recording}.json"), answer) == {}
