"""TikTok: Login Kit for Web and the Display API v2.

https://developers.tiktok.com/doc/oauth-user-access-token-management (2026-11), /doc/display-api-overview

Access tokens live two hours, refresh tokens rotate and a spent one revokes its family. Every data answer carries
`error.code`, "ok" on success; the token endpoint answers errors with HTTP 200, which `POST /_sim/tiktok/limits` can
change.
"""

from __future__ import annotations

import bisect
import hashlib
import secrets
from collections.abc import Sequence
from urllib.parse import quote

from infra.local.upstream.accounts import Account
from infra.local.upstream.identifiers import parse_timed_id, timed_id
from infra.local.upstream.items import Item, Mix
from infra.local.upstream.limits import SlidingWindow
from infra.local.upstream.messages import Refusal, Request, Response, json_response, redirect
from infra.local.upstream.oauth import Grant, OAuthError, Policy
from infra.local.upstream.platform import Platform
from infra.local.upstream.provider import Route

PAGES, API = "www.tiktok.com", "open.tiktokapis.com"
ACCESS_SECONDS, REFRESH_SECONDS, CODE_SECONDS = 7200, 180 * 86_400, 600
REQUESTS_A_MINUTE = 600
COVER_SECONDS = 6 * 3600
MAX_PAGE, DEFAULT_PAGE = 20, 10

USER_FIELDS = {
    **dict.fromkeys(
        ("open_id", "union_id", "avatar_url", "avatar_url_100", "avatar_large_url", "display_name"), "user.info.basic"
    ),
    **dict.fromkeys(
        ("username", "bio_description", "profile_deep_link", "profile_web_link", "is_verified"), "user.info.profile"
    ),
    **dict.fromkeys(("follower_count", "following_count", "likes_count", "video_count"), "user.info.stats"),
}
VIDEO_FIELDS = (
    "id", "create_time", "cover_image_url", "share_url", "video_description", "duration", "height", "width", "title",
    "embed_html", "embed_link", "like_count", "comment_count", "share_count", "view_count", "is_aigc",
)  # fmt: skip
STATUS_OF = {
    "access_token_invalid": 401,
    "scope_not_authorized": 401,
    "invalid_params": 400,
    "rate_limit_exceeded": 429,
    "internal_error": 500,
}


class TikTok(Platform):
    name = "tiktok"
    hosts = (PAGES, API)
    client_parameter = "client_key"
    mix = Mix(
        kinds={"short": 9, "video": 1}, unlisted=0, private=0.04, hidden_likes=0, hidden_comments=0.02, untagged=0.3
    )
    default_scopes = ("user.info.basic", "user.info.profile", "user.info.stats", "video.list")
    optional_scopes = ("user.info.profile", "user.info.stats", "video.list")

    def reset(self) -> None:
        super().reset()
        self.window = SlidingWindow(self.clock, REQUESTS_A_MINUTE, 60)
        self.token_error_status = 200

    def policy(self) -> Policy:
        return Policy(
            code_seconds=CODE_SECONDS,
            access_seconds=ACCESS_SECONDS,
            refresh_seconds=REFRESH_SECONDS,
            rotating=True,
            hex_challenge=True,
            access_prefix="act.",
            refresh_prefix="rft.",
            code_suffix="*0!4623.u1",  # characters that a client must decode before it sends the code
        )

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", PAGES, "/v2/auth/authorize/", self._authorize),
            Route("POST", API, "/v2/oauth/token/", self._token),
            Route("POST", API, "/v2/oauth/revoke/", self._revoke),
            Route("GET", API, "/v2/user/info/", self._user),
            Route("POST", API, "/v2/video/list/", self._videos),
            Route("POST", API, "/v2/video/query/", self._query),
        )

    def controls(self) -> Sequence[Route]:
        return (*super().controls(), Route("POST", "", "/limits", self._set_limits))

    def item_id(self, account: Account, index: int) -> str:
        return timed_id(account.catalogue.published_at(index), account.number, index)

    def item_index(self, account: Account, item_id: str) -> int:
        place = parse_timed_id(item_id)
        if place is None or place[0] != account.number:
            raise KeyError(f"{account.slug} has no video {item_id}")
        return place[1]

    def token_answer(self, account: Account, scopes: tuple[str, ...]) -> dict[str, object]:
        return self._answer(self.oauth.grant(next(iter(self.oauth.clients)), account.slug, scopes))

    def not_found(self, _: Request) -> Response:
        return json_response({"error": {"code": "invalid_params", "message": "Unsupported path(Janus)"}}, 404)

    # Signing in.

    def _authorize(self, request: Request) -> Response:
        consent = self.consent(request)
        back = {"state": consent.state} if consent.state is not None else {}
        if consent.denied:
            reason = {"error": "access_denied", "error_description": "User cancelled the authorization"}
            return redirect(consent.redirect_uri, {**reason, **back})
        grant = self.oauth.grant(consent.client.client_id, consent.account.slug, consent.granted)
        query = request.query
        code = self.oauth.issue_code(
            grant, consent.redirect_uri, query.get("code_challenge", ""), query.get("code_challenge_method", "")
        )
        return redirect(consent.redirect_uri, {"code": code, "scopes": ",".join(consent.granted), **back})

    def _token(self, request: Request) -> Response:
        form = request.form()
        try:
            client = self.oauth.authenticate(form.get("client_key", ""), form.get("client_secret", ""))
            match form.get("grant_type"):
                case "authorization_code":
                    code, uri = form.get("code", ""), form.get("redirect_uri", "")
                    grant = self.oauth.redeem(code, client, uri, form.get("code_verifier", ""))
                case "refresh_token":
                    grant = self.oauth.refresh(form.get("refresh_token", ""), client)
                case other:
                    return self._token_error("unsupported_grant_type", f"Grant type {other} is not supported.")
        except OAuthError as error:
            known = "invalid_request" if error.error == "redirect_uri_mismatch" else error.error
            return self._token_error(known, error.description)
        return json_response(self._answer(grant))

    def _answer(self, grant: Grant) -> dict[str, object]:
        return {
            "open_id": self._open_id(grant.account),
            "scope": ",".join(grant.scopes),
            "access_token": self.oauth.issue_access(grant).value,
            "expires_in": int(self.oauth.policy.access_seconds),
            "refresh_token": self.oauth.issue_refresh(grant).value,
            "refresh_expires_in": int(self.oauth.policy.refresh_seconds or 0),
            "token_type": "Bearer",
        }

    def _token_error(self, error: str, description: str) -> Response:
        body = {"error": error, "error_description": description, "log_id": self._log_id()}
        return json_response(body, self.token_error_status)

    def _revoke(self, request: Request) -> Response:
        form = request.form()
        try:
            client = self.oauth.authenticate(form.get("client_key", ""), form.get("client_secret", ""))
        except OAuthError as error:
            return self._token_error(error.error, error.description)
        token = self.oauth.access.get(form.get("token", "")) or self.oauth.refreshes.get(form.get("token", ""))
        if token is None or token.grant.revoked:
            return self._token_error("invalid_request", "The token is invalid or was revoked.")
        self.oauth.revoke_account(token.grant.account, "revoked by the client", client.client_id)
        return Response(200)

    # The Display API.

    def _user(self, request: Request) -> Response:
        account, scopes = self._begin(request)
        wanted = self._fields(request, tuple(USER_FIELDS))
        if any(USER_FIELDS[name] not in scopes for name in wanted):
            raise self._refuse("scope_not_authorized", "The user did not authorize the scope required.")
        public = account.catalogue.public()
        user: dict[str, object] = {
            "open_id": self._open_id(account.slug),
            "union_id": self._open_id(f"union/{account.slug}"),
            "avatar_url": f"https://p16-sign.tiktokcdn.com/{account.handle}~c5_168x168.jpeg",
            "avatar_url_100": f"https://p16-sign.tiktokcdn.com/{account.handle}~c5_100x100.jpeg",
            "avatar_large_url": f"https://p16-sign.tiktokcdn.com/{account.handle}~c5_1080x1080.jpeg",
            "display_name": account.name,
            "username": account.handle,
            "bio_description": account.description,
            "profile_deep_link": f"https://vm.tiktok.com/{self._open_id(account.slug)[:9]}",
            "profile_web_link": f"https://www.tiktok.com/@{account.handle}",
            "is_verified": account.followers > 500_000,
            "follower_count": account.followers,
            "following_count": account.following,
            "likes_count": account.followers * 41,
            "video_count": len(public),
        }
        return self._ok({"user": {name: user[name] for name in wanted}})

    def _videos(self, request: Request) -> Response:
        account, wanted, body = self._begin_videos(request)
        count, cursor = body.get("max_count", DEFAULT_PAGE), body.get("cursor")
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_PAGE:
            raise self._refuse("invalid_params", f"max_count must be between 1 and {MAX_PAGE}")
        if cursor is not None and (not isinstance(cursor, int) or isinstance(cursor, bool)):
            raise self._refuse("invalid_params", "cursor must be an integer of milliseconds")
        catalogue = account.catalogue
        public = catalogue.public()
        start = 0
        if cursor:
            start = bisect.bisect_right(public, -cursor / 1000, key=lambda index: -catalogue.published_at(index))
        page = public[start : start + count]
        more = start + count < len(public)
        last = int(catalogue.published_at(page[-1]) * 1000) if page else cursor or 0
        videos = [self._video(account, catalogue.item(index), wanted) for index in page]
        return self._ok({"videos": videos, "cursor": last, "has_more": more})

    def _query(self, request: Request) -> Response:
        account, wanted, body = self._begin_videos(request)
        filters = body.get("filters")
        ids = filters.get("video_ids") if isinstance(filters, dict) else None
        if not isinstance(ids, list) or not 1 <= len(ids) <= MAX_PAGE:
            raise self._refuse("invalid_params", f"filters.video_ids must hold 1 to {MAX_PAGE} ids")
        public = set(account.catalogue.public())
        places = [parse_timed_id(str(text)) for text in ids]
        found = [p[1] for p in places if p is not None and p[0] == account.number and p[1] in public]
        return self._ok({"videos": [self._video(account, account.catalogue.item(i), wanted) for i in found]})

    def _video(self, account: Account, item: Item, wanted: list[str]) -> dict[str, object]:
        identifier = self.item_id(account, item.index)
        expires = (int(self.clock.now()) // COVER_SECONDS + 2) * COVER_SECONDS  # signed for whole periods
        signature = hashlib.sha256(f"{identifier}{expires}".encode()).hexdigest()[:27]
        share = f"https://www.tiktok.com/@{quote(account.handle)}/video/{identifier}"
        text = f"{item.title} {' '.join('#' + tag.replace(' ', '') for tag in item.tags[:4])}".strip()
        video: dict[str, object] = {
            "id": identifier,
            "create_time": int(item.published_at),
            "cover_image_url": f"https://p16-sign.tiktokcdn.com/obj/{identifier}.jpeg?x-expires={expires}"
            f"&x-signature={signature}",
            "share_url": f"{share}?utm_campaign=client_share&utm_source=local",
            "video_description": text,
            "duration": item.duration_seconds,
            "height": item.height,
            "width": item.width,
            "title": item.title[:150],
            "embed_html": f'<blockquote class="tiktok-embed" data-video-id="{identifier}"></blockquote>',
            "embed_link": f"https://www.tiktok.com/player/v1/{identifier}",
            "like_count": item.likes,
            "comment_count": item.comments,
            "share_count": item.shares,
            "view_count": item.views,
            "is_aigc": item.index % 11 == 0,
        }
        return {name: video[name] for name in wanted if video[name] is not None}

    # What they stand on.

    def _begin(self, request: Request) -> tuple[Account, tuple[str, ...]]:
        token = self.oauth.find(request.bearer())
        if token is None:
            raise self._refuse("access_token_invalid", "The access token is invalid or not found in the request.")
        if not self.window.allow(f"{token.grant.client_id} {request.path}"):
            raise self._refuse("rate_limit_exceeded", "The API rate limit was exceeded. Please try again later.")
        account = self.accounts.get(token.grant.account)
        assert account is not None
        return account, token.grant.scopes

    def _begin_videos(self, request: Request) -> tuple[Account, list[str], dict[str, object]]:
        account, scopes = self._begin(request)
        if "video.list" not in scopes:
            raise self._refuse("scope_not_authorized", "The user did not authorize the scope required.")
        try:
            body = request.json()
        except ValueError as error:
            raise self._refuse("invalid_params", "The body is not JSON.") from error
        if body and "json" not in request.headers.get("content-type", ""):
            raise self._refuse("invalid_params", "The Content-Type must be application/json.")
        return account, self._fields(request, VIDEO_FIELDS), body

    def _fields(self, request: Request, known: tuple[str, ...]) -> list[str]:
        wanted = [name.strip() for name in request.query.get("fields", "").split(",") if name.strip()]
        if not wanted or set(wanted) - set(known):
            raise self._refuse("invalid_params", f"fields must be some of {','.join(known)}")
        return wanted

    def _ok(self, data: dict[str, object]) -> Response:
        return json_response({"data": data, "error": {"code": "ok", "message": "", "log_id": self._log_id()}})

    def _refuse(self, code: str, message: str) -> Refusal:
        error = {"code": code, "message": message, "log_id": self._log_id()}
        return Refusal(json_response({"data": {}, "error": error}, STATUS_OF[code]))

    def _log_id(self) -> str:
        return self.clock.datetime().strftime("%Y%m%d%H%M%S") + secrets.token_hex(9).upper()

    def _open_id(self, slug: str) -> str:
        return f"-000{hashlib.sha256(f'tiktok/{slug}'.encode()).hexdigest()[:30]}"

    def _set_limits(self, request: Request) -> Response:
        """{requests_a_minute?, token_error_status?}"""
        fields = request.json()
        self.window.limit = int(fields.get("requests_a_minute", self.window.limit))
        self.token_error_status = int(fields.get("token_error_status", self.token_error_status))
        return json_response({"requests_a_minute": self.window.limit, "token_error_status": self.token_error_status})
