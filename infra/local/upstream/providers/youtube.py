"""YouTube: the Data API v3 over Google's sign-in, with its daily quota.

https://developers.google.com/youtube/v3/docs

Every call of a known method costs one unit of the project's day, invalid ones and 304s too; days end at
midnight Pacific of
the simulated clock. Owners see their private and unlisted videos; ids that vanished are simply absent
from videos.list.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from infra.local.upstream.accounts import Account
from infra.local.upstream.items import Item, Mix
from infra.local.upstream.messages import Refusal, Request, Response, json_response
from infra.local.upstream.provider import Route
from infra.local.upstream.providers import youtube_shapes as shapes
from infra.local.upstream.providers.google_sign_in import GoogleSignIn

PACIFIC = ZoneInfo("America/Los_Angeles")
DAILY_UNITS = 10_000
API_HOSTS = ("www.googleapis.com", "youtube.googleapis.com")
READ_SCOPES = (
    "https://www.googleapis.com/auth/youtube.readonly",
    "https://www.googleapis.com/auth/youtube",
    "https://www.googleapis.com/auth/youtube.force-ssl",
)
# Undocumented playlists of a channel by prefix: all uploads, Shorts, long videos, live.
PLAYLISTS = {"UUSH": ("short",), "UULF": ("video",), "UULV": ("live", "upcoming", "streaming"), "UU": None}
MAX_IDS = 50


class YouTube(GoogleSignIn):
    name = "youtube"
    hosts = (*GoogleSignIn.hosts, *API_HOSTS, "www.youtube.com")
    mix = Mix(kinds={"video": 66, "short": 27, "live": 5, "upcoming": 2})
    default_scopes = READ_SCOPES[:1]
    optional_scopes = (*READ_SCOPES, "https://www.googleapis.com/auth/yt-analytics.readonly")

    def reset(self) -> None:
        super().reset()
        self.daily_units = DAILY_UNITS
        self.units: Counter[tuple[str, str]] = Counter()  # (client id, Pacific date)

    def routes(self) -> Sequence[Route]:
        api = [
            Route("GET", host, f"/youtube/v3/{path}", handler)
            for host in API_HOSTS
            for path, handler in (
                ("channels", self._channels),
                ("playlistItems", self._playlist_items),
                ("videos", self._videos),
                ("videoCategories", self._categories),
            )
        ]
        return (
            *self.sign_in_routes(),
            *api,
            Route("GET", "www.youtube.com", "/shorts/{id}", self._shorts_page),
        )

    def controls(self) -> Sequence[Route]:
        return (
            *super().controls(),
            Route("GET", "", "/quota", lambda _: json_response(self._describe_quota())),
            Route("POST", "", "/quota", self._set_quota),
        )

    def item_id(self, account: Account, index: int) -> str:
        return shapes.video_id(account, index)

    def item_index(self, account: Account, item_id: str) -> int:
        place = shapes.video_place(item_id)
        if place is None or place[0] != account.number:
            raise KeyError(f"{account.slug} has no video {item_id}")
        return place[1]

    def not_found(self, request: Request) -> Response:
        if request.host in API_HOSTS:
            return _error(404, "notFound", "Not Found", domain="global")
        return super().not_found(request)

    # The methods of the API.

    def _channels(self, request: Request) -> Response:
        viewer, parts = self._begin(request, shapes.CHANNEL_PARTS)
        if request.query.get("mine") == "true":
            found = [viewer]
        elif "id" in request.query:
            wanted = request.query["id"].split(",")
            found = [account for account in self.accounts if shapes.channel_id(account) in wanted]
        elif "forHandle" in request.query:
            handle = request.query["forHandle"].removeprefix("@")
            found = [account for account in self.accounts if account.handle == handle]
        else:
            raise _refuse(400, "missingRequiredParameter", "No filter selected. Expected one of: mine, id, forHandle")
        if viewer in found and viewer.options.get("suspended"):
            raise _refuse(403, "accountSuspended", "The account is suspended.", domain="youtube.channel")
        items = [
            shapes.channel(account, parts, self._public_videos(account))
            for account in found
            if not account.options.get("no_channel")
        ]
        page = {"totalResults": len(items), "resultsPerPage": len(items) or 5}
        return _list(request, "youtube#channelListResponse", items, page, omit_empty=True)

    def _playlist_items(self, request: Request) -> Response:
        viewer, parts = self._begin(request, shapes.PLAYLIST_ITEM_PARTS)
        playlist_id = request.query.get("playlistId", "")
        if not playlist_id:
            raise _refuse(400, "missingRequiredParameter", "Missing required parameter: playlistId")
        limit = _limit(request, default=5, highest=50)
        account, kinds = self._playlist(playlist_id, viewer)
        places = self._visible(account, viewer, kinds)
        if not account.catalogue.live():
            raise _refuse(404, "playlistNotFound", "The playlist cannot be found.", domain="youtube.playlistItem")
        start = _offset(request.query.get("pageToken"))
        chosen = list(enumerate(places))[start : start + limit]
        items = [
            shapes.playlist_item(account, playlist_id, account.catalogue.item(index), position, parts)
            for position, index in chosen
        ]
        page = {"totalResults": len(places), "resultsPerPage": limit}
        tokens = {"nextPageToken": _page_token(start + limit)} if start + limit < len(places) else {}
        if start:
            tokens["prevPageToken"] = _page_token(max(0, start - limit))
        return _list(request, "youtube#playlistItemListResponse", items, page, tokens=tokens)

    def _videos(self, request: Request) -> Response:
        viewer, parts = self._begin(request, shapes.VIDEO_PARTS)
        wanted = [text for text in request.query.get("id", "").split(",") if text]
        if not wanted:
            raise _refuse(400, "missingRequiredParameter", "No filter selected. Expected one of: id, chart, myRating")
        if len(wanted) > MAX_IDS:
            raise _refuse(400, "invalidFilters", "The request specifies too many video ids.")
        found = [place for text in dict.fromkeys(wanted) if (place := self._find_video(text, viewer)) is not None]
        if "fileDetails" in parts and any(account is not viewer for account, _ in found):
            raise _refuse(403, "forbidden", "The request cannot access user rating or file information.")
        items = [shapes.video(account, item, parts) for account, item in found]
        page = {"totalResults": len(items), "resultsPerPage": len(items)}
        return _list(request, "youtube#videoListResponse", items, page)

    def _categories(self, request: Request) -> Response:
        self._begin(request, ("snippet", "id"))
        if "regionCode" not in request.query and "id" not in request.query:
            raise _refuse(400, "missingRequiredParameter", "No filter selected. Expected one of: regionCode, id")
        items: list[shapes.Resource] = [
            {
                "kind": "youtube#videoCategory",
                "etag": shapes.etag(number, title),
                "id": number,
                "snippet": {"title": title, "assignable": True, "channelId": "UCBR8-60-B28hp2BmDPdntcQ"},
            }
            for number, title in shapes.CATEGORIES.items()
        ]
        return _list(request, "youtube#videoCategoryListResponse", items, None)

    def _shorts_page(self, _: Request, video_id: str) -> Response:
        """Not an API: 200 for a public Short, a redirect to the watch page for other videos."""
        place = self._find_video(video_id, None)
        if place is None:
            return Response(404)
        if place[1].kind == "short":
            return Response(200, b"<!doctype html>", {"content-type": "text/html"})
        return Response(303, b"", {"location": f"https://www.youtube.com/watch?v={video_id}"})

    # What they stand on.

    def _begin(self, request: Request, known_parts: Sequence[str]) -> tuple[Account, set[str]]:
        """The viewer and the parts asked for, one unit spent; refuses bad tokens, spent quotas, unknown
        parts.
        """
        token = self.oauth.find(request.bearer() or request.query.get("access_token", ""))
        if token is None:
            raise _refuse(
                401,
                "authError",
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie "
                "or other valid authentication credential.",
                domain="global",
                said="Invalid Credentials",
                location=("Authorization", "header"),
            )
        if not set(token.grant.scopes) & set(READ_SCOPES):
            raise _refuse(
                403,
                "insufficientPermissions",
                "Request had insufficient authentication scopes.",
                domain="global",
                said="Insufficient Permission",
            )
        self._spend(token.grant.client_id)
        parts = {part.strip() for part in request.query.get("part", "").split(",") if part.strip()}
        if not parts:
            raise _refuse(400, "missingRequiredParameter", "Required field: part", location=("part", "parameter"))
        if unknown := parts - set(known_parts):
            message = f"'{sorted(unknown)[0]}'"
            raise _refuse(400, "unknownPart", message, domain="youtube.part", location=("part", "parameter"))
        account = self.accounts.get(token.grant.account)
        assert account is not None
        return account, parts

    def _today(self) -> str:
        return self.clock.datetime().astimezone(PACIFIC).date().isoformat()

    def _spend(self, client_id: str) -> None:
        key = (client_id, self._today())
        if self.units[key] >= self.daily_units:
            raise _refuse(
                403,
                "quotaExceeded",
                "The request cannot be completed because you have exceeded your "
                '<a href="/youtube/v3/getting-started#quota">quota</a>.',
                domain="youtube.quota",
            )
        self.units[key] += 1

    def _describe_quota(self) -> dict[str, object]:
        today = self._today()
        used = sum(units for (_, day), units in self.units.items() if day == today)
        return {"day": today, "limit": self.daily_units, "used": used}

    def _set_quota(self, request: Request) -> Response:
        """{limit?, used?} for today."""
        fields = request.json()
        self.daily_units = int(fields.get("limit", self.daily_units))
        if "used" in fields:
            for client_id in self.oauth.clients:
                self.units[client_id, self._today()] = int(fields["used"])
        return json_response(self._describe_quota())

    def _public_videos(self, account: Account) -> int:
        if account.catalogue.size > 2_000:  # exact enough, and reading a channel need not make 20,000 items
            return int(len(account.catalogue.live()) * 0.93)
        return len(account.catalogue.public())

    def _playlist(self, playlist_id: str, viewer: Account) -> tuple[Account, tuple[str, ...] | None]:
        for account in (viewer, *self.accounts):
            if account.options.get("no_channel"):
                continue
            for prefix, kinds in PLAYLISTS.items():
                if playlist_id == prefix + shapes.channel_id(account)[2:]:
                    return account, kinds
        raise _refuse(404, "playlistNotFound", "The playlist cannot be found.", domain="youtube.playlistItem")

    def _visible(self, account: Account, viewer: Account, kinds: tuple[str, ...] | None) -> list[int]:
        if account is viewer and kinds is None:
            return account.catalogue.live()
        return account.catalogue.select(
            f"{kinds} for {'the owner' if account is viewer else 'everybody'}",
            lambda item: (kinds is None or item.kind in kinds) and (account is viewer or item.privacy == "public"),
        )

    def _find_video(self, text: str, viewer: Account | None) -> tuple[Account, Item] | None:
        place = shapes.video_place(text)
        account = self.accounts.at(place[0]) if place is not None else None
        if place is None or account is None or not account.catalogue.exists(place[1]):
            return None
        item = account.catalogue.item(place[1])
        return (account, item) if account is viewer or item.privacy != "private" else None


def _list(
    request: Request,
    kind: str,
    items: list[shapes.Resource],
    page: dict[str, int] | None,
    *,
    tokens: dict[str, str] | None = None,
    omit_empty: bool = False,
) -> Response:
    """A list response with its ETag; 304 without a body where the client has it already."""
    body: dict[str, object] = {**(tokens or {}), **({"pageInfo": page} if page else {})}
    if items or not omit_empty:
        body["items"] = items
    tag = shapes.etag(kind, page, tokens, [item["etag"] for item in items])
    if request.headers.get("if-none-match", "").strip('W/"') == tag:
        return Response(304, b"", {"etag": tag})
    return json_response({"kind": kind, "etag": tag, **body}, headers={"etag": tag})


def _limit(request: Request, *, default: int, highest: int) -> int:
    text = request.query.get("maxResults", str(default))
    if not text.isdigit() or int(text) > highest:
        raise _refuse(
            400,
            "invalidParameter",
            f"Invalid value '{text}'. Values must be within the range: [0, {highest}]",
        )
    return int(text)


def _page_token(offset: int) -> str:
    return base64.urlsafe_b64encode(b"\x08" + offset.to_bytes(4, "little") + b"\x10\x00").decode().rstrip("=")


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 7:
        raise _refuse(
            400,
            "invalidPageToken",
            "The request specifies an invalid page token.",
            domain="youtube.parameter",
        )
    return int.from_bytes(raw[1:5], "little")


STATUS_NAMES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}


def _error(
    status: int,
    reason: str,
    message: str,
    *,
    domain: str = "youtube.parameter",
    said: str = "",
    location: tuple[str, str] | None = None,
) -> Response:
    detail = {"message": said or message, "domain": domain, "reason": reason}
    if location is not None:
        detail |= {"location": location[0], "locationType": location[1]}
    error = {"code": status, "message": message, "errors": [detail], "status": STATUS_NAMES[status]}
    headers = {"www-authenticate": 'Bearer realm="https://accounts.google.com/", error="invalid_token"'}
    return json_response({"error": error}, status, headers if status == 401 else None)


def _refuse(
    status: int,
    reason: str,
    message: str,
    *,
    domain: str = "youtube.parameter",
    said: str = "",
    location: tuple[str, str] | None = None,
) -> Refusal:
    return Refusal(_error(status, reason, message, domain=domain, said=said, location=location))
