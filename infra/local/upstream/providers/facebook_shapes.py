"""Facebook's resources rendered from accounts and items.

https://developers.facebook.com/docs/graph-api/reference/page-post (v26.0)

Functions return every field that a node has, None where this one has nothing to show.
"""

from __future__ import annotations

import hashlib
from typing import Any

from infra.local.upstream.accounts import Account
from infra.local.upstream.identifiers import meta_id
from infra.local.upstream.items import Item
from infra.local.upstream.providers.graph import DAY_SECONDS, timestamp

Resource = dict[str, Any]

PERSON_PREFIX, PAGE_PREFIX, POST_PREFIX, VIDEO_PREFIX = 101, 61, 12, 19
STATUS_TYPES = {
    "post": "mobile_status_update",
    "image": "added_photos",
    "carousel": "added_photos",
    "video": "added_video",
    "reel": "added_video",
    "link": "shared_story",
}
TASKS = ["ANALYZE", "ADVERTISE", "MESSAGING", "MODERATE", "CREATE_CONTENT", "MANAGE"]


def person_id(account: Account) -> str:
    return meta_id(PERSON_PREFIX, account.number, 0)


def page_id(account: Account) -> str:
    return meta_id(PAGE_PREFIX, account.number, 0)


def post_id(account: Account, index: int) -> str:
    return f"{page_id(account)}_{meta_id(POST_PREFIX, account.number, index)}"


def video_id(account: Account, index: int) -> str:
    return meta_id(VIDEO_PREFIX, account.number, index)


def page(account: Account) -> Resource:
    return {
        "id": page_id(account),
        "name": account.name,
        "username": account.handle if not account.options.get("no_username") else None,
        "link": f"https://www.facebook.com/{account.handle}",
        "about": account.description or None,
        "description": None,
        "fan_count": account.followers * 9 // 10,
        "followers_count": account.followers,
        "category": "Digital creator",
        "category_list": [{"id": "2347428775505624", "name": "Digital creator"}],
        "picture": {"data": {"url": _signed(f"{page_id(account)}_p", "jpg", 0), "height": 50, "width": 50}},
        "website": "https://creator.example",
        "is_published": True,
        "tasks": TASKS,
        "instagram_business_account": None,
    }


def post(account: Account, item: Item, now: float) -> Resource:
    picture = item.kind not in ("post",)
    message = None if item.kind == "image" and item.index % 6 == 0 else f"{item.title}\n\n{item.description}"
    return {
        "id": post_id(account, item.index),
        "message": message,
        "story": f"{account.name} shared a link." if item.kind == "link" else None,
        "created_time": timestamp(item.published_at),
        "updated_time": timestamp(item.updated_at),
        "permalink_url": f"https://www.facebook.com/{page_id(account)}/posts/{post_id(account, item.index)}",
        "full_picture": _signed(str(item.index), "jpg", now) if picture else None,
        "picture": _signed(f"{item.index}_s", "jpg", now) if picture else None,
        "status_type": STATUS_TYPES[item.kind],
        "is_published": item.privacy == "public",
        "is_expired": False,
        "is_hidden": False,
        "shares": {"count": item.shares} if item.shares else None,  # absent at zero
        "message_tags": None,
        "parent_id": None,
        "from": {"name": account.name, "id": page_id(account)},
        "attachments": {"data": [_attachment(account, item, now)]} if picture else None,
        "reactions": _counted(item.likes),
        "likes": _counted(item.likes and item.likes * 4 // 5),
        "comments": _counted(item.comments, order="ranked", can_comment=False),
    }


def video(account: Account, item: Item, now: float) -> Resource:
    identifier = video_id(account, item.index)
    path = f"/reel/{identifier}/" if item.kind == "reel" else f"/{account.handle}/videos/{identifier}/"
    return {
        "id": identifier,
        "title": item.title if item.index % 4 else None,
        "description": item.description,
        "length": item.duration_seconds + item.index % 1000 / 1000,
        "source": _signed(identifier, "mp4", now),
        "permalink_url": path,
        "picture": _signed(f"{identifier}_t", "jpg", now),
        "thumbnails": {"data": [{"id": identifier, "uri": _signed(f"{identifier}_t", "jpg", now), "scale": 1}]},
        "created_time": timestamp(item.published_at),
        "updated_time": timestamp(item.updated_at),
        "published": item.privacy == "public",
        "status": {"video_status": "ready"},
        "views": item.views,
        "post_views": item.views,
        "post_id": post_id(account, item.index),
        "content_category": "OTHER" if item.index % 3 else None,
        "content_tags": None,
        "custom_labels": None,
        "privacy": {"value": "EVERYONE", "description": "Public"},
        "live_status": None,
        "embed_html": f'<iframe src="https://www.facebook.com/plugins/video.php?href={identifier}"></iframe>',
        "format": [{"width": item.width, "height": item.height, "filter": "native"}],
        "universal_video_id": None,
        "likes": _counted(item.likes),
        "reactions": _counted(item.likes),
        "comments": _counted(item.comments),
    }


def insight(node: str, item: Item, metric: str) -> Resource:
    value = item.views or 0
    return {
        "name": metric,
        "period": "lifetime",
        "values": [{"value": value if metric == "post_media_view" else value * 3 // 4}],
        "title": metric.replace("_", " ").capitalize(),
        "id": f"{node}/insights/{metric}/lifetime",
    }


def _attachment(account: Account, item: Item, now: float) -> Resource:
    image = {"src": _signed(str(item.index), "jpg", now), "height": item.height, "width": item.width}
    attachment: Resource = {"media": {"image": image}}
    if item.kind == "link":
        url = "https://creator.example/videos/1"
        return {**attachment, "media_type": "link", "type": "share", "title": item.title, "url": url}
    if item.kind in ("video", "reel"):
        identifier = video_id(account, item.index)
        url = f"https://www.facebook.com/{account.handle}/videos/{identifier}/"
        attachment["media"]["source"] = _signed(identifier, "mp4", now)
        target = {"id": identifier, "url": url}
        return {**attachment, "media_type": "video", "type": "video_inline", "title": item.title, "target": target}
    if item.kind == "carousel":
        parts = [
            {"media_type": "photo", "type": "photo", "media": {"image": {**image, "src": _signed(name, "jpg", now)}}}
            for name in (f"{item.index}_{place}" for place in range(item.parts))
        ]
        return {**attachment, "media_type": "album", "type": "album", "subattachments": {"data": parts}}
    return {**attachment, "media_type": "photo", "type": "photo", "description": item.title}


def _counted(count: int | None, **summary: object) -> Resource:
    total = {} if count is None else {"total_count": count}
    return {"data": [], "summary": {**total, **summary}}


def _signed(name: str, extension: str, now: float) -> str:
    """A CDN address whose signature changes daily."""
    expires = (int(now) // DAY_SECONDS + 3) * DAY_SECONDS
    signature = hashlib.sha256(f"{name}{expires}".encode()).hexdigest()[:32]
    return f"https://scontent.xx.fbcdn.net/v/t39.30808-6/{name}_n.{extension}?oh={signature}&oe={expires:X}"
