"""YouTube Data API v3 resources rendered from accounts and items: string counts, missing fields, ISO
durations.

https://developers.google.com/youtube/v3/docs (discovery revision 20261104)
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from functools import lru_cache

from infra.local.upstream.accounts import Account
from infra.local.upstream.identifiers import parse_short_id, short_id
from infra.local.upstream.items import ANCHOR, Item

Resource = dict[str, object]

CATEGORIES = {
    "1": "Film & Animation",
    "2": "Autos & Vehicles",
    "10": "Music",
    "15": "Pets & Animals",
    "17": "Sports",
    "19": "Travel & Events",
    "20": "Gaming",
    "22": "People & Blogs",
    "23": "Comedy",
    "24": "Entertainment",
    "25": "News & Politics",
    "26": "Howto & Style",
    "27": "Education",
    "28": "Science & Technology",
    "29": "Nonprofits & Activism",
}
THUMBNAILS = (
    ("default", "default", 120, 90),
    ("medium", "mqdefault", 320, 180),
    ("high", "hqdefault", 480, 360),
    ("standard", "sddefault", 640, 480),
    ("maxres", "maxresdefault", 1280, 720),
)
VIDEO_PARTS = (
    "snippet", "contentDetails", "statistics", "status", "fileDetails", "player", "id", "topicDetails",
    "liveStreamingDetails", "localizations", "recordingDetails", "paidProductPlacementDetails",
)  # fmt: skip
CHANNEL_PARTS = (
    "snippet", "contentDetails", "statistics", "status", "id", "brandingSettings", "topicDetails",
    "localizations",
)  # fmt: skip
PLAYLIST_ITEM_PARTS = ("snippet", "contentDetails", "status", "id")


def etag(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:27]


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_duration(seconds: int) -> str:
    """PT1H2M3S, P1DT2H, and P0D for nothing, as YouTube writes them."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    time = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if n)
    return "P" + (f"{days}D" if days or not time else "") + (f"T{time}" if time else "")


def channel_id(account: Account) -> str:
    """ "UC" and 22 characters that the slug decides."""
    return _channel_id(account.slug)


@lru_cache(maxsize=10_000)
def _channel_id(slug: str) -> str:
    digest = hashlib.sha256(f"youtube/{slug}".encode()).digest()
    return "UC" + base64.urlsafe_b64encode(digest).decode()[:22]


def video_id(account: Account, index: int) -> str:
    return short_id(account.number, index)


def video_place(text: str) -> tuple[int, int] | None:
    return parse_short_id(text)


def channel(account: Account, parts: set[str], public_videos: int) -> Resource:
    made: Resource = {"kind": "youtube#channel", "id": channel_id(account)}
    if "snippet" in parts:
        snippet: Resource = {"title": account.name, "description": account.description}
        if not account.options.get("no_handle"):
            snippet["customUrl"] = f"@{account.handle}"
        snippet["publishedAt"] = rfc3339(ANCHOR - 1_200 * 86_400)
        picture = f"https://yt3.ggpht.com/ytc/{etag(account.slug)}"
        snippet["thumbnails"] = {
            name: {"url": f"{picture}=s{side}-c-k-c0x00ffffff-no-rj", "width": side, "height": side}
            for name, side in (("default", 88), ("medium", 240), ("high", 800))
        }
        snippet["localized"] = {"title": account.name, "description": account.description}
        if "country" in account.options:
            snippet["country"] = account.options["country"]
        made["snippet"] = snippet
    if "contentDetails" in parts:
        made["contentDetails"] = {"relatedPlaylists": {"likes": "LL", "uploads": f"UU{channel_id(account)[2:]}"}}
    if "statistics" in parts:
        hidden = bool(account.options.get("hidden_subscribers"))
        statistics: Resource = {"viewCount": str(account.followers * 311 + 17)}
        if not hidden:
            statistics["subscriberCount"] = str(_three_figures(account.followers))
        made["statistics"] = {**statistics, "hiddenSubscriberCount": hidden, "videoCount": str(public_videos)}
    if "status" in parts:
        made["status"] = {
            "privacyStatus": "public",
            "isLinked": True,
            "longUploadsStatus": "allowed",
            "madeForKids": False,
            "selfDeclaredMadeForKids": False,
        }
    return _tagged(made)


def playlist_item(account: Account, playlist_id: str, item: Item, position: int, parts: set[str]) -> Resource:
    identifier = video_id(account, item.index)
    made: Resource = {"kind": "youtube#playlistItem", "id": f"VVV{etag(playlist_id, identifier)}"}
    if "snippet" in parts:
        owner = channel_id(account)
        made["snippet"] = {
            "publishedAt": rfc3339(item.published_at),
            "channelId": owner,
            "title": item.title,
            "description": item.description,
            "thumbnails": thumbnails(identifier, item),
            "channelTitle": account.name,
            "playlistId": playlist_id,
            "position": position,
            "resourceId": {"kind": "youtube#video", "videoId": identifier},
            "videoOwnerChannelTitle": account.name,
            "videoOwnerChannelId": owner,
        }
    if "contentDetails" in parts:
        made["contentDetails"] = {"videoId": identifier, "videoPublishedAt": rfc3339(item.published_at)}
    if "status" in parts:
        made["status"] = {"privacyStatus": item.privacy}
    return _tagged(made)


def thumbnails(identifier: str, item: Item) -> Resource:
    kept = THUMBNAILS if item.index % 9 else THUMBNAILS[:3]  # some old uploads have small ones only
    made: Resource = {
        name: {"url": f"https://i.ytimg.com/vi/{identifier}/{file}.jpg", "width": width, "height": height}
        for name, file, width, height in kept
    }
    if item.kind == "short" and item.index % 2:
        url = f"https://i.ytimg.com/vi/{identifier}/oardefault.jpg"
        made["shortsAspectRatio"] = {"url": url, "width": 1080, "height": 1920}
    return made


def video(account: Account, item: Item, parts: set[str]) -> Resource:
    identifier = video_id(account, item.index)
    made: Resource = {"kind": "youtube#video", "id": identifier}
    if "snippet" in parts:
        made["snippet"] = _video_snippet(account, identifier, item)
    if "contentDetails" in parts:
        made["contentDetails"] = {
            "duration": "P0D" if item.kind == "upcoming" else iso_duration(item.duration_seconds),
            "dimension": "2d",
            "definition": "hd" if item.index % 9 else "sd",
            "caption": "true" if item.index % 4 == 0 else "false",
            "licensedContent": item.index % 3 != 0,
            "contentRating": {},
            "projection": "rectangular",
            "hasCustomThumbnail": item.index % 5 != 0,
        }
    if "statistics" in parts:
        counts = {
            "viewCount": item.views,
            "likeCount": item.likes,
            "favoriteCount": 0,
            "commentCount": item.comments,
        }
        made["statistics"] = {name: str(count) for name, count in counts.items() if count is not None}
    if "status" in parts:
        status: Resource = {
            "uploadStatus": "uploaded" if item.kind == "upcoming" else "processed",
            "privacyStatus": item.privacy,
            "license": "youtube",
            "embeddable": True,
            "publicStatsViewable": item.likes is not None,
            "madeForKids": False,
            "selfDeclaredMadeForKids": False,
        }
        if "publish_at" in item.extra and item.privacy == "private":
            status["publishAt"] = rfc3339(float(item.extra["publish_at"]))
        made["status"] = status
    if "fileDetails" in parts:
        stream = {
            "widthPixels": item.width,
            "heightPixels": item.height,
            "aspectRatio": item.width / item.height,
        }
        made["fileDetails"] = {
            "fileName": f"{identifier}.mp4",
            "fileType": "video",
            "durationMs": str(item.duration_seconds * 1000),
            "videoStreams": [{**stream, "codec": "h264"}],
        }
    if "player" in parts:
        source = f"//www.youtube.com/embed/{identifier}"
        frame = f'<iframe width="480" height="270" src="{source}" frameborder="0" allowfullscreen></iframe>'
        made["player"] = {"embedHtml": frame}
    return _tagged(made)


def _video_snippet(account: Account, identifier: str, item: Item) -> Resource:
    snippet: Resource = {
        "publishedAt": rfc3339(item.published_at),
        "channelId": channel_id(account),
        "title": item.title,
        "description": item.description,
        "thumbnails": thumbnails(identifier, item),
        "channelTitle": account.name,
    }
    if item.tags:
        snippet["tags"] = list(item.tags)
    live = {"live": "none", "upcoming": "upcoming", "streaming": "live"}
    snippet["categoryId"] = item.category
    snippet["liveBroadcastContent"] = live.get(item.kind, "none")
    if item.index % 3 == 0:
        snippet["defaultLanguage"] = item.language
    snippet["localized"] = {"title": item.title, "description": item.description}
    if item.index % 5:
        snippet["defaultAudioLanguage"] = item.language
    return snippet


def _three_figures(number: int) -> int:
    scale: int = 10 ** max(0, len(str(number)) - 3)
    return number // scale * scale


def _tagged(made: Resource) -> Resource:
    return {"kind": made["kind"], "etag": etag(made), **{k: v for k, v in made.items() if k != "kind"}}
