"""Scores that anybody can recompute: arithmetic on the text, itemised, no model's opinion in them.

seo_score (0..100) is the sum of

    title_length         20  characters within the platform's best range, falling linearly to 0 at none or at twice it
    keyword_in_title     20  the main key phrase's words in the title; 14 if they come in its second half
    description_length   15  characters of description against the platform's best length
    keyword_in_opening   10  the main key phrase in the first 150 characters of the description
    keyword_coverage     10  how many of the five main key phrases title and description mention
    tags                 15  8 tags or hashtags are full marks
    hashtags              5  1 to as many as the platform counts are full marks, more or none are nothing
    no_shouting           5  fewer than a third of the title's words in capitals

readability_score (0..100) is the Flesch reading ease of the description (of the title where there is none); see
`text.readability` for the formulas. trending_score (0..100) is 0.6, 0.3 and 0.1 of the scores of the three strongest
trends that the item mentions. The columns hold the scores of the suggested text; `score_details` has those of the
text as it was besides, so that the gain can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functions.analyze import limits
from functions.analyze.brief import Trend
from functions.analyze.text import keywords, readability, words
from functions.analyze.text.keywords import Keyphrase

OPENING_CHARACTERS = 150
MAIN_KEYWORDS = 5
FULL_MARKS_TAGS = 8
TREND_WEIGHTS = (0.6, 0.3, 0.1)


def _within(length: int, best: tuple[int, int]) -> float:
    """1 in the best range, falling linearly to 0 at zero and at twice its end."""
    low, high = best
    if length < low:
        return length / low
    return max(0.0, 1 - max(0, length - high) / high)


def seo_items(
    title: str, description: str, tags: Sequence[str], *, topic: Sequence[Keyphrase], platform: str, language: str
) -> dict[str, dict[str, float]]:
    """Each item of the SEO score: {name: {points, of}}."""
    bounds = limits.of(platform)
    main, five = topic[:1], topic[:MAIN_KEYWORDS]
    title_words = words.words(title)
    shouted = sum(len(word) > 3 and word.isupper() for word in title_words)
    both = f"{title}. {description}"
    hashtag_count = len(words.hashtags(both))
    first_half = title[: max(1, (len(title) + 1) // 2)]
    in_title = 0.0
    if main and keywords.mentions(title, main[0], language):
        in_title = 1.0 if set(main[0].stems) & keywords.stems_of(first_half, language) else 0.7
    parts = {
        "title_length": (20, _within(len(title), bounds.best_title_characters)),
        "keyword_in_title": (20, in_title),
        "description_length": (15, min(1.0, len(description) / bounds.best_description_characters)),
        "keyword_in_opening": (
            10,
            float(bool(main) and keywords.mentions(description[:OPENING_CHARACTERS], main[0], language)),
        ),
        "keyword_coverage": (
            10,
            sum(keywords.mentions(both, phrase, language) for phrase in five) / len(five) if five else 0.0,
        ),
        "tags": (15, min(1.0, len(set(tags) | set(words.hashtags(both))) / FULL_MARKS_TAGS)),
        "hashtags": (5, float(1 <= hashtag_count <= bounds.hashtag_count)),
        "no_shouting": (5, float(bool(title_words) and shouted * 3 < len(title_words))),
    }
    return {name: {"points": round(of * share, 1), "of": float(of)} for name, (of, share) in parts.items()}


def total(items: dict[str, dict[str, float]]) -> float:
    """The sum of the items, 0..100."""
    return round(sum(item["points"] for item in items.values()), 1)


def readability_score(title: str, description: str, language: str) -> float | None:
    """Reading ease of the description, of the title where there is none; None without words."""
    return readability.reading_ease("\n".join(words.content_lines(description)) or description or title, language)


def matching_trends(text: str, trends: Sequence[Trend], language: str) -> list[Trend]:
    """The trends all of whose words the text has, strongest first."""
    stems = keywords.stems_of(text, language)
    found = []
    for trend in trends:
        wanted = keywords.stems_of(keywords.split_hashtag(trend.keyword), language)
        if wanted and wanted <= stems:
            found.append(trend)
    return sorted(found, key=lambda trend: (-trend.score, trend.keyword))


def trending_score(matching: Sequence[Trend]) -> float:
    """0..100 from the strongest three; 0 if the item mentions no trend."""
    strongest = zip(TREND_WEIGHTS, matching, strict=False)
    return round(min(100.0, sum(weight * max(0.0, trend.score) for weight, trend in strongest)), 1)


def details(
    current: dict[str, Any], suggested: dict[str, Any], matching: Sequence[Trend], topic: Sequence[Keyphrase]
) -> dict[str, Any]:
    """What `score_details` holds: both texts' scores by item, and the trends and key phrases behind them."""
    return {
        "current": current,
        "suggested": suggested,
        "trends": [{"keyword": trend.keyword, "score": trend.score} for trend in matching[: len(TREND_WEIGHTS)]],
        "key_phrases": [phrase.text for phrase in topic[:MAIN_KEYWORDS]],
    }
