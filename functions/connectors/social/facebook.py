"""Facebook Pages through the Graph API: a person's Pages, each read with its own token.

Docs: https://developers.facebook.com/docs/facebook-login/guides/advanced/manual-flow,
https://developers.facebook.com/docs/pages-api (Graph API v26.0). A Page's token, taken from a long-lived user token,
does not expire; the user token lives 60 days and cannot be renewed. Posts and reels are separate edges.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

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
    Visibility,
)
from functions.core import settings
from functions.core.errors import GrantRevokedError, TokenRejectedError, UpstreamError, UpstreamRefusedError

API = f"https://graph.facebook.com/{graph.VERSION}"
SITE = "https://www.facebook.com"
LIST_SCOPE, READ_SCOPE, INSIGHTS_SCOPE = "pages_show_list", "pages_read_engagement", "read_insights"
PAGE_SIZE = 50
MAX_PAGES_OF_ACCOUNTS = 20
SHORT_MAX_SECONDS = 180
ACCOUNT_FIELDS = "id,name,username,link,about,description,fan_count,followers_count,picture{url}"
POST_FIELDS = (
    "id,message,created_time,permalink_url,full_picture,status_type,is_published,shares,"
    "attachments{media_type,type,title,description,url,media{image{src,width,height},source},target{id,url},"
    "subattachments{media_type,type,media,target}},"
    "reactions.limit(0).summary(total_count),comments.limit(0).summary(total_count)"
)
VIDEO_FIELDS = (
    "id,title,description,length,source,permalink_url,picture,created_time,published,views,content_category,"
    "content_tags,privacy{value},likes.limit(0).summary(true),comments.limit(0).summary(true)"
)
# One edge after the other; a cursor names the edge that it belongs to.
POSTS, REELS = "published_posts", "video_reels"
# An expired code, another redirect URI, a used code.
REFUSED_CODE_SUBCODES = frozenset({36007, 36008, 36009})
# The reels edge is documented as write-only and served all the same; where it is refused, reels cannot be had.
NOT_AVAILABLE_CODES = frozenset({"3", "10", "100", "200"})


def parse_page(page: Mapping[str, Any]) -> AccountRecord:
    """A Page of `me/accounts` as an account."""
    page_id = fields.own_id(page)
    username = fields.text(page.get("username"))
    picture = fields.obj(fields.obj(page.get("picture")).get("data") or page.get("picture"))
    return AccountRecord(
        platform_account_id=page_id,
        account_name=fields.text(page.get("name"), fields.MAX_TITLE_CHARACTERS) or page_id,
        account_url=fields.link(page.get("link")) or f"{SITE}/{username or page_id}",
        username=username,
        avatar_url=fields.link(picture.get("url")),
        description=fields.text(page.get("about")) or fields.text(page.get("description")),
        follower_count=fields.first_count(page, "followers_count", "fan_count"),
        access_token=fields.text(page.get("access_token")),
    )


def parse_post(post: Mapping[str, Any]) -> ContentRecord:
    """A Page post as a piece of content."""
    attachments = tuple(fields.objects(fields.obj(post.get("attachments")).get("data")))
    first = attachments[0] if attachments else {}
    parts = tuple(fields.objects(fields.obj(first.get("subattachments")).get("data"))) or attachments
    message = fields.text(post.get("message"))
    medium = _medium(first)
    post_id = fields.own_id(post)
    return ContentRecord(
        platform_content_id=post_id,
        content_type=_post_type(post, first, parts),
        platform_url=_absolute(post.get("permalink_url")) or f"{SITE}/{post_id}",
        title=fields.text(first.get("title"), fields.MAX_TITLE_CHARACTERS) or fields.first_line(message),
        description=message or fields.text(first.get("description")),
        thumbnail_url=fields.link(post.get("full_picture")),
        media_url=medium["url"] if medium else None,
        likes_count=_total(post.get("reactions")),
        comments_count=_total(post.get("comments")),
        shares_count=_shares(post),
        hashtags=fields.hashtags(message),
        published_at=fields.moment(post.get("created_time")),
        visibility="private" if post.get("is_published") is False else "public",
        media=tuple(found for part in parts if (found := _medium(part)) is not None),
    )


def parse_video(video: Mapping[str, Any], *, is_reel: bool = False) -> ContentRecord:
    """A video or reel as a piece of content."""
    duration = fields.rounded_seconds(video.get("length"))
    description = fields.text(video.get("description"))
    url = _absolute(video.get("permalink_url"))
    source = fields.link(video.get("source"))
    video_id = fields.own_id(video)
    kind: ContentType = "short_video" if duration is not None and duration <= SHORT_MAX_SECONDS else "long_video"
    return ContentRecord(
        platform_content_id=video_id,
        content_type="reel" if is_reel or "/reel/" in (url or "") else kind,
        platform_url=url or f"{SITE}/watch/?v={video_id}",
        title=fields.text(video.get("title"), fields.MAX_TITLE_CHARACTERS) or fields.first_line(description),
        description=description,
        thumbnail_url=fields.link(video.get("picture")),
        media_url=source,
        duration_seconds=duration,
        views_count=fields.count(video.get("views")),
        likes_count=_total(video.get("likes")),
        comments_count=_total(video.get("comments")),
        tags=fields.texts(video.get("content_tags")),
        hashtags=fields.hashtags(description),
        category=fields.text(video.get("content_category"), 200),
        published_at=fields.moment(video.get("created_time")),
        visibility=_video_visibility(video),
        media=({"type": "video", "url": source},) if source else (),
    )


def fetch_profile(api: Api) -> Profile:
    """The person, and every Page that the person lets us see."""
    person = fields.obj(api.call(Request("GET", f"{API}/me", {"fields": "id,name"})))
    accounts: list[AccountRecord] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES_OF_ACCOUNTS):
        params: dict[str, str | int] = {"fields": f"{ACCOUNT_FIELDS},access_token,tasks", "limit": 100}
        body = fields.obj(api.call(Request("GET", f"{API}/me/accounts", {**params, **graph.page_parameters(cursor)})))
        accounts += (parse_page(page) for page in fields.page_of(body, "data"))
        cursor = graph.next_cursor(body)
        if cursor is None:
            break
    return Profile(
        platform_user_id=fields.identifier(person.get("id")),
        username=None,
        display_name=fields.text(person.get("name")),
        avatar_url=None,
        accounts=tuple(accounts),
    )


def fetch_account(api: Api, account: AccountRecord) -> AccountRecord | None:
    """The Page as it is now, read with its own token."""
    url = f"{API}/{account.platform_account_id}"
    page = fields.obj(api.call(Request("GET", url, {"fields": ACCOUNT_FIELDS})))
    return parse_page(page) if fields.identifier(page.get("id")) else None


def fetch_page(api: Api, account: AccountRecord, cursor: str | None) -> Page:
    """Posts, newest first; after the last of them the reels, which the posts' edge leaves out."""
    if READ_SCOPE not in api.scopes:
        return Page((), warning="missing_scope")
    edge, _, place = (cursor or f"{POSTS}:").partition(":")
    is_reels = edge == REELS
    params: dict[str, str | int] = {"fields": VIDEO_FIELDS if is_reels else POST_FIELDS, "limit": PAGE_SIZE}
    request = Request("GET", f"{API}/{account.platform_account_id}/{edge}", {**params, **graph.page_parameters(place)})
    try:
        body = fields.obj(api.call(request))
    except UpstreamRefusedError as error:
        if is_reels and not isinstance(error, TokenRejectedError) and error.upstream_code in NOT_AVAILABLE_CODES:
            return Page((), not_listed=frozenset({"reel"}))
        raise
    objects = fields.page_of(body, "data")
    records = tuple(parse_video(found, is_reel=True) if is_reels else parse_post(found) for found in objects)
    following = graph.next_cursor(body)
    if following is not None:
        return Page(records, f"{edge}:{following}")
    return Page(records, None if is_reels else f"{REELS}:")


def check_oauth(response: Response) -> UpstreamError | None:
    """As the graph answers; a code that is not taken is a refused grant."""
    error = fields.obj(response.json_object().get("error"))
    failure = graph.check(response)
    if isinstance(failure, TokenRejectedError) or fields.count(error.get("error_subcode")) in REFUSED_CODE_SUBCODES:
        return GrantRevokedError(service=response.service, upstream_status=response.status)
    return failure


def sign(request: Request, access_token: str) -> Request:
    """Adds the token and the proof that its user is the app, which apps may demand for calls from servers."""
    secret = settings.FACEBOOK_CLIENT_SECRET.value().encode()
    proof = hmac.new(secret, access_token.encode(), hashlib.sha256).hexdigest()
    params = {**request.params, "access_token": access_token, "appsecret_proof": proof}
    return dataclasses.replace(request, params=params)


def _post_type(post: Mapping[str, Any], first: Mapping[str, Any], parts: tuple[Mapping[str, Any], ...]) -> ContentType:
    kind = str(first.get("media_type") or first.get("type") or "")
    if "/reel/" in str(post.get("permalink_url", "")):
        return "reel"
    if kind == "album" or len(parts) > 1:
        return "carousel"
    if kind == "photo":
        return "image"
    # A post does not say how long its video is.
    return "long_video" if kind.startswith("video") else "post"


def _medium(attachment: Mapping[str, Any]) -> dict[str, Any] | None:
    media = fields.obj(attachment.get("media"))
    image = fields.obj(media.get("image"))
    source = fields.link(media.get("source"))
    url = source or fields.link(image.get("src"))
    if url is None:
        return None
    size = fields.size(image)
    return {"type": "video" if source else "image", "url": url, **size}


def _shares(post: Mapping[str, Any]) -> int | None:
    """How often a post was shared. The graph leaves it out where nobody has, and still answers the other counts."""
    if post.get("shares") is None and (
        _total(post.get("reactions")) is not None or _total(post.get("comments")) is not None
    ):
        return 0
    return fields.count(fields.obj(post.get("shares")).get("count"))


def _total(edge: Any) -> int | None:
    return fields.count(fields.obj(fields.obj(edge).get("summary")).get("total_count"))


def _absolute(address: Any) -> str | None:
    path = fields.text(address, fields.MAX_URL_CHARACTERS)
    return f"{SITE}{path}" if path and path.startswith("/") and not path.startswith("//") else fields.link(address)


def _video_visibility(video: Mapping[str, Any]) -> Visibility:
    privacy = str(fields.obj(video.get("privacy")).get("value") or "EVERYONE")
    return "private" if video.get("published") is False or privacy != "EVERYONE" else "public"


def _exchange_for_long_lived(client: Secrets, token: Token) -> Request:
    form = {
        "grant_type": "fb_exchange_token",
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "fb_exchange_token": token.access_token,
    }
    return Request("POST", OAUTH.token_url, form=form)


def _inspect(client: Secrets, token: Token) -> Request:
    app_token = f"{client.client_id}|{client.client_secret}"
    return Request("GET", f"{API}/debug_token", {"input_token": token.access_token, "access_token": app_token})


def read_scopes(body: Any) -> tuple[str, ...] | None:
    """The granted scopes in an answer of debug_token."""
    scopes = fields.obj(fields.obj(body).get("data")).get("scopes")
    return tuple(scope for scope in scopes if isinstance(scope, str)) if isinstance(scopes, list) else None


def _revoke(_: Secrets, token: Token) -> Request:
    return sign(Request("DELETE", f"{API}/me/permissions"), token.access_token)


OAUTH = OAuthSpec(
    authorize_url=f"{SITE}/{graph.VERSION}/dialog/oauth",
    token_url=f"{API}/oauth/access_token",
    client_id=settings.FACEBOOK_CLIENT_ID,
    client_secret=settings.FACEBOOK_CLIENT_SECRET,
    required_scopes=(LIST_SCOPE,),
    optional_scopes={READ_SCOPE: "content", INSIGHTS_SCOPE: "insights"},
    scope_separator=",",
    issuer=SITE,
    exchange_steps=(_exchange_for_long_lived,),
    inspect=_inspect,
    read_scopes=read_scopes,
    revoke=_revoke,
    check=check_oauth,
)

SPEC = PlatformSpec(
    slug="facebook",
    display_name="Facebook",
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
