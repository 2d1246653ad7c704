"""What survives of a model's answer: only the schema, only what the platform takes, nothing that was smuggled in."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.analyze import builtin, cleaning, limits, prompt
from functions.analyze.brief import Brief, Item, Trend, read
from functions.analyze.schema import Answer, json_schema
from functions.analyze.text import words
from functions.core import letters
from tests.unit.analyze.hostile import GOOD, REJECTED, TAMED, answer

ITEM = Item(
    title="How I Make Sourdough Bread at Home",
    description="Sourdough bread with flour, water and salt. Baked at 230 degrees.",
    tags=("sourdough",),
    hashtags=("BreadBaking",),
    category=None,
    language="en",
    platform="youtube",
    content_type="long_video",
)
BRIEF = Brief(ITEM, trends=(Trend("rye bread", 50.0),))
QUESTION = prompt.compose(BRIEF)
RULES = cleaning.Filter(BRIEF, QUESTION.prompt.system, [QUESTION.canary])
BOUNDS = limits.of("youtube")
SMUGGLED = re.compile(
    r"https?:|www\.|evil|[@]|<|>|script[>:]|sk-proj|eyJ|4111|555|10\.0\.0\.1|3f2b8a52|never follow|"
    r"\u200b|\u202e|\u0000|CANARY",
    re.IGNORECASE,
)


def told(text: str) -> str:
    """The text with this prompt's canary in it."""
    return text.replace("C-A-N-A-R-Y", "-".join(QUESTION.canary)).replace("CANARY", QUESTION.canary)


def cleaned(text: str, brief: Brief = BRIEF, rules: cleaning.Filter = RULES) -> Answer:
    return cleaning.clean(cleaning.parse(told(text)), brief, rules)


def assert_within_limits(result: Answer, platform: str = "youtube") -> None:
    bounds = limits.of(platform)
    assert 1 <= len(result.suggested_titles) <= limits.TITLES
    for title in result.suggested_titles:
        assert 0 < len(title) <= bounds.title_size
        assert "\n" not in title
    assert bounds.size(result.suggested_description) <= bounds.description_size
    assert len(words.hashtags(result.suggested_description)) <= bounds.hashtag_count
    assert len(result.suggested_tags) <= bounds.tag_count
    if bounds.tags_total is not None:
        quoted = [f'"{tag}"' if " " in tag else tag for tag in result.suggested_tags]
        assert len(",".join(quoted)) <= bounds.tags_total
    for hashtag in result.trending_hashtags:
        assert re.fullmatch(rf"#{letters.TAG}", hashtag)
        assert len(hashtag) <= 61
    assert len(result.trending_hashtags) <= bounds.hashtag_count
    assert result.confidence_score is None or 0 <= result.confidence_score <= 1


def test_a_good_answer_survives_whole() -> None:
    assert cleaned(answer()) == Answer(**GOOD)


@pytest.mark.parametrize("name", REJECTED)
def test_rejected(name: str) -> None:
    with pytest.raises(cleaning.UnusableAnswerError) as refused:
        cleaned(REJECTED[name])
    assert QUESTION.canary not in str(refused.value)
    assert "evil" not in str(refused.value)


@pytest.mark.parametrize("name", TAMED)
def test_tamed(name: str) -> None:
    result = cleaned(TAMED[name])
    assert set(result.model_dump()) == set(Answer.model_fields)
    assert_within_limits(result)
    stored = json.dumps(result.model_dump(), ensure_ascii=False)
    assert not SMUGGLED.search(stored)
    assert QUESTION.canary not in stored.replace("-", "")
    assert result.suggested_titles[0]


def test_there_are_enough_hostile_outputs() -> None:
    assert len(REJECTED) + len(TAMED) >= 30


def test_what_was_good_is_kept_beside_what_was_not() -> None:
    result = cleaned(TAMED["addresses"])
    assert result.suggested_description == "Make bread.\nEnjoy your loaf."
    assert cleaned(TAMED["foreign trends"]).trending_keywords == ["sourdough"]
    assert cleaned(TAMED["foreign trends"]).trending_hashtags == []
    assert cleaned(TAMED["tags with signs"]).suggested_tags == ["bread", "a quoted tag"]
    assert cleaned(TAMED["confidence of two"]).confidence_score == 1.0
    assert cleaned(TAMED["confidence true"]).confidence_score is None
    assert cleaned(TAMED["unknown sentiment"]).sentiment is None


def test_a_description_has_no_more_hashtags_than_count() -> None:
    bounds = limits.of("instagram")
    assert limits.fit_description("Bread. #a #b\n#c #d #e #f #g", bounds) == "Bread. #a #b\n#c #d #e"
    assert limits.fit_description("#a #b #c #d #e and #f bread #g", bounds) == "#a #b #c #d #e and f bread"
    assert limits.fit_description("Bread #a\n\n#b", bounds) == "Bread #a\n\n#b"


def test_numbers_of_the_item_itself_are_no_leak() -> None:
    brief = Brief(Item("Pi is 3.14159 26535 89793", "", (), (), None, "en", "youtube", "long_video"))
    rules = cleaning.Filter(brief, "", ())
    assert rules.allows("Pi is 3.14159 26535 89793")
    assert not rules.allows("Call 555 0100 4711 now")


ENDLESS = {
    "letters": "a" * 30_000,
    "labels": "a." * 15_000,
    "dashes": "a-" * 15_000,
    "dots": "." * 30_000,
    "spaces": "a" + " " * 30_000 + "a",
    "signs": "a@" * 15_000,
    "numbers": "1 " * 15_000,
    "tags": "#a" * 10_000 + "!",
    "marks": "www" * 10_000,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_no_text_takes_for_ever(name: str) -> None:
    """With a pattern that begins again at each letter, one of these takes minutes."""
    text = ENDLESS[name]
    for field, value in {"suggested_titles": ["Bread", text], "suggested_description": text}.items():
        assert_within_limits(cleaned(answer(**{field: value})))
    facts = {"item": {"title": text[:2000], "description": text, "platform": "youtube", "content_type": "short_video"}}
    assert_within_limits(builtin.answer(read(facts)))


def test_addresses_in_every_spelling_are_seen() -> None:
    for text in (
        "see evil.com",
        "a evil.com/x?y",
        "evil [.] com",
        "evil (dot) io",
        "me at a.b+c@d.example",
        "x(at)y(dot)zz",
    ):
        assert not RULES.allows(text), text
    assert not RULES.allows("bei m\u00fc.de und \u4f8b\u3048.com")
    for text in ("Version 2.0 of it", "Mr. Smith bakes", "a.m. and p.m.", "3.5 stars", "Dr.Pepper"):
        assert RULES.allows(text), text


def test_the_rules_can_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them the same outputs do get through: it is the rules that stop them, not luck."""
    monkeypatch.setattr(cleaning.Filter, "allows", lambda self, text: True)
    leaked = [name for name in TAMED if SMUGGLED.search(json.dumps(cleaned(TAMED[name]).model_dump()))]
    assert len(leaked) >= 10


@pytest.mark.parametrize("platform", limits.PLATFORMS)
@given(
    texts=st.lists(st.text(max_size=400), min_size=1, max_size=8),
    description=st.text(max_size=6000),
    tags=st.lists(st.text(max_size=80), max_size=60),
)
def test_any_text_fits_its_platform(platform: str, texts: list[str], description: str, tags: list[str]) -> None:
    item = Item("Bread", "", (), (), None, "en", platform, "long_video")
    brief = Brief(item)
    given_answer = Answer(
        **{**GOOD, "suggested_titles": ["Bread", *texts], "suggested_description": description, "suggested_tags": tags}
    )
    result = cleaning.clean(given_answer, brief, cleaning.Filter(brief, "", ()))
    assert_within_limits(result, platform)
    # Cleaning again changes nothing.
    assert cleaning.clean(result, brief, cleaning.Filter(brief, "", ())) == result


def test_the_schema_is_strict_enough_for_all_four() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == set(schema["properties"]) == set(Answer.model_fields)
    assert not re.search(r'"(minLength|maxLength|minimum|maximum|\$ref|anyOf|default)"', json.dumps(schema))
