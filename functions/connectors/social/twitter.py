"""X (Twitter): OAuth 2.0 with PKCE and the API v2.

Docs: https://docs.x.com/x-api (openapi 2.167, August 2026). In 2026 tweets were renamed to posts, in parameters and in
answers; which spelling a server takes is not documented, so both are read, and the other one is tried where one is
refused. Each post that is read costs money: see the setting budget.twitter of the database.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

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
    Pause,
    PlatformSpec,
    Profile,
    Secrets,
    Token,
    Visibility,
)
from functions.core import settings
from functions.core.errors import TokenRejectedError, UpstreamError, UpstreamRefusedError

API = "https://api.x.com/2"
PAGE_SIZE = 100
SHORT_MAX_SECONDS = 180
USER_FIELDS = "created_at,description,public_metrics,profile_image_url,url,username,name,protected"
MEDIA_FIELDS = "duration_ms,height,media_key,preview_image_url,public_metrics,type,url,variants,width"
# The names before and after the renaming: parameter, fields, expansions.
NAMINGS = {
    "tweet": (
        "tweet.fields",
        "attachments,context_annotations,created_at,entities,lang,note_tweet,public_metrics,referenced_tweets",
        "attachments.media_keys,referenced_tweets.id",
    ),
    "post": (
        "post.fields",
        "attachments,context_annotations,created_at,entities,lang,note_post,public_metrics,referenced_posts",
        "attachments.media_keys,referenced_posts",
    ),
}
NO_LANGUAGE = frozenset({"und", "zxx", "qme", "qam", "qct", "qht", "qst"})
SECONDS_PER_DAY = 86400.0
RATE_WINDOW_SECONDS = 900.0


def parse_user(body: Any) -> AccountRecord | None:
    """The answer of users/me as an account; None if there is no user in it."""
    user = fields.obj(fields.obj(body).get("data"))
    user_id = fields.identifier(user.get("id"))
    if user_id is None:
        return None
    username = fields.text(user.get("username"))
    metrics = fields.obj(user.get("public_metrics"))
    return AccountRecord(
        platform_account_id=user_id,
        account_name=fields.text(user.get("name"), fields.MAX_TITLE_CHARACTERS) or username or user_id,
        account_url=f"https://x.com/{username}" if username else f"https://x.com/i/user/{user_id}",
        username=username,
        avatar_url=fields.link(user.get("profile_image_url")),
        description=fields.text(user.get("description")),
        follower_count=fields.count(metrics.get("followers_count")),
        following_count=fields.count(metrics.get("following_count")),
        post_count=fields.first_count(metrics, "post_count", "tweet_count"),
        sync_hint={"protected": "true" if user.get("protected") is True else "false"},
    )


def parse_posts(body: Any, account: AccountRecord) -> tuple[ContentRecord, ...]:
    """The posts of a timeline's page. Plain reposts are somebody else's content and are left out."""
    answer = fields.obj(body)
    media = {
        key: entry
        for entry in fields.objects(fields.obj(answer.get("includes")).get("media"))
        if (key := fields.identifier(entry.get("media_key")))
    }
    # An empty page has no `data`, but says in its `meta` that it is one.
    posts = fields.page_of(answer, "data", is_page=isinstance(answer.get("meta"), dict))
    return tuple(parse_post(post, media, account) for post in posts if not _is_repost(post))


def parse_post(
    post: Mapping[str, Any], media: Mapping[str, Mapping[str, Any]], account: AccountRecord
) -> ContentRecord:
    """A post with its media, which are listed apart by key."""
    post_id = fields.own_id(post)
    note = fields.obj(post.get("note_post")) or fields.obj(post.get("note_tweet"))
    body = fields.text(note.get("text")) or fields.text(post.get("text"))
    metrics = fields.obj(post.get("public_metrics"))
    keys = fields.texts(fields.obj(post.get("attachments")).get("media_keys")) or ()
    shown = tuple(media[key] for key in keys if key in media)
    first = shown[0] if shown else {}
    milliseconds = fields.count(first.get("duration_ms"))
    entities = fields.obj(note.get("entities")) or fields.obj(post.get("entities"))
    tagged = (
        fields.text(entry.get("tag"), fields.MAX_TITLE_CHARACTERS) for entry in fields.objects(entities.get("hashtags"))
    )
    topics = (
        fields.text(fields.obj(note.get("entity")).get("name"), fields.MAX_TITLE_CHARACTERS)
        for note in fields.objects(post.get("context_annotations"))
    )
    language = fields.text(post.get("lang"), fields.MAX_LANGUAGE_CHARACTERS)
    page = f"https://x.com/{account.username}" if account.username else "https://x.com/i/web"
    return ContentRecord(
        platform_content_id=post_id,
        content_type=_content_type(shown, milliseconds),
        platform_url=f"{page}/status/{post_id}",
        title=fields.first_line(body),
        description=body,
        thumbnail_url=fields.link(first.get("preview_image_url")) or fields.link(first.get("url")),
        media_url=_address(first),
        duration_seconds=round(milliseconds / 1000) if milliseconds else None,
        views_count=fields.count(metrics.get("impression_count")),
        likes_count=fields.count(metrics.get("like_count")),
        comments_count=fields.count(metrics.get("reply_count")),
        shares_count=_shares(metrics),
        tags=fields.distinct(topics) or None,
        hashtags=fields.distinct(tagged) or fields.hashtags(body),
        language=None if language in NO_LANGUAGE else language,
        published_at=fields.moment(post.get("created_at")),
        visibility=_visibility(account),
        media=tuple(_medium(entry) for entry in shown),
    )


def fetch_profile(api: Api) -> Profile:
    """The user of the login."""
    account = parse_user(fields.answer(api.call(Request("GET", f"{API}/users/me", {"user.fields": USER_FIELDS}))))
    return Profile.of_single((account,) if account else ())


def fetch_account(api: Api, account: AccountRecord) -> AccountRecord | None:
    """The user as of now."""
    return fetch_profile(api).find(account)


def fetch_page(api: Api, account: AccountRecord, cursor: str | None) -> Page:
    """A hundred posts, newest first; the 3,200 newest can be had. Incremental runs ask for newer ones than stored."""
    try:
        body = api.call(_timeline(account, cursor, "tweet"))
    except UpstreamRefusedError as error:
        if error.upstream_status != 400:
            raise
        body = api.call(_timeline(account, cursor, "post"))
    following = fields.text(fields.obj(fields.obj(body).get("meta")).get("next_token"))
    return Page(parse_posts(body, account), following)


def check(response: Response) -> UpstreamError | None:
    """X's problem documents. A used-up allowance is no matter of minutes, whatever the rate window says."""
    body = response.json_object()
    problem: Mapping[str, Any] = body
    if response.ok:
        # Partial errors accompany data. Without any, they are all there is.
        problem = next(iter(fields.objects(body.get("errors"))), {})
        if not problem or "data" in body or "meta" in body:
            return None
    kind = plain_word(str(problem.get("type", "")).rpartition("/")[2])
    if response.status == 401:
        return TokenRejectedError(service=response.service, upstream_status=401, upstream_code=kind)
    is_capped = kind == "usage-capped" or response.status == 402
    failure = error_for(response, code="usage-capped" if is_capped else kind, unavailable=True if is_capped else None)
    if is_capped:
        failure.retry_after_seconds = SECONDS_PER_DAY
    elif response.status == 429 and failure.retry_after_seconds is None:
        failure.retry_after_seconds = _seconds_to_reset(response) or RATE_WINDOW_SECONDS
    return failure


def read_pause(response: Response) -> Pause | None:
    """Until this user's rate window begins anew, if nothing of it is left."""
    if response.headers.get("x-rate-limit-remaining", "").strip() != "0":
        return None
    return Pause(_seconds_to_reset(response))


def sign(request: Request, access_token: str) -> Request:
    return dataclasses.replace(request, headers={**request.headers, "Authorization": f"Bearer {access_token}"})


def _timeline(account: AccountRecord, cursor: str | None, naming: str) -> Request:
    parameter, names, expansions = NAMINGS[naming]
    params: dict[str, str | int] = {
        "max_results": PAGE_SIZE,
        "exclude": "retweets",
        parameter: names,
        "expansions": expansions,
        "media.fields": MEDIA_FIELDS,
    }
    if cursor:
        params["pagination_token"] = cursor
    if newest := account.sync_hint.get("newest_id"):
        params["since_id"] = newest
    return Request("GET", f"{API}/users/{account.platform_account_id}/tweets", params)


def _seconds_to_reset(response: Response) -> float:
    at = fields.number(response.headers.get("x-rate-limit-reset"))
    return 0.0 if at is None else min(max(0.0, at - time.time()), SECONDS_PER_DAY)


def _is_repost(post: Mapping[str, Any]) -> bool:
    referenced = (*fields.objects(post.get("referenced_posts")), *fields.objects(post.get("referenced_tweets")))
    return any(entry.get("type") in ("retweeted", "reposted") for entry in referenced)


def _content_type(shown: tuple[Mapping[str, Any], ...], milliseconds: int | None) -> ContentType:
    if not shown:
        return "post"
    if len(shown) > 1:
        return "carousel"
    only = shown[0]
    if only.get("type") != "video":
        return "image"
    is_short = (milliseconds or 0) <= SHORT_MAX_SECONDS * 1000
    is_upright = (fields.count(only.get("height")) or 0) > (fields.count(only.get("width")) or 0)
    return "short_video" if is_short and is_upright else "long_video"


def _address(media: Mapping[str, Any]) -> str | None:
    """The best file of a video, or a picture's address."""
    files = (entry for entry in fields.objects(media.get("variants")) if entry.get("content_type") == "video/mp4")
    best = max(files, key=lambda entry: fields.count(entry.get("bit_rate")) or 0, default={})
    return fields.link(best.get("url")) or fields.link(media.get("url"))


def _medium(media: Mapping[str, Any]) -> dict[str, Any]:
    kind = "image" if media.get("type") == "photo" else "video"
    size = fields.size(media)
    return {"type": kind, "url": _address(media) or fields.link(media.get("preview_image_url")), **size}


def _shares(metrics: Mapping[str, Any]) -> int | None:
    parts = (fields.first_count(metrics, "repost_count", "retweet_count"), fields.count(metrics.get("quote_count")))
    known = [part for part in parts if part is not None]
    return min(sum(known), fields.MAX_COUNT) if known else None


def _visibility(account: AccountRecord) -> Visibility:
    return "private" if account.sync_hint.get("protected") == "true" else "public"


def _refresh(client: Secrets, token: Token) -> Request:
    form = {"grant_type": "refresh_token", "refresh_token": token.refresh_token or ""}
    return oauth2.token_request(OAUTH, client, form)


def _revoke(client: Secrets, token: Token) -> Request:
    headers = {"Authorization": oauth2.basic_credentials(client)}
    form = {"token": token.refresh_token or token.access_token}
    return Request("POST", f"{API}/oauth2/revoke", headers=headers, form=form)


OAUTH = OAuthSpec(
    authorize_url="https://x.com/i/oauth2/authorize",
    token_url=f"{API}/oauth2/token",
    client_id=settings.TWITTER_CLIENT_ID,
    client_secret=settings.TWITTER_CLIENT_SECRET,
    required_scopes=("tweet.read", "users.read"),
    optional_scopes={"offline.access": "stay_connected"},
    client_auth="basic",
    pkce="S256",
    refresh=_refresh,
    revoke=_revoke,
    check=oauth2.check_oauth,
)

SPEC = PlatformSpec(
    slug="twitter",
    display_name="X",
    oauth=OAUTH,
    sign=sign,
    fetch_profile=fetch_profile,
    fetch_account=fetch_account,
    fetch_page=fetch_page,
    check=check,
    read_pause=read_pause,
    app_limit_codes=frozenset({"usage-capped"}),
)
