"""Injected items through the whole of it: a gullible model, other users' secrets in the database, one ledger."""

from __future__ import annotations

import json
import os

from functions.analyze.schema import Answer
from tests.endpoints.analysis.conftest import PROVIDERS, Studio
from tests.unit.analyze.hostile import GOOD, REJECTED, TAMED
from tests.unit.analyze.injections import items

IS_SOAK = os.environ.get("STREAMVIBE_PROFILE") == "soak"
EVERY = 1 if IS_SOAK else 10  # each tenth in the short profile; tests/unit has all of them
SECRET = "zz-another-users-secret-plan-zz"
TEXTS = [name for name, field in Answer.model_fields.items() if name not in ("confidence_score", "sentiment")]


def written(row: dict[str, object]) -> str:
    """Everything that an analysis wrote into a row, but for the creator's own texts."""
    return json.dumps([row[name] for name in (*TEXTS, "score_details")], ensure_ascii=False)


def test_injected_items_give_nothing_away(studio: Studio) -> None:
    victim = studio.creator()
    studio.item(victim, f"Private: {SECRET}", description=SECRET, tags=[SECRET], visibility="private")
    attacker = studio.creator("premium")
    accounts = {
        platform: studio.account(attacker, platform)
        for platform in ("youtube", "instagram", "tiktok", "facebook", "twitter")
    }
    providers = list(PROVIDERS)
    successes = 0
    for number, injected in enumerate(items()[::EVERY]):
        item = studio.item(
            attacker,
            injected.title,
            account=accounts[injected.platform],
            description=injected.description,
            tags=list(injected.tags),
            hashtags=list(injected.hashtags),
        )
        status, row = studio.analyse(attacker, item, provider=providers[number % len(providers)])
        assert status in (201, 502), row
        successes += status == 201
        if status == 201:
            assert SECRET not in json.dumps(row)
            for forbidden in ("http", "evil.example", "You help a content creator", "==="):
                assert forbidden not in written(row)
        else:
            assert row["code"] == "provider_malformed"
        assert studio.used(attacker) == successes
    for provider in providers:
        for sent in studio.requests(provider):
            assert SECRET not in json.dumps(sent["body"])
    assert successes > 0


def test_hostile_outputs_cost_one_refund_or_store_the_schema_only(studio: Studio) -> None:
    creator = studio.creator("premium")
    account = studio.account(creator)
    successes = 0
    refunds = 0
    for number, (name, text) in enumerate([*REJECTED.items(), *TAMED.items()]):
        # Nobody outside can know a prompt's canary; tests/unit puts it in.
        if "CANARY" in text or (not IS_SOAK and number % 6):
            continue
        item = studio.item(creator, f"Sourdough bread {number}", account=account)
        studio.order("openai", "text", text=text)
        status, row = studio.analyse(creator, item, provider="openai")
        assert status == (502 if name in REJECTED else 201), (name, row)
        if status == 201:
            successes += 1
            assert set(row) == set(studio.suggestions(item)[0])
            assert not row["is_applied"]
            assert row["version"] == 1
        else:
            refunds += 1
            assert studio.suggestions(item) == []
        assert studio.used(creator) == successes
    (counted,) = studio.rows(
        "select count(*) as count from quota_usage_history where user_id = %s and operation = 'decrement'", creator
    )
    assert counted["count"] == refunds
    assert successes
    assert refunds
    assert GOOD["suggested_titles"]
