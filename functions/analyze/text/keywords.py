"""Key phrases of a content item, by documented arithmetic.

Candidates are runs of one to three content words between stop words and punctuation (as in RAKE), and the item's own
tags and hashtags, as they are written. A word's weight is

    3 if it is in the title + 2 if it is in a tag or hashtag + ln(1 + occurrences in the description)
    + 0.5 if it is in the first sentence, times 0.5 if most of the account's other items have it too

because what every item of a channel has (its name, its greeting) says little about this one. A phrase weighs the mean
of its words times 1.25 for each further word, but half of that for one seen once, outside title and tags, or where two
of its words are said much more often without the third. Forms of a word count together by their stem; of overlapping
phrases the heavier stays. Where the title and the tags say enough, words that the description mentions once are left
out.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from functions.analyze.text import words as text_words

MAX_PHRASE_WORDS = 3
MENTIONS_OF_A_TITLE = 2  # one in the title counts as two
MAX_LABEL_WORDS = 4  # with its stop words: 'bread for beginners'
SHORTEST_PIECE = 3
STRONG_WEIGHT = 2.0  # in the title, in a tag, or said again and again
ENOUGH_STRONG_PHRASES = 4
WEIGHT_OF_ONE_MENTION = math.log1p(1) + 0.5
_BREAK = re.compile(
    r"[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f#.,;:!?…()\[\]{}\"“”«»|/•·\n\t。！？、，（）「」【】।؟،؛：]+|\s[-–—]+\s"
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])|(?<=[a-z]{4})(?=\d)")


@dataclass(frozen=True, slots=True)
class Keyphrase:
    """`text` is lower-case, `weight` relative to the others of the same item, `stems` its words' stems."""

    text: str
    weight: float
    stems: tuple[str, ...]


# Titles, tags and descriptions are asked about many times in one analysis, those of siblings in many analyses.
@functools.lru_cache(maxsize=4096)
def _runs(text: str, language: str) -> tuple[tuple[str, ...], ...]:
    """Runs of content words between punctuation and stop words, lower-case."""
    runs: list[tuple[str, ...]] = []
    for part in _BREAK.split(text_words.strip_references(text)):
        run: list[str] = []
        found = (word.lower().replace("’", "'").removesuffix("'s") for word in text_words.words(part))
        for lower in (piece for word in found for piece in text_words.segments(word, language)):
            if text_words.is_content_word(lower, language):
                run.append(lower)
            elif run:
                runs.append(tuple(run))
                run = []
        if run:
            runs.append(tuple(run))
    return tuple(runs)


@functools.lru_cache(maxsize=4096)
def stems_of(text: str, language: str) -> frozenset[str]:
    """The stems of all content words of `text`."""
    return frozenset(text_words.stem(word, language) for run in _runs(text, language) for word in run)


def glue(text: str) -> str:
    """Letters only and no plural, so that 'indie games' and '#indiegame' are found to be the same."""
    return "".join(character for character in text.casefold() if character.isalnum()).removesuffix("s")


def mentions(text: str, phrase: Keyphrase, language: str) -> bool:
    """Whether `text` says all words of `phrase`, in whatever form, or has them in one piece."""
    if set(phrase.stems) <= stems_of(text, language):
        return True
    glued = glue(phrase.text)
    return len(glued) > (1 if text_words.is_spaceless(glued) else SHORTEST_PIECE) and glued in glue(text)


def split_hashtag(tag: str) -> str:
    """'HomeMadePizza' -> 'home made pizza'; 'pizza' -> 'pizza'; a tag of several words stays as it is."""
    if any(not (character.isalnum() or character == "_") for character in tag.lstrip("#")):
        return tag.lower()
    return " ".join(_CAMEL.split(tag.lstrip("#").replace("_", " "))).lower()


def extract(
    title: str,
    description: str,
    labels: Sequence[str],
    language: str,
    *,
    sibling_titles: Sequence[str] = (),
    limit: int = 12,
) -> list[Keyphrase]:
    """The heaviest key phrases, best first. `labels` are the item's tags and hashtags, without '#'."""
    stem = text_words.stem
    readable_labels = [split_hashtag(label) for label in labels]
    body = "\n".join(text_words.content_lines(description))
    title = text_words.without_hashtags(title)  # those are labels
    in_title = stems_of(title, language)
    in_labels = set().union(*(stems_of(label, language) for label in readable_labels))
    counts = Counter(stem(word, language) for run in _runs(body, language) for word in run)
    for label in filter(text_words.is_spaceless, readable_labels):
        # Such a title is one run, however many words it has; that a tag is among them can be seen.
        in_title |= stems_of(label, language) if label in title else frozenset()
        counts.update({key: body.count(label) for key in stems_of(label, language) if key not in counts})
    in_lead = stems_of(next(iter(text_words.sentences(body)), ""), language)
    everywhere = _common_to_most(sibling_titles, language)

    def weight(word_stem: str) -> float:
        value = 3.0 * (word_stem in in_title) + 2.0 * (word_stem in in_labels) + math.log1p(counts[word_stem])
        return (value + 0.5 * (word_stem in in_lead)) * (0.5 if word_stem in everywhere else 1.0)

    candidates: dict[tuple[str, ...], str] = {}
    seen: Counter[tuple[str, ...]] = Counter()
    whole = [pair for label in readable_labels for pair in _whole_label(label, language)]
    in_title_and_body = [(phrase, 2) for phrase in _phrases(title, language)]
    in_title_and_body += [(phrase, 1) for phrase in _phrases(body, language)]
    said = [(phrase, times) for phrase, times in in_title_and_body if not all(map(text_words.is_weak, phrase))]
    said += [(phrase, 2) for label in readable_labels for phrase in _phrases(label, language)]
    spelled = [(phrase, text_words.join(phrase), times) for phrase, times in said]
    # The first spelling wins: that of whole tags before the texts', the texts' before that of parts of tags.
    for phrase, spelling, times in (*((phrase, text, 2) for phrase, text in whole), *spelled):
        key = tuple(stem(word, language) for word in phrase)
        seen[key] += times
        candidates.setdefault(key, spelling)
    ranked = []
    for key, text in candidates.items():
        if len(key) > 1 and seen[key] == 1 and max(map(weight, key)) >= STRONG_WEIGHT:
            continue  # a subject and whatever stood beside it once
        mean = sum(map(weight, key)) / len(key)
        by_chance = len(key) > 1 and (seen[key] == 1 or _is_longer_than_the_term(key, seen))
        score = mean * 1.25 ** (len(key) - 1) * (0.5 if by_chance else 1.0)
        ranked.append(Keyphrase(text, round(score, 6), key))
    if sum(phrase.weight >= STRONG_WEIGHT for phrase in ranked) >= ENOUGH_STRONG_PHRASES:
        ranked = [phrase for phrase in ranked if phrase.weight > WEIGHT_OF_ONE_MENTION]
    ranked.sort(key=lambda phrase: -phrase.weight)  # of equals, what is said first
    named = {tuple(stem(word, language) for word in phrase) for phrase, _ in whole}
    loose = {key for key in candidates if len(key) > 1 and seen[key] <= MENTIONS_OF_A_TITLE and key not in named}
    return _without_overlaps(ranked, limit, loose)


def _is_longer_than_the_term(key: tuple[str, ...], seen: Counter[tuple[str, ...]]) -> bool:
    """Whether a part of it, of two words at least, is said much more often: 'pickled vegetables failed'."""
    parts = (key[:-1], key[1:]) if len(key) > 2 else ()
    return any(seen[part] >= seen[key] + 2 for part in parts)


def _phrases(text: str, language: str) -> Iterable[tuple[str, ...]]:
    for run in _runs(text, language):
        for start in range(len(run)):
            for size in range(1, MAX_PHRASE_WORDS + 1):
                if start + size <= len(run):
                    yield tuple(run[start : start + size])


def _whole_label(label: str, language: str) -> Iterable[tuple[tuple[str, ...], str]]:
    """A tag's content words, with the tag as it is written: 'kitchen tips' is no 'kitchen'."""
    content = tuple(word for run in _runs(label, language) for word in run)
    if 0 < len(content) <= MAX_PHRASE_WORDS and len(text_words.words(label)) <= MAX_LABEL_WORDS:
        yield content, " ".join(label.split())


def _common_to_most(titles: Sequence[str], language: str) -> set[str]:
    if len(titles) < 4:
        return set()
    counts = Counter(stem for title in titles for stem in stems_of(title, language))
    return {stem for stem, count in counts.items() if count > len(titles) / 2}


def _without_overlaps(ranked: Sequence[Keyphrase], limit: int, loose: Container[tuple[str, ...]]) -> list[Keyphrase]:
    """Drops phrases whose words are all in one that was chosen, or that merely lengthen one.

    `loose` are neighbours in one place only: of 'ultimate pubg mobile tips' one pair is the subject, not both.
    """
    chosen: list[Keyphrase] = []
    glued: set[str] = set()
    for phrase in ranked:
        stems = set(phrase.stems)
        if len(stems) < len(phrase.stems) or any(stems <= set(other.stems) for other in chosen):
            continue
        overlap = max((len(stems & set(other.stems)) / len(stems) for other in chosen), default=0.0)
        if overlap > (0.0 if phrase.stems in loose else 0.5) or glue(phrase.text) in glued:
            continue
        glued.add(glue(phrase.text))
        chosen.append(phrase)
        if len(chosen) == limit:
            break
    return chosen
