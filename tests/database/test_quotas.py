"""The quota ledger, by example: charge, replay, refuse, settle, refund, reap, roll, reset."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.database.quota import COUNTERS, Ledger
from tests.databases import Database


@pytest.fixture
def ledger(database: Database) -> Iterator[Ledger]:
    """A new free user's ledger, found true after the test."""
    ledger = Ledger(database, database.create_user())
    yield ledger
    ledger.check()


def test_a_charge_answers_what_is_left(ledger: Ledger) -> None:
    answer = ledger.consume("ai_analysis", 3, "a")
    cycle_end = answer.pop("cycle_end")
    assert answer == {
        "allowed": True,
        "replayed": False,
        "quota_type": "ai_analysis",
        "used": 3,
        "max": 10,
        "remaining": 7,
    }
    assert cycle_end == ledger.one("select to_jsonb(cycle_end_date) from subscription where user_id = %s")
    assert ledger.used("ai_analysis") == 3
    assert ledger.used("sync") == ledger.used("seo_submission") == 0


@pytest.mark.parametrize(("quota_type", "maximum"), [("sync", 30), ("ai_analysis", 10), ("seo_submission", 20)])
def test_each_quota_has_its_own_counter_and_maximum(ledger: Ledger, quota_type: str, maximum: int) -> None:
    assert ledger.consume(quota_type, maximum + 1, "a")["allowed"] is False
    all_of_it = ledger.consume(quota_type, maximum, "b")
    assert (all_of_it["allowed"], all_of_it["max"], all_of_it["remaining"]) == (True, maximum, 0)
    assert ledger.consume(quota_type, 1, "c")["allowed"] is False
    assert {name: ledger.used(name) for name in COUNTERS} == dict.fromkeys(COUNTERS, 0) | {quota_type: maximum}


def test_the_same_call_again_gets_the_first_answer(ledger: Ledger) -> None:
    first = ledger.consume("sync", 2, "a", "content_item", UUID(int=1), "because")
    ledger.consume("sync", 5, "b")
    again = ledger.consume("sync", 2, "a", "content_item", UUID(int=1), "worded differently")
    assert again == first | {"replayed": True}
    assert ledger.used("sync") == 7


@pytest.mark.parametrize(
    ("quota_type", "amount", "entity_type", "entity_id"),
    [
        ("ai_analysis", 2, "content_item", UUID(int=1)),
        ("sync", 3, "content_item", UUID(int=1)),
        ("sync", 2, "other", UUID(int=1)),
        ("sync", 2, None, UUID(int=1)),
        ("sync", 2, "content_item", UUID(int=2)),
        ("sync", 2, "content_item", None),
    ],
)
def test_the_same_key_for_something_else_is_a_conflict(
    ledger: Ledger, quota_type: str, amount: int, entity_type: str | None, entity_id: UUID | None
) -> None:
    ledger.consume("sync", 2, "a", "content_item", UUID(int=1))
    assert ledger.refused("PT409", "consume_quota", quota_type, amount, "a", entity_type, entity_id)
    assert ledger.used("sync") == 2
    assert ledger.used("ai_analysis") == 0


def test_two_users_may_use_the_same_key(database: Database, ledger: Ledger) -> None:
    other = Ledger(database, database.create_user())
    assert ledger.consume("sync", 1, "same")["replayed"] is False
    assert other.consume("sync", 1, "same")["replayed"] is False
    other.check()


@pytest.mark.parametrize("amount", [0, -1, -(2**31), 10001, 2**31 - 1, None])
def test_an_amount_out_of_range_is_refused(ledger: Ledger, amount: int | None) -> None:
    assert ledger.refused("PT422", "consume_quota", "sync", amount, "a")


@pytest.mark.parametrize("quota_type", ["", "SYNC", "syncs", "sync'; drop table users; --", "x" * 1_000_000, None])
def test_an_unknown_type_is_refused(ledger: Ledger, quota_type: str | None) -> None:
    assert ledger.refused("PT422", "consume_quota", quota_type, 1, "a")


@pytest.mark.parametrize("key", ["", "x" * 256, "x" * 1_000_000, None])
def test_an_impossible_key_is_refused(ledger: Ledger, key: str | None) -> None:
    assert ledger.refused("PT422", "consume_quota", "sync", 1, key)


def test_texts_too_long_are_refused(ledger: Ledger) -> None:
    assert ledger.refused("PT422", "consume_quota", "sync", 1, "a", "x" * 1_000_000)
    assert ledger.refused("PT422", "consume_quota", "sync", 1, "a", None, None, "x" * 1_000_000)
    ledger.consume("sync", 1, "a")
    assert ledger.refused("PT422", "refund_quota", "a", "x" * 1_000_000)
    assert ledger.used("sync") == 1


def test_an_unknown_user_is_not_found(database: Database) -> None:
    nobody = Ledger(database, uuid4())
    assert nobody.refused("PT404", "consume_quota", "sync", 1, "a")
    assert nobody.settle("a") is False
    assert nobody.refund("a") is False


def test_a_charge_that_does_not_fit_is_not_made_and_not_remembered(ledger: Ledger) -> None:
    ledger.consume("ai_analysis", 9, "a")
    refused = ledger.consume("ai_analysis", 2, "b")
    assert (refused["allowed"], refused["replayed"], refused["used"], refused["max"], refused["remaining"]) == (
        False,
        False,
        9,
        10,
        1,
    )
    assert ledger.used("ai_analysis") == 9
    assert ledger.consume("ai_analysis", 1, "b")["allowed"] is True  # the key is free, for other content too
    assert ledger.used("ai_analysis") == 10


def test_a_granted_key_is_replayed_also_when_nothing_is_left(ledger: Ledger) -> None:
    first = ledger.consume("ai_analysis", 10, "a")
    assert ledger.consume("ai_analysis", 10, "a") == first | {"replayed": True}


def test_unlimited_is_null(ledger: Ledger) -> None:
    ledger.plan("premium")
    answer = ledger.consume("sync", 10_000, "a")
    assert (answer["allowed"], answer["max"], answer["remaining"], answer["used"]) == (True, None, None, 10_000)
    assert ledger.notices() == []


def test_settling_is_final_and_repeatable(ledger: Ledger) -> None:
    ledger.consume("sync", 1, "a")
    assert [ledger.settle("a"), ledger.settle("a")] == [True, True]
    assert ledger.refund("a") is False
    ledger.reap("0 seconds")
    assert ledger.used("sync") == 1
    assert ledger.consume("sync", 1, "a")["replayed"] is True


def test_settling_what_was_never_charged_is_false(ledger: Ledger) -> None:
    assert ledger.settle("never") is False
    assert ledger.refund("never") is False


def test_a_refund_gives_back_once(ledger: Ledger) -> None:
    ledger.consume("sync", 4, "a")
    ledger.consume("sync", 1, "b")
    assert [ledger.refund("a"), ledger.refund("a")] == [True, True]
    assert ledger.used("sync") == 1
    assert ledger.settle("a") is False
    assert [(r["operation"], r["amount"], r["current_value"]) for r in ledger.history()] == [
        ("increment", 4, 4),
        ("increment", 1, 5),
        ("decrement", 4, 1),
    ]


def test_a_refunded_key_may_be_charged_anew(ledger: Ledger) -> None:
    ledger.consume("sync", 4, "a")
    ledger.refund("a")
    anew = ledger.consume("ai_analysis", 1, "a")
    assert (anew["allowed"], anew["replayed"]) == (True, False)
    assert ledger.settle("a") is True
    assert ledger.refund("a") is False
    assert (ledger.used("sync"), ledger.used("ai_analysis")) == (0, 1)


def test_a_refunded_key_is_no_way_past_the_limit(ledger: Ledger) -> None:
    ledger.consume("ai_analysis", 4, "a")
    ledger.refund("a")
    ledger.consume("ai_analysis", 10, "b")
    assert ledger.consume("ai_analysis", 4, "a")["allowed"] is False


def test_the_reaper_takes_old_unsettled_charges_only(ledger: Ledger) -> None:
    for key in ("old", "settled", "refunded", "young"):
        ledger.consume("sync", 1, key)
    ledger.settle("settled")
    ledger.refund("refunded")
    ledger.age_charges("2 hours", "old", "settled", "refunded")
    assert ledger.reap("1 hour") == 1
    assert ledger.reap("1 hour") == 0
    assert ledger.used("sync") == 2
    assert ledger.settle("old") is False
    assert ledger.settle("young") is True
    assert ledger.consume("sync", 1, "old")["replayed"] is False


@pytest.mark.parametrize("older_than", ["-1 second", None])
def test_the_reaper_wants_an_age(ledger: Ledger, older_than: str | None) -> None:
    ledger.consume("sync", 1, "a")
    with pytest.raises(psycopg.errors.Error) as refusal, ledger.database.as_service() as service:
        service.execute("select reap_quota(%s::interval)", [older_than])
    assert refusal.value.sqlstate == "PT422"


def test_an_ended_cycle_rolls_with_the_next_charge(ledger: Ledger) -> None:
    ledger.consume("sync", 5, "a")
    ledger.consume("seo_submission", 2, "b")
    ledger.age_cycle("40 days", "10 days")
    assert {row["quota_type"]: row["used"] for row in ledger.my_quota()} == dict.fromkeys(COUNTERS, 0)
    promised = {row["cycle_end"] for row in ledger.my_quota()}
    assert ledger.consume("sync", 1, "c")["used"] == 1
    assert {row["cycle_end"] for row in ledger.my_quota()} == promised
    assert ledger.used("seo_submission") == 0
    resets = [(r["quota_type"], r["amount"], r["current_value"]) for r in ledger.history() if r["operation"] == "reset"]
    assert sorted(resets) == [("seo_submission", 2, 0), ("sync", 5, 0)]


def test_a_full_ended_cycle_rolls_too(ledger: Ledger) -> None:
    ledger.consume("ai_analysis", 10, "a")
    assert ledger.consume("ai_analysis", 1, "b")["allowed"] is False
    ledger.age_cycle("32 days", "1 second")
    assert ledger.consume("ai_analysis", 1, "b")["allowed"] is True
    assert ledger.consume("ai_analysis", 10, "a")["replayed"] is True  # its charge was made, if in another cycle


def test_a_cycle_is_ended_by_its_end_alone(ledger: Ledger) -> None:
    """Even if that lies before its start, as when the cycle of a new user is aged."""
    ledger.consume("sync", 30, "a")
    with ledger.database.as_owner() as owner:
        owner.execute(
            "update subscription set cycle_end_date = now() - interval '1 day' where user_id = %s", [ledger.user_id]
        )
    assert ledger.consume("sync", 1, "b")["used"] == 1
    ledger.check()


def test_cycles_missed_for_years_are_one_roll(ledger: Ledger) -> None:
    ledger.consume("sync", 5, "a")
    ledger.age_cycle("1000 days", "970 days")
    ledger.consume("sync", 1, "b")
    assert ledger.one(
        "select cycle_start_date <= now() and now() < cycle_end_date from subscription where user_id = %s"
    )
    assert ledger.one("select count(*) from quota_usage_history where operation = 'reset' and user_id = %s") == 1


def test_a_cycle_begun_on_the_31st_comes_back_to_it(database: Database) -> None:
    with database.as_owner() as owner:
        starts = [
            str(row["start"])
            for row in owner.execute(
                """
                select lower(private.cycle_at('2026-01-31 12:00+00', m))::date::text as start
                from unnest('{2026-01-31 12:00+00,2026-02-28 11:59+00,2026-02-28 12:00+00,2026-03-31 12:00+00,
                    2026-04-30 12:00+00,2027-01-31 11:00+00,2024-03-01 00:00+00}'::timestamptz[]) as m
                """
            )
        ]
    assert starts == [
        "2026-01-31",
        "2026-01-31",
        "2026-02-28",
        "2026-03-31",
        "2026-04-30",
        "2026-12-31",
        "2024-02-29",
    ]


def test_a_refund_after_the_roll_belongs_to_its_own_cycle(ledger: Ledger) -> None:
    ledger.consume("sync", 5, "a")
    before = ledger.one("select cycle_start_date from subscription where user_id = %s")
    ledger.database_reset("now() + interval '1 day'", "now() + interval '31 days'")
    ledger.consume("sync", 2, "b")
    assert ledger.refund("a") is True
    assert ledger.used("sync") == 2
    refund = ledger.history()[-1]
    assert (refund["operation"], refund["billing_cycle_start"]) == ("decrement", before)


def test_a_reset_is_made_once(ledger: Ledger) -> None:
    ledger.consume("sync", 5, "a")
    start, end = "'2027-01-01 00:00+00'", "'2027-02-01 00:00+00'"
    assert ledger.database_reset(start, end) is True
    assert ledger.used("sync") == 0
    ledger.consume("sync", 1, "b")
    assert ledger.database_reset(start, end) is False
    assert ledger.used("sync") == 1
    assert ledger.database_reset(start, "'2027-02-02 00:00+00'") is False
    assert ledger.one("select cycle_end_date = '2027-02-02 00:00+00' from subscription where user_id = %s")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("null", "now()"),
        ("now()", "null"),
        ("now()", "now()"),
        ("now()", "now() - interval '1 day'"),
        ("'-infinity'", "now()"),
        ("now()", "'infinity'"),
    ],
)
def test_an_impossible_cycle_is_refused(ledger: Ledger, start: str, end: str) -> None:
    ledger.consume("sync", 5, "a")
    with pytest.raises(psycopg.errors.Error) as refusal:
        ledger.database_reset(start, end)
    assert refusal.value.sqlstate == "PT422"
    assert ledger.used("sync") == 5


def test_a_downgrade_below_use_grants_nothing_and_loses_nothing(ledger: Ledger) -> None:
    ledger.plan("basic")
    ledger.consume("ai_analysis", 150, "a")
    ledger.plan("free")
    answer = ledger.consume("ai_analysis", 1, "b")
    assert (answer["allowed"], answer["used"], answer["max"], answer["remaining"]) == (False, 150, 10, 0)
    assert ("quota_reached", "ai_analysis", 100) in ledger.notices()
    assert ledger.used("ai_analysis") == 150
    ledger.refund("a")
    assert ledger.consume("ai_analysis", 1, "b")["allowed"] is True


def test_a_user_is_told_at_80_and_100_percent_once_a_cycle(ledger: Ledger) -> None:
    for number in range(7):
        ledger.consume("ai_analysis", 1, f"{number}")
    assert ledger.notices() == []
    ledger.consume("ai_analysis", 1, "eighth")
    ledger.consume("ai_analysis", 1, "ninth")
    assert ledger.notices() == [("quota_warning", "ai_analysis", 80)]
    ledger.consume("ai_analysis", 1, "tenth")
    ledger.consume("ai_analysis", 1, "too many")
    assert ledger.notices() == [("quota_warning", "ai_analysis", 80), ("quota_reached", "ai_analysis", 100)]
    for key in ("eighth", "ninth", "tenth"):
        ledger.refund(key)
        ledger.consume("ai_analysis", 1, key)
    assert len(ledger.notices()) == 2
    with ledger.database.as_user(ledger.user_id) as own:
        own.execute("delete from notification where true")
    ledger.refund("tenth")
    ledger.consume("ai_analysis", 1, "tenth")
    assert ledger.notices() == []
    ledger.database_reset("now() + interval '1 day'", "now() + interval '31 days'")
    ledger.consume("ai_analysis", 10, "all at once")
    assert len(ledger.notices()) == 2


def test_my_quota_is_the_callers(database: Database, ledger: Ledger) -> None:
    ledger.consume("seo_submission", 4, "a")
    stranger = database.create_user()
    mine = {row["quota_type"]: (row["used"], row["max"], row["remaining"]) for row in ledger.my_quota()}
    assert mine == {"sync": (0, 30, 30), "ai_analysis": (0, 10, 10), "seo_submission": (4, 20, 16)}
    with database.as_user(stranger) as other:
        assert [row["used"] for row in other.execute("select * from my_quota()")] == [0, 0, 0]


def test_my_quota_survives_the_plan_being_taken_off_sale(database: Database, ledger: Ledger) -> None:
    ledger.plan("basic")
    with database.as_owner() as owner:
        owner.execute("update subscription_tier set is_active = false where slug = 'basic'")
    assert [row["max"] for row in ledger.my_quota()] == [500, 200, 500]
    with database.as_owner() as owner:
        owner.execute("update subscription_tier set is_active = true where slug = 'basic'")


def test_counter_and_history_are_written_in_one_transaction(ledger: Ledger) -> None:
    ledger.consume("sync", 1, "a")
    assert [row["xmin"] for row in ledger.history()] == [ledger.one("select xmin from subscription where user_id = %s")]


def test_a_charge_rolled_back_leaves_nothing(ledger: Ledger) -> None:
    with ledger.database.as_service() as service, service.transaction(force_rollback=True):
        assert ledger.call_in(service, "consume_quota", "sync", 1, "a")["allowed"] is True
    assert ledger.history() == []
    assert ledger.used("sync") == 0
