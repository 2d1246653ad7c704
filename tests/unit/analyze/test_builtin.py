"""The built-in analyser's suggestions: would a creator apply them?"""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.analyze import appraisal, builtin, limits, scores
from functions.analyze.brief import Brief, Item, Sibling, Trend
from functions.analyze.text import words
from tests.unit.analyze.test_cleaning import assert_within_limits

SIBLINGS = (
    Sibling("Focaccia Like in Genoa | Baking Basics", ("focaccia", "bread recipe"), (), "Howto & Style", 3.2),
    Sibling("No-Knead Bread | Baking Basics", ("no knead bread", "baking"), (), "Howto & Style", 2.1),
    Sibling("Croissants From Scratch | Baking Basics", ("croissant", "baking"), (), "Howto & Style", 1.5),
    Sibling("Kitchen Tour", ("kitchen",), (), "Howto & Style", 0.4),
)
TRENDS = (Trend("sourdough", 80.0), Trend("air fryer", 60.0), Trend("bread baking", 40.0))
DESCRIPTION = """Today I show you how I make sourdough bread at home with just flour, water and salt.

0:00 Intro
1:20 Feeding the starter

Follow me on https://instagram.com/baker
#sourdough #BreadBaking"""


def item(title: str = "How I Make Sourdough Bread at Home", description: str = DESCRIPTION, **fields: object) -> Item:
    values = {
        "tags": ("sourdough", "bread recipe"),
        "hashtags": (),
        "category": None,
        "language": "en",
        "platform": "youtube",
        "content_type": "long_video",
        **fields,
    }
    return Item(title, description, **values)  # type: ignore[arg-type]


def test_a_suggestion_that_makes_sense() -> None:
    answer = builtin.answer(Brief(item(), SIBLINGS, TRENDS))
    assert answer.suggested_titles == [
        "How I Make Sourdough Bread at Home | Baking Basics",  # as the account's better items are named
        "Sourdough Bread: A Practical Guide",
        "How I Make Sourdough Bread at Home",
    ]
    assert answer.suggested_description == (
        "Today I show you how I make sourdough bread at home with just flour, water and salt.\n\n"
        "0:00 Intro\n1:20 Feeding the starter\n\n"
        "Topics: bread recipe and bread baking.\n\n"
        "#sourdough #breadbaking #sourdoughbread #breadrecipe"
    )
    assert answer.suggested_tags[:3] == ["sourdough bread", "bread recipe", "bread baking"]
    assert "no knead bread" in answer.suggested_tags  # of a successful item on the same thing
    assert "croissant" not in answer.suggested_tags
    assert answer.suggested_category == "Howto & Style"
    assert answer.trending_keywords == ["sourdough", "bread baking"]
    assert answer.related_topics == ["focaccia", "croissant"]
    assert answer.target_audience[0] == "people interested in sourdough bread"


@pytest.mark.parametrize(
    ("tone", "title"),
    [
        ("casual", "Sourdough Bread, the Easy Way"),
        ("very enthusiastic", "Sourdough Bread: You Will Want to Try This!"),
        ("laconic", "Sourdough Bread: What You Need to Know"),
    ],
)
def test_the_tone_chooses_the_words(tone: str, title: str) -> None:
    assert title in builtin.answer(Brief(item(), tone=tone)).suggested_titles


@pytest.mark.parametrize(
    ("language", "title", "description", "expected"),
    [
        (
            "es",
            "Tacos al pastor en casa",
            "Los mejores tacos con una receta muy fácil para la familia.",
            "Tacos: guía práctica",
        ),
        (
            "de",
            "Die besten Wanderungen in den Alpen",
            "Wir zeigen euch die Wanderungen und die Alpen.",
            "der praktische Leitfaden",
        ),
        (
            "fr",
            "Le pain au levain à la maison",
            "Je vous montre comment faire le pain avec du levain.",
            "le guide pratique",
        ),
        ("ja", "家で作る味噌ラーメンの作り方", "味噌ラーメンのレシピを紹介します。", "味噌ラーメン"),
    ],
)
def test_it_writes_in_the_items_language(language: str, title: str, description: str, expected: str) -> None:
    brief = Brief(item(title, description, tags=(), language=None), wanted_language="en")
    answer = builtin.answer(brief)
    assert brief.item_language == language
    assert any(expected in suggested for suggested in answer.suggested_titles)
    assert title in answer.suggested_titles
    assert "Topics:" not in answer.suggested_description


@pytest.mark.parametrize(
    ("language", "title", "description", "tags", "subject", "wrong"),
    [
        ("hi", "घर पर आटे की रोटी कैसे बनाएं", "आज हम घर पर आटे की नरम रोटी बनाना सीखेंगे।", ("नरम रोटी",), "नरम रोटी", "आट"),
        ("th", "วิธีทำขนมปังซาวโดว์ที่บ้าน", "วันนี้เราจะมาทำขนมปังซาวโดว์ที่บ้าน", ("ขนมปัง",), "ขนมปัง", "ขนมป"),
        (
            "ar",
            "كيف تصنع خبز العجين المخمر",
            "طريقة صنع خبز العجين المخمر في المنزل.",
            ("خبز",),
            "خبز العجين المخمر",
            "كيف",
        ),
        ("zh", "在家制作酸面包的简单方法", "今天教大家如何在家制作酸面包。", ("酸面包", "烘焙"), "酸面包", "酸面"),
        (
            "ko",
            "집에서 사워도우 빵 만드는 법",
            "오늘은 사워도우 빵을 만드는 방법.",
            ("사워도우",),
            "사워도우",
            "만드는",
        ),
        (
            "ru",
            "Как испечь хлеб на закваске дома",
            "Хлеб на закваске без дрожжей.",
            ("хлеб на закваске",),
            "хлеб на закваске",
            "на",
        ),
    ],
)
def test_words_of_every_script_stay_whole(
    language: str, title: str, description: str, tags: tuple[str, ...], subject: str, wrong: str
) -> None:
    answer = builtin.answer(Brief(item(title, description, tags=tags, language=language)))
    assert subject in answer.suggested_tags
    assert wrong not in answer.suggested_tags
    assert "#" + subject.replace(" ", "") in answer.trending_hashtags
    marks = {c for text in (title, description) for c in text if unicodedata.category(c).startswith("M")}
    suggested = "".join([*answer.suggested_titles, *answer.suggested_tags, *answer.trending_hashtags])
    assert all(words.words(text) for text in answer.suggested_tags)
    if marks:
        assert marks & set(suggested)
    assert title in answer.suggested_titles


def test_what_is_said_is_said_once() -> None:
    labels = ("indie games", "IndieGame", "let's play", "LetsPlay", "goldenhour")
    answer = builtin.answer(Brief(item("Golden hour with indie games", "Indie games at golden hour.", tags=labels)))
    assert answer.suggested_titles[0] == "Golden hour with indie games | Let's Play"
    assert "Topics: let's play." in answer.suggested_description
    assert sorted(tag.lower() for tag in answer.trending_hashtags) == ["#goldenhour", "#indiegames", "#letsplay"]


def test_a_number_is_no_hashtag() -> None:
    answer = builtin.answer(Brief(item("Vlog #57", "Random thoughts about soup.", tags=())))
    assert answer.suggested_titles[0].startswith("Vlog #57")
    assert builtin.answer(Brief(item("Soup #57 #soup", "", tags=()))).suggested_titles[-1] == "Soup #57"


def test_one_pair_of_a_titles_words_is_the_subject() -> None:
    tags = ("pubg mobile", "gaming")
    answer = builtin.answer(Brief(item("Ultimate PUBG Mobile Tips", "PUBG Mobile tips and tricks.", tags=tags)))
    assert answer.suggested_tags[:2] == ["pubg mobile", "gaming"]
    assert not any("ultimate" in text.casefold() for text in answer.suggested_tags + answer.trending_hashtags)
    tags = ("airpods pro 3", "full body workout")
    answer = builtin.answer(Brief(item("AirPods Pro 3 for a Full Body Workout", "AirPods Pro 3 tested.", tags=tags)))
    assert set(answer.suggested_tags[:2]) == set(tags)
    assert "AirPods Pro 3: A Practical Guide" in answer.suggested_titles


def test_a_tag_stays_as_it_is_written() -> None:
    answer = builtin.answer(Brief(item("Soup", "A soup.", tags=("kitchen tips", "home cooking"))))
    assert {"kitchen tips", "home cooking"} <= set(answer.suggested_tags)
    assert not {"kitchen", "cooking"} & set(answer.suggested_tags)


@pytest.mark.parametrize(
    ("title", "description"),
    [
        ("We got lost in Patagonia (again)", "Map with all stops of Patagonia in the pinned comment."),
        ("A 32-inch 4K monitor: 5 months later", "A 32-inch 4K monitor, the full benchmark."),
        ("My week", "I went to the gym, cooked pasta, fixed my bike and finally cleaned the balcony."),
        ("Kyoto in autumn on $37 a day", "Map with all stops of Kyoto in autumn."),
    ],
)
def test_a_good_title_is_kept_or_added_to(title: str, description: str) -> None:
    answer = builtin.answer(Brief(item(title, description, tags=())))
    assert answer.suggested_titles[0].startswith(title)
    assert not {"32-inch", "cooked", "lost", "finally"} & set(answer.suggested_tags)


def test_a_caption_gives_its_first_clause() -> None:
    text = (
        "just shipped v2 of our open source text editor, it's 3x faster at opening large files and uses half of memory"
    )
    answer = builtin.answer(Brief(item("", text, tags=(), platform="twitter")))
    assert answer.suggested_titles == ["Just shipped v2 of our open source text editor"]


@pytest.mark.parametrize(("kind", "title"), [("image", "Photo"), ("short_video", "Short"), ("strange", "Post")])
def test_of_nothing_only_its_kind_can_be_said(kind: str, title: str) -> None:
    answer = builtin.answer(Brief(item("", "", tags=(), content_type=kind)))
    assert (answer.suggested_titles, answer.suggested_description, answer.suggested_tags) == ([title], "", [])


def test_shouting_and_rows_of_marks_are_calmed() -> None:
    answer = builtin.answer(Brief(item("BEST CUPCAKE RECIPE EVER!!!! #baking #cake", "so easy", tags=())))
    assert answer.suggested_titles[0].startswith("Best Cupcake Recipe Ever!")
    assert not any(title.isupper() or "!!" in title for title in answer.suggested_titles)


@pytest.mark.parametrize("platform", limits.PLATFORMS)
def test_every_platform_gets_what_it_takes(platform: str) -> None:
    long = item("Bread " * 60, "A very long story about bread. " * 400, tags=("bread " * 20,) * 40, platform=platform)
    assert_within_limits(builtin.answer(Brief(long, SIBLINGS, TRENDS)), platform)


@pytest.mark.parametrize("title", ["", "https://a.example", "@me", "🍋", "12345", "#"])
def test_next_to_nothing_still_gives_a_title(title: str) -> None:
    answer = builtin.answer(Brief(item(title, "", tags=())))
    assert answer.suggested_titles[0]


def test_scores_are_the_sum_of_their_items() -> None:
    brief = Brief(item(), SIBLINGS, TRENDS)
    scored = appraisal.appraise(builtin.answer(brief), brief)
    assert scored.score_details is not None
    suggested = scored.score_details["suggested"]
    assert scored.seo_score == pytest.approx(sum(one["points"] for one in suggested["seo_items"].values()))
    assert sum(one["of"] for one in suggested["seo_items"].values()) == 100
    assert scored.seo_score > scored.score_details["current"]["seo_score"]
    assert scored.trending_score == pytest.approx(0.6 * 80 + 0.3 * 40)
    assert scored == appraisal.appraise(builtin.answer(brief), brief)  # reproducible


def test_an_opinion_is_in_no_other_score() -> None:
    brief = Brief(item(), SIBLINGS, TRENDS)
    answer = builtin.answer(brief)
    sure, unsure = (
        appraisal.appraise(answer.model_copy(update={"confidence_score": value}), brief) for value in (1.0, 0.0)
    )
    assert sure.model_copy(update={"confidence_score": 0.0}) == unsure


def test_each_seo_item_answers_to_its_text() -> None:
    topic = builtin.key_phrases(Brief(item()))

    def points(title: str, description: str = "", tags: tuple[str, ...] = ()) -> dict[str, float]:
        items = scores.seo_items(title, description, tags, topic=topic, platform="youtube", language="en")
        return {name: one["points"] for name, one in items.items()}

    good = points("Sourdough Bread for Beginners at Home", "Sourdough bread is easy. #bread", tuple("abcdefgh"))
    assert good["title_length"] == good["keyword_in_title"] == 20
    assert good["keyword_in_opening"] == 10
    assert (good["tags"], good["hashtags"], good["no_shouting"]) == (15, 5, 5)
    late = points("My Saturday in the Kitchen With Sourdough Bread")
    assert (late["keyword_in_title"], late["description_length"], late["tags"]) == (14, 0, 0)
    bad = points("THIS IS GREAT")
    assert (bad["keyword_in_title"], bad["no_shouting"]) == (0, 0)
    assert 0 < bad["title_length"] < 20
    assert scores.total(scores.seo_items("", "", (), topic=[], platform="x", language="en")) == 0


@given(st.text(max_size=200), st.text(max_size=1000), st.lists(st.text(max_size=30), max_size=5))
def test_any_item_gets_a_valid_suggestion(title: str, description: str, tags: list[str]) -> None:
    brief = Brief(item(title, description, tags=tuple(tags), language=None), SIBLINGS, TRENDS)
    answer = builtin.answer(brief)
    assert_within_limits(answer)
    scored = appraisal.appraise(answer, brief)
    assert scored.seo_score is not None
    assert 0 <= scored.seo_score <= 100
    assert words.primary_subtag(brief.item_language)
