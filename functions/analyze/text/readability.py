"""How easy a text is to read, from 0 (hard) to 100 (easy): the Flesch reading-ease family of formulas.

    ease = base - per_sentence * (words / sentences) - per_syllable * (syllables / words), clamped to 0..100

with the constants that were published for each language; a language without its own takes the English ones.
Syllables are counted with the hyphenation patterns of https://pyphen.org, the vowel groups where it knows no language.
Where pyphen cannot hyphenate (Chinese, Japanese, Thai, Korean, Arabic, ...) only the sentences' length counts:

    ease = 100 - 1.5 * max(0, characters / sentences - 15), clamped to 0..100

textstat was not taken: it downloads a dictionary at the first call and brings NLTK along.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from functions.analyze.text import words as text_words

# Flesch 1948 (en), Amstad 1978 (de), Fernandez Huerta 1959 (es), Kandel-Moles 1958 (fr), Flesch-Vacca 1972 (it),
# Douma 1960 (nl), Martins 1996 (pt), Oborneva 2006 (ru).
_CONSTANTS = {
    "en": (206.835, 1.015, 84.6),
    "de": (180.0, 1.0, 58.5),
    "es": (206.84, 1.02, 60.0),
    "fr": (207.0, 1.015, 73.6),
    "it": (217.0, 1.3, 60.0),
    "nl": (206.84, 0.93, 77.0),
    "pt": (248.835, 1.015, 84.6),
    "ru": (206.835, 1.3, 60.1),
}
_WITHOUT_SYLLABLES = frozenset({"zh", "ja", "th", "ko", "ar", "fa", "he", "hi", "ur", "bn"})
_VOWELS = re.compile(r"[aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüýаеёиоуыэюяіїєαεηιουω]+", re.IGNORECASE)


def _ease_without_syllables(text: str, sentences: int) -> float:
    characters = sum(character.isalnum() for character in text)
    return 100 - 1.5 * max(0.0, characters / sentences - 15)


@functools.lru_cache(maxsize=16)
def _positions(language: str) -> Callable[[str], list[int]] | None:
    import pyphen  # noqa: PLC0415 - reads a pattern file

    found = pyphen.language_fallback(language)
    if not found:
        return None
    # Left and right minimum 1: we count syllables, we do not typeset.
    positions: Callable[[str], list[int]] = pyphen.Pyphen(lang=found, left=1, right=1).positions
    return positions


@functools.lru_cache(maxsize=8192)
def syllables(word: str, language: str) -> int:
    """The number of syllables of `word`, at least 1.

    Hyphenation patterns leave out places where nobody would break a line, so the larger of both counts is taken for
    short words, where a missed syllable weighs most.
    """
    vowels = max(1, len(_VOWELS.findall(word)) - (language == "en" and word.endswith("e") and not word.endswith("le")))
    positions = _positions(language)
    if positions is None:
        return vowels
    hyphenated = len(positions(word)) + 1
    return max(hyphenated, vowels) if len(word) <= 8 else hyphenated


def reading_ease(text: str, language: str) -> float | None:
    """Reading ease of `text`, 0..100 with one decimal; None if it has no words."""
    bare = text_words.without_hashtags(text_words.strip_references(text))
    found = text_words.words(bare)
    if not found:
        return None
    sentences = sum(bool(text_words.words(sentence)) for sentence in text_words.sentences(bare)) or 1
    if language in _WITHOUT_SYLLABLES:
        ease = _ease_without_syllables(bare, sentences)
    else:
        base, per_sentence, per_syllable = _CONSTANTS.get(language, _CONSTANTS["en"])
        count = sum(syllables(word.lower(), language) for word in found)
        ease = base - per_sentence * len(found) / sentences - per_syllable * count / len(found)
    return round(min(100.0, max(0.0, ease)), 1)
