"""The contract with every analyser, model or built-in: the columns of `ai_suggestion`.

`Answer` is what an analyser fills in; `Suggestion` adds what is computed from the text by code, the same for all of
them. The JSON schema sent to providers is made from `Answer` in the subset that all four understand: every property
required, no further ones, no bounds (those are `limits`' work).
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

NAME: Final = "suggestion"
Sentiment = Literal["positive", "neutral", "negative"]


class Answer(BaseModel):
    """What an analyser proposes. Extra keys are dropped; a wrong type is an error, never converted.

    Titles and a description there must be; what else a small model leaves out is empty.
    """

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    suggested_titles: list[str] = Field(description="3 to 5 titles, best first, no URLs, no hashtags")
    suggested_description: str = Field(description="A complete description to publish, no URLs, no @handles")
    suggested_tags: list[str] = Field(default=[], description="5 to 15 search tags without '#'")
    suggested_category: str | None = Field(
        default=None, description="The platform's category that fits best, '' if unsure"
    )
    trending_keywords: list[str] = Field(
        default=[], description="Those of `trends` that really fit this item, may be empty"
    )
    trending_hashtags: list[str] = Field(default=[], description="Up to 10 hashtags that fit this item")
    related_topics: list[str] = Field(default=[], description="3 to 8 topics for follow-up content")
    target_audience: list[str] = Field(default=[], description="1 to 5 groups of people that this item is for")
    sentiment: Sentiment | None = Field(default=None, description="How the item itself sounds")
    confidence_score: float | None = Field(default=None, description="How sure you are that this helps, 0 to 1")


class Suggestion(Answer):
    """A row's content: the cleaned answer and the scores. Scores are 0..100 and None where hidden or unknown."""

    trending_score: float | None
    seo_score: float | None
    readability_score: float | None
    score_details: dict[str, Any] | None


def json_schema() -> dict[str, Any]:
    """The schema of `Answer` for providers."""
    types: dict[str, dict[str, Any]] = {
        "suggested_description": {"type": "string"},
        "suggested_category": {"type": "string"},
        "sentiment": {"type": "string", "enum": ["positive", "neutral", "negative"]},
        "confidence_score": {"type": "number"},
    }
    of_strings = {"type": "array", "items": {"type": "string"}}
    return {
        "type": "object",
        "properties": {
            name: {**types.get(name, of_strings), "description": field.description}
            for name, field in Answer.model_fields.items()
        },
        "required": list(Answer.model_fields),
        "additionalProperties": False,
    }
