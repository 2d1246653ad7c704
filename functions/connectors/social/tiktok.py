"""TikTok: Login Kit for Web and the Display API.

Docs: https://developers.tiktok.com/doc/oauth-user-access-token-management,
https://developers.tiktok.com/doc/tiktok-api-v2-video-object (November 2026). Access tokens live two hours; each refresh
returns a new refresh token and ends the old one. Success carries `error.code` "ok"; token errors may come with 200.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from functions.connectors import oauth2
from functions.connectors.client import Request, Response, error_for, plain_word
from functions.connectors.social import fields
from functions.connectors.spec import (
    AccountRecord,
    Api,
    ContentRecord,
    OAuthSpec,
    Page,
    PlatformSpec,
    Profile,
    Secrets,
    Token,
)
from functions.core import settings
from functions.core.errors import TokenRejectedError, UpstreamError

API = "https://open.tiktokapis.com/v2"
BASIC_SCOPE, PROFILE_SCOPE, STATS_SCOPE, VIDEO_SCOPE = (
    "user.info.basic",
    "user.info.profile",
    "user.info.stats",
    "video.list",
)
# Asking for a field without its scope fails the whole call.
FIELDS_BY_SCOPE = {
    BASIC_SCOPE: ("open_id", "union_id", "avatar_url", "display_name"),
    PROFILE_SCOPE: ("username", "bio_description", "profile_deep_link", "is_verified"),
    STATS_SCOPE: ("follower_count", "following_count", "likes_count", "video_count"),
}
VIDEO_FIELDS = (
    "id,create_time,cover_image_url,share_url,video_description,duration,height,width,title,embed_link,"
    "like_count,comment_count,share_count,view_count"
)
PAGE_SIZE = 20
SHORT_MAX_SECONDS = 180
UNAVAILABLE_CODES = frozenset({"rate_limit_exceeded", "internal_error"})


def parse_user(body: Any) -> AccountRecord | None:
    """The answer of user/info as an account; None if there is no user in it."""
    user = fields.obj(fields.obj(fields.obj(body).get("data")).get("user"))
    open_id = fields.identifier(user.get("open_id"))
    if open_id is None:
        return None
    username = fields.text(user.get("username"))
    return AccountRecord(
        platform_account_id=open_id,
        account_name=fields.text(user.get("display_name"), fields.MAX_TITLE_CHARACTERS) or username or open_id,
        account_url=f"https://www.tiktok.com/@{username}" if username else fields.link(user.get("profile_deep_link")),
        username=username,
        avatar_url=fields.link(user.get("avatar_url")),
        description=fields.text(user.get("bio_description")),
        follower_count=fields.count(user.get("follower_count")),
        following_count=fields.count(user.get("following_count")),
        post_count=fields.count(user.get("video_count")),
    )


def parse_video(video: Mapping[str, Any], username: str | None = None) -> ContentRecord:
    """A video object as a piece of content. Only public videos are listed; there is no address of the file."""
    video_id = fields.own_id(video)
    description = fields.text(video.get("video_description"))
    duration = fields.count(video.get("duration"))
    own_page = f"https://www.tiktok.com/@{username}/video/{video_id}" if username else None
    return ContentRecord(
        platform_content_id=video_id,
        content_type="long_video" if (duration or 0) > SHORT_MAX_SECONDS else "short_video",
        platform_url=fields.without_query(fields.link(video.get("share_url"))) or own_page,
        title=fields.text(video.get("title"), fields.MAX_TITLE_CHARACTERS) or fields.first_line(description),
        description=description,
        thumbnail_url=fields.link(video.get("cover_image_url")),
        duration_seconds=duration,
        views_count=fields.count(video.get("view_count")),
        likes_count=fields.count(video.get("like_count")),
        comments_count=fields.count(video.get("comment_count")),
        shares_count=fields.count(video.get("share_count")),
        hashtags=fields.hashtags(description),
        published_at=fields.moment(video.get("create_time")),
        visibility="public",
    )


def fetch_profile(api: Api) -> Profile:
    """The user, as far as the granted scopes allow."""
    names = [name for scope, group in FIELDS_BY_SCOPE.items() if scope in api.scopes for name in group]
    account = parse_user(fields.answer(api.call(Request("GET", f"{API}/user/info/", {"fields": ",".join(names)}))))
    return Profile.of_single((account,) if account else ())


def fetch_account(api: Api, account: AccountRecord) -> AccountRecord | None:
    """The user as of now."""
    return fetch_profile(api).find(account)


def fetch_page(api: Api, account: AccountRecord, cursor: str | None) -> Page:
    """Twenty videos, newest first. The fields go into the query, the paging into the body."""
    if VIDEO_SCOPE not in api.scopes:
        return Page((), warning="missing_scope")
    place: dict[str, int] = {"max_count": PAGE_SIZE}
    if cursor:
        place["cursor"] = int(cursor)
    body = api.call(Request("POST", f"{API}/video/list/", {"fields": VIDEO_FIELDS}, json=place))
    data = fields.obj(fields.obj(body).get("data"))
    videos = fields.page_of(data, "videos", is_page=data.get("has_more") is False)
    following: str | None = None
    if data.get("has_more") is True:
        following = fields.identifier(data.get("cursor"))
        if following is None or not following.isdecimal():
            raise UpstreamError("TikTok has another page, and does not say where.", upstream_status=200)
    return Page(tuple(parse_video(video, account.username) for video in videos), following)


def check(response: Response) -> UpstreamError | None:
    """The data API's envelope: `error.code` is "ok" where all is well."""
    error = response.json_object().get("error")
    said = fields.obj(error).get("code")
    if response.ok and (not error or said == "ok"):
        return None
    code = plain_word(said)
    if code == "access_token_invalid":
        return TokenRejectedError(service=response.service, upstream_status=response.status, upstream_code=code)
    return error_for(response, code=code, unavailable=True if code in UNAVAILABLE_CODES else None)


def sign(request: Request, access_token: str) -> Request:
    return dataclasses.replace(request, headers={**request.headers, "Authorization": f"Bearer {access_token}"})


def read_token(body: Any) -> Token | None:
    return oauth2.read_token(body, ",")


def _refresh(client: Secrets, token: Token) -> Request:
    form = {"grant_type": "refresh_token", "refresh_token": token.refresh_token or ""}
    return oauth2.token_request(OAUTH, client, form)


def _revoke(client: Secrets, token: Token) -> Request:
    form = {
        "client_key": client.client_id,
        "client_secret": client.client_secret,
        "token": token.access_token,
    }
    return Request("POST", f"{API}/oauth/revoke/", form=form)


OAUTH = OAuthSpec(
    authorize_url="https://www.tiktok.com/v2/auth/authorize/",
    token_url=f"{API}/oauth/token/",
    client_id=settings.TIKTOK_CLIENT_KEY,
    client_secret=settings.TIKTOK_CLIENT_SECRET,
    required_scopes=(BASIC_SCOPE,),
    optional_scopes={PROFILE_SCOPE: "profile", STATS_SCOPE: "statistics", VIDEO_SCOPE: "content"},
    scope_separator=",",
    client_id_name="client_key",
    read_token=read_token,
    refresh=_refresh,
    revoke=_revoke,
    check=oauth2.check_oauth,
)

SPEC = PlatformSpec(
    slug="tiktok",
    display_name="TikTok",
    oauth=OAUTH,
    sign=sign,
    fetch_profile=fetch_profile,
    fetch_account=fetch_account,
    fetch_page=fetch_page,
    check=check,
)
