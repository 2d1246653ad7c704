"""Whatever a platform answers: records that the database can hold, or one of our errors. Nothing absent becomes 0."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from functions.connectors.client import Request, Response
from functions.connectors.registry import platforms
from functions.connectors.social import fields, graph, tiktok, twitter, youtube
from functions.connectors.spec import AccountRecord, ContentRecord, Page
from functions.core.errors import UpstreamError, UpstreamRefusedError, UpstreamUnavailableError

ME = AccountRecord("UC9", "Me", username="me")
PICTURE = "https://i.example/1.jpg"
YOUTUBE_ITEM = {
    "id": "v1",
    "snippet": {"title": "T #a", "description": "D", "publishedAt": "2026-01-02T03:04:05Z", "tags": ["t"],
                "categoryId": "26", "defaultAudioLanguage": "en", "thumbnails": {"high": {"url": PICTURE}}},
    "contentDetails": {"duration": "PT1M"}, "player": {"embedWidth": "40", "embedHeight": "72"},
    "fileDetails": {"videoStreams": [{"widthPixels": 1, "heightPixels": 2, "rotation": "none"}]},
    "statistics": {"viewCount": "1", "likeCount": "2", "commentCount": "3"},
    "status": {"privacyStatus": "public", "publishAt": "2027-01-01T00:00:00Z"},
}  # fmt: skip
PAGING = {"cursors": {"after": "A"}, "next": "https://graph.example/?after=A"}
# For each platform: path -> answer of an ordinary day.
ANSWERS: dict[str, dict[str, Any]] = {
    "youtube": {
        "/channels": {"items": [{
            "id": "UC9", "snippet": {"title": "Me", "customUrl": "@me", "thumbnails": {"high": {"url": PICTURE}}},
            "statistics": {"subscriberCount": "5", "videoCount": "6", "hiddenSubscriberCount": False},
            "contentDetails": {"relatedPlaylists": {"uploads": "UU9"}}}]},
        "/playlistItems": {"items": [{"contentDetails": {"videoId": "v1"},
                                      "snippet": {"resourceId": {"videoId": "v1"}}}],
                           "nextPageToken": "N", "pageInfo": {"totalResults": 1}},
        "/videos": {"items": [YOUTUBE_ITEM], "pageInfo": {}},
    },
    "instagram": {
        "/me": {"id": "1", "user_id": "17841", "username": "u", "name": "U", "profile_picture_url": PICTURE,
                "followers_count": 5, "follows_count": 6, "media_count": 7, "biography": "b"},
        "/media": {"data": [{
            "id": "m1", "caption": "C #a", "media_type": "CAROUSEL_ALBUM", "media_product_type": "FEED",
            "media_url": PICTURE, "thumbnail_url": PICTURE, "permalink": "https://www.instagram.com/p/x/",
            "timestamp": "2019-09-26T22:36:43+0000", "like_count": 1, "comments_count": 2,
            "children": {"data": [{"id": "c", "media_type": "IMAGE", "media_url": PICTURE}]}}], "paging": PAGING},
        "/insights": {"data": [{"name": "views", "values": [{"value": 3}]},
                               {"name": "shares", "total_value": {"value": 4}}]},
    },
    "tiktok": {
        "/user/info/": {"data": {"user": {
            "open_id": "o", "display_name": "N", "username": "n", "avatar_url": PICTURE, "bio_description": "b",
            "profile_deep_link": PICTURE, "follower_count": 5, "following_count": 6, "video_count": 7}},
            "error": {"code": "ok"}},
        "/video/list/": {"data": {"videos": [{
            "id": "7", "create_time": 1767323045, "share_url": "https://www.tiktok.com/@me/video/7?x=1", "title": "T",
            "cover_image_url": PICTURE, "video_description": "Dance #fyp", "duration": 15, "like_count": 1,
            "comment_count": 2, "share_count": 3, "view_count": 4}], "cursor": 1643332803000, "has_more": True},
            "error": {"code": "ok"}},
    },
    "facebook": {
        "/me": {"id": "p", "name": "Person"},
        "/me/accounts": {"data": [{
            "id": "9", "name": "N", "username": "n", "link": PICTURE, "about": "a", "fan_count": 4,
            "followers_count": 5, "picture": {"data": {"url": PICTURE}}, "access_token": "t"}],
            "paging": {"cursors": {"after": "A"}}},
        "/published_posts": {"data": [{
            "id": "9_1", "message": "M #a", "created_time": "2026-01-02T03:04:05+0000", "permalink_url": "/9/posts/1",
            "full_picture": PICTURE, "is_published": True, "shares": {"count": 3},
            "attachments": {"data": [{"media_type": "photo", "title": "T", "media": {
                "image": {"src": PICTURE, "width": 1, "height": 2}, "source": PICTURE},
                "subattachments": {"data": [{"media": {"image": {"src": PICTURE}}}]}}]},
            "reactions": {"summary": {"total_count": 1}}, "comments": {"summary": {"total_count": 2}}}],
            "paging": PAGING},
    },
    "twitter": {
        "/users/me": {"data": {
            "id": "9", "name": "Me", "username": "me", "description": "d", "profile_image_url": PICTURE,
            "protected": False,
            "public_metrics": {"followers_count": 5, "following_count": 6, "tweet_count": 7, "post_count": 7}}},
        "/tweets": {"data": [{
            "id": "1", "text": "hello #a", "created_at": "2024-01-15T12:00:00.000Z", "lang": "en",
            "attachments": {"media_keys": ["k"]}, "entities": {"hashtags": [{"tag": "a"}]},
            "note_tweet": {"text": "hello #a"}, "context_annotations": [{"entity": {"name": "Soup"}}],
            "referenced_tweets": [{"type": "quoted", "id": "7"}],
            "public_metrics": {"retweet_count": 1, "repost_count": 1, "reply_count": 2, "like_count": 3,
                               "quote_count": 4, "impression_count": 5}}],
            "includes": {"media": [{"media_key": "k", "type": "video", "duration_ms": 46947, "width": 720,
                                    "height": 1280, "preview_image_url": PICTURE, "variants": [
                                        {"bit_rate": 1, "content_type": "video/mp4", "url": PICTURE}]}]},
            "meta": {"result_count": 1, "next_token": "N"}},
    },
}  # fmt: skip
ODD: list[Any] = [
    None, True, False, 0, -1, 7, 1.5, 10**30, float("nan"), float("inf"), "", " ", "x", "12", "\x00\ud800", "http://[",
    "https://[::1", "a" * 300_000, "#a" * 10_000, [], {}, [None], [[]], [{}], ["x", 1, None], {"": ""}, {"id": []},
]  # fmt: skip
COUNTS = ("views_count", "likes_count", "comments_count", "shares_count")
LISTINGS = [(slug, path) for slug, answers in ANSWERS.items() for path in answers if path not in ("/me", "/insights")]


class FakeApi:
    """Answers by the end of the path."""

    def __init__(self, slug: str, answers: dict[str, Any]) -> None:
        oauth = platforms()[slug].oauth
        self.scopes = frozenset((*oauth.required_scopes, *oauth.optional_scopes))
        self.answers = answers

    def call(self, request: Request) -> Any:
        return next(found for path, found in self.answers.items() if request.url.endswith(path))


def everything(slug: str, answers: dict[str, Any]) -> tuple[tuple[AccountRecord, ...], Page]:
    spec, api = platforms()[slug], FakeApi(slug, answers)
    return spec.fetch_profile(api).accounts, spec.fetch_page(api, ME, None)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value but the whole."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield (*at, key)
        yield from places(inner, (*at, key))


def changed(answers: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy with another value at a place; ... removes what is there."""
    found = copy.deepcopy(answers)
    target = found
    for key in place[:-1]:
        target = target[key]
    if value is ...:
        del target[place[-1]]
    else:
        target[place[-1]] = value
    return found


def assert_storable(record: ContentRecord) -> None:
    for name in (*COUNTS, "duration_seconds"):
        value = getattr(record, name)
        assert value is None or 0 <= value <= fields.MAX_COUNT
    assert 0 < len(record.platform_content_id) <= fields.MAX_ID_CHARACTERS
    assert len(record.title or "") <= 2000
    assert len(record.description or "") <= 100_000
    assert len(record.language or "") <= 35
    for listed in (record.tags or (), record.hashtags or ()):
        assert len(listed) <= 500
        assert len("".join(listed)) <= 20_000
    for address in (record.platform_url, record.thumbnail_url, record.media_url):
        assert address is None or address.startswith(("https://", "http://"))
    json.dumps([record.title, record.description, list(record.media)], allow_nan=False).encode()


@pytest.mark.parametrize("slug", ANSWERS)
def test_an_ordinary_day_is_read(slug: str) -> None:
    accounts, page = everything(slug, ANSWERS[slug])
    (account,), (record,) = accounts, page.records
    assert account.account_name
    assert account.follower_count == 5
    assert page.cursor
    assert_storable(record)


@pytest.mark.parametrize("slug", ANSWERS)
def test_nothing_odd_breaks_a_parser(slug: str) -> None:
    for place in places(ANSWERS[slug]):
        for value in (..., *ODD):
            if value is ... and len(place) == 1:
                continue
            try:
                _, page = everything(slug, changed(ANSWERS[slug], place, value))
            except UpstreamError:
                continue
            for record in page.records:
                assert_storable(record)


@pytest.mark.parametrize("slug", ANSWERS)
@pytest.mark.parametrize("value", [None, "", "many", -1, [], {}, float("nan"), ...])
def test_a_count_that_is_not_there_is_not_zero(slug: str, value: Any) -> None:
    """Each number that stands for a count, taken away alone or spoiled, leaves None behind."""
    whole = everything(slug, ANSWERS[slug])[1].records[0]
    lost: set[str] = set()
    for place in places(ANSWERS[slug]):
        if not str(place[-1]).lower().endswith("count") and place[-1] != "value":
            continue
        _, page = everything(slug, changed(ANSWERS[slug], place, value))
        (record,) = page.records
        for name in COUNTS:
            before, now = getattr(whole, name), getattr(record, name)
            assert now == before or now is None or (slug, name) == ("twitter", "shares_count")
            assert now != 0
            lost |= {name} if now is None and before is not None else set()
    assert lost >= {name for name in COUNTS if getattr(whole, name) is not None} - {"shares_count"}


def test_facebook_leaves_shares_out_where_there_are_none() -> None:
    place = ("/published_posts", "data", 0, "shares")
    unshared = changed(ANSWERS["facebook"], place, ...)
    (record,) = everything("facebook", unshared)[1].records
    assert record.shares_count == 0
    # Where no other count is there either, nothing is known.
    for name in ("reactions", "comments"):
        unshared = changed(unshared, (*place[:-1], name), ...)
    (record,) = everything("facebook", unshared)[1].records
    assert record.shares_count is None


@pytest.mark.parametrize(("slug", "path"), LISTINGS)
@pytest.mark.parametrize(
    "body", [None, [], "x", 5, True, {"unknown": 1}, {"error": "x"}, {"data": None}, {"data": "x"}]
)
def test_what_is_no_page_is_no_empty_page(slug: str, path: str, body: Any) -> None:
    """An account whose page cannot be read must not look like one whose items are all gone."""
    spec, api = platforms()[slug], FakeApi(slug, {**ANSWERS[slug], path: body})
    if path in ("/channels", "/me/accounts", "/users/me", "/user/info/"):
        if isinstance(body, dict) and path != "/me/accounts":
            with contextlib.suppress(UpstreamError):
                assert spec.fetch_profile(api).accounts == ()
            return
        with pytest.raises(UpstreamError):
            spec.fetch_profile(api)
    else:
        with pytest.raises(UpstreamError):
            spec.fetch_page(api, ME, None)


def test_empty_pages_are_read() -> None:
    empty: dict[str, Any] = {
        "youtube": {"/playlistItems": {"pageInfo": {"totalResults": 0}}},
        "instagram": {"/media": {"data": []}},
        "tiktok": {"/video/list/": {"data": {"has_more": False}, "error": {"code": "ok"}}},
        "facebook": {"/published_posts": {"data": []}},
        "twitter": {"/tweets": {"meta": {"result_count": 0}}},
    }
    for slug, answers in empty.items():
        assert platforms()[slug].fetch_page(FakeApi(slug, answers), ME, None).records == ()


@pytest.mark.parametrize(
    "more", [{"has_more": True}, {"has_more": True, "cursor": None}, {"has_more": True, "cursor": "x"}]
)
def test_a_page_that_hides_the_next_one_is_an_error(more: dict[str, Any]) -> None:
    with pytest.raises(UpstreamError):
        tiktok.fetch_page(FakeApi("tiktok", {"/video/list/": {"data": {"videos": [], **more}}}), ME, None)
    with pytest.raises(UpstreamError):
        graph.next_cursor({"paging": {"next": "https://[graph.example"}})


def test_a_cursor_as_text_leads_on_too() -> None:
    body = {"data": {"videos": [], "has_more": True, "cursor": "1643332803000"}}
    assert tiktok.fetch_page(FakeApi("tiktok", {"/video/list/": body}), ME, None).cursor == "1643332803000"


def answer(body: Any, status: int = 200, **headers: str) -> Response:
    named = httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return Response("Example", status, named, json.dumps(body).encode())


def test_errors_with_200_are_errors() -> None:
    for slug in ("youtube", "instagram", "tiktok", "facebook"):
        odd: list[Any] = ["x", {"message": "no"}, {"code": "not a plain word"}, [1], {"code": []}, {"code": {}}]
        for error in odd:
            assert isinstance(platforms()[slug].check(answer({"error": error})), UpstreamError), (slug, error)
    refused = twitter.check(answer({"errors": [{"type": "https://api.x.com/2/problems/resource-not-found"}]}))
    assert isinstance(refused, UpstreamRefusedError)
    assert refused.upstream_code == "resource-not-found"
    assert twitter.check(answer({"data": [], "errors": [{"type": "x"}]})) is None
    assert type(graph.check(answer({"error": {"code": "190"}}, 400))).__name__ == "TokenRejectedError"
    assert isinstance(graph.check(answer({"error": {"code": "4"}}, 400)), UpstreamUnavailableError)
    assert youtube.check(answer({"items": []})) is None


@pytest.mark.parametrize("value", ["1e400", "nan", "-1", "soon", "9" * 400, "[" * 100_000])
def test_headers_that_make_no_sense_ask_for_no_endless_pause(value: str) -> None:
    pause = twitter.read_pause(answer({}, x_rate_limit_remaining="0", x_rate_limit_reset=value))
    assert pause is not None
    assert 0 <= pause.seconds <= 86400
    usage = json.dumps({"1": [{"call_count": "95", "estimated_time_to_regain_access": value}]})
    asked = graph.read_pause(answer({}, x_business_use_case_usage=usage))
    assert asked is not None
    assert 0 < asked.seconds <= 86400
    assert graph.read_pause(answer({}, x_app_usage=value)) is None


@pytest.mark.parametrize("payload", ["[" * 100_000, "e30", "bnVsbA", "", "\xff", "!"])
def test_what_meta_did_not_sign_is_not_read(payload: str) -> None:
    assert graph.read_signed_request(f"AAAA.{payload}", "secret") is None
    assert graph.read_signed_request(payload, "secret") is None
