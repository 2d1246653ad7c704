"""Instagram's resources rendered from accounts and items.

https://developers.facebook.com/docs/instagram-platform/reference/instagram-media (v26.0)
"""

from __future__ import annotations

import hashlib
from typing import Any

from infra.local.upstream.accounts import Account
from infra.local.upstream.identifiers import meta_id
from infra.local.upstream.items import Item
from infra.local.upstream.providers.graph import DAY_SECONDS, timestamp

Resource = dict[str, Any]

SCOPED_PREFIX, PROFESSIONAL_PREFIX, CHILD_PREFIX = 255, 178_414, 179
MEDIA_TYPES = {"image": "IMAGE", "carousel": "CAROUSEL_ALBUM", "reel": "VIDEO", "video": "VIDEO", "story": "IMAGE"}
# Metrics that are told by what people did: (dimension, its value here).
BROKEN_DOWN = {
    "profile_activity": ("action_type", "bio_link_clicked"),
    "navigation": ("story_navigation_action_type", "tap_forward"),
}
_COMMON = {"views", "reach", "likes", "comments", "saved", "shares", "reposts", "total_interactions"}
METRICS = {
    "FEED": _COMMON | {"follows", "profile_visits", "profile_activity"},
    "REELS": _COMMON | {"ig_reels_avg_watch_time", "ig_reels_video_view_total_time", "reels_skip_rate"},
    "STORY": {"views", "reach", "replies", "shares", "reposts", "navigation", "follows", "profile_visits"}
    | {"profile_activity", "total_interactions", "link_clicks"},
}


def scoped_id(account: Account) -> str:
    """The app-scoped id of the token answer; larger than 2**53."""
    return meta_id(SCOPED_PREFIX, account.number, 0)


def professional_id(account: Account) -> str:
    """`user_id` of the profile, which webhooks use."""
    return meta_id(PROFESSIONAL_PREFIX, account.number, 0)


def profile(account: Account) -> Resource:
    return {
        "id": scoped_id(account),
        "user_id": professional_id(account),
        "username": account.handle,
        "name": account.name,
        "account_type": account.options.get("account_type", "Media_Creator"),
        "profile_picture_url": f"https://scontent.cdninstagram.com/v/{account.handle}_profile.jpg",
        "followers_count": account.followers,
        "follows_count": account.following,
        "media_count": len(published(account)),
        "biography": account.description or None,
        "website": "https://creator.example",
    }


def published(account: Account) -> list[int]:
    """Indexes of what the profile shows, newest first; stories are not part of it."""
    return account.catalogue.select("media", lambda item: item.kind != "story" and item.privacy == "public")


def product_type(item: Item) -> str:
    return {"reel": "REELS", "story": "STORY"}.get(item.kind, "FEED")


def media(account: Account, identifier: str, item: Item, now: float) -> Resource:
    """Every field that media have, None where this one has nothing to show."""
    shortcode = _shortcode(identifier)
    moving = item.kind in ("reel", "video")
    flagged = moving and item.index % 13 == 0  # copyrighted sound: no media_url
    caption = f"{item.title}\n\n{item.description}".strip()
    return {
        "id": identifier,
        "ig_id": identifier[1:],
        "caption": caption if item.index % 17 else None,
        "media_type": "VIDEO" if item.kind == "story" and item.duration_seconds else MEDIA_TYPES[item.kind],
        "media_product_type": product_type(item),
        "media_url": None if flagged else _signed(identifier, "mp4" if moving else "jpg", now),
        "thumbnail_url": _signed(f"{identifier}_t", "jpg", now) if moving else None,
        "permalink": f"https://www.instagram.com/{'reel' if item.kind == 'reel' else 'p'}/{shortcode}/",
        "shortcode": shortcode,
        "timestamp": timestamp(item.published_at),
        "username": account.handle,
        "owner": {"id": professional_id(account)},
        "like_count": item.likes,
        "comments_count": item.comments,
        "is_comment_enabled": True,
        "is_shared_to_feed": item.index % 4 != 0 if item.kind == "reel" else None,
        "alt_text": f"Photo: {item.title}" if item.kind == "image" and item.index % 2 else None,
        "children": _children(account, item, now) if item.kind == "carousel" else None,
    }


def insight(identifier: str, item: Item, metric: str) -> Resource:
    views, likes, comments, shares = item.views or 0, item.likes or 0, item.comments or 0, item.shares or 0
    numbers = {
        "views": views,
        "reach": views * 3 // 4,
        "likes": likes,
        "comments": comments,
        "shares": shares,
        "saved": likes // 8,
        "reposts": shares // 3,
        "total_interactions": likes + comments + shares + likes // 8,
        "ig_reels_avg_watch_time": item.duration_seconds * 430,
        "ig_reels_video_view_total_time": views * item.duration_seconds * 430,
        "reels_skip_rate": 31,
    }
    value = numbers.get(metric, views // 50)
    told: Resource = {"name": metric, "period": "lifetime", "values": [{"value": value}]}
    if metric in BROKEN_DOWN:
        dimension, kind = BROKEN_DOWN[metric]
        results = [{"dimension_values": [kind], "value": value}]
        broken = [{"dimension_keys": [dimension], "results": results}]
        told["total_value"] = {"value": value, "breakdowns": broken}
    return {
        **told,
        "title": metric.replace("_", " ").capitalize(),
        "description": f"The number of {metric.replace('_', ' ')}.",
        "id": f"{identifier}/insights/{metric}/lifetime",
    }


def _children(account: Account, item: Item, now: float) -> Resource:
    rows = []
    for place in range(item.parts):
        child = meta_id(CHILD_PREFIX, account.number, item.index * 8 + place & 0xFFFFF)
        moving = (item.index + place) % 5 == 0
        row = {"id": child, "media_type": "VIDEO" if moving else "IMAGE"}
        row["media_url"] = _signed(child, "mp4" if moving else "jpg", now)
        if moving:
            row["thumbnail_url"] = _signed(f"{child}_t", "jpg", now)
        rows.append({**row, "timestamp": timestamp(item.published_at), "shortcode": _shortcode(child)})
    return {"data": rows}


def _signed(name: str, extension: str, now: float) -> str:
    """A CDN address whose signature changes daily."""
    expires = (int(now) // DAY_SECONDS + 3) * DAY_SECONDS
    signature = hashlib.sha256(f"{name}{expires}".encode()).hexdigest()[:32]
    return f"https://scontent.cdninstagram.com/v/t51.29350-15/{name}_n.{extension}?oh={signature}&oe={expires:X}"


def _shortcode(identifier: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    number, letters = int(identifier), ""
    while number:
        number, rest = divmod(number, 64)
        letters = alphabet[rest] + letters
    return letters
