"""The built-in analyser: suggestions without a model, a key or a network.

It proposes only what it can stand for: the creator's own words put in a better order, what the account's successful
items have in common, trends that the item is really about, and a handful of fixed phrases. It writes in the item's own
language, because it cannot translate.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from functions.analyze import cleaning, limits, scores
from functions.analyze.brief import Brief
from functions.analyze.phrasebook import AUDIENCES, PHRASEBOOK, Phrases
from functions.analyze.schema import Answer
from functions.analyze.text import keywords, words
from functions.analyze.text.keywords import Keyphrase
from functions.analyze.text.sentiment import sentiment
from functions.core import letters

TITLE_ONLY_WEIGHT = 3.0
LONGEST_ACRONYM = 3
SHORT_TITLE_CHARACTERS = 25  # has room for a second thought
MINIMUM_SHARE_OF_SERIES = 0.4
FEW_SIBLINGS = 3

_SERIES = re.compile(r"\s+(?:[|•·]|[-–—:])\s+|:\s+|\s*[|]\s*")
_REPEATED = re.compile(r"([!?.])\1+")
_ENDS_OF_CLAUSES = re.compile(r"[,;:.!?…。！？、]\s|\s[-–—]\s")
_KINDS = {
    "long_video": "Video",
    "short_video": "Short",
    "image": "Photo",
    "carousel": "Photos",
    "story": "Story",
    "reel": "Reel",
}
_SMALL_WORDS = frozenset("a an and as at but by for from in into of on or the to vs with".split())


def analyse(brief: Brief) -> Answer:
    """A suggestion for the item of `brief`, before the common cleaning."""
    language = brief.item_language
    topic = key_phrases(brief)
    phrases = PHRASEBOOK.get(language)
    said = ". ".join((brief.item.text, *map(keywords.split_hashtag, brief.item.labels)))
    trends = [trend.keyword for trend in scores.matching_trends(said, brief.trends, language)]
    tags = _tags(brief, topic, trends)
    hashtags = _hashtags(brief, topic, trends)
    return Answer(
        suggested_titles=_titles(brief, topic, phrases),
        suggested_description=_description(brief, topic, phrases, hashtags),
        suggested_tags=tags,
        suggested_category=brief.item.category or _usual_category(brief),
        trending_keywords=trends[: limits.KEYWORDS],
        trending_hashtags=hashtags,
        related_topics=_related_topics(brief, topic),
        target_audience=_audience(brief, topic, phrases),
        sentiment=sentiment(brief.item.text, language),  # type: ignore[arg-type]
        confidence_score=_confidence(brief, topic),
    )


def answer(brief: Brief) -> Answer:
    """The suggestion, cleaned. An item of nothing but addresses or keys gets the name of its kind as a title."""
    rules = cleaning.Filter(brief, "", ())
    composed = analyse(brief)
    try:
        return cleaning.clean(composed, brief, rules)
    except cleaning.UnusableAnswerError:
        return cleaning.clean(composed.model_copy(update={"suggested_titles": [_kind(brief)]}), brief, rules)


def _kind(brief: Brief) -> str:
    """What to call an item of which nothing is known."""
    return _KINDS.get(brief.item.content_type, "Post")


def key_phrases(brief: Brief) -> list[Keyphrase]:
    """What the item is about. A caption without a title counts by its first sentence."""
    item = brief.item
    title = item.title or _headline(brief)
    siblings = [sibling.title for sibling in brief.siblings]
    return keywords.extract(title, item.description, item.labels, brief.item_language, sibling_titles=siblings)


def _subjects(topic: Sequence[Keyphrase]) -> list[Keyphrase]:
    """The phrases to label the item with.

    A lone word that only the title has may be any part of a phrase; what tags or the description repeat is a subject.
    """
    found = [
        phrase for phrase in topic if phrase.weight >= keywords.STRONG_WEIGHT and phrase.weight != TITLE_ONLY_WEIGHT
    ]
    return found or list(topic[:3])


def _headline(brief: Brief) -> str:
    """The title; of a caption without one, its first sentence."""
    lines = words.content_lines(brief.item.description)
    return brief.item.title or (words.sentences(lines[0])[0] if lines else "")


# ------------------------------------------------------------------------------------------------------- titles


def _titles(brief: Brief, topic: Sequence[Keyphrase], phrases: Phrases | None) -> list[str]:
    bounds, language = limits.of(brief.item.platform), brief.item_language
    own = _own_title(brief)
    names = [_as_title(phrase.text, brief.item.text, language) for phrase in topic]
    candidates = [*_own_title_improved(own, topic, brief)]
    if brief.item.title:
        # A caption is no title: nobody would call a thought about an editor 'Editor: A Practical Guide'.
        candidates += _from_patterns(_spoken(topic, brief), phrases, brief.tone)
    candidates.append(own)
    if not own:
        candidates.append(" | ".join(names[:3]))
    fitting = [limits.fit_title(title, bounds) for title in candidates if title]
    return _no_worse_first(limits.fit_phrases(fitting, limits.TITLES, bounds.title_size), own, brief, topic) or [
        _kind(brief)
    ]


def _own_title(brief: Brief) -> str:
    """The creator's title in order, a caption's first sentence or clause; of hashtags alone, their words."""
    language = brief.item_language
    own = _tidy(_headline(brief), language)
    if not brief.item.title:
        own = _first_clauses(own, limits.of(brief.item.platform).best_title_characters[1]).rstrip(".。।,")
    if own:
        return own
    return _capitalise(", ".join(map(keywords.split_hashtag, words.hashtags(brief.item.title)[:3])), language)


def _first_clauses(text: str, longest: int) -> str:
    """As many whole clauses as fit, if they say enough; else all."""
    ends = [
        match.start() for match in _ENDS_OF_CLAUSES.finditer(text) if SHORT_TITLE_CHARACTERS <= match.start() <= longest
    ]
    return text[: ends[-1]] if len(text) > longest and ends else text


def _spoken(topic: Sequence[Keyphrase], brief: Brief) -> list[str]:
    """The subjects that stand for the whole item, the first one's own parts left out, as titles write them."""
    said = [phrase for phrase in topic if phrase.weight > TITLE_ONLY_WEIGHT]
    apart = [phrase for phrase in said[1:] if not set(phrase.stems) & set(said[0].stems)]
    return [_as_title(phrase.text, brief.item.text, brief.item_language) for phrase in (*said[:1], *apart)]


def _no_worse_first(titles: list[str], own: str, brief: Brief, topic: Sequence[Keyphrase]) -> list[str]:
    """`titles` with a new one in front that scores as a title what the creator's does, at least, if there is one."""

    def points(title: str) -> float:
        items = scores.seo_items(title, "", (), topic=topic, platform=brief.item.platform, language=brief.item_language)
        return sum(items[name]["points"] for name in ("title_length", "keyword_in_title", "no_shouting"))

    first = next((title for title in titles if title != own and points(title) >= points(own)), None)
    return titles if first is None else [first, *(title for title in titles if title != first)]


def _own_title_improved(own: str, topic: Sequence[Keyphrase], brief: Brief) -> Iterable[str]:
    """The creator's title with the account's series name, with what it does not say behind it, or its subject in front.

    Behind it goes what the creator labelled the item with; a word of the description only where there are no labels.
    """
    if not own:
        return
    language = brief.item_language
    best_low, best_high = limits.of(brief.item.platform).best_title_characters
    is_short = len(own) < SHORT_TITLE_CHARACTERS
    labels: set[str] = set().union(*(keywords.stems_of(keywords.split_hashtag(x), language) for x in brief.item.labels))
    absent = [
        phrase
        for phrase in topic
        if not set(phrase.stems) & keywords.stems_of(own, language) and not keywords.mentions(own, phrase, language)
    ]
    labelled = [phrase for phrase in absent if set(phrase.stems) <= labels]
    missing = [
        _as_title(phrase.text, brief.item.text, language) for phrase in labelled or (absent if brief.item.title else [])
    ]
    series = _series_name(brief)
    if series and series.casefold() not in own.casefold() and len(own) + len(series) + 3 <= best_high + 20:
        yield f"{own} | {series}"
    if len(own) > best_high and (shorter := _SERIES.split(own)[0].strip()) != own and len(shorter) >= best_low / 2:
        yield shorter
    if missing and len(own) + len(missing[0]) + 3 <= best_high:
        yield f"{own} | {missing[0]}"
    if len(missing) > 1 and is_short and own[-1].isalnum():
        yield f"{own}: {missing[0]}, {missing[1]}" if own.isascii() else f"{own} | {missing[0]} | {missing[1]}"
    if labelled and labelled[0] == topic[0] and len(own) + len(missing[0]) + 2 <= best_high:
        yield f"{missing[0]}: {own}"


def _from_patterns(names: Sequence[str], phrases: Phrases | None, tone: str) -> Iterable[str]:
    if phrases is None or not names:
        return
    patterns = next(
        (phrases.titles[word] for word in tone.casefold().split() if word in phrases.titles), phrases.titles[""]
    )
    for pattern in patterns:
        if "{third}" not in pattern or len(names) >= 3:
            yield pattern.format(topic=names[0], second=names[1:2] and names[1], third=names[2:3] and names[2])


def _tidy(title: str, language: str) -> str:
    """The title as an editor would set it: no shouting, no row of hashtags or exclamation marks, no addresses."""
    text = _REPEATED.sub(r"\1", words.without_trailing_hashtags(words.strip_references(title)))
    text = words.hashtags_as_words(" ".join(text.split())).strip(" -–—|:,")
    letters = [character for character in text if character.isalpha()]
    if len(letters) > 8 and sum(character.isupper() for character in letters) > 0.7 * len(letters):
        text = _capitalise(text.lower(), language)
    return text[:1].upper() + text[1:]


def _capitalise(text: str, language: str) -> str:
    """English titles capitalise their words, other languages the first one."""
    if language != "en":
        return text[:1].upper() + text[1:]
    parts = text.split(" ")
    return " ".join(p if i and p in _SMALL_WORDS else p[:1].upper() + p[1:] for i, p in enumerate(parts))


def _as_title(phrase: str, text: str, language: str) -> str:
    """A key phrase as the text writes it (names keep their capitals), else capitalised."""
    folded = text.casefold()
    at = folded.find(phrase.casefold())
    # Some letters change their number when folded; then nothing can be said about the place.
    written = text[at : at + len(phrase)] if at >= 0 and len(folded) == len(text) else ""
    is_shouted = written.isupper() and len(written) > LONGEST_ACRONYM
    if not written[1:] or written[1:] == written[1:].lower() or is_shouted:
        return _capitalise(phrase, language)
    return written[:1].upper() + written[1:]


def _series_name(brief: Brief) -> str | None:
    """What follows the separator in many of the account's better titles, such as 'Baking Basics'."""
    siblings = brief.successful_siblings
    if len(siblings) < FEW_SIBLINGS:
        return None
    endings = [parts[-1].strip() for sibling in siblings if len(parts := _SERIES.split(sibling.title)) > 1]
    counted = Counter(ending for ending in endings if 3 <= len(ending) <= 30 and not any(c.isdigit() for c in ending))
    if not counted:
        return None
    ending, count = counted.most_common(1)[0]
    return ending if count >= FEW_SIBLINGS - 1 and count >= MINIMUM_SHARE_OF_SERIES * len(siblings) else None


# -------------------------------------------------------------------------------------------------- description


def _description(brief: Brief, topic: Sequence[Keyphrase], phrases: Phrases | None, hashtags: Sequence[str]) -> str:
    """The creator's own text, a line about the subject first, then what is missing of it, then hashtags.

    Their paragraphs and chapters stay as they are: somebody may apply this without reading to the end.
    """
    item, language = brief.item, brief.item_language
    bounds = limits.of(item.platform)
    own = words.without_links(item.description)
    opening = own[: scores.OPENING_CHARACTERS]
    headline = _sentence(_tidy(item.title, language), language) if item.title else ""
    is_opened = bool(topic) and (
        bool(set(topic[0].stems) & keywords.stems_of(opening, language))
        or keywords.mentions(opening, topic[0], language)
    )
    if headline and not (own and is_opened):
        own = f"{headline}\n\n{own}".strip()
    missing = [phrase.text for phrase in _subjects(topic)[:5] if not keywords.mentions(own, phrase, language)]
    about = ""
    if missing:
        about = phrases.about.format(topics=phrases.list(missing)) if phrases else " · ".join(missing)
    ending = " ".join(hashtags[: min(5, bounds.hashtag_count)])
    extras = "\n\n".join(filter(None, (about, ending)))
    room = bounds.description_size - bounds.size(f"\n\n{extras}")
    if room < bounds.description_size / 2:
        extras, room = ending, bounds.description_size - bounds.size(f"\n\n{ending}")
    return f"{limits.fit(own, max(room, 0), bounds.size)}\n\n{extras}".strip()


def _sentence(text: str, language: str) -> str:
    """With a full stop, unless it ends with a sign already, be it an emoji."""
    if not text or not (text[-1].isalnum() or text[-1] in ")\"'”»" or letters.is_mark(text[-1])):
        return text
    return text + {"zh": "。", "ja": "。", "hi": "।", "th": ""}.get(language, ".")


# ------------------------------------------------------------------------------------- tags, topics and the rest


def _tags(brief: Brief, topic: Sequence[Keyphrase], trends: Sequence[str]) -> list[str]:
    """The subject, the creator's own tags, fitting trends, then tags that successful items on the same things have."""
    stems = {stem for phrase in topic for stem in phrase.stems}
    shared = Counter(
        tag
        for sibling in brief.successful_siblings
        for tag in sibling.tags
        if keywords.stems_of(tag, brief.item_language) & stems or len(brief.siblings) < FEW_SIBLINGS
    )
    strong = [phrase.text for phrase in _subjects(topic)]
    usual = [tag for tag, _ in shared.most_common(10)]
    return limits.fit_tags(
        [*strong[:3], *brief.item.tags, *trends, *strong[3:], *usual], limits.of(brief.item.platform)
    )


def _hashtags(brief: Brief, topic: Sequence[Keyphrase], trends: Sequence[str]) -> list[str]:
    own = [*brief.item.hashtags, *words.hashtags(brief.item.text)]
    phrases = [phrase.text for phrase in _subjects(topic)]
    bounds = limits.of(brief.item.platform)
    return limits.fit_hashtags([*trends, *own, *phrases[:5]], bounds)[:10]


def _related_topics(brief: Brief, topic: Sequence[Keyphrase]) -> list[str]:
    """What the account's better items are about and this one is not; else the item's minor phrases."""
    language = brief.item_language
    here = {stem for phrase in topic[:3] for stem in phrase.stems}
    found: Counter[str] = Counter()
    series = keywords.stems_of(_series_name(brief) or "", language)
    # What only one item's title says may be any words; what several say, or a tag, is a topic.
    labelled: set[str] = set()
    for sibling in brief.successful_siblings[:10]:
        labels = [
            keywords.stems_of(keywords.split_hashtag(tag), language) for tag in (*sibling.tags, *sibling.hashtags)
        ]
        for phrase in keywords.extract(sibling.title, "", sibling.tags, language, limit=3):
            stems = set(phrase.stems)
            if not stems <= here and not stems <= series and phrase.weight != TITLE_ONLY_WEIGHT:
                found[phrase.text] += 1
                labelled |= {phrase.text} if any(stems <= label for label in labels) else set()
    usual = [text for text, count in found.most_common() if count > 1 or text in labelled]
    trending = [
        trend.keyword for trend in brief.trends if brief.item.category and trend.category == brief.item.category
    ]
    minor = [phrase.text for phrase in _subjects(topic)[3:8]]
    return limits.fit_phrases([*(usual or [text for text, _ in found.most_common()])[:5], *trending[:3], *minor], 8)


def _usual_category(brief: Brief) -> str | None:
    counted = Counter(sibling.category for sibling in brief.siblings if sibling.category)
    return counted.most_common(1)[0][0] if counted else None


def _audience(brief: Brief, topic: Sequence[Keyphrase], phrases: Phrases | None) -> list[str]:
    category = (brief.item.category or _usual_category(brief) or "").casefold()
    by_category = next((group for word, group in AUDIENCES.items() if word in category), ())
    subjects = [phrase for phrase in _subjects(topic)[:2] if phrase.weight >= keywords.STRONG_WEIGHT]
    by_topic = [phrases.audience.format(topic=phrase.text) for phrase in subjects] if phrases else []
    return limits.fit_phrases([*by_topic, *by_category], limits.AUDIENCES)


def _confidence(brief: Brief, topic: Sequence[Keyphrase]) -> float:
    """How much there was to go by: key phrases (up to 0.5), siblings (0.3), trends (0.1), a description (0.1)."""
    evidence = 0.1 * min(5, len(topic)) + 0.03 * min(10, len(brief.siblings))
    return round(evidence + 0.1 * bool(brief.trends) + 0.1 * (len(brief.item.description) >= 80), 2)
