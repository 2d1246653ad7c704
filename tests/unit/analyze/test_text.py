"""Languages, words, key phrases, readability, sentiment: on texts whose answer a reader can check."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.analyze import limits
from functions.analyze.text import keywords, readability, sentiment, words

SENTENCES = {
    "en": "Today I show you how I make sourdough bread at home with just flour and water.",
    "es": "Hoy os enseño cómo hacer tacos al pastor en casa con una receta muy fácil.",
    "pt": "Hoje eu vou mostrar como fazer um bolo de cenoura que não tem erro.",
    "fr": "Aujourd'hui je vous montre comment faire du pain à la maison avec de la farine.",
    "de": "Heute zeige ich euch, wie man zu Hause mit wenig Mehl ein gutes Brot macht.",
    "it": "Oggi vi mostro come fare il pane in casa con la farina e anche senza forno.",
    "nl": "Vandaag laat ik zien hoe je thuis met weinig meel een lekker brood kunt maken.",
    "ja": "今日は家で作る味噌ラーメンのレシピを紹介します。",
    "zh": "今天教大家在家做红烧肉。",
    "ru": "Сегодня я покажу, как испечь хлеб дома.",
    "ko": "오늘은 집에서 김치찌개를 만들어 봅니다.",
    "ar": "اليوم أريكم كيف نصنع الخبز في البيت.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_the_text_tells_its_language(language: str) -> None:
    assert words.detect_language(SENTENCES[language]) == language


def test_hints_decide_where_the_text_does_not() -> None:
    assert words.detect_language("Sourdough", ["pt-BR"]) == "pt"
    assert words.detect_language("Sourdough", [None, "und", "sv"]) == "sv"
    assert words.detect_language("") == "en"
    assert words.detect_language(SENTENCES["de"], ["en"]) == "de"  # a wrong setting does not win over the text
    assert words.detect_language("Сьогодні печемо хліб", ["uk"]) == "uk"


def test_key_phrases_are_what_it_is_about() -> None:
    found = keywords.extract(
        "How I Make Sourdough Bread at Home",
        "Today I show you how I make sourdough bread at home.\nSubscribe! https://example.com/x #BreadBaking",
        ["sourdough", "BreadBaking"],
        "en",
    )
    assert found[0].text == "sourdough bread"
    texts = " ".join(phrase.text for phrase in found)
    assert "bread baking" in texts
    assert not {"subscribe", "https", "example", "how"} & set(texts.split())


def test_forms_of_a_word_count_together() -> None:
    found = keywords.extract("Recipes", "A recipe. The recipe. My recipes.", [], "en")
    assert [phrase.stems for phrase in found] == [("recip",)]


def test_what_every_item_has_says_little() -> None:
    titles = [f"Kitchen Diary: {dish}" for dish in ("soup", "cake", "rice", "fish", "tea")]
    alone = keywords.extract("Kitchen Diary: Dumplings", "", [], "en")
    among = keywords.extract("Kitchen Diary: Dumplings", "", [], "en", sibling_titles=titles)
    assert alone[0].text == "kitchen diary"
    assert among[0].text == "dumplings"


def test_scripts_without_spaces() -> None:
    japanese = [p.text for p in keywords.extract("家で作る味噌ラーメン", SENTENCES["ja"], ["レシピ"], "ja")]
    assert japanese[:2] == ["味噌ラーメン", "レシピ"]
    assert keywords.extract("在家做红烧肉", SENTENCES["zh"], [], "zh")[0].text == "红烧肉"


def test_marks_belong_to_their_letters() -> None:
    assert words.words("ขนมปัง नरम रोटी école") == ["ขนมปัง", "नरम", "रोटी", "école"]
    assert words.hashtags("#हिंदी #ขนมปัง and #café") == ["हिंदी", "ขนมปัง", "café"]
    assert words.without_trailing_hashtags("नमस्ते #हिंदी #रोटी") == "नमस्ते"
    assert limits.as_hashtag("नरम रोटी") == "#नरमरोटी"
    assert limits.fit_hashtags(["#a_b", "#ab", "#AB"], limits.of("youtube")) == ["#a_b"]


def test_a_cut_leaves_no_half_of_a_sign() -> None:
    assert limits.fit("e\u0301e\u0301e\u0301", 3) == "e\u0301"
    assert limits.fit("\U0001f44d\U0001f3fd\U0001f44d\U0001f3fd", 3) == "\U0001f44d\U0001f3fd"
    assert limits.fit("a \U0001f469\u200d\U0001f469\u200d\U0001f467", 5) == "a"
    assert limits.fit("\u0939\u093f\u0902\u0926\u0940", 4) == "\u0939\u093f\u0902"
    assert limits.fit("one two  three", 8) == "one two"
    assert limits.fit("one two", 6) == "one two"[:6]  # half of the words would be lost


def test_hashtags_are_read_as_words() -> None:
    assert keywords.split_hashtag("HomeMadePizza") == "home made pizza"
    assert keywords.split_hashtag("#low_light") == "low light"
    assert keywords.split_hashtag("galaxy24") == "galaxy 24"
    assert keywords.split_hashtag("iPhone 15 Pro") == "iphone 15 pro"


def test_only_lines_about_the_item() -> None:
    text = (
        "Bread at last. Follow me on Instagram!\nhttps://a.example\n0:00 Intro\n#bread #baking\nWrite to me@a.example"
    )
    assert words.content_lines(text) == ["Bread at last.", "Intro"]
    assert words.without_links(text) == "Bread at last. Follow me on Instagram!\n0:00 Intro"


@pytest.mark.parametrize(
    ("language", "easy", "hard"),
    [
        (
            "en",
            "The cat sat on the mat. It was hot.",
            "Incomprehensible institutional considerations necessitate deliberation.",
        ),
        (
            "de",
            "Der Hund ist da. Er ist froh.",
            "Donaudampfschifffahrtsgesellschaftskapitäne organisieren Verwaltungsvorschriften.",
        ),
        (
            "es",
            "El sol es de oro. Yo voy al mar.",
            "Consideraciones institucionales incomprensibles obstaculizan procedimientos.",
        ),
        (
            "ja",
            "パンを焼く。楽しい。",
            "本日は家庭で作ることができる非常に本格的な味噌ラーメンの作り方を最初から最後まで丁寧に紹介します。",
        ),
    ],
)
def test_easy_texts_score_higher(language: str, easy: str, hard: str) -> None:
    first, second = readability.reading_ease(easy, language), readability.reading_ease(hard, language)
    assert first is not None
    assert second is not None
    assert first > 60 > second or first - second > 30


def test_the_formula_is_flesch() -> None:
    """Eight words of one syllable in two sentences, by hand."""
    expected = min(100.0, 206.835 - 1.015 * 8 / 2 - 84.6 * 8 / 8)
    assert readability.reading_ease("The cat sat down. The dog ran off.", "en") == pytest.approx(expected)
    assert readability.reading_ease("", "en") is None
    assert readability.reading_ease("https://a.example #tag", "en") is None


@pytest.mark.parametrize(("word", "count"), [("cat", 1), ("bread", 1), ("baking", 2), ("recipe", 3), ("tomato", 3)])
def test_syllables(word: str, count: int) -> None:
    assert abs(readability.syllables(word, "en") - count) <= (word == "recipe")


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("This is the best tutorial ever, I love it!", "en", "positive"),
        ("This camera is terrible. I hate the autofocus.", "en", "negative"),
        ("The shop opens at nine.", "en", "neutral"),
        ("Los mejores tacos, me encanta esta receta, es genial", "es", "positive"),
        ("Was für ein furchtbar schlecht gemachter Film, ein Fehler", "de", "negative"),
        ("味噌ラーメン 😍", "ja", "positive"),
        ("味噌ラーメンの作り方", "ja", None),
        ("", "en", None),
        # 'die' is an article, not death; 'gift' is poison.
        ("die Katze und die Maus", "de", None),
    ],
)
def test_sentiment(text: str, language: str, expected: str | None) -> None:
    assert sentiment.sentiment(text, language) == expected


@given(st.text(max_size=300), st.text(max_size=1500), st.lists(st.text(max_size=40), max_size=6))
def test_no_text_breaks_the_reading(title: str, description: str, labels: list[str]) -> None:
    language = words.detect_language(f"{title}\n{description}")
    found = keywords.extract(title, description, labels, language)
    assert found == keywords.extract(title, description, labels, language)
    assert all(phrase.text and 1 <= len(phrase.stems) <= keywords.MAX_PHRASE_WORDS for phrase in found)
    ease = readability.reading_ease(description, language)
    assert ease is None or 0 <= ease <= 100
    assert sentiment.sentiment(description, language) in (None, "positive", "neutral", "negative")
