"""YouTube: Google OAuth 2.0 and the YouTube Data API v3.

Docs: https://developers.google.com/youtube/data/reference, https://developers.google.com/identity/protocols/oauth2/web-server
(discovery document of 2026-11-04). A page of 50 uploads costs two units of the project's daily quota: one for the
playlist page, one for the videos. Counts come as strings and are absent where hidden.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from functions.connectors import oauth2
from functions.connectors.client import Request, Response, error_for, plain_word
from functions.connectors.social import fields
from functions.connectors.spec import (
    AccountRecord,
    Api,
    ContentRecord,
    ContentType,
    OAuthSpec,
    Page,
    PlatformSpec,
    Profile,
    Secrets,
    Token,
    Visibility,
)
from functions.core import settings
from functions.core.errors import TokenRejectedError, UpstreamError, UpstreamRefusedError

API = "https://www.googleapis.com/youtube/v3"
READ_SCOPE = "https://www.googleapis.com/auth/youtube.readonly"
PAGE_SIZE = 50
# No field says what a Short is. Up to three minutes and not wider than high; a custom 9:16 thumbnail proves it.
SHORT_MAX_SECONDS = 180
# Where the shape is unknown, only what was short enough before three minutes were allowed, or says so itself.
SHORT_OF_UNKNOWN_SHAPE_MAX_SECONDS = 60
THUMBNAIL_NAMES = ("maxres", "standard", "high", "medium", "default")
DAILY_LIMIT_REASONS = frozenset({"quotaExceeded", "dailyLimitExceeded"})
LIMIT_REASONS = DAILY_LIMIT_REASONS | {"rateLimitExceeded", "userRateLimitExceeded", "backendError"}
QUOTA_TIME_ZONE = "America/Los_Angeles"  # the daily quota starts anew at midnight there
# https://developers.google.com/youtube/data/reference/videoCategories; the ids have been the same for years.
CATEGORIES = {
    "1": "Film & Animation",
    "2": "Autos & Vehicles",
    "10": "Music",
    "15": "Pets & Animals",
    "17": "Sports",
    "18": "Short Movies",
    "19": "Travel & Events",
    "20": "Gaming",
    "21": "Videoblogging",
    "22": "People & Blogs",
    "23": "Comedy",
    "24": "Entertainment",
    "25": "News & Politics",
    "26": "Howto & Style",
    "27": "Education",
    "28": "Science & Technology",
    "29": "Nonprofits & Activism",
    "30": "Movies",
    "31": "Anime/Animation",
    "32": "Action/Adventure",
    "33": "Classics",
    "34": "Comedy",
    "35": "Documentary",
    "36": "Drama",
    "37": "Family",
    "38": "Foreign",
    "39": "Horror",
    "40": "Sci-Fi/Fantasy",
    "41": "Thriller",
    "42": "Shorts",
    "43": "Shows",
    "44": "Trailers",
}


def parse_channel(channel: Mapping[str, Any]) -> AccountRecord:
    """A `youtube#channel` resource as an account."""
    snippet, statistics = fields.obj(channel.get("snippet")), fields.obj(channel.get("statistics"))
    uploads = fields.obj(fields.obj(channel.get("contentDetails")).get("relatedPlaylists")).get("uploads")
    channel_id = fields.own_id(channel)
    handle = fields.text(snippet.get("customUrl"))
    hidden = statistics.get("hiddenSubscriberCount") is True
    return AccountRecord(
        platform_account_id=channel_id,
        account_name=fields.text(snippet.get("title"), fields.MAX_TITLE_CHARACTERS) or channel_id,
        account_url=f"https://www.youtube.com/{handle or f'channel/{channel_id}'}",
        username=handle,
        avatar_url=_thumbnail(snippet),
        description=fields.text(snippet.get("description")),
        follower_count=None if hidden else fields.count(statistics.get("subscriberCount")),
        post_count=fields.count(statistics.get("videoCount")),
        # The uploads playlist of channel UC… has always been UU…; it stands in where the API leaves it out.
        sync_hint={"uploads": fields.text(uploads) or f"UU{channel_id[2:]}"},
    )


def parse_video(video: Mapping[str, Any]) -> ContentRecord:
    """A `youtube#video` resource as a piece of content."""
    snippet, status = fields.obj(video.get("snippet")), fields.obj(video.get("status"))
    statistics = fields.obj(video.get("statistics"))
    duration = fields.iso_duration_seconds(fields.obj(video.get("contentDetails")).get("duration"))
    title, description = (
        fields.text(snippet.get("title"), fields.MAX_TITLE_CHARACTERS),
        fields.text(snippet.get("description")),
    )
    hashtags = fields.hashtags(title, description)
    content_type = _content_type(video, duration, hashtags)
    video_id = fields.own_id(video)
    return ContentRecord(
        platform_content_id=video_id,
        content_type=content_type,
        platform_url=(
            f"https://www.youtube.com/shorts/{video_id}"
            if content_type == "short_video"
            else f"https://www.youtube.com/watch?v={video_id}"
        ),
        title=title,
        description=description,
        thumbnail_url=_thumbnail(snippet),
        duration_seconds=duration,
        views_count=fields.count(statistics.get("viewCount")),
        likes_count=fields.count(statistics.get("likeCount")),
        comments_count=fields.count(statistics.get("commentCount")),
        tags=fields.texts(snippet.get("tags")),
        hashtags=hashtags,
        category=CATEGORIES.get(str(snippet.get("categoryId"))),
        language=_language(snippet),
        published_at=fields.moment(status.get("publishAt") or snippet.get("publishedAt")),
        visibility=_visibility(status),
    )


def fetch_profile(api: Api) -> Profile:
    """The grant's channel, which is its identity too; no account if the Google account has no channel."""
    body = api.call(
        Request("GET", f"{API}/channels", {"part": "snippet,contentDetails,statistics,status", "mine": "true"})
    )
    channels = fields.page_of(fields.answer(body), "items", is_page=True)
    return Profile.of_single(tuple(parse_channel(channel) for channel in channels))


def fetch_account(api: Api, account: AccountRecord) -> AccountRecord | None:
    """The channel as it is now."""
    return fetch_profile(api).find(account)


def fetch_page(api: Api, account: AccountRecord, cursor: str | None) -> Page:
    """Fifty uploads, newest first. Videos that are listed and that the API then does not know are left out."""
    params: dict[str, str | int] = {
        "part": "contentDetails",
        "playlistId": account.sync_hint.get("uploads") or f"UU{account.platform_account_id[2:]}",
        "maxResults": PAGE_SIZE,
    }
    if cursor:
        params["pageToken"] = cursor
    try:
        listing = api.call(Request("GET", f"{API}/playlistItems", params))
    except UpstreamRefusedError as error:
        if error.upstream_code == "playlistNotFound" and cursor is None:
            return Page(())  # a channel without uploads has no such playlist
        raise
    ids = _video_ids(listing)
    following = fields.text(listing.get("nextPageToken"))
    if not ids:
        return Page((), following)
    # With a maximal height the player tells the shape of the video; neither it nor its part costs anything.
    parts: dict[str, str | int] = {
        "part": "snippet,contentDetails,statistics,status,player",
        "id": ",".join(ids),
        "maxHeight": 720,
    }
    found = api.call(Request("GET", f"{API}/videos", parts))
    records = tuple(parse_video(video) for video in fields.page_of(found, "items", is_page=_is_page(found)))
    return Page(records, following)


def check(response: Response) -> UpstreamError | None:
    """Google's error envelope: the reason decides, because 403 means limits as well as refusals."""
    body = response.json_object()
    error = fields.obj(body.get("error"))
    if response.ok and not body.get("error"):
        return None
    reason = next((plain_word(entry.get("reason")) for entry in fields.objects(error.get("errors"))), None)
    if response.status == 401 and reason != "youtubeSignupRequired":
        return TokenRejectedError(service=response.service, upstream_status=401, upstream_code=reason)
    failure = error_for(response, code=reason, unavailable=True if reason in LIMIT_REASONS else None)
    if reason in DAILY_LIMIT_REASONS:
        failure.retry_after_seconds = _seconds_to_reset()
    return failure


def sign(request: Request, access_token: str) -> Request:
    return dataclasses.replace(request, headers={**request.headers, "Authorization": f"Bearer {access_token}"})


def _seconds_to_reset() -> float:
    now = datetime.now(ZoneInfo(QUOTA_TIME_ZONE))
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), now.tzinfo)
    return (midnight.astimezone(UTC) - now.astimezone(UTC)).total_seconds()


def _video_ids(listing: Any) -> list[str]:
    if not isinstance(fields.obj(listing).get("items"), list) and not _is_page(listing):
        raise UpstreamError("YouTube answered with something else than a page.", upstream_status=200)
    found = (
        fields.identifier(fields.obj(item.get("contentDetails")).get("videoId"))
        or fields.identifier(fields.obj(fields.obj(item.get("snippet")).get("resourceId")).get("videoId"))
        for item in fields.objects(listing.get("items"))
    )
    return list(dict.fromkeys(video_id for video_id in found if video_id))


def _is_page(body: Any) -> bool:
    """Whether an answer without `items` is a page all the same: empty lists are left out at times."""
    return isinstance(fields.obj(body).get("pageInfo"), dict)


def _language(snippet: Mapping[str, Any]) -> str | None:
    spoken, written = (
        fields.text(snippet.get(name), fields.MAX_LANGUAGE_CHARACTERS)
        for name in ("defaultAudioLanguage", "defaultLanguage")
    )
    return spoken or written


def _thumbnail(snippet: Mapping[str, Any]) -> str | None:
    thumbnails = fields.obj(snippet.get("thumbnails"))
    urls = (fields.link(fields.obj(thumbnails.get(name)).get("url")) for name in THUMBNAIL_NAMES)
    return next((url for url in urls if url), None)


def _visibility(status: Mapping[str, Any]) -> Visibility:
    # A word that we do not know is not shown to anybody but the owner; an answer without the part says nothing.
    privacy = status.get("privacyStatus", "public")
    return privacy if privacy in ("public", "unlisted") else "private"


def _content_type(video: Mapping[str, Any], duration: int | None, hashtags: tuple[str, ...]) -> ContentType:
    if fields.obj(fields.obj(video.get("snippet")).get("thumbnails")).get("shortsAspectRatio"):
        return "short_video"
    if duration is None or duration > SHORT_MAX_SECONDS:
        return "long_video"
    shape = _shape(video)
    if shape is not None:
        width, height = shape
        return "short_video" if height >= width else "long_video"
    says_so = any(tag.casefold() in {"short", "shorts"} for tag in hashtags)
    return "short_video" if says_so or duration <= SHORT_OF_UNKNOWN_SHAPE_MAX_SECONDS else "long_video"


def _shape(video: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height as shown, None if unknown."""
    player = fields.obj(video.get("player"))
    width, height = fields.count(player.get("embedWidth")), fields.count(player.get("embedHeight"))
    if width and height:
        return width, height
    for stream in fields.objects(fields.obj(video.get("fileDetails")).get("videoStreams")):
        width, height = fields.count(stream.get("widthPixels")), fields.count(stream.get("heightPixels"))
        if width and height:
            turned = stream.get("rotation") in ("clockwise", "counterClockwise")
            return (height, width) if turned else (width, height)
    return None


def _refresh(client: Secrets, token: Token) -> Request:
    form = {"grant_type": "refresh_token", "refresh_token": token.refresh_token or ""}
    return oauth2.token_request(OAUTH, client, form)


def _revoke(_: Secrets, token: Token) -> Request:
    # Revoking either token ends the whole grant; the refresh token lives longer.
    return Request(
        "POST", "https://oauth2.googleapis.com/revoke", form={"token": token.refresh_token or token.access_token}
    )


OAUTH = OAuthSpec(
    authorize_url="https://accounts.google.com/o/oauth2/v2/auth",
    token_url="https://oauth2.googleapis.com/token",
    client_id=settings.GOOGLE_CLIENT_ID,
    client_secret=settings.GOOGLE_CLIENT_SECRET,
    required_scopes=(READ_SCOPE,),
    pkce="S256",
    # Without `offline` there is no refresh token, without `consent` none at the second time.
    authorize_params={"access_type": "offline", "prompt": "consent"},
    issuer="https://accounts.google.com",
    refresh=_refresh,
    revoke=_revoke,
    check=oauth2.check_oauth,
)

SPEC = PlatformSpec(
    slug="youtube",
    display_name="YouTube",
    oauth=OAUTH,
    sign=sign,
    fetch_profile=fetch_profile,
    fetch_account=fetch_account,
    fetch_page=fetch_page,
    check=check,
    app_limit_codes=DAILY_LIMIT_REASONS,
)
