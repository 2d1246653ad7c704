"""Instagram API with Instagram Login: professional accounts, their media and the media's insights.

Docs: https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login (Graph API v26.0).
There is no refresh token: a long-lived access token (60 days) renews itself once it is a day old. Answers are
documented as wrapped in `data` and mostly come flat; both are read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from functions.connectors import oauth2
from functions.connectors.client import Request, Response
from functions.connectors.social import fields, graph
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
)
from functions.core import http, settings
from functions.core.errors import GrantRevokedError, TokenRejectedError, UpstreamError, UpstreamRefusedError

API = f"https://graph.instagram.com/{graph.VERSION}"
BASIC_SCOPE = "instagram_business_basic"
INSIGHTS_SCOPE = "instagram_business_manage_insights"
PAGE_SIZE = 25  # small, because each item's insights are a call of their own
PROFILE_FIELDS = "id,user_id,username,name,account_type,profile_picture_url,followers_count,follows_count,media_count"
CHILD_FIELDS = "children{id,media_type,media_url,thumbnail_url}"
BASE_FIELDS = f"id,media_type,media_url,thumbnail_url,permalink,timestamp,like_count,comments_count,{CHILD_FIELDS}"
# Documented for Facebook Login only, yet mostly served; asked for first, and left out where they are refused.
MEDIA_FIELDS = f"{BASE_FIELDS},caption,media_product_type,shortcode,is_shared_to_feed"
INVALID_PARAMETER = "100"
# Views of newer media are read at each sync, those of older ones in turn, a seventh of them each day.
INSIGHTS_EVERY_TIME = timedelta(days=365)
SECONDS_PER_DAY = 86400
INSIGHTS_MARGIN_SECONDS = 6.0  # with less left of a page's time no more insights are asked for


def parse_profile(body: Any) -> AccountRecord:
    """The answer of `/me` as an account."""
    user = graph.unwrap(body)
    account_id = fields.identifier(user.get("user_id")) or fields.own_id(user)
    username = fields.text(user.get("username"))
    return AccountRecord(
        platform_account_id=account_id,
        account_name=fields.text(user.get("name"), fields.MAX_TITLE_CHARACTERS) or username or account_id,
        account_url=f"https://www.instagram.com/{username}/" if username else None,
        username=username,
        avatar_url=fields.link(user.get("profile_picture_url")),
        description=fields.text(user.get("biography")),
        follower_count=fields.count(user.get("followers_count")),
        following_count=fields.count(user.get("follows_count")),
        post_count=fields.count(user.get("media_count")),
        # The id of this user for this app: what Meta's callbacks name.
        sync_hint={"app_scoped_id": fields.identifier(user.get("id")) or account_id},
    )


def parse_media(media: Mapping[str, Any]) -> ContentRecord:
    """An IG Media object as a piece of content; views and shares come from its insights."""
    caption = fields.text(media.get("caption"))
    children = tuple(fields.objects(fields.obj(media.get("children")).get("data")))
    own_url = fields.link(media.get("media_url"))
    is_video = media.get("media_type") == "VIDEO"
    thumbnail = fields.link(media.get("thumbnail_url")) or (None if is_video else own_url)
    pictured = (fields.link(child.get("thumbnail_url")) or fields.link(child.get("media_url")) for child in children)
    return ContentRecord(
        platform_content_id=fields.own_id(media),
        content_type=_content_type(media),
        platform_url=fields.link(media.get("permalink")),
        title=fields.first_line(caption),
        description=caption,
        thumbnail_url=thumbnail or next((url for url in pictured if url), None),
        media_url=own_url,
        likes_count=fields.count(media.get("like_count")),
        comments_count=fields.count(media.get("comments_count")),
        hashtags=fields.hashtags(caption),
        published_at=fields.moment(media.get("timestamp")),
        visibility="public",  # what is archived or not yet published is not listed
        media=tuple(_medium(child) for child in children or (media,) if fields.link(child.get("media_url"))),
        not_asked=frozenset({"views_count", "shares_count", "duration_seconds"}),
    )


def parse_insights(body: Any) -> dict[str, int]:
    """Metric -> value of an insights answer. A metric without data is not in it."""
    found = {}
    for metric in fields.objects(fields.obj(body).get("data")):
        values = [fields.obj(metric.get("total_value")), *fields.objects(metric.get("values"))]
        value = next((number for entry in values if (number := fields.count(entry.get("value"))) is not None), None)
        if value is not None:
            found[str(metric.get("name"))] = value
    return found


def fetch_profile(api: Api) -> Profile:
    """The professional account of the login."""
    body = dict(graph.unwrap(fields.answer(api.call(Request("GET", f"{API}/me", {"fields": PROFILE_FIELDS})))))
    if not fields.identifier(body.get("id")) and not fields.identifier(body.get("user_id")):
        return Profile.of_single(())
    try:
        # Not in the list of Instagram Login's fields; where it is served, it is worth a call.
        body |= graph.unwrap(api.call(Request("GET", f"{API}/me", {"fields": "biography"})))
    except UpstreamRefusedError as error:
        if isinstance(error, TokenRejectedError):
            raise
    return Profile.of_single((parse_profile(body),))


def fetch_account(api: Api, account: AccountRecord) -> AccountRecord | None:
    """The account as it is now."""
    return fetch_profile(api).find(account)


def fetch_page(api: Api, account: AccountRecord, cursor: str | None) -> Page:
    """A page of media, newest first, with the insights that are due."""
    url = f"{API}/{account.platform_account_id}/media"
    params: dict[str, str | int] = {"limit": PAGE_SIZE, **graph.page_parameters(cursor)}
    try:
        body = api.call(Request("GET", url, {**params, "fields": MEDIA_FIELDS}))
    except UpstreamRefusedError as error:
        if error.upstream_code != INVALID_PARAMETER:
            raise
        body = api.call(Request("GET", url, {**params, "fields": BASE_FIELDS}))
    records = tuple(parse_media(media) for media in fields.page_of(body, "data"))
    following = graph.next_cursor(body)
    return Page(tuple(_with_insights(api, record) for record in records), following)


def check_oauth(response: Response) -> UpstreamError | None:
    """The code's exchange has an envelope of its own; everything else answers as the graph does."""
    body = response.json_object()
    if "error_type" in body:
        # Wrong credentials and a used code differ in the text only.
        if str(body.get("error_message", "")).startswith("Matching code"):
            return GrantRevokedError(service=response.service, upstream_status=response.status)
        return oauth2.check_oauth(response) or UpstreamRefusedError(
            f"{response.service} refused the request.", service=response.service, upstream_status=response.status
        )
    failure = graph.check(response)
    if isinstance(failure, TokenRejectedError):
        return GrantRevokedError(
            service=response.service, upstream_status=response.status, upstream_code=failure.upstream_code
        )
    return failure


def read_token(body: Any) -> Token | None:
    """The token of an exchange; the scopes are a list or a text."""
    answer = graph.unwrap(body)
    token = oauth2.read_token(dict(answer))
    if token is None:
        return None
    permissions = answer.get("permissions")
    scopes: tuple[str, ...] | None = None
    if isinstance(permissions, list):
        scopes = tuple(str(permission) for permission in permissions)
    elif isinstance(permissions, str):
        scopes = oauth2.split_scopes(permissions, ",")
    return dataclasses.replace(token, scopes=scopes)


def sign(request: Request, access_token: str) -> Request:
    return dataclasses.replace(request, params={**request.params, "access_token": access_token})


def _with_insights(api: Api, record: ContentRecord) -> ContentRecord:
    if INSIGHTS_SCOPE not in api.scopes or not _is_due(record):
        return record
    if http.remaining_seconds() < INSIGHTS_MARGIN_SECONDS:
        return record  # a slow day: what is stored of them stays, and the page is not lost for their sake
    url = f"{API}/{record.platform_content_id}/insights"
    try:
        found = parse_insights(api.call(Request("GET", url, {"metric": "views,shares"})))
    except UpstreamRefusedError as error:
        if isinstance(error, TokenRejectedError):
            raise
        return record  # too few viewers, too old, or of before the account was a professional one
    return dataclasses.replace(
        record,
        views_count=found.get("views"),
        shares_count=found.get("shares"),
        not_asked=frozenset({"duration_seconds"}),
    )


def _is_due(record: ContentRecord) -> bool:
    now = datetime.now(UTC)
    if record.published_at is None or record.published_at > now - INSIGHTS_EVERY_TIME:
        return True
    return sum(record.platform_content_id.encode()) % 7 == now.toordinal() % 7


def _content_type(media: Mapping[str, Any]) -> ContentType:
    product, kind = media.get("media_product_type"), media.get("media_type")
    if product == "STORY":
        return "story"
    if product == "REELS" or "/reel/" in str(media.get("permalink", "")):
        return "reel"
    if kind == "CAROUSEL_ALBUM":
        return "carousel"
    # Videos that are no reels are from before 2022; of what length is not said.
    return "short_video" if kind == "VIDEO" else "image"


def _medium(media: Mapping[str, Any]) -> dict[str, Any]:
    kind = "video" if media.get("media_type") == "VIDEO" else "image"
    return {"type": kind, "url": fields.link(media.get("media_url"))}


def _exchange_for_long_lived(client: Secrets, token: Token) -> Request:
    params = {
        "grant_type": "ig_exchange_token",
        "client_secret": client.client_secret,
        "access_token": token.access_token,
    }
    return Request("GET", "https://graph.instagram.com/access_token", params)


def _refresh(_: Secrets, token: Token) -> Request:
    params = {"grant_type": "ig_refresh_token", "access_token": token.access_token}
    return Request("GET", "https://graph.instagram.com/refresh_access_token", params)


OAUTH = OAuthSpec(
    authorize_url="https://www.instagram.com/oauth/authorize",
    token_url="https://api.instagram.com/oauth/access_token",
    client_id=settings.INSTAGRAM_CLIENT_ID,
    client_secret=settings.INSTAGRAM_CLIENT_SECRET,
    required_scopes=(BASIC_SCOPE,),
    optional_scopes={INSIGHTS_SCOPE: "insights"},
    scope_separator=",",
    read_token=read_token,
    exchange_steps=(_exchange_for_long_lived,),
    refresh=_refresh,
    refresh_needs_refresh_token=False,
    refresh_ahead_seconds=10 * SECONDS_PER_DAY,
    refresh_after_seconds=SECONDS_PER_DAY,
    revoke=None,  # users remove the app in Instagram's settings; Meta then calls our deauthorisation callback
    check=check_oauth,
)

SPEC = PlatformSpec(
    slug="instagram",
    display_name="Instagram",
    oauth=OAUTH,
    sign=sign,
    fetch_profile=fetch_profile,
    fetch_account=fetch_account,
    fetch_page=fetch_page,
    check=graph.check,
    read_pause=graph.read_pause,
    app_limit_codes=graph.APP_LIMIT_CODES,
    read_callback=graph.read_signed_request,
)
