"""Platforms' answers as accounts and content: what each field becomes, and what absence means."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.connectors.client import Request, Response
from functions.connectors.registry import platforms
from functions.connectors.social import facebook, graph, instagram, tiktok, twitter, youtube
from functions.connectors.spec import AccountRecord, Page, Pause
from functions.core.errors import (
    GrantRevokedError,
    TokenRejectedError,
    UpstreamError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)

ME = AccountRecord("9", "Me", username="me")


def answer(status: int, body: Any, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response("Example", status, httpx.Headers(named), content)


class FakeApi:
    """Answers each request by its path; keeps what was asked."""

    def __init__(self, answers: dict[str, Any], scopes: set[str] | None = None) -> None:
        self.answers = answers
        self.scopes = frozenset(scopes or ())
        self.asked: list[Request] = []

    def call(self, request: Request) -> Any:
        self.asked.append(request)
        for part, found in self.answers.items():
            if request.url.endswith(part):
                result = found(request) if callable(found) else found
                if isinstance(result, Exception):
                    raise result
                return result
        raise AssertionError(request.url)


# YouTube


def video(**changes: Any) -> dict[str, Any]:
    return {
        "id": "abc",
        "snippet": {
            "title": "Soup #cooking",
            "description": "Hot.\n#Soup",
            "publishedAt": "2026-01-02T03:04:05Z",
            "tags": ["soup", "soup", "pot"],
            "categoryId": "26",
            "defaultAudioLanguage": "en",
            "thumbnails": {"default": {"url": "https://i.example/d"}, "high": {"url": "https://i.example/h"}},
        },
        "contentDetails": {"duration": "PT10M"},
        "statistics": {"viewCount": "12", "likeCount": "3"},
        "status": {"privacyStatus": "unlisted"},
        **changes,
    }


def test_a_video() -> None:
    record = youtube.parse_video(video())
    assert record.platform_url == "https://www.youtube.com/watch?v=abc"
    assert (record.title, record.description) == ("Soup #cooking", "Hot.\n#Soup")
    assert (record.views_count, record.likes_count, record.comments_count, record.shares_count) == (12, 3, None, None)
    assert record.tags == ("soup", "pot")
    assert record.hashtags == ("cooking", "Soup")
    assert (record.category, record.language, record.visibility) == ("Howto & Style", "en", "unlisted")
    assert record.thumbnail_url == "https://i.example/h"
    assert record.duration_seconds == 600
    assert record.published_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"contentDetails": {"duration": "PT2M"}, "player": {"embedWidth": "40", "embedHeight": "72"}}, "short_video"),
        ({"contentDetails": {"duration": "PT2M"}, "player": {"embedWidth": "128", "embedHeight": "72"}}, "long_video"),
        ({"contentDetails": {"duration": "PT3M1S"}, "player": {"embedWidth": "1", "embedHeight": "2"}}, "long_video"),
        ({"contentDetails": {"duration": "PT30S"}}, "short_video"),
        ({"contentDetails": {"duration": "PT2M"}}, "long_video"),
        ({"contentDetails": {"duration": "P0D"}}, "long_video"),
        ({"fileDetails": {"videoStreams": [{"widthPixels": 1920, "heightPixels": 1080, "rotation": "clockwise"}]},
          "contentDetails": {"duration": "PT1M"}}, "short_video"),
        ({"snippet": {"thumbnails": {"shortsAspectRatio": {"url": "s"}}}}, "short_video"),
    ],
)  # fmt: skip
def test_what_is_a_short(changes: dict[str, Any], expected: str) -> None:
    assert youtube.parse_video(video(**changes)).content_type == expected


def test_a_scheduled_video_has_its_coming_date_and_is_private() -> None:
    record = youtube.parse_video(video(status={"privacyStatus": "private", "publishAt": "2027-01-01T00:00:00Z"}))
    assert (record.visibility, record.published_at) == ("private", datetime(2027, 1, 1, tzinfo=UTC))


def test_a_channel_that_hides_its_subscribers() -> None:
    channel = {
        "id": "UCx", "snippet": {"title": "T", "customUrl": "@t"},
        "statistics": {"subscriberCount": "0", "hiddenSubscriberCount": True, "videoCount": "7"},
    }  # fmt: skip
    account = youtube.parse_channel(channel)
    assert (account.follower_count, account.post_count, account.account_url) == (None, 7, "https://www.youtube.com/@t")
    assert account.sync_hint == {"uploads": "UUx"}


def test_a_google_account_without_a_channel_has_no_account() -> None:
    assert youtube.fetch_profile(FakeApi({"/channels": {"kind": "youtube#channelListResponse"}})).accounts == ()


def test_a_channel_without_uploads_is_an_empty_page() -> None:
    missing = UpstreamRefusedError(upstream_status=404, upstream_code="playlistNotFound")
    assert youtube.fetch_page(FakeApi({"/playlistItems": missing}), ME, None).records == ()
    with pytest.raises(UpstreamRefusedError):
        youtube.fetch_page(FakeApi({"/playlistItems": missing}), ME, "CAoQAA")


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (401, "authError", TokenRejectedError),
        (401, "youtubeSignupRequired", UpstreamRefusedError),
        (403, "quotaExceeded", UpstreamUnavailableError),
        (403, "rateLimitExceeded", UpstreamUnavailableError),
        (403, "forbidden", UpstreamRefusedError),
        (404, "videoNotFound", UpstreamRefusedError),
        (500, "backendError", UpstreamUnavailableError),
    ],
)
def test_youtube_errors(status: int, reason: str, error: type[UpstreamError]) -> None:
    found = youtube.check(answer(status, {"error": {"code": status, "errors": [{"reason": reason}]}}))
    assert type(found) is error
    assert found.upstream_code == reason
    if reason == "quotaExceeded":
        assert found.retry_after_seconds is not None
        assert 0 < found.retry_after_seconds <= 25 * 3600


# Instagram


def test_media_of_a_carousel() -> None:
    record = instagram.parse_media({
        "id": "17895695668004550", "caption": "First line\nmore #Fun", "media_type": "CAROUSEL_ALBUM",
        "media_product_type": "FEED", "permalink": "https://www.instagram.com/p/x/",
        "timestamp": "2019-09-26T22:36:43+0000", "comments_count": 2,
        "children": {"data": [{"id": "1", "media_type": "IMAGE", "media_url": "https://i.example/1"},
                              {"id": "2", "media_type": "VIDEO", "media_url": "https://i.example/2", "thumbnail_url": "https://i.example/t"}]},
    })  # fmt: skip
    assert (record.content_type, record.title, record.hashtags) == ("carousel", "First line", ("Fun",))
    assert (record.likes_count, record.comments_count) == (None, 2)
    assert record.thumbnail_url == "https://i.example/1"
    assert record.media == (
        {"type": "image", "url": "https://i.example/1"}, {"type": "video", "url": "https://i.example/2"}
    )  # fmt: skip
    assert "views_count" in record.not_asked


@pytest.mark.parametrize(
    ("media", "expected"),
    [
        ({"media_type": "VIDEO", "media_product_type": "REELS"}, "reel"),
        ({"media_type": "VIDEO", "permalink": "https://www.instagram.com/reel/x/"}, "reel"),
        ({"media_type": "IMAGE", "media_product_type": "STORY"}, "story"),
        ({"media_type": "VIDEO"}, "short_video"),
        ({"media_type": "IMAGE"}, "image"),
    ],
)
def test_what_media_is(media: dict[str, Any], expected: str) -> None:
    assert instagram.parse_media({"id": "1", **media}).content_type == expected


@pytest.mark.parametrize("wrap", [lambda user: user, lambda user: {"data": [user]}], ids=["flat", "wrapped"])
def test_a_profile_flat_or_wrapped(wrap: Callable[[Any], Any]) -> None:
    user = {"id": "1", "user_id": "17841", "username": "u", "followers_count": 5, "media_count": 0}
    account = instagram.parse_profile(wrap(user))
    assert (account.platform_account_id, account.account_name, account.post_count) == ("17841", "u", 0)
    assert account.sync_hint == {"app_scoped_id": "1"}


@pytest.mark.parametrize(
    ("body", "scopes"),
    [
        ({"access_token": "a", "user_id": 1, "permissions": ["x", "y"]}, ("x", "y")),
        ({"data": [{"access_token": "a", "user_id": "1", "permissions": "x,y"}]}, ("x", "y")),
        ({"access_token": "a", "expires_in": 5183944}, None),
    ],
)
def test_instagram_tokens(body: Any, scopes: tuple[str, ...] | None) -> None:
    token = instagram.read_token(body)
    assert token is not None
    assert (token.access_token, token.scopes) == ("a", scopes)


def test_fields_that_are_refused_are_left_out() -> None:
    refused = UpstreamRefusedError(upstream_status=400, upstream_code="100")
    api = FakeApi({"/media": lambda r: refused if "caption" in str(r.params["fields"]) else {"data": [{"id": "1"}]}})
    assert len(instagram.fetch_page(api, ME, None).records) == 1


def test_insights_that_cannot_be_had_keep_what_is_stored() -> None:
    listed = {"data": [{"id": "1", "media_type": "IMAGE"}, {"id": "2", "media_type": "IMAGE"}]}
    refused = UpstreamRefusedError(upstream_status=400, upstream_code="10")
    views = {"data": [{"name": "views", "values": [{"value": 7}]}, {"name": "shares", "total_value": {"value": 1}}]}
    api = FakeApi({"/media": listed, "/1/insights": views, "/2/insights": refused}, {instagram.INSIGHTS_SCOPE})
    first, second = instagram.fetch_page(api, ME, None).records
    assert (first.views_count, first.shares_count, "views_count" in first.not_asked) == (7, 1, False)
    assert (second.views_count, "views_count" in second.not_asked) == (None, True)


# The graph


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, {"code": 190, "error_subcode": 463}, TokenRejectedError),
        (400, {"code": 190, "is_transient": True}, UpstreamUnavailableError),
        (400, {"code": 4}, UpstreamUnavailableError),
        (400, {"code": 80002}, UpstreamUnavailableError),
        (500, {"code": 2}, UpstreamUnavailableError),
        (400, {"code": 100, "error_subcode": 33}, UpstreamRefusedError),
        (403, {"code": 10}, UpstreamRefusedError),
        (200, {"code": 1}, UpstreamUnavailableError),
    ],
)
def test_graph_errors(status: int, error: dict[str, Any], expected: type[UpstreamError]) -> None:
    assert type(graph.check(answer(status, {"error": error}))) is expected


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("x_app_usage", {"call_count": 28, "total_time": 25}, None),
        ("x_app_usage", {"call_count": 95}, Pause(600, is_shared=True)),
        ("x_business_use_case_usage", {"1": [{"call_count": 100, "estimated_time_to_regain_access": 19}]}, Pause(1140)),
        ("x_page_usage", {"total_time": 91}, Pause(600)),
        ("x_app_usage", [], None),
    ],
)
def test_usage_headers(header: str, value: Any, expected: Pause | None) -> None:
    assert graph.read_pause(answer(200, {}, **{header: json.dumps(value)})) == expected


def test_cursors_keep_nothing_but_the_place() -> None:
    body = {
        "paging": {"cursors": {"after": "A B"}, "next": "https://evil.example/?access_token=SECRET&after=x&limit=4"}
    }
    cursor = graph.next_cursor(body)
    assert graph.page_parameters(cursor) == {"after": "A B"}
    assert "SECRET" not in str(cursor)
    assert graph.next_cursor({"paging": {"cursors": {"after": "A"}}}) is None
    assert graph.page_parameters(graph.next_cursor({"paging": {"next": "https://[::1?after=C#x"}})) == {"after": "C"}


# Facebook


def test_posts_then_reels() -> None:
    api = FakeApi(
        {
            "/published_posts": {"data": [{"id": "9_1", "message": "Hello"}]},
            "/video_reels": {"data": [{"id": "5", "length": 12.6, "permalink_url": "/reel/5/", "views": 4}]},
        },
        {facebook.READ_SCOPE},
    )
    posts = facebook.fetch_page(api, ME, None)
    assert posts.cursor == "video_reels:"
    reels = facebook.fetch_page(api, ME, posts.cursor)
    assert reels.cursor is None
    (reel,) = reels.records
    assert (reel.content_type, reel.duration_seconds, reel.views_count) == ("reel", 13, 4)
    assert reel.platform_url == "https://www.facebook.com/reel/5/"


@pytest.mark.parametrize("code", ["3", "100"])
def test_reels_that_cannot_be_had_do_not_fail_the_run(code: str) -> None:
    api = FakeApi(
        {"/video_reels": UpstreamRefusedError(upstream_status=400, upstream_code=code)}, {facebook.READ_SCOPE}
    )
    page = facebook.fetch_page(api, ME, "video_reels:")
    assert page == Page((), not_listed=frozenset({"reel"}))


def test_without_the_scope_nothing_is_asked() -> None:
    assert facebook.fetch_page(FakeApi({}), ME, None).warning == "missing_scope"
    assert tiktok.fetch_page(FakeApi({}), ME, None).warning == "missing_scope"


@pytest.mark.parametrize(
    ("attachment", "expected"),
    [
        ({"media_type": "photo"}, "image"),
        ({"media_type": "album", "subattachments": {"data": [{}, {}]}}, "carousel"),
        ({"media_type": "video", "type": "video_inline"}, "long_video"),
        ({"media_type": "link"}, "post"),
        (None, "post"),
    ],
)
def test_what_a_post_is(attachment: Any, expected: str) -> None:
    post = {"id": "9_1", **({"attachments": {"data": [attachment]}} if attachment else {})}
    record = facebook.parse_post(post)
    assert (record.content_type, record.shares_count, record.likes_count) == (expected, None, None)


def test_a_page_without_a_link() -> None:
    account = facebook.parse_page({"id": "1", "name": "N", "fan_count": 3, "access_token": "t"})
    assert (account.account_url, account.follower_count, account.access_token) == ("https://www.facebook.com/1", 3, "t")
    assert "'t'" not in repr(account)


# TikTok


def test_fields_are_those_of_the_granted_scopes() -> None:
    api = FakeApi({"/user/info/": {"data": {"user": {"open_id": "o", "display_name": "N"}}}}, {tiktok.BASIC_SCOPE})
    assert tiktok.fetch_profile(api).platform_user_id == "o"
    assert set(str(api.asked[0].params["fields"]).split(",")) == set(tiktok.FIELDS_BY_SCOPE[tiktok.BASIC_SCOPE])


def test_pages_go_into_the_body_and_end() -> None:
    def listed(request: Request) -> Any:
        return {"data": {"videos": [{"id": "1"}], "cursor": 1643332803000, "has_more": "cursor" not in request.json}}

    api = FakeApi({"/video/list/": listed}, {tiktok.VIDEO_SCOPE})
    first = tiktok.fetch_page(api, ME, None)
    assert (first.cursor, api.asked[0].json) == ("1643332803000", {"max_count": 20})
    assert tiktok.fetch_page(api, ME, first.cursor).cursor is None


def test_a_tiktok_video() -> None:
    record = tiktok.parse_video(
        {"id": "7", "create_time": 1767323045, "share_url": "https://www.tiktok.com/@me/video/7?utm_source=x",
         "video_description": "Dance #fyp", "duration": 15, "like_count": 0, "view_count": 9}, "me")  # fmt: skip
    assert record.platform_url == "https://www.tiktok.com/@me/video/7"
    strange = tiktok.parse_video({"id": "7", "create_time": 1, "share_url": "https://[::1#?x"}, "me")
    assert strange.platform_url == "https://[::1"
    assert (record.likes_count, record.comments_count, record.views_count) == (0, None, 9)
    assert (record.content_type, record.hashtags) == ("short_video", ("fyp",))
    assert record.published_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (200, "ok", None),
        (401, "access_token_invalid", TokenRejectedError),
        (200, "access_token_invalid", TokenRejectedError),
        (401, "scope_not_authorized", UpstreamRefusedError),
        (429, "rate_limit_exceeded", UpstreamUnavailableError),
        (200, "internal_error", UpstreamUnavailableError),
    ],
)
def test_tiktok_errors(status: int, code: str, expected: type[UpstreamError] | None) -> None:
    found = tiktok.check(answer(status, {"data": {}, "error": {"code": code, "log_id": "2026"}}))
    assert found is None if expected is None else type(found) is expected


def test_a_token_error_with_200_is_an_error() -> None:
    check = platforms()["tiktok"].oauth.check
    body = {"error": "invalid_grant", "error_description": "Authorization code is expired.", "log_id": "1"}
    assert type(check(answer(200, body))) is GrantRevokedError
    assert check(answer(200, {"access_token": "a"})) is None


# X


@pytest.mark.parametrize("naming", ["tweet", "post"])
def test_a_post_in_both_spellings(naming: str) -> None:
    shared = "retweet_count" if naming == "tweet" else "repost_count"
    body = {
        "data": [
            {"id": "1", "text": "cut…", f"note_{naming}": {"text": "the whole text #one"}, "lang": "und",
             "created_at": "2024-01-15T12:00:00.000Z", "attachments": {"media_keys": ["13_1"]},
             "public_metrics": {shared: 10, "quote_count": 2, "reply_count": 5, "impression_count": 1500}},
            {"id": "2", "text": "RT @x", f"referenced_{naming}s": [{"type": "retweeted", "id": "7"}]},
        ],
        "includes": {"media": [
            {"media_key": "13_1", "type": "video", "duration_ms": 46947, "width": 720, "height": 1280,
             "preview_image_url": "https://i.example/p", "variants": [
                {"bit_rate": 1, "content_type": "video/mp4", "url": "https://i.example/small"},
                {"bit_rate": 2, "content_type": "video/mp4", "url": "https://i.example/big"},
                {"content_type": "application/x-mpegURL", "url": "list"}]}]},
    }  # fmt: skip
    (record,) = twitter.parse_posts(body, ME)
    assert (record.description, record.title) == ("the whole text #one", "the whole text #one")
    assert (record.shares_count, record.comments_count, record.likes_count, record.views_count) == (12, 5, None, 1500)
    assert (record.media_url, record.thumbnail_url) == ("https://i.example/big", "https://i.example/p")
    assert record.duration_seconds == 47
    assert (record.content_type, record.language, record.hashtags) == ("short_video", None, ("one",))
    assert record.platform_url == "https://x.com/me/status/1"


def test_the_other_spelling_is_tried() -> None:
    refused = UpstreamRefusedError(upstream_status=400, upstream_code="invalid-request")
    api = FakeApi({"/tweets": lambda request: refused if "tweet.fields" in request.params else {"meta": {}}})
    assert twitter.fetch_page(api, ME, None).records == ()
    assert "post.fields" in api.asked[1].params


def test_limits_of_x() -> None:
    reset = str(int(datetime.now(UTC).timestamp()) + 300)
    limited = twitter.check(
        answer(429, {"title": "Too Many Requests", "type": "about:blank"}, x_rate_limit_reset=reset)
    )
    assert limited is not None
    assert limited.retry_after_seconds is not None
    assert 290 < limited.retry_after_seconds <= 300
    capped = twitter.check(answer(429, {"type": "https://api.x.com/2/problems/usage-capped"}))
    assert capped is not None
    assert (capped.upstream_code, capped.retry_after_seconds) == ("usage-capped", 86400)
    pause = twitter.read_pause(answer(200, {}, x_rate_limit_remaining="0", x_rate_limit_reset=reset))
    assert pause is not None
    assert (pause.seconds > 290, pause.is_shared) == (True, False)
    assert twitter.read_pause(answer(200, {}, x_rate_limit_remaining="1", x_rate_limit_reset=reset)) is None


# All of them


@pytest.mark.parametrize("slug", ["youtube", "instagram", "tiktok", "facebook", "twitter"])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"error": "x"}', b'{"error": {"errors": "x"}}'])
def test_strange_errors_are_errors(slug: str, body: bytes) -> None:
    spec = platforms()[slug]
    for check in (spec.check, spec.oauth.check):
        for status in (400, 401, 403, 404, 429, 500):
            assert isinstance(check(answer(status, body)), UpstreamError)


# Recorded answers of the real APIs


def read(recordings: Path, name: str) -> Any:
    return json.loads((recordings / name).read_text(encoding="utf-8"))


def test_youtube_recordings(recordings: Path) -> None:
    account = youtube.parse_channel(read(recordings, "youtube/channel_info_single.json")["items"][0])
    assert (account.account_name, account.follower_count, account.post_count) == ("Google Developers", 1927873, 5026)
    listing = read(recordings, "youtube/playlist_items_paged_1.json")
    found = read(recordings, "youtube/videos_info_multi.json")
    api = FakeApi({"/playlistItems": listing, "/videos": found})
    page = youtube.fetch_page(api, account, None)
    assert page.cursor == "CAoQAA"
    assert len(str(api.asked[1].params["id"]).split(",")) == len(listing["items"])
    first = page.records[0]
    assert (first.platform_content_id, first.category) == ("D-lhorsDlUQ", "Science & Technology")
    assert (first.title or "").startswith("What are Actions on Google")
    assert len(first.tags or ()) == 20
    categories = read(recordings, "youtube/video_category_by_region.json")["items"]
    assert {c["id"]: c["snippet"]["title"] for c in categories}.items() <= youtube.CATEGORIES.items()


def test_instagram_recordings(recordings: Path) -> None:
    account = instagram.parse_profile(read(recordings, "instagram/user_fields.json"))
    assert (account.username, account.follower_count, account.following_count) == ("facebookfordevelopers", 64363, None)
    page = instagram.fetch_page(FakeApi({"/media": read(recordings, "instagram/medias_p1.json")}), account, None)
    assert [record.comments_count for record in page.records] == [0, 6]
    assert page.cursor == "after=after"
    album = instagram.parse_media(read(recordings, "instagram/medias_p2.json")["data"][0])
    assert (album.content_type, len(album.media)) == ("carousel", 3)
    assert instagram.parse_insights(read(recordings, "instagram/insights_new.json")) == {"profile_activity": 11}


def test_facebook_recordings(recordings: Path) -> None:
    pages = read(recordings, "facebook/user_accounts_p1.json")
    accounts = [facebook.parse_page(page) for page in pages["data"]]
    assert [account.platform_account_id for account in accounts] == ["123", "1234", "123512", "1234624"]
    assert graph.page_parameters(graph.next_cursor(pages)) == {"after": "after"}
    feed = read(recordings, "facebook/feed_fields_p1.json")
    posts = [facebook.parse_post(post) for post in feed["data"]]
    assert posts[0].description == "Happy July 4th! 🇺🇸"
    assert posts[0].published_at == datetime(2021, 7, 4, 19, 50, 58, tzinfo=UTC)
    assert graph.page_parameters(graph.next_cursor(feed))["until"] == "1624385168"
    assert graph.next_cursor(read(recordings, "facebook/feed_fields_p2.json")) is None
    videos = [facebook.parse_video(video) for video in read(recordings, "facebook/videos_p1.json")["data"]]
    assert [video.duration_seconds for video in videos] == [33, 13, 60]
    assert videos[0].platform_url == "https://www.facebook.com/FacebookforDevelopers/videos/1002065083862711/"


def test_twitter_recordings(recordings: Path) -> None:
    account = twitter.parse_user(read(recordings, "twitter/me_resp.json"))
    assert account is not None
    assert (account.platform_account_id, account.username, account.post_count) == ("2244994945", "TwitterDev", None)
    page = twitter.fetch_page(FakeApi({"/tweets": read(recordings, "twitter/timeline_tweets.json")}), account, None)
    assert page.cursor == "7140dibdnow9c7btw3w3itbygz8uu5pbs45oy6erjc2ls"
    assert [record.shares_count for record in page.records] == [11, 22, 0, 1, 19]
    assert page.records[0].hashtags == ("TwitterAPI",)
    looked_up = twitter.parse_posts(read(recordings, "twitter/tweets_resp.json"), account)
    assert [record.views_count for record in looked_up] == [None, None]
