"""The few words that the built-in analyser adds of its own, by language.

Everything else comes from the item. A language that is not here gets compositions without added words. `title` patterns
take the main key phrase as {topic}, in a form that needs no article, case or gender; {second} and {third} are others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Phrases:
    """Title patterns by tone ('' serves every other tone), and the words around lists in descriptions."""

    titles: Mapping[str, tuple[str, ...]]
    about: str
    conjunction: str
    audience: str

    def list(self, items: Sequence[str]) -> str:
        """'a, b and c' in this language; where nothing stands before the last, 'a、b、c'."""
        if not self.conjunction:
            return "、".join(items)
        return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {self.conjunction} {items[-1]}"


PHRASEBOOK: Mapping[str, Phrases] = MappingProxyType(
    {
        "en": Phrases(
            {
                "professional": ("{topic}: A Practical Guide", "{topic} Explained: {second} and {third}"),
                "casual": ("{topic}, the Easy Way", "Let's Talk About {topic}: {second} and {third}"),
                "enthusiastic": ("{topic}: You Will Want to Try This!", "{topic} at Its Best: {second} and {third}!"),
                "": ("{topic}: What You Need to Know", "{topic}: {second} and {third}"),
            },
            about="Topics: {topics}.",
            conjunction="and",
            audience="people interested in {topic}",
        ),
        "es": Phrases(
            {
                "professional": ("{topic}: guía práctica", "{topic}: {second} y {third}, paso a paso"),
                "casual": ("{topic}, así de fácil", "Hablemos de {topic}: {second} y {third}"),
                "enthusiastic": ("¡{topic} como nunca!", "{topic}: ¡{second} y {third}!"),
                "": ("{topic}: lo que debes saber", "{topic}: {second} y {third}"),
            },
            about="Temas: {topics}.",
            conjunction="y",
            audience="personas interesadas en {topic}",
        ),
        "pt": Phrases(
            {
                "professional": ("{topic}: guia prático", "{topic}: {second} e {third}, passo a passo"),
                "casual": ("{topic} sem complicação", "Vamos falar de {topic}: {second} e {third}"),
                "enthusiastic": ("{topic} como você nunca viu!", "{topic}: {second} e {third}!"),
                "": ("{topic}: o que você precisa saber", "{topic}: {second} e {third}"),
            },
            about="Temas: {topics}.",
            conjunction="e",
            audience="pessoas interessadas em {topic}",
        ),
        "fr": Phrases(
            {
                "professional": ("{topic} : le guide pratique", "{topic} : {second} et {third}, étape par étape"),
                "casual": ("{topic}, tout simplement", "Parlons de {topic} : {second} et {third}"),
                "enthusiastic": ("{topic} comme jamais !", "{topic} : {second} et {third} !"),
                "": ("{topic} : ce qu'il faut savoir", "{topic} : {second} et {third}"),
            },
            about="Sujets : {topics}.",
            conjunction="et",
            audience="personnes intéressées par {topic}",
        ),
        "de": Phrases(
            {
                "professional": ("{topic}: der praktische Leitfaden", "{topic}: {second} und {third} im Überblick"),
                "casual": ("{topic}, ganz einfach", "Reden wir über {topic}: {second} und {third}"),
                "enthusiastic": ("{topic}, wie man es noch nie gesehen hat!", "{topic}: {second} und {third}!"),
                "": ("{topic}: das Wichtigste", "{topic}: {second} und {third}"),
            },
            about="Themen: {topics}.",
            conjunction="und",
            audience="alle, die sich für {topic} interessieren",
        ),
        "it": Phrases(
            {
                "professional": ("{topic}: guida pratica", "{topic}: {second} e {third}, passo dopo passo"),
                "casual": ("{topic} in modo semplice", "Parliamo di {topic}: {second} e {third}"),
                "enthusiastic": ("{topic} come non mai!", "{topic}: {second} e {third}!"),
                "": ("{topic}: cosa sapere", "{topic}: {second} e {third}"),
            },
            about="Argomenti: {topics}.",
            conjunction="e",
            audience="persone interessate a {topic}",
        ),
        "nl": Phrases(
            {"": ("{topic}: praktische gids", "{topic}: {second} en {third}")},
            about="Onderwerpen: {topics}.",
            conjunction="en",
            audience="mensen met interesse in {topic}",
        ),
        "pl": Phrases(
            {"": ("{topic}: praktyczny poradnik",)},
            about="Tematy: {topics}.",
            conjunction="i",
            audience="zainteresowani tematem: {topic}",
        ),
        "ru": Phrases(
            {"": ("{topic}: практическое руководство",)},
            about="Темы: {topics}.",
            conjunction="и",
            audience="те, кому интересна тема: {topic}",
        ),
        "tr": Phrases(
            {"": ("{topic}: Pratik Rehber",)},
            about="Konular: {topics}.",
            conjunction="ve",
            audience="{topic} ile ilgilenenler",
        ),
        "id": Phrases(
            {"": ("{topic}: Panduan Praktis", "{topic}: {second} dan {third}")},
            about="Topik: {topics}.",
            conjunction="dan",
            audience="orang yang tertarik pada {topic}",
        ),
        "hi": Phrases(
            {"": ("{topic}: आसान गाइड",)},
            about="विषय: {topics}।",
            conjunction="और",
            audience="{topic} में रुचि रखने वाले लोग",
        ),
        "ar": Phrases(
            {"": ("{topic}: دليل عملي",)},
            about="المواضيع: {topics}.",
            conjunction="و",
            audience="المهتمون بموضوع {topic}",
        ),
        "ja": Phrases(
            {"": ("{topic}の基本ガイド", "{topic}：{second}と{third}")},
            about="テーマ：{topics}。",
            conjunction="",
            audience="{topic}に興味がある人",
        ),
        "zh": Phrases(
            {"": ("{topic}：实用指南", "{topic}：{second}与{third}")},
            about="主题：{topics}。",
            conjunction="",
            audience="对{topic}感兴趣的人",
        ),
        "ko": Phrases(
            {"": ("{topic}: 실전 가이드",)},
            about="주제: {topics}.",
            conjunction="및",
            audience="{topic}에 관심 있는 분",
        ),
        "th": Phrases(
            {"": ("{topic}: คู่มือฉบับใช้งานจริง",)},
            about="หัวข้อ: {topics}",
            conjunction="และ",
            audience="ผู้ที่สนใจ{topic}",
        ),
        "he": Phrases(
            {"": ("{topic}: מדריך מעשי",)},
            about="נושאים: {topics}.",
            conjunction="וגם",
            audience="מי שמתעניין בנושא {topic}",
        ),
        "sv": Phrases(
            {"": ("{topic}: en praktisk guide", "{topic}: {second} och {third}")},
            about="Ämnen: {topics}.",
            conjunction="och",
            audience="personer som är intresserade av {topic}",
        ),
        "uk": Phrases(
            {"": ("{topic}: практичний посібник",)},
            about="Теми: {topics}.",
            conjunction="і",
            audience="ті, кому цікава тема: {topic}",
        ),
    }
)

# Who watches what, by words of the platforms' category names. English: audiences are for the creator to read.
AUDIENCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "education": ("students", "self-learners"),
        "howto": ("beginners who learn by doing", "hobbyists"),
        "style": ("people who follow fashion and beauty",),
        "gaming": ("gamers",),
        "music": ("music fans",),
        "science": ("technology enthusiasts",),
        "technology": ("technology enthusiasts", "early adopters"),
        "travel": ("travellers planning a trip",),
        "sports": ("sports fans",),
        "food": ("home cooks",),
        "cooking": ("home cooks",),
        "news": ("people who follow current events",),
        "comedy": ("viewers looking for a laugh",),
        "entertainment": ("viewers looking for entertainment",),
        "pets": ("pet owners",),
        "autos": ("car enthusiasts",),
        "fitness": ("people who work out at home",),
        "film": ("film lovers",),
        "business": ("small business owners",),
    }
)
