"""Whatever goes wrong with a provider or with us: a clear answer, nothing stored, and the charge given back."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from functions.analyze import service
from functions.database import analysis
from tests.endpoints.analysis.conftest import PROVIDERS, Studio
from tests.metrics import recorded

PROFILE = os.environ.get("STREAMVIBE_PROFILE", "short")
ROUNDS = 20 if PROFILE == "soak" else 2
REPEATED = 3  # a provider is asked so often before it is given up

# kind -> (status, code) of our answer. Ordered often enough that repetitions meet them too.
ORDERS = {
    "rate_limited": (503, "provider_rate_limited"),
    "overloaded": (503, "provider_overloaded"),
    "server_error": (503, "provider_unavailable"),
    "no_credit": (502, "provider_out_of_credit"),
    "bad_key": (502, "provider_misconfigured"),
    "refusal": (502, "provider_refused"),
    "blocked": (502, "provider_blocked"),
    "truncated": (502, "provider_truncated"),
    "not_json": (502, "provider_malformed"),
    "wrong_schema": (502, "provider_malformed"),
    "not_a_number": (502, "provider_malformed"),
    "huge": (502, "provider_malformed"),
    "empty": (502, "provider_malformed"),
}
# What a shape has no word for comes as the nearest thing that it has.
EXCEPTIONS = {
    ("anthropic", "blocked"): (502, "provider_refused"),
    ("google", "refusal"): (502, "provider_blocked"),
}
REMOTE = [provider for provider in PROVIDERS if provider != "local"]
# The short profile takes each kind from one provider in turn; what shapes do not share is tested in tests/unit.
CASES = [
    (kind, provider)
    for number, kind in enumerate(ORDERS)
    for turn, provider in enumerate(REMOTE)
    if PROFILE == "soak" or turn == number % len(REMOTE)
]
OWN_SERVER = [*ORDERS] if PROFILE == "soak" else ["rate_limited", "no_credit", "refusal", "not_json"]
NOT_REPEATED = {"no_credit", "bad_key", "refusal", "blocked", "truncated"}


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between repetitions of a call shrink to nothing; their number stays."""
    monkeypatch.setattr("functions.connectors.client.FIRST_BACKOFF_SECONDS", 0.001)


def assert_untouched(studio: Studio, creator: object, item: object) -> None:
    assert studio.used(creator) == 0  # type: ignore[arg-type]
    assert studio.suggestions(item) == []  # type: ignore[arg-type]
    assert studio.rows("select * from ai_usage where user_id = %s", creator) == []


@pytest.mark.parametrize(("kind", "provider"), CASES)
def test_failures_are_told_apart_and_cost_nothing(studio: Studio, hurried: None, kind: str, provider: str) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    studio.order(provider, kind, times=REPEATED)
    status, problem = studio.analyse(creator, item, provider=provider, key="once")
    assert (status, problem["code"]) == EXCEPTIONS.get((provider, kind), ORDERS[kind])
    if kind in NOT_REPEATED:
        assert len(studio.requests(provider)) == 1
    assert "sk-" not in str(problem)
    assert_untouched(studio, creator, item)
    # The same key may be tried again, and then counts once.
    studio.settle_down()
    status, row = studio.analyse(creator, item, provider=provider, key="once")
    assert (status, row["version"]) == (201, 1)
    assert studio.used(creator) == 1


@pytest.mark.parametrize("kind", OWN_SERVER)
def test_failures_of_an_own_server(studio: Studio, hurried: None, kind: str) -> None:
    studio.execute("update ai_provider set base_url = 'https://llm.example/v1' where slug = 'local'")
    try:
        creator = studio.creator()
        item = studio.item(creator)
        studio.order("local", kind, times=REPEATED)
        status, problem = studio.analyse(creator, item)
        assert (status, problem["code"]) == ORDERS[kind]
        assert_untouched(studio, creator, item)
    finally:
        studio.execute("update ai_provider set base_url = null where slug = 'local'")


@pytest.mark.parametrize("provider", REMOTE)
def test_extra_keys_are_dropped(studio: Studio, provider: str) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    studio.order(provider, "extra_keys")
    status, row = studio.analyse(creator, item, provider=provider)
    assert status == 201
    assert row["is_applied"] is False
    assert row["user_id"] == str(creator)
    assert studio.used(creator) == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"drop": True}, "provider_unavailable"),
        ({"stream": "reset"}, "provider_unavailable"),
        ({"stream": "gzip_bomb"}, "provider_malformed"),
        ({"stream": "endless"}, "provider_malformed"),
        ({"stream": "drip"}, "provider_unavailable"),
        ({"delay_seconds": 30}, "provider_unavailable"),
        ({"status": 200, "body": "<html>It works!</html>"}, "provider_malformed"),
        ({"status": 200, "body": "[]"}, "provider_malformed"),
        ({"status": 200, "body": "{}"}, "provider_malformed"),
        ({"status": 302, "headers": {"location": "http://127.0.0.1/"}}, "provider_rejected"),
        ({"status": 404}, "provider_misconfigured"),
        ({"status": 418}, "provider_rejected"),
    ],
)
def test_bad_lines_cost_nothing(
    studio: Studio, hurried: None, monkeypatch: pytest.MonkeyPatch, fault: dict[str, object], code: str
) -> None:
    never_ends = fault.get("stream") == "drip" or "delay_seconds" in fault
    monkeypatch.setattr(service, "REQUEST_SECONDS", 4.5 if never_ends else service.REQUEST_SECONDS)
    creator = studio.creator()
    item = studio.item(creator)
    studio.fault("openai", times=REPEATED, **fault)
    status, problem = studio.analyse(creator, item, provider="openai")
    assert problem["code"] == code
    assert status in (502, 503)
    assert_untouched(studio, creator, item)


@pytest.mark.parametrize("kind", ["rate_limited", "server_error", "refusal", "not_json", "slow"])
def test_the_ledger_is_exact_after_many(
    studio: Studio, hurried: None, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Failures and successes in turn, on one user: used is the number of successes at every moment."""
    monkeypatch.setattr(service, "REQUEST_SECONDS", 3.6 if kind == "slow" else 24.0)
    creator = studio.creator("basic")
    account = studio.account(creator)
    for number in range(1, ROUNDS + 1):
        item = studio.item(creator, f"Bread number {number}", account=account)
        if kind == "slow":
            studio.fault("openai", times=1, delay_seconds=5)
        else:
            studio.order("openai", kind, times=REPEATED)
        assert studio.analyse(creator, item, provider="openai", key=f"key-{number}")[0] in (502, 503)
        assert studio.used(creator) == number - 1
        studio.settle_down()
        monkeypatch.setattr(service, "REQUEST_SECONDS", 24.0)
        assert studio.analyse(creator, item, provider="openai", key=f"key-{number}")[0] == 201
        monkeypatch.setattr(service, "REQUEST_SECONDS", 3.6 if kind == "slow" else 24.0)
        assert studio.used(creator) == number
    assert len(studio.rows("select id from ai_usage where user_id = %s", creator)) == ROUNDS


def test_our_own_fault_costs_nothing(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    monkeypatch.setattr("functions.analyze.builtin.analyse", lambda brief: 1 / 0)
    status, problem = studio.analyse(creator, item)
    assert (status, problem["code"]) == (500, "internal_error")
    assert "division" not in str(problem)
    assert_untouched(studio, creator, item)


def test_an_item_deleted_meanwhile_costs_nothing(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    finish = analysis.finish_analysis

    def delete_first(*args: object) -> object:
        studio.execute("delete from content_item where id = %s", item)
        return finish(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("functions.database.analysis.finish_analysis", delete_first)
    status, problem = studio.analyse(creator, item)
    assert (status, problem["code"]) == (410, "content_item_gone")
    assert studio.used(creator) == 0


# --------------------------------------------------------------------------------------------------------- kills

KILLED = textwrap.dedent(
    """
    import os, sys
    from functions.analyze import service
    from functions.database import analysis
    finish = analysis.finish_analysis
    def die(*args):
        if sys.argv[3] == "after":
            finish(*args)
        os.kill(os.getpid(), 9)
    analysis.finish_analysis = die
    service.analyse(sys.argv[1], sys.argv[2], idempotency_key=sys.argv[4])
    """
)


def kill(creator: object, item: object, moment: str, key: str) -> None:
    """Run an analysis in a process that is killed before or after the suggestion is stored."""
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(creator), str(item), moment, key], env=os.environ.copy(), check=False
    )
    assert ended.returncode == -9


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_function_charges_once_at_most(studio: Studio, moment: str, number: int) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    kill(creator, item, moment, "key")
    if moment == "after":
        # The result was stored; the same key has it.
        status, row = studio.analyse(creator, item, key="key")
        assert (status, row["version"]) == (201, 1)
        assert studio.used(creator) == 1
        return
    assert studio.suggestions(item) == []
    if number % 2:
        # The reaper comes first; a late charge is made anew by the next call.
        studio.execute(
            "update quota_usage_history set created_at = now() - interval '2 hours' where user_id = %s", creator
        )
        studio.execute("select reap_quota('1 hour')")
        assert studio.used(creator) == 0
        # Whose charge was reaped is dead: nothing is waited for.
    else:
        studio.execute(
            "update private.analysis_run set started_at = now() - interval '2 minutes' where user_id = %s", creator
        )
    status, row = studio.analyse(creator, item, key="key")
    assert (status, row["version"]) == (201, 1)
    assert studio.used(creator) == 1


def test_a_dead_run_holds_nobody_up_for_longer_than_its_lease(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    kill(creator, item, "before", "key")
    monkeypatch.setattr(service, "REQUEST_SECONDS", 4.2)
    status, problem = studio.analyse(creator, item, key="another")
    assert (status, problem["code"]) == (409, "analysis_running")
    studio.execute(
        "update private.analysis_run set started_at = now() - interval '2 minutes' where user_id = %s", creator
    )
    status, _ = studio.analyse(creator, item, key="another")
    assert status == 201
    assert studio.used(creator) == 1


def test_dispatch_refunds_what_nobody_comes_back_for(studio: Studio) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    kill(creator, item, "before", "key")
    studio.execute(
        "update private.analysis_run set started_at = now() - interval '2 minutes' where user_id = %s", creator
    )
    assert analysis.plan_analyses(100, str(creator)) == []
    assert_untouched(studio, creator, item)


def test_a_slow_worker_does_not_overwrite_its_successor(studio: Studio) -> None:
    creator = studio.creator()
    item = studio.item(creator)
    begun = analysis.begin_analysis(
        str(creator), str(item), idempotency_key="key", provider=None, model=None, force=False, providers=["local"]
    )
    studio.execute(
        "update private.analysis_run set started_at = now() - interval '2 minutes' where user_id = %s", creator
    )
    status, row = studio.analyse(creator, item, key="key")
    assert status == 201
    late = analysis.finish_analysis(
        str(creator), begun["run_id"], begun["attempt"], {"suggested_titles": ["Too late"]}, {"prompt_tokens": 1}
    )
    assert (late["state"], late["suggestion"]["id"]) == ("done", row["id"])
    assert not analysis.fail_analysis(str(creator), begun["run_id"], begun["attempt"], "late", {}, will_retry=False)
    assert len(studio.suggestions(item)) == 1
    assert studio.used(creator) == 1


def test_reaped_while_working_is_charged_anew_or_not_at_all(studio: Studio) -> None:
    creator = studio.creator()
    items = [studio.item(creator, f"Bread {number}") for number in range(2)]

    def begin(item: object) -> dict[str, object]:
        return analysis.begin_analysis(
            str(creator), str(item), idempotency_key=None, provider=None, model=None, force=False, providers=["local"]
        )

    def reap() -> None:
        studio.execute(
            "update quota_usage_history set created_at = now() - interval '2 hours' where user_id = %s", creator
        )
        studio.execute("select reap_quota('1 hour')")

    begun = begin(items[0])
    reap()
    done = analysis.finish_analysis(str(creator), str(begun["run_id"]), 1, {"suggested_titles": ["A title"]}, {})
    assert done["state"] == "stored"
    assert studio.used(creator) == 1

    begun = begin(items[1])
    reap()
    studio.execute(
        "update subscription_tier set max_ai_analyses_per_month = 1 where slug = 'free'",
    )
    try:
        refused = analysis.finish_analysis(str(creator), str(begun["run_id"]), 1, {"suggested_titles": ["A title"]}, {})
    finally:
        studio.execute("update subscription_tier set max_ai_analyses_per_month = 10 where slug = 'free'")
    assert refused["state"] == "refused"
    assert studio.suggestions(items[1]) == []
    assert studio.used(creator) == 1


def test_what_providers_ask_for_is_recorded_for_failures_too(
    studio: Studio, hurried: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "false")
    prices = "update ai_model set input_cost_per_1k_tokens = %s, output_cost_per_1k_tokens = %s where model_name = %s"
    studio.execute(prices, 0.25, 2, "gpt-5.4-mini")
    creator = studio.creator()
    item = studio.item(creator)
    try:
        status, row = studio.analyse(creator, item, provider="openai")
        assert status == 201
        assert recorded(capsys.readouterr().out) == [
            ("AICostCents", pytest.approx(float(row["total_cost_cents"])), {}),
            ("Analyses", 1, {"outcome": "stored"}),
        ]
        studio.order("openai", "not_json", times=REPEATED)
        status, _ = studio.analyse(creator, item, provider="openai", force=True)
        assert status >= 500
        cost, outcome = recorded(capsys.readouterr().out)
        assert cost[1] > 0
        assert outcome == ("Analyses", 1, {"outcome": "failed"})
        assert studio.used(creator) == 1
    finally:
        studio.execute(prices, None, None, "gpt-5.4-mini")
