"""The few words that the built-in analyser adds of its own, by language.

Everything else comes from the item. A language that is not here gets compositions without added words. `title` patterns
take the main key phrase as {topic}, in a form that needs no article, case or gender; {second} and {third} are others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Phrases:
    """Title patterns by tone ('' serves every other tone), and the words around lists in descriptions."""

    titles: Mapping[str, tuple[str, ...]]
    about: str
    conjunction: str
    audience: str


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
