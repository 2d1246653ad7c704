"""What an operator runs once: the plans on sale, the endpoint registered. Safe to run again."""

from __future__ import annotations

import pytest

from functions.billing import __main__ as operators
from functions.billing.endpoint import EVENTS
from functions.database import billing
from tests.endpoints.billing.conftest import World


def test_an_empty_stripe_account_gets_everything_once(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    books = world.stripe.books
    monkeypatch.setattr(books, "objects", {})
    assert operators.main(["setup"]) == 0
    first = capsys.readouterr().out
    assert [line.partition(":")[0] for line in first.splitlines()] == [
        "basic",
        "premium",
        "sync",
        "ai_analysis",
        "seo_submission",
    ]
    made = len(books.objects)
    assert operators.main(["setup"]) == 0
    assert capsys.readouterr().out == first
    assert len(books.objects) == made


def test_another_price_is_a_new_price_and_subscribers_keep_theirs(world: World) -> None:
    user = world.user(subscribed="premium")
    with world.database.as_owner() as owner:
        owner.execute("update subscription_tier set price_cents = 5900 where slug = 'premium'")
    assert operators.main(["setup"]) == 0
    with world.database.as_owner() as owner:
        row = owner.execute("select stripe_price_id from subscription_tier where slug = 'premium'").fetchone()
        owner.execute("update subscription_tier set price_cents = 4900 where slug = 'premium'")
    assert row is not None
    assert row["stripe_price_id"] != world.prices["premium"]
    world.deliver_all()
    assert world.row(user)["tier"] == "premium"


def test_the_endpoint_is_registered_once(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUNCTIONS_URL", "https://functions.example")
    assert operators.main(["webhook"]) == 0
    [endpoint] = world.stripe.endpoints
    assert capsys.readouterr().out == f"{endpoint.secret}\n"
    assert (endpoint.url, endpoint.api_version) == ("https://functions.example/stripe/webhook", "2026-10-28.endive")
    assert endpoint.enabled_events == EVENTS
    assert operators.main(["webhook"]) == 1
    assert "already" in capsys.readouterr().err
    world.stripe.endpoints.clear()


def test_a_metered_price_replaces_the_one_before_and_both_are_known(world: World) -> None:
    billing.set_metered_price("sync", "price_syncs_2027", "streamvibe_syncs")
    with world.database.as_superuser() as connection:
        rows = connection.execute(
            "select price_id, is_current from private.stripe_price where quota_type = 'sync' order by is_current"
        ).fetchall()
    assert [row["is_current"] for row in rows][-1:] == [True]
    assert sum(row["is_current"] for row in rows) == 1
    assert rows[-1]["price_id"] == "price_syncs_2027"
