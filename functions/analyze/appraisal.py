"""Scores for a cleaned answer: the same arithmetic whoever the analyser was (see `scores`)."""

from __future__ import annotations

from functions.analyze import scores
from functions.analyze.brief import Brief
from functions.analyze.builtin import key_phrases
from functions.analyze.schema import Answer, Suggestion
from functions.analyze.text import words
from functions.core import settings


def appraise(answer: Answer, brief: Brief) -> Suggestion:
    """`answer` with its scores, and with none where the platform's terms forbid them."""
    if brief.item.platform in settings.DERIVED_SCORES_OFF.value():
        hidden = {**answer.model_dump(), "confidence_score": None}
        return Suggestion(**hidden, trending_score=None, seo_score=None, readability_score=None, score_details=None)
    item, topic = brief.item, key_phrases(brief)
    title, description = answer.suggested_titles[0], answer.suggested_description
    language = words.detect_language(f"{title}\n{description}", (brief.language, brief.item_language))
    current = scores.seo_items(
        item.title, item.description, item.labels, topic=topic, platform=item.platform, language=brief.item_language
    )
    suggested = scores.seo_items(
        title, description, answer.suggested_tags, topic=topic, platform=item.platform, language=language
    )
    text = "\n".join([title, description, *answer.suggested_tags, *answer.trending_keywords])
    trends = scores.matching_trends(text, brief.trends, language)
    readability = scores.readability_score(title, description, language)
    return Suggestion(
        **answer.model_dump(),
        trending_score=scores.trending_score(trends),
        seo_score=scores.total(suggested),
        readability_score=readability,
        score_details=scores.details(
            {
                "seo_score": scores.total(current),
                "seo_items": current,
                "readability_score": scores.readability_score(item.title, item.description, brief.item_language),
            },
            {"seo_score": scores.total(suggested), "seo_items": suggested, "readability_score": readability},
            trends,
            topic,
        ),
    )
