"""What each platform accepts, enforced by code on whatever an analyser proposes.

Sources: YouTube Data API `videos` resource (title 100 characters, description 5,000 bytes, neither with < or >, tags
500 characters in total with quotes and commas counted, over 60 hashtags all are ignored); Instagram content publishing
(caption 2,200 characters; 5 hashtags since December 2025, 30 before); TikTok content posting (2,200 UTF-16 units; 5
hashtags since August 2025); Facebook video title 255; X counts
280 with wide characters twice (https://docs.x.com/fundamentals/counting-characters).
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from functions.core import letters

TITLES = 5
TOPICS = 10
AUDIENCES = 5
KEYWORDS = 10
CATEGORY_CHARACTERS = 60
PHRASE_CHARACTERS = 60
AUDIENCE_CHARACTERS = 80
_ATTACHED = "\u200c\u200d" + "".join(map(chr, range(0x1F3FB, 0x1F400)))


_HASHTAG = re.compile(rf"(?<![\w&])#{letters.TAG}")


def _characters(text: str) -> int:
    return len(text)


def _bytes(text: str) -> int:
    return len(text.encode())


def _utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _x_weight(text: str) -> int:
    """X counts Latin letters and common punctuation once, everything else (CJK, emoji) twice."""
    return sum(1 if ord(c) <= 0x10FF or 0x2000 <= ord(c) <= 0x201F or 0x2032 <= ord(c) <= 0x2037 else 2 for c in text)


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds of one platform. `size` measures titles and descriptions in the platform's own unit."""

    title_size: int
    description_size: int
    tag_count: int
    hashtag_count: int
    tag_characters: int = 60
    tags_total: int | None = None
    size: Callable[[str], int] = _characters
    forbidden: str = ""
    best_title_characters: tuple[int, int] = (30, 70)
    best_description_characters: int = 200


PLATFORMS = MappingProxyType(
    {
        "youtube": Limits(100, 5000, tag_count=30, hashtag_count=15, tags_total=500, size=_bytes, forbidden="<>"),
        "instagram": Limits(
            100, 2200, tag_count=30, hashtag_count=5, best_title_characters=(20, 80), best_description_characters=150
        ),
        "tiktok": Limits(
            150,
            2200,
            tag_count=30,
            hashtag_count=5,
            size=_utf16_units,
            best_title_characters=(20, 90),
            best_description_characters=100,
        ),
        "facebook": Limits(255, 5000, tag_count=30, hashtag_count=10, best_description_characters=150),
        "twitter": Limits(
            100,
            280,
            tag_count=10,
            hashtag_count=3,
            size=_x_weight,
            best_title_characters=(20, 80),
            best_description_characters=100,
        ),
    }
)
STRICTEST = Limits(100, 280, tag_count=10, hashtag_count=3, tags_total=500, size=_bytes, forbidden="<>")
"""For a platform that nobody has told us about."""


def of(platform: str) -> Limits:
    """The limits of the platform with this slug."""
    return PLATFORMS.get(platform, STRICTEST)


def fit(text: str, maximum: int, size: Callable[[str], int] = _characters) -> str:
    """`text`, cut at a word's end (or, without one near, anywhere) so that it measures at most `maximum`."""
    if size(text) <= maximum:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle]) <= maximum else (low, middle - 1)
    # Not between a letter and its marks, nor within an emoji of several signs.
    whole = low
    while 0 < whole < len(text) and (_is_attached(text[whole]) or text[whole - 1] == "\u200d"):
        whole -= 1
    low = whole or low
    cut = text[:low]
    if low < len(text) and not text[low].isspace():
        at_word = cut.rstrip() if cut[-1:].isspace() else cut.rsplit(None, 1)[0] if cut.strip() else ""
        cut = at_word if len(at_word) > len(cut) / 2 else cut
    return cut.rstrip(" ,;:-–—|&+(")


def _is_attached(character: str) -> bool:
    """Whether it belongs to the sign before it: accents, vowel signs, joiners, skin tones."""
    return letters.is_mark(character) or character in _ATTACHED


def fit_title(text: str, limits: Limits) -> str:
    """One line that the platform accepts as a title."""
    line = " ".join(_without(text, limits.forbidden).split())
    # YouTube counts a title in characters and a description in bytes.
    return fit(line, limits.title_size, _characters if limits.size is _bytes else limits.size)


def fit_description(text: str, limits: Limits) -> str:
    """A text that the platform accepts as a description, with no more hashtags than it counts."""
    plain = _with_hashtags(_without(text, limits.forbidden), limits.hashtag_count)
    lines = [" ".join(line.split()) for line in plain.splitlines()]
    return fit(re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip(), limits.description_size, limits.size)


def _with_hashtags(text: str, most: int) -> str:
    """`text` with at most `most` hashtags: further ones at its end go, in sentences they are words again."""
    found = list(_HASHTAG.finditer(text))
    if len(found) <= most:
        return text
    row = len(text)
    for match in reversed(found):
        if text[match.end() : row].strip():
            break
        row = match.start()
    inside = sum(match.start() < row for match in found)
    kept = text[:row]
    for match in reversed(found[min(most, inside) : inside]):
        kept = kept[: match.start()].rstrip("#") + kept[match.start() + 1 :]
    return kept + text[row : found[most - 1].end()] if inside < most else kept.rstrip()


def fit_tags(tags: Iterable[str], limits: Limits) -> list[str]:
    """Tags without '#', commas or quotes, each once whatever its case, as many as count and total length allow."""
    fitting: list[str] = []
    seen: set[str] = set()
    total = 0
    for tag in tags:
        plain = " ".join(re.sub(r'[#,"]', " ", _without(tag, limits.forbidden + "<>")).split())
        plain = fit(plain, limits.tag_characters)
        # YouTube counts the quotes that it puts around a tag with spaces, and the comma between two tags.
        cost = len(plain) + (2 if " " in plain else 0) + (1 if fitting else 0)
        if not plain or plain.casefold() in seen or not any(character.isalnum() for character in plain):
            continue
        if limits.tags_total is not None and total + cost > limits.tags_total:
            continue
        fitting.append(plain)
        seen.add(plain.casefold())
        total += cost
        if len(fitting) == limits.tag_count:
            break
    return fitting


def as_hashtag(text: str) -> str | None:
    """'home made pizza' -> '#homemadepizza'. None for what no platform links: nothing, or digits only."""
    kept = (c for c in unicodedata.normalize("NFC", text) if c.isalnum() or c == "_" or letters.is_mark(c))
    plain = "".join(itertools.dropwhile(letters.is_mark, kept))
    return f"#{plain}" if plain and not plain.replace("_", "").isdigit() and len(plain) <= PHRASE_CHARACTERS else None


def fit_hashtags(tags: Iterable[str], limits: Limits) -> list[str]:
    """Hashtags with their '#', valid and each once, as many as the platform counts."""
    found: dict[str, str] = {}
    for hashtag in filter(None, map(as_hashtag, tags)):
        found.setdefault(hashtag.casefold().replace("_", ""), hashtag)
    return list(found.values())[: limits.hashtag_count]


def fit_phrases(phrases: Sequence[str], count: int, characters: int = PHRASE_CHARACTERS) -> list[str]:
    """Short phrases on one line each, each once."""
    fitted = [fit(" ".join(phrase.split()), characters) for phrase in phrases]
    return _once(filter(None, fitted))[:count]


def _once(texts: Iterable[str]) -> list[str]:
    """Each text once whatever its case, in the first spelling and place."""
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(text.casefold(), text)
    return list(found.values())


def _without(text: str, forbidden: str) -> str:
    return text.translate({ord(character): " " for character in forbidden})
