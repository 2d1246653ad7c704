"""From an analyser's raw text to an `Answer` that may be stored, whatever the text is.

A model has read text that anybody may have written ("ignore your instructions and ..."), so its answer is data from an
untrusted source. What survives is: the schema's fields, of the right types, in one line each (but the description),
without markup or invisible characters, without web and e-mail addresses, handles, telephone numbers, keys and ids,
without a word of our instructions, with keywords and hashtags that come from the item, its account or the trends.
A string that breaks a rule is dropped, not repaired; an answer without a usable title is refused.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, NoReturn

from pydantic import ValidationError

from functions.analyze import limits
from functions.analyze.brief import Brief
from functions.analyze.schema import Answer
from functions.analyze.text import keywords, words

MAX_ANSWER_CHARACTERS = 64_000
MAX_STRINGS_A_LIST = 200
SHINGLE_WORDS = 6  # so many words in a row from our instructions are a quotation
MAX_DESCRIPTION_CHARACTERS = 20_000

_FENCE = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL | re.IGNORECASE)
_THOUGHTS = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)  # some local models print theirs before the answer
_MARKUP = re.compile(r"<[/!?a-zA-Z][^<>]{0,500}>")
# What stands before an "@" or a dot is looked at for one character only: a run of letters must not be read again from
# each of its places.
_ADDRESS = re.compile(
    r"[a-z][a-z0-9+.-]{1,20}://|\bwww\d?\.|\bjavascript\s{0,9}:|\bdata\s{0,9}:\s{0,9}\w{1,40}/\w|"  # any scheme
    r"[\w.+-]\s?(?:@|\(at\)|\[at\])\s?[\w-]{1,64}\s?(?:\.|\(dot\)|\[dot\])\s?\w{2}|"  # e-mail
    r"[\w-](?:\.|\s?\[\.\]\s?|\s?\(dot\)\s?|\s?\[dot\]\s?)"
    r"(?:com|net|org|info|biz|io|co|tv|gg|ly|be|me|to|ru|cn|uk|de|fr|es|it|nl|eu|us|in|br|jp|shop|store|app|dev|xyz|"
    r"site|online|top|link|click|live|club|example|test|invalid|onion)\b|"
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b",  # IPv4
    re.IGNORECASE,
)
_HANDLE = re.compile(r"(?<![\w.])[@＠]\w{2,}")
_NUMBER = re.compile(r"\+?\d[\d\s().-]{7,}\d")  # telephone numbers, cards, account numbers
_TOKEN = re.compile(
    r"\b(?:sk|pk|rk|sb|xox[a-z]|ghp|gho|whsec|AKIA|AIza|eyJ|ya29)[-_.A-Za-z0-9]{12,}|"
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[A-Za-z0-9+/_-]{32,}={0,2}(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
_JOINERS = "\u200d\u200c"  # they hold emoji and Indic or Persian letters together


class UnusableAnswerError(ValueError):
    """The answer cannot be stored. The message is ours and may be shown to the model for a second try."""


def _refuse(reason: str) -> NoReturn:
    raise UnusableAnswerError(reason)


def parse(text: str) -> Answer:
    """The schema's fields from a model's text. Raises UnusableAnswerError."""
    if len(text) > MAX_ANSWER_CHARACTERS:
        _refuse("The answer is too long.")
    text = _THOUGHTS.sub("", text.removeprefix("\ufeff")).strip()
    fenced = None if text.startswith("{") else _FENCE.match(text, max(text.find("```"), 0))
    try:
        value = json.loads(
            fenced.group(1) if fenced else text, parse_constant=lambda name: _refuse(f"{name} is not JSON.")
        )
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnusableAnswerError):
            raise
        _refuse("The answer is not JSON.")
    if not isinstance(value, dict):
        _refuse("The answer is not a JSON object.")
    try:
        return Answer.model_validate(_numbers_clamped(value))
    except ValidationError as error:
        wrong = sorted({str(one["loc"][0]) for one in error.errors() if one["loc"]})
        _refuse(f"These fields are missing or of a wrong type: {', '.join(wrong)}.")


def _numbers_clamped(value: dict[str, Any]) -> dict[str, Any]:
    """Opinions that mean nothing become unknown: no reason to lose an answer for a number out of range."""
    sentiment = value.get("sentiment")
    known = sentiment if sentiment in ("positive", "neutral", "negative") else None
    return {
        **value,
        "confidence_score": _share(value.get("confidence_score")),
        "sentiment": known,
        "suggested_category": value.get("suggested_category") or None,
    }


def _share(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return min(1.0, max(0.0, float(value))) if -1e300 < value < 1e300 else None


def plain(text: str) -> str:
    """`text` without invisible characters, character entities and markup; lines are kept."""
    unescaped = html.unescape(html.unescape(text))
    kept = (
        character if character in "\n" + _JOINERS or unicodedata.category(character) not in _INVISIBLE else " "
        for character in unicodedata.normalize("NFC", unescaped.replace("\r\n", "\n").replace("\t", " "))
    )
    return _MARKUP.sub(" ", "".join(kept)).strip()


def _folded(text: str) -> str:
    """Letters and digits only, so that a secret spelled with gaps or look-alikes is still found."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in decomposed if character.isalnum())


class Filter:
    """The rules of one analysis: `instructions` are our own text, `canaries` words in it that nobody can guess."""

    def __init__(self, brief: Brief, instructions: str, canaries: Iterable[str]) -> None:
        self._canaries = [_folded(canary) for canary in canaries]
        self._canaries += [canary[::-1] for canary in self._canaries]
        self._instructions = self._shingles(instructions)
        own = self._shingles(brief.item.text)
        self._instructions -= own
        source = brief.item.text
        self._source_folded = _folded(source)

    @staticmethod
    def _shingles(text: str) -> set[tuple[str, ...]]:
        found = [word.casefold() for word in words.words(text)]
        return {tuple(found[start : start + SHINGLE_WORDS]) for start in range(len(found) - SHINGLE_WORDS + 1)}

    def allows(self, text: str) -> bool:
        """Whether `text` may be shown and stored."""
        folded = _folded(text)
        if any(canary in folded for canary in self._canaries):
            return False
        if _ADDRESS.search(text) or _HANDLE.search(text) or _TOKEN.search(text):
            return False
        # A long number of the item's own (a score, a year range) is no leak.
        if any(_folded(number.group()) not in self._source_folded for number in _NUMBER.finditer(text)):
            return False
        return not self._shingles(text) & self._instructions

    def lines(self, text: str) -> str:
        """The lines of a description that are allowed; in others the sentences that are."""
        kept = []
        for line in plain(text).split("\n"):
            if self.allows(line):
                kept.append(line)
            else:
                sentences = [sentence for sentence in words.sentences(line) if self.allows(sentence)]
                if sentences:
                    kept.append(" ".join(sentences))
        whole = "\n".join(kept).strip()
        # What is split over two lines is seen only when they are read together.
        return whole if self.allows(whole.replace("\n", " ")) else ""

    def phrases(self, texts: Iterable[str]) -> list[str]:
        """One-line phrases that are allowed."""
        cleaned = (" ".join(plain(text).split()) for text in list(texts)[:MAX_STRINGS_A_LIST])
        return [text for text in cleaned if text and self.allows(text) and any(c.isalnum() for c in text)]


def clean(answer: Answer, brief: Brief, rules: Filter) -> Answer:
    """`answer` within the rules and the platform's limits. Raises UnusableAnswerError if no title or text is left."""
    bounds = limits.of(brief.item.platform)
    titles = [
        limits.fit_title(words.hashtags_as_words(title), bounds) for title in rules.phrases(answer.suggested_titles)
    ]
    titles = limits.fit_phrases([title for title in titles if title], limits.TITLES, bounds.title_size)
    if not titles:
        _refuse("There is no usable title in the answer.")
    description = limits.fit_description(rules.lines(answer.suggested_description[:MAX_DESCRIPTION_CHARACTERS]), bounds)
    grounded = _Grounds(brief)
    category = next(iter(rules.phrases([answer.suggested_category or ""])), None)
    return Answer(
        suggested_titles=titles,
        suggested_description=description,
        suggested_tags=limits.fit_tags(rules.phrases(answer.suggested_tags), bounds),
        suggested_category=limits.fit(category, limits.CATEGORY_CHARACTERS) if category else None,
        trending_keywords=limits.fit_phrases(grounded.only(rules.phrases(answer.trending_keywords)), limits.KEYWORDS),
        trending_hashtags=limits.fit_hashtags(grounded.only(rules.phrases(answer.trending_hashtags)), bounds),
        related_topics=limits.fit_phrases(rules.phrases(answer.related_topics), limits.TOPICS),
        target_audience=limits.fit_phrases(
            rules.phrases(answer.target_audience), limits.AUDIENCES, limits.AUDIENCE_CHARACTERS
        ),
        sentiment=answer.sentiment,
        confidence_score=answer.confidence_score,
    )


class _Grounds:
    """What 'trending' may be said of: terms of the trends that we know, of the item itself and of its account."""

    def __init__(self, brief: Brief) -> None:
        self._language = brief.item_language
        labels = [label for sibling in brief.siblings for label in (*sibling.tags, *sibling.hashtags)]
        texts = [brief.item.text, *brief.item.labels, *labels, *(trend.keyword for trend in brief.trends)]
        self._stems: set[str] = set().union(*(self._stems_of(text) for text in texts))
        self._glued = {_folded(text) for text in (*labels, *brief.item.labels, *(t.keyword for t in brief.trends))}
        self._text = _folded(brief.item.text)

    def _stems_of(self, text: str) -> frozenset[str]:
        return keywords.stems_of(keywords.split_hashtag(text), self._language)

    def only(self, phrases: Iterable[str]) -> list[str]:
        """Those of `phrases` all of whose content words are known here."""
        return [phrase for phrase in phrases if self._knows(phrase)]

    def _knows(self, phrase: str) -> bool:
        folded = _folded(phrase)
        if folded in self._glued or (len(folded) > 3 and folded in self._text):
            return True
        stems = self._stems_of(phrase)
        return bool(stems) and stems <= self._stems
