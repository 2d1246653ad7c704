"""Words, sentences, stems and stop words of any language, and which language a text is written in.

Stop words: stopwordsiso on PyPI (58 languages); stems: https://snowballstem.org (34 languages).
Chinese, Japanese and Thai do not put spaces between words. Without a dictionary of many megabytes the best that can
be done is to cut where the script changes and at particles; the runs that remain are words often enough to be useful.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Protocol

from functions.core import letters

DEFAULT_LANGUAGE = "en"
MINIMUM_WORDS_TO_DETECT = 4

# Each begins where a run of its characters begins and looks no further than a name may be long, so that a text of one
# endless word is read once and not again from each of its letters.
_URL = re.compile(
    r"(?:https?://|www\.)\S+|"
    r"(?<![\w-])[\w-]{1,63}\.(?:com|net|org|io|co|tv|gg|ly|be|me|shop|store|app|dev)(?:/\S*)?\b",
    re.I,
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]+")
_HANDLE = re.compile(r"(?<!\w)@[\w.]+")
_TIMESTAMP = re.compile(r"\(?\b\d{1,2}:\d{2}(?::\d{2})?\b\)?")
_LETTER = rf"(?:[^\W_]|[{letters.MARKS}])"
_WORD = re.compile(rf"[^\W_]{_LETTER}*(?:['’\-]{_LETTER}+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?…।؟])\s+|(?<=[。！？])|\n+")
_HASHTAG = re.compile(rf"(?<![\w&])#({letters.TAG})")
_ANY_HASHTAG = re.compile(rf"#{letters.TAG}")
_LETTERS = re.compile(letters.TAG)
_SIGN = re.compile(r"(?<!\w)#(?=\w*[^\W\d])")
# Lines that ask for something or list links say nothing about what the item shows.
_BOILERPLATE = re.compile(
    r"\b(subscribe|follow (me|us)|my (channel|links?|socials)|link in bio|sponsor|affiliate|discount code|use code|"
    r"patreon|merch|music:|licensed|let me know|abonn|suscr[ií]b|inscreva|iscriv|copyright|all rights reserved|"
    r"business inquir|contact)\w*",
    re.IGNORECASE,
)
_RUN = re.compile(
    r"[\u4e00-\u9fff]+|[\u30a0-\u30ff]+|[\u3040-\u309f]+|[\u0e00-\u0e7f]+|[^\u3040-\u30ff\u4e00-\u9fff\u0e00-\u0e7f]+"
)
_HAN = re.compile(r"[\u4e00-\u9fff]+")
_HIRAGANA = re.compile(r"[\u3040-\u309f]+")
_SPACELESS = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff\u0e00-\u0e7f]+")
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
)
# Which languages to tell apart by their stop words, the most frequent on the platforms first.
_LATIN = ("en", "es", "pt", "fr", "de", "it", "nl", "id", "tr", "pl", "sv", "da", "no", "fi", "cs", "ro", "hu", "vi")
_STEMMERS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish",
    "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian",
    "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian",
    "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish",
}  # fmt: skip
# Words that stop-word lists do not have and that still say nothing about a video or a post.
_EMPTY_WORDS = frozenset(
    "video videos shorts short reel reels tiktok youtube instagram facebook twitter viral fyp foryou foryoupage "
    "subscribe follow like likes comment comments share channel episode ep part vlog new official full hd 4k "
    "today link bio watch click below honestly really literally actually insane crazy intro outro chapter chapters "
    "tip tips day days minute minutes way ways thing things everyone anyone mistake mistakes reason reasons time "
    "times explain explains explained explaining".split()
)
# Words that may be part of a name ('golden hour') and name nothing by themselves.
_WEAK_WORDS = frozenset(
    "hour hours week weeks month months year years later finally better best favourite favorite hate love top setting "
    "tried trying make makes making made cook cooked cooking fix fixed clean cleaned ship shipped went built build buy "
    "bought using used start started stop stopped faster slower bigger smaller cheaper costs matters happened right "
    "wrong lost found open half source".split()
)
# What stop-word lists of these languages lack of what titles and descriptions are full of.
_MORE_STOP_WORDS = {
    "es": "vale pena paso pasos hoy",
    "de": "zeige zeigen euch schritt richtig",
    "hi": "कैसे सिर्फ बनाएं बनाना बनाने बनाते सीखेंगे चाहिए आज हम घर",
    "ko": "오늘은 집에서 만드는 만들기 방법 방법을 법 알려드립니다 에서",
    "th": "วันนี้",
    "ar": "كيف تصنع صنع طريقة خطوة بخطوة اليوم تجربتي الفيديو",
    "ru": "сегодня покажу нужны",
    "pl": "dzisiaj pokażę wam",
    "tr": "bugün nasıl yapılır gösteriyorum evde",
}
_NUMBERED = re.compile(r"\d+-\w+")  # '32-inch' says how large, not what


class _Stemmer(Protocol):
    def stemWord(self, word: str) -> str: ...  # noqa: N802 - the library's name


def primary_subtag(language: str | None) -> str:
    """'pt-BR' -> 'pt'; '' for None and for the codes that mean 'none' ('und', 'zxx', 'qme')."""
    tag = re.split(r"[-_]", (language or "").strip().lower())[0]
    return "" if tag in {"und", "zxx", "qme", "mul", "art"} or not tag.isalpha() else tag


@functools.lru_cache(maxsize=32)
def stop_words(language: str) -> frozenset[str]:
    """Stop words of `language` (ISO 639-1); empty for a language without a list."""
    import stopwordsiso  # noqa: PLC0415 - reads half a megabyte of lists

    listed = stopwordsiso.stopwords(language) if stopwordsiso.has_lang(language) else ()
    return frozenset(listed) | frozenset(_MORE_STOP_WORDS.get(language, "").split())


@functools.lru_cache(maxsize=16)
def _stemmer(language: str) -> _Stemmer | None:
    import snowballstemmer  # noqa: PLC0415 - imports one module a language

    name = _STEMMERS.get(language)
    stemmer: Any = snowballstemmer.stemmer(name) if name else None
    return stemmer  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=8192)
def stem(word: str, language: str) -> str:
    """The stem of a lower-case word, so that 'recipes' and 'recipe' count as one; the word itself where unknown."""
    stemmer = _stemmer(language)
    return stemmer.stemWord(word) if stemmer else word


def strip_references(text: str) -> str:
    """`text` without URLs, e-mail addresses, @handles and chapter timestamps."""
    # Most texts have none of these signs, and the patterns are slow to find that out.
    if not any(sign in text for sign in ".@:"):
        return text
    for pattern in (_URL, _EMAIL, _HANDLE, _TIMESTAMP):
        text = pattern.sub(" ", text)
    return text


def hashtags(text: str) -> list[str]:
    """Hashtags of `text` without '#', in order of appearance, each once."""
    return list(dict.fromkeys(match.group(1) for match in _HASHTAG.finditer(text)))


def without_hashtags(text: str) -> str:
    """`text` without its hashtags, wherever they stand."""
    return _ANY_HASHTAG.sub(" ", text)


def hashtags_as_words(text: str) -> str:
    """`text` with the signs of its hashtags gone; numbers keep theirs."""
    return _SIGN.sub("", text)


def sentences(text: str) -> list[str]:
    """Sentences and lines of `text`, stripped, empty ones left out."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part and part.strip()]


def without_links(text: str) -> str:
    """`text` without the sentences that hold addresses or handles, and without hashtags at the end; lines are kept."""
    lines = []
    for line in text.splitlines():
        if any(pattern.search(line) for pattern in (_URL, _EMAIL, _HANDLE)):
            clean = [part for part in sentences(line) if not any(p.search(part) for p in (_URL, _EMAIL, _HANDLE))]
            if clean:
                lines.append(" ".join(clean))
        else:
            lines.append(line.rstrip())
    kept = "\n".join(lines)
    return re.sub(r"\n{3,}", "\n\n", without_trailing_hashtags(kept)).strip()


def without_trailing_hashtags(text: str) -> str:
    """`text` without the row of hashtags at its end. '#57' is a number, not a hashtag."""
    while True:
        text = text.rstrip()
        before, sign, tag = text.rpartition("#")
        if not sign or not _LETTERS.fullmatch(tag) or tag.isdigit():
            return text
        text = before


def content_lines(text: str) -> list[str]:
    """The lines of a description that speak about the item: no links, calls to action, lines of hashtags only."""
    lines = []
    for line in text.splitlines():
        kept = [
            part
            for part in sentences(line)
            if not (_URL.search(part) or _EMAIL.search(part) or _BOILERPLATE.search(part))
        ]
        bare = _HANDLE.sub("", " ".join(kept))
        bare = re.sub(r"\s{2,}", " ", _TIMESTAMP.sub("", bare)).strip(" -–—|•*·\t")
        if _WORD.search(without_hashtags(bare)):
            lines.append(bare)
    return lines


def words(text: str) -> list[str]:
    """The words of `text` as written, scripts without spaces cut into runs."""
    found: list[str] = []
    for match in _WORD.finditer(unicodedata.normalize("NFC", text)):
        found.extend(_RUN.findall(match.group()) if not match.group().isascii() else [match.group()])
    return found


@functools.lru_cache(maxsize=4)
def _chinese_particles() -> re.Pattern[str]:
    listed = sorted((word for word in stop_words("zh") if _HAN.fullmatch(word)), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, listed)))


def segments(word: str, language: str) -> list[str]:
    """`word` cut at the stop words inside it, for Chinese; an empty string marks each cut."""
    if language != "zh" or not _HAN.fullmatch(word) or word in stop_words("zh"):
        return [word]
    return [part for piece in _chinese_particles().split(word) for part in ("", piece)][1:]


def is_content_word(word: str, language: str) -> bool:
    """Whether a lower-case word can carry a topic: no stop word, no number, no filler of social media."""
    if word.isdigit() or word in _EMPTY_WORDS or word in stop_words(language) or _NUMBERED.fullmatch(word):
        return False
    if _HIRAGANA.fullmatch(word):  # particles and verb endings
        return False
    return len(word) >= 3 or (len(word) == 2 and not word.isascii())


def is_weak(word: str) -> bool:
    """Whether a lower-case word names nothing by itself."""
    return word in _WEAK_WORDS


def is_spaceless(text: str) -> bool:
    """Whether `text` is of a script that puts no spaces between words."""
    return bool(_SPACELESS.fullmatch(text))


def join(parts: Iterable[str]) -> str:
    """Words as a phrase, with spaces except between words of scripts that have none."""
    phrase = ""
    for part in parts:
        glued = not phrase or (_SPACELESS.fullmatch(part) and _SPACELESS.fullmatch(phrase[-1]))
        phrase += part if glued else f" {part}"
    return phrase


def detect_language(text: str, hints: Iterable[str | None] = ()) -> str:
    """The ISO 639-1 code of the language of `text`.

    A script that one language owns decides; otherwise the language with the most stop words in the text, if that is
    clear; otherwise the first usable hint (what the platform or the user's settings say); otherwise English.
    """
    bare = strip_references(text)
    letters = max(1, sum(character.isalpha() for character in bare))
    for language, script in _SCRIPTS:
        if len(script.findall(bare)) / letters > 0.2:
            return _same_script(language, hints)
    found = [word.lower() for word in words(bare)]
    usable = [tag for tag in map(primary_subtag, hints) if tag]
    if len(found) >= MINIMUM_WORDS_TO_DETECT:
        counted = sorted(
            (
                (sum(word in stop_words(language) for word in found), -rank, language)
                for rank, language in enumerate(_LATIN)
            ),
            reverse=True,
        )
        (most, _, language), (second, _, _) = counted[:2]
        if usable and usable[0] in _LATIN:
            said = next(count for count, _, tag in counted if tag == usable[0])
            language = usable[0] if said >= most * 0.6 else language
            most, second = max(said, most), 0
        if most >= 2 and most > second:
            return language
    return usable[0] if usable else DEFAULT_LANGUAGE


def _same_script(language: str, hints: Iterable[str | None]) -> str:
    """Cyrillic and Arabic letters serve several languages: a hint that names one of them is better than the default."""
    families = {"ru": {"ru", "uk", "bg", "sr", "mk", "be", "kk"}, "ar": {"ar", "fa", "ur"}, "zh": {"zh", "ja"}}
    return next((tag for tag in map(primary_subtag, hints) if tag in families.get(language, ())), language)
