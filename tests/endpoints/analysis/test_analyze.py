"""POST /analyze: what it answers, what it charges, and to whom it listens."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from functions.analyze.schema import Suggestion
from tests.endpoints.analysis.conftest import PROVIDERS, TITLE, Studio, together

REMOTE = [provider for provider in PROVIDERS if provider != "local"]


def test_the_built_in_analyser_answers_by_default(studio: Studio) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    status, row = studio.analyse(creator, item)
    assert status == 201
    (stored,) = studio.suggestions(item)
    assert row["id"] == str(stored["id"])
    assert row["version"] == 1
    assert row["content_item_id"] == str(item)
    assert "Sourdough Bread: A Practical Guide" in row["suggested_titles"]
    assert "sourdough bread" in row["suggested_tags"]
    assert row["sentiment"] == "neutral"
    assert 0 < row["seo_score"] <= 100
    assert row["total_cost_cents"] == 0
    assert row["processing_time_ms"] >= 0
    assert studio.used(creator) == 1
    (usage,) = studio.rows("select * from ai_usage where user_id = %s", creator)
    assert (usage["prompt_tokens"], usage["total_tokens"], usage["cost_cents"]) == (0, 0, 0)


def test_the_schema_is_the_table(studio: Studio) -> None:
    rows = studio.rows("select column_name from information_schema.columns where table_name = 'ai_suggestion'")
    columns = {row["column_name"] for row in rows}
    assert set(Suggestion.model_fields) <= columns


@pytest.mark.parametrize("provider", REMOTE)
def test_each_provider_answers_at_its_price(studio: Studio, provider: str) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    status, row = studio.analyse(creator, item, provider=provider)
    assert status == 201, row
    assert row["suggested_titles"][0] == TITLE
    (sent,) = studio.requests(provider)
    assert row["prompt_tokens"] > 100
    assert row["completion_tokens"] > 10
    assert row["total_cost_cents"] is None  # nobody has entered a price
    assert "sk-" not in str(sent["path"])

    studio.execute(
        """
        update ai_model m set input_cost_per_1k_tokens = 0.25, output_cost_per_1k_tokens = 2
        from ai_provider p where p.id = m.provider_id and p.slug = %s
        """,
        provider,
    )
    status, row = studio.analyse(creator, item, provider=provider, force=True)
    assert status == 201
    assert row["version"] == 2
    expected = (row["prompt_tokens"] * 0.25 + row["completion_tokens"] * 2) / 1000 * 100
    assert row["total_cost_cents"] == pytest.approx(expected)
    usage = studio.rows("select * from ai_usage where user_id = %s order by created_at", creator)
    assert [one["cost_cents"] is None for one in usage] == [True, False]
    assert usage[1]["total_tokens"] == row["prompt_tokens"] + row["completion_tokens"]
    assert studio.used(creator) == 2


def test_one_setting_switches_local_to_a_server(studio: Studio) -> None:
    creator = studio.creator()
    studio.execute("update ai_provider set base_url = 'https://llm.example/v1' where slug = 'local'")
    try:
        status, row = studio.analyse(creator, studio.item(creator))
        assert status == 201
        assert [(one["method"], one["path"]) for one in studio.requests("local")] == [
            ("GET", "/v1/models"),
            ("POST", "/v1/chat/completions"),
        ]
        assert row["prompt_tokens"] > 0
        studio.order("local", "no_usage")
        status, row = studio.analyse(creator, studio.item(creator))
        assert status == 201
        assert (row["prompt_tokens"], row["completion_tokens"], row["total_cost_cents"]) == (None, None, None)
        # No schema is enforced there: a second try names the mistake.
        studio.order("local", "wrong_schema")
        status, row = studio.analyse(creator, studio.item(creator))
        assert status == 201
        again = studio.requests("local")[-1]["body"]
        assert "Your last answer was not usable" in str(again)
    finally:
        studio.execute("update ai_provider set base_url = null where slug = 'local'")


def test_an_unchanged_item_answers_from_its_last_analysis(studio: Studio) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    _, first = studio.analyse(creator, item)
    studio.execute("update content_item set views_count = 5000, synced_at = now() where id = %s", item)
    status, again = studio.analyse(creator, item)
    assert (status, again["id"]) == (200, first["id"])
    assert studio.used(creator) == 1
    status, forced = studio.analyse(creator, item, force=True)
    assert (status, forced["version"]) == (201, 2)
    studio.execute("update content_item set title = 'Rye Bread for Beginners' where id = %s", item)
    status, changed = studio.analyse(creator, item)
    assert (status, changed["version"]) == (201, 3)
    assert studio.used(creator) == 3
    # 'Last' is the last one: what was analysed before that does not count any more.
    studio.execute("update content_item set title = %s where id = %s", TITLE, item)
    status, back = studio.analyse(creator, item)
    assert (status, back["version"]) == (201, 4)
    # A named provider is asked for its own opinion.
    status, other = studio.analyse(creator, item, provider="openai")
    assert (status, other["version"]) == (201, 5)
    assert studio.analyse(creator, item, provider="openai")[0] == 200


def test_a_repeated_key_is_the_same_call(studio: Studio) -> None:
    creator = studio.creator()
    item, other = studio.item(creator), studio.item(creator, "Another video")
    status, first = studio.analyse(creator, item, key="key-1", force=True)
    assert status == 201
    status, again = studio.analyse(creator, item, key="key-1", force=True)
    assert (status, again) == (201, first)
    assert studio.used(creator) == 1
    status, problem = studio.analyse(creator, other, key="key-1", force=True)
    assert (status, problem["code"]) == (409, "idempotency_key_reused")
    stranger = studio.creator()
    status, _ = studio.analyse(stranger, studio.item(stranger), key="key-1", force=True)
    assert status == 201


def test_a_key_keeps_the_answer_of_an_unchanged_item(studio: Studio) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    _, first = studio.analyse(creator, item)
    status, again = studio.analyse(creator, item, key="key")
    assert (status, again["id"]) == (200, first["id"])
    studio.execute("update content_item set title = 'Something else' where id = %s", item)
    status, repeated = studio.analyse(creator, item, key="key")
    assert (status, repeated["id"]) == (200, first["id"])
    assert studio.analyse(creator, item, key="another")[0] == 201
    assert studio.used(creator) == 2


def test_without_quota_nothing_is_made(studio: Studio) -> None:
    creator = studio.creator()
    studio.execute("update subscription set ai_analyses_used = 0 where user_id = %s", creator)
    items = [studio.item(creator, f"Bread number {number}") for number in range(11)]
    assert [studio.analyse(creator, item)[0] for item in items[:10]] == [201] * 10
    status, problem = studio.analyse(creator, items[10], key="too-many")
    assert status == 402
    assert problem["code"] == "quota_exceeded"
    assert {name: problem[name] for name in ("allowed", "quota_type", "used", "max", "remaining")} == {
        "allowed": False,
        "quota_type": "ai_analysis",
        "used": 10,
        "max": 10,
        "remaining": 0,
    }
    assert studio.suggestions(items[10]) == []
    # An unchanged item costs nothing, so it still answers; a refused key may be used for something else.
    assert studio.analyse(creator, items[0])[0] == 200
    studio.subscribe(creator, "basic")
    assert studio.analyse(creator, items[9], key="too-many", force=True)[0] == 201
    assert studio.used(creator) == 11


def test_only_own_items(studio: Studio) -> None:
    owner, stranger = studio.creator(), studio.creator()
    item = studio.item(owner)
    for asked in (item, uuid4()):
        status, problem = studio.analyse(stranger, asked)
        assert (status, problem["code"]) == (404, "content_item_not_found")
    assert studio.analyse(owner, item)[0] == 201
    studio.execute("update content_item set deleted_at = now() where id = %s", item)
    assert studio.analyse(owner, item, force=True)[0] == 404
    assert studio.used(stranger) == 0


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"provider": "nobody"}, 422, "unknown_provider"),
        ({"provider": "openai", "model": "no-such-model"}, 422, "unknown_model"),
        ({"provider": "anthropic", "model": "claude-opus-5"}, 403, "plan_required"),
        ({"provider": "Bad Slug"}, 422, "invalid_request"),
        ({"surprise": 1}, 422, "invalid_request"),
        ({"force": "maybe"}, 422, "invalid_request"),
        ({"force": "yes"}, 422, "invalid_request"),
        ({"force": 1}, 422, "invalid_request"),
        ({"model": "a\x00b"}, 422, "invalid_text"),
    ],
)
def test_what_cannot_be_had_costs_nothing(studio: Studio, fields: dict[str, Any], status: int, code: str) -> None:
    creator = studio.creator()
    answered, problem = studio.analyse(creator, studio.item(creator), **fields)
    assert (answered, problem["code"]) == (status, code)
    assert studio.used(creator) == 0


def test_a_provider_without_a_key_is_not_offered(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    creator = studio.creator()
    item = studio.item(creator)
    status, problem = studio.analyse(creator, item, provider="openai")
    assert (status, problem["code"]) == (422, "provider_not_set_up")
    prefer(studio, creator, "openai")
    status, row = studio.analyse(creator, item)
    assert status == 201
    assert provider_of(studio, row) == "local"


def prefer(studio: Studio, creator: Any, provider: str, model: str | None = None, **columns: str) -> None:
    studio.execute("delete from user_ai_setting where user_id = %s", creator)
    studio.execute(
        """
        insert into user_ai_setting (user_id, preferred_provider_id, preferred_model_id, tone, language)
        select %s, p.id, (select m.id from ai_model m where m.provider_id = p.id and m.model_name = %s), %s, %s
        from ai_provider p where p.slug = %s
        """,
        creator,
        model,
        columns.get("tone", "professional"),
        columns.get("language", "en"),
        provider,
    )


def provider_of(studio: Studio, row: dict[str, Any]) -> str:
    (found,) = studio.rows("select slug from ai_provider where id = %s", row["provider_id"])
    return str(found["slug"])


def test_preferences_are_followed_as_the_plan_allows(studio: Studio) -> None:
    creator = studio.creator()
    prefer(studio, creator, "anthropic", "claude-opus-5", tone="enthusiastic", language="es")
    status, row = studio.analyse(creator, studio.item(creator))
    assert status == 201
    assert provider_of(studio, row) == "anthropic"
    sent = studio.requests("anthropic")[-1]["body"]
    sent = sent if isinstance(sent, dict) else json.loads(sent)
    assert sent["model"] == "claude-haiku-4-5"  # the free plan does not include the preferred model
    assert "Write in Spanish, in a enthusiastic tone" in sent["system"]
    studio.subscribe(creator, "premium")
    studio.settle_down()
    assert studio.analyse(creator, studio.item(creator))[0] == 201
    assert "claude-opus-5" in str(studio.requests("anthropic")[-1]["body"])


def test_a_provider_whose_every_model_is_beyond_the_plan_is_refused_or_passed_over(studio: Studio) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    of_openai = "where provider_id = (select id from ai_provider where slug = 'openai')"
    studio.execute(
        f"update ai_model set required_tier_id = (select id from subscription_tier where slug = 'premium') {of_openai}"
    )
    try:
        status, problem = studio.analyse(creator, item, provider="openai")
        assert (status, problem["code"]) == (403, "plan_required")
        assert studio.used(creator) == 0
        prefer(studio, creator, "openai")
        status, row = studio.analyse(creator, item)
        assert (status, provider_of(studio, row)) == (201, "local")
        studio.subscribe(creator, "premium")
        assert studio.analyse(creator, item, provider="openai")[0] == 201
    finally:
        studio.execute(f"update ai_model set required_tier_id = null {of_openai}")


def test_a_provider_without_models_is_not_set_up(studio: Studio) -> None:
    creator = studio.creator()
    of_google = "where provider_id = (select id from ai_provider where slug = 'google')"
    studio.execute(f"update ai_model set is_active = false {of_google}")
    try:
        status, problem = studio.analyse(creator, studio.item(creator), provider="google")
        assert (status, problem["code"]) == (422, "provider_not_set_up")
        assert studio.used(creator) == 0
    finally:
        studio.execute(f"update ai_model set is_active = true {of_google}")


def test_derived_scores_can_be_switched_off(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    from functions.database import analysis

    creator = studio.creator()
    before = studio.item(creator)
    assert studio.analyse(creator, before)[1]["seo_score"] is not None
    monkeypatch.setenv("DERIVED_SCORES_OFF", "YouTube, facebook")
    status, row = studio.analyse(creator, studio.item(creator))
    assert status == 201
    names = ("seo_score", "readability_score", "trending_score", "confidence_score", "score_details")
    assert [row[name] for name in names] == [None] * 5
    assert row["suggested_titles"]
    # What was stored before is hidden in answers at once and removed by the next dispatch.
    status, row = studio.analyse(creator, before)
    assert (status, row["seo_score"]) == (200, None)
    assert studio.suggestions(before)[0]["seo_score"] is not None
    assert analysis.hide_scores(["youtube"]) >= 1
    assert studio.suggestions(before)[0]["seo_score"] is None
    # Other platforms are not concerned.
    assert studio.analyse(creator, studio.item(creator, platform="instagram"))[1]["seo_score"] is not None


def test_parallel_calls_for_one_item_make_one_analysis(studio: Studio) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    studio.analyse(creator, studio.item(creator))  # imports done
    studio.fault("openai", delay_seconds=0.5, times=1)
    answers = together(6, lambda _: studio.analyse(creator, item, provider="openai"))
    assert sorted(status for status, _ in answers) == [200] * 5 + [201]
    assert len({row["id"] for _, row in answers}) == 1
    assert len(studio.requests("openai")) == 1
    assert studio.used(creator) == 2


def test_parallel_calls_with_one_key_are_one_call(studio: Studio) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    studio.fault("openai", delay_seconds=0.5, times=1)
    answers = together(6, lambda _: studio.analyse(creator, item, provider="openai", force=True, key="one"))
    assert [status for status, _ in answers] == [201] * 6
    assert len({row["id"] for _, row in answers}) == 1
    assert studio.used(creator) == 1


def test_parallel_forced_calls_are_numbered(studio: Studio) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    answers = together(5, lambda number: studio.analyse(creator, item, force=True, key=f"key-{number}"))
    assert [status for status, _ in answers] == [201] * 5
    assert sorted(row["version"] for _, row in answers) == [1, 2, 3, 4, 5]
    assert studio.used(creator) == 5


def test_the_last_analysis_of_a_plan_is_granted_once(studio: Studio) -> None:
    creator = studio.creator()
    account = studio.account(creator)
    items = [studio.item(creator, f"Bread number {number}", account=account) for number in range(14)]
    for item in items[:9]:
        assert studio.analyse(creator, item)[0] == 201
    answers = together(5, lambda number: studio.analyse(creator, items[9 + number]))
    assert sorted(status for status, _ in answers) == [201, 402, 402, 402, 402]
    assert studio.used(creator) == 10
    assert len(studio.rows("select id from ai_usage where user_id = %s", creator)) == 10
