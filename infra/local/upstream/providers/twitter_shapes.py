"""X's resources rendered from accounts and items, in the old (tweet) and the new (post) spelling.

https://docs.x.com/x-api/fundamentals/data-dictionary (2026-08)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.local.upstream.accounts import Account
from infra.local.upstream.identifiers import scramble
from infra.local.upstream.items import ANCHOR, Item

Resource = dict[str, Any]

TEXT_LENGTH = 280
MAXIMUM_PICTURES = 4
SPELLINGS = {
    "retweet_count": "repost_count",
    "tweet_count": "post_count",
    "referenced_tweets": "referenced_posts",
    "edit_history_tweet_ids": "edit_history_post_ids",
    "note_tweet": "note_post",
    "pinned_tweet_id": "pinned_post_id",
    "tweets": "posts",
}
PROBLEMS = "https://api.x.com/2/problems"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants of each post."""

    fields: frozenset[str]
    expansions: frozenset[str]
    media_fields: frozenset[str]
    naming: str


def spell(value: Any, naming: str) -> Any:
    """Renames every key to the spelling in use; "both" keeps the two."""
    if isinstance(value, list):
        return [spell(one, naming) for one in value]
    if not isinstance(value, dict) or naming == "tweet":
        return value
    spelled: Resource = {}
    for name, inner in value.items():
        if naming == "both" or name not in SPELLINGS:
            spelled[name] = spell(inner, naming)
        if name in SPELLINGS:
            spelled[SPELLINGS[name]] = spell(inner, naming)
    return spelled


def user_id(account: Account) -> str:
    return str(1_000_000_000_000_000_000 + scramble(account.number, 0) % 10**17)


def instant(seconds: float) -> str:
    """`2024-01-15T12:00:00.000Z`"""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def user(account: Account, wanted: set[str], naming: str, pinned: str | None = None) -> Resource:
    known: Resource = {
        "created_at": instant(ANCHOR - 2_000 * 86_400),
        "description": account.description,
        "public_metrics": {
            "followers_count": account.followers,
            "following_count": account.following,
            "tweet_count": len(account.catalogue.public()),
            "listed_count": account.followers // 300,
            "like_count": account.following * 7,
            "media_count": len(account.catalogue.public()) // 3,
        },
        "profile_image_url": f"https://pbs.twimg.com/profile_images/{user_id(account)}/a_normal.jpg",
        "url": "https://t.co/creator",
        "verified": account.followers > 50_000,
        "verified_type": "blue" if account.followers > 50_000 else "none",
        "protected": bool(account.options.get("protected")),
        "entities": {"url": {"urls": [{"start": 0, "end": 20, "url": "https://t.co/creator"}]}},
        "location": account.options.get("location"),
        "pinned_tweet_id": pinned,
    }
    chosen = {
        name: value
        for name, value in known.items()
        if value is not None and (name in wanted or SPELLINGS.get(name) in wanted)
    }
    made = {"id": user_id(account), "name": account.name, "username": account.handle, **chosen}
    return dict(spell(made, naming))


def timeline(account: Account, items: Sequence[tuple[str, Item]], asked: Asked) -> Resource:
    """`data`, `includes` and `errors` of a list of posts; every third repost's original has vanished."""
    body: Resource = {}
    media: list[Resource] = []
    originals: list[Resource] = []
    errors: list[Resource] = []
    for identifier, item in items:
        body.setdefault("data", []).append(_post(account, identifier, item, asked))
        media += [{k: v for k, v in one.items() if _media_field(k, asked)} for one in _media(identifier, item)]
        if item.kind in ("repost", "reply"):
            original = _original(identifier)
            if item.index % 3 == 0:
                errors.append(missing("tweet", "referenced_tweets.id", original))
            else:
                originals.append({"id": original, "text": item.title})
    includes: Resource = {}
    if media and "attachments.media_keys" in asked.expansions:
        includes["media"] = media
    if {"referenced_tweets.id", "referenced_posts"} & asked.expansions:
        if originals:
            includes["tweets"] = originals
        if errors:
            body["errors"] = errors
    if includes:
        body["includes"] = includes
    return dict(spell(body, asked.naming))


def _media_field(name: str, asked: Asked) -> bool:
    return name in ("media_key", "type") or name in asked.media_fields


def _post(account: Account, identifier: str, item: Item, asked: Asked) -> Resource:
    whole = _text(item)
    text = whole if len(whole) <= TEXT_LENGTH else whole[: TEXT_LENGTH - 1] + "…"
    known: Resource = {
        "created_at": instant(item.published_at),
        "lang": item.language if item.index % 19 else "und",
        "author_id": user_id(account),
        "conversation_id": identifier,
        "possibly_sensitive": False,
        "reply_settings": "everyone",
        "public_metrics": _metrics(item),
        "entities": _entities(text),
        "note_tweet": {"text": whole, "entities": _entities(whole)} if whole != text else None,
    }
    keys = [one["media_key"] for one in _media(identifier, item)]
    known["attachments"] = {"media_keys": keys} if keys else None
    if item.kind in ("repost", "reply"):
        kind = "retweeted" if item.kind == "repost" else "replied_to"
        known["referenced_tweets"] = [{"type": kind, "id": _original(identifier)}]
        known["in_reply_to_user_id"] = "2244994945" if item.kind == "reply" else None
    if item.tags and item.kind != "repost":
        known["context_annotations"] = [
            {"domain": {"id": "131", "name": "Unified Interest"}, "entity": {"id": str(place), "name": tag.title()}}
            for place, tag in enumerate(item.tags[:3], start=1)
        ]
    spelled = {SPELLINGS.get(name, name) for name in known}
    chosen = {
        name: value
        for name, value in known.items()
        if value is not None and (name in asked.fields or (SPELLINGS.get(name, name) in asked.fields & spelled))
    }
    return {"id": identifier, "text": text, "edit_history_tweet_ids": [identifier], **chosen}


def _text(item: Item) -> str:
    if item.kind == "repost":
        return f"RT @somebody_else: {item.title}"
    if item.kind == "reply":
        return f"@a_reader {item.title}"
    if item.kind in ("image", "carousel", "short"):
        tags = " ".join(re.findall(r"#\w+", item.description))
        return f"{item.title} {tags}".strip() + " https://t.co/pic"
    return f"{item.title}\n\n{item.description}"


def _metrics(item: Item) -> Resource:
    shares = item.shares or 0
    if item.kind == "repost":  # the wrapper of a repost has no counts of its own
        likes = replies = quotes = bookmarks = impressions = 0
    else:
        likes, replies, quotes = item.likes or 0, item.comments or 0, shares // 5
        bookmarks, impressions = (item.likes or 0) // 12, item.views or 0
    return {
        "retweet_count": shares,
        "reply_count": replies,
        "like_count": likes,
        "quote_count": quotes,
        "bookmark_count": bookmarks,
        "impression_count": impressions,
    }


def _entities(text: str) -> Resource:
    hashtags = [{"start": m.start(), "end": m.end(), "tag": m[1]} for m in re.finditer(r"#(\w+)", text)]
    mentions = [
        {"start": m.start(), "end": m.end(), "username": m[1], "id": "2244994945"} for m in re.finditer(r"@(\w+)", text)
    ]
    return {name: found for name, found in (("hashtags", hashtags), ("mentions", mentions)) if found}


def _media(identifier: str, item: Item) -> list[Resource]:
    if item.kind in ("image", "carousel"):
        return [
            {
                "media_key": f"3_{int(identifier) + place}",
                "type": "photo",
                "url": f"https://pbs.twimg.com/media/{identifier}_{place}.jpg",
                "width": 1200,
                "height": 900,
                "alt_text": item.title if item.index % 2 else "",
            }
            for place in range(min(item.parts, MAXIMUM_PICTURES))
        ]
    if item.kind not in ("video", "short"):
        return []
    address = f"https://video.twimg.com/ext_tw_video/{identifier}/pu/vid"
    return [
        {
            "media_key": f"13_{int(identifier) + 1}",
            "type": "video",
            "preview_image_url": f"https://pbs.twimg.com/ext_tw_video_thumb/{identifier}/pu/img/a.jpg",
            "duration_ms": item.duration_seconds * 1000 + 947,
            "width": item.width,
            "height": item.height,
            "public_metrics": {"view_count": (item.views or 0) * 2 // 3},
            "variants": [
                {"bit_rate": 632_000, "content_type": "video/mp4", "url": f"{address}/320x568/a.mp4"},
                {"content_type": "application/x-mpegURL", "url": f"{address}/a.m3u8"},
                {"bit_rate": 2_176_000, "content_type": "video/mp4", "url": f"{address}/720x1280/a.mp4"},
            ],
        }
    ]


def _original(identifier: str) -> str:
    return str(int(identifier) - (7 << 22))


def missing(kind: str, parameter: str, value: str) -> Resource:
    """The error beside the data for what does not exist."""
    return {
        "resource_type": kind,
        "resource_id": value,
        "parameter": parameter,
        "value": value,
        "title": "Not Found Error",
        "detail": f"Could not find {kind} with {parameter}: [{value}].",
        "type": f"{PROBLEMS}/resource-not-found",
    }


def unauthorized(value: str) -> Resource:
    return {
        "resource_type": "user",
        "resource_id": value,
        "parameter": "id",
        "value": value,
        "title": "Authorization Error",
        "detail": f"Sorry, you are not authorized to see the user with id: [{value}].",
        "type": f"{PROBLEMS}/not-authorized-for-resource",
    }
