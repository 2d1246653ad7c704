"""Whether a text sounds positive, neutral or negative.

English: VADER, made for social media (https://github.com/cjhutto/vaderSentiment, Hutto & Gilbert 2014). Its emoji
lexicon serves every language. For some other languages a short list of unmistakable words is added; where neither says
anything the answer is None: unknown is not neutral.
"""

from __future__ import annotations

import functools
from typing import Any

from functions.analyze.text import words as text_words

POSITIVE, NEUTRAL, NEGATIVE = "positive", "neutral", "negative"
# VADER's own thresholds for the compound score.
THRESHOLD = 0.05

_GOOD = {
    "es": "mejor genial increíble bueno buena excelente feliz amor encanta gracias fácil perfecto hermoso divertido",
    "pt": "melhor ótimo incrível bom boa excelente feliz amor adoro obrigado fácil perfeito lindo divertido sucesso",
    "fr": "meilleur génial incroyable bon bonne excellent heureux amour adore merci facile parfait magnifique drôle",
    "de": "beste besten toll genial unglaublich gut gute super glücklich liebe danke einfach perfekt schön lustig",
    "it": "migliore fantastico incredibile buono buona eccellente felice amore adoro grazie facile perfetto bello",
    "nl": "beste geweldig ongelooflijk goed goede uitstekend blij liefde dank makkelijk perfect mooi grappig succes",
    "ru": "лучший лучшие отлично невероятно хороший хорошо прекрасно счастье любовь спасибо легко красиво успех",
    "pl": "najlepszy świetny niesamowity dobry dobra doskonały szczęście miłość dziękuję łatwy piękny zabawny sukces",
}
_BAD = {
    "es": "peor malo mala terrible horrible triste odio miedo error problema difícil fracaso cuidado nunca muerte",
    "pt": "pior mau ruim terrível horrível triste ódio medo erro problema difícil fracasso cuidado nunca morte",
    "fr": "pire mauvais mauvaise terrible horrible triste déteste peur erreur problème difficile échec jamais mort",
    "de": "schlimmste schlecht schlechte schrecklich furchtbar traurig hasse angst fehler problem schwierig nie tod",
    "it": "peggiore cattivo terribile orribile triste odio paura errore problema difficile fallimento mai morte",
    "nl": "slechtste slecht slechte verschrikkelijk triest haat angst fout probleem moeilijk mislukking nooit dood",
    "ru": "худший плохо плохой ужасно ужасный грустно ненависть страх ошибка проблема трудно провал смерть",
    "pl": "najgorszy zły zła okropny straszny smutny nienawiść strach błąd problem trudny porażka śmierć",
}


@functools.cache
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415 - reads two lexicons

    return SentimentIntensityAnalyzer()


def sentiment(text: str, language: str) -> str | None:
    """'positive', 'neutral' or 'negative'; None if nothing in the text says."""
    bare = text_words.strip_references(text).replace("#", " ").strip()
    if not bare:
        return None
    compound = float(_vader().polarity_scores(bare if language == "en" else _without_letters(bare))["compound"])
    if language != "en":
        found = {word.lower() for word in text_words.words(bare)}
        good = len(found & set(_GOOD.get(language, "").split()))
        bad = len(found & set(_BAD.get(language, "").split()))
        if not (good or bad or compound):
            return None
        compound += (good - bad) / (good + bad + 1)
    if abs(compound) < THRESHOLD:
        return NEUTRAL
    return POSITIVE if compound > 0 else NEGATIVE


def _without_letters(text: str) -> str:
    """What VADER can read in any language: emoji and emoticons. Words of other languages may look like English ones."""
    return " ".join(part for part in text.split() if not any(character.isalpha() for character in part[:-1] or part))
