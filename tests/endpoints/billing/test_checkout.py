"""From the click to the plan: one customer, one page, and a plan only for money that arrived."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import pytest

from functions.billing import service
from functions.connectors import stripe
from tests.endpoints.billing.conftest import Row, World, request


def made(world: World, path: str) -> list[Row]:
    """The requests that created something at Stripe."""
    return [one for one in world.journal() if one["method"] == "POST" and one["path"] == path]


def test_checkout_to_premium(world: World) -> None:
    user = world.user()
    status, body = world.call(user, "/billing/checkout", tier="premium")
    assert status == 200
    assert world.browse(body["url"]).startswith("http://app.test/billing?checkout=success&session_id=cs_test_")
    world.deliver_all()
    row = world.row(user)
    assert (row["tier"], row["status"]) == ("premium", "active")
    [subscription] = world.stripe.books.all("subscription")
    assert subscription["metadata"] == {"user_id": str(user)}
    items = {item["price"]["lookup_key"]: item["id"] for item in subscription["items"]["data"]}
    assert row["stripe_subscription_item_id_syncs"] == items["streamvibe_syncs"]
    assert row["stripe_subscription_item_id_ai"] == items["streamvibe_analyses"]
    assert row["stripe_subscription_item_id_seo"] == items["streamvibe_submissions"]


def test_the_requests_to_stripe_carry_user_and_key(world: World) -> None:
    user = world.user()
    world.call(user, "/billing/checkout", tier="basic")
    [customer], [session] = made(world, "/v1/customers"), made(world, "/v1/checkout/sessions")
    fields = {name: values[0] for name, values in parse_qs(session["body"]).items()}
    assert fields["client_reference_id"] == str(user)
    assert fields["subscription_data[metadata][user_id]"] == str(user)
    assert fields["customer"] == world.row(user)["stripe_customer_id"]
    assert parse_qs(customer["body"])["metadata[user_id]"] == [str(user)]
    assert customer["headers"]["idempotency-key"].startswith("customer-")
    assert session["headers"]["idempotency-key"].startswith("checkout-")


def test_twenty_clicks_make_one_customer_and_one_page(world: World) -> None:
    user = world.user()
    with ThreadPoolExecutor(20) as pool:
        urls = list(pool.map(lambda _: service.checkout_url(str(user), "basic"), range(20)))
    assert len(set(urls)) == 1
    assert len(world.stripe.books.all("customer")) == 1
    assert len(world.stripe.books.all("checkout.session")) == 1


def test_a_customer_whose_recording_failed_is_found_again(world: World) -> None:
    """The answer of the first request was lost after Stripe had made the customer."""
    user = world.user()
    world.fault(path="/v1/checkout/sessions", times=1, status=400)
    assert world.call(user, "/billing/checkout", tier="basic")[0] == 502
    with world.database.as_owner() as owner:
        owner.execute("update subscription set stripe_customer_id = null where user_id = %s", [user])
    assert world.call(user, "/billing/checkout", tier="basic")[0] == 200
    assert len(world.stripe.books.all("customer")) == 1


def test_choosing_another_plan_closes_the_first_page(world: World) -> None:
    user = world.user()
    first = world.call(user, "/billing/checkout", tier="basic")[1]["url"]
    second = world.call(user, "/billing/checkout", tier="premium")[1]["url"]
    assert first != second
    states = {session["url"]: session["status"] for session in world.stripe.books.all("checkout.session")}
    assert states == {None: "expired", second: "open"}


def test_a_page_that_another_click_has_overtaken_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Premium is chosen between the moment the page for basic is made and the moment it is recorded."""
    user = world.user()
    make = stripe.create_checkout

    def make_slowly(**fields: Any) -> Row:
        monkeypatch.setattr(stripe, "create_checkout", make)
        session: Row = make(**fields)
        service.checkout_url(str(user), "premium")
        return session

    monkeypatch.setattr(stripe, "create_checkout", make_slowly)
    status, body = world.call(user, "/billing/checkout", tier="basic")
    assert (status, body["code"]) == (409, "checkout_superseded")
    assert sorted(one["status"] for one in world.stripe.books.all("checkout.session")) == ["expired", "open"]


def test_a_page_that_could_not_be_closed_is_closed_by_the_next_click(world: World) -> None:
    user = world.user()
    world.call(user, "/billing/checkout", tier="basic")
    [first] = world.stripe.books.all("checkout.session")
    world.fault(path=f"/v1/checkout/sessions/{first['id']}/expire", times=1, status=503)
    assert world.call(user, "/billing/checkout", tier="premium")[0] == 503
    assert first["status"] == "open"
    url = world.call(user, "/billing/checkout", tier="premium")[1]["url"]
    states = {session["url"]: session["status"] for session in world.stripe.books.all("checkout.session")}
    assert states == {None: "expired", url: "open"}


def test_an_old_page_is_replaced(world: World) -> None:
    user = world.user()
    first = world.call(user, "/billing/checkout", tier="basic")[1]["url"]
    with world.database.as_superuser() as connection:
        connection.execute("update private.stripe_checkout set created_at = created_at - interval '31 minutes'")
    assert world.call(user, "/billing/checkout", tier="basic")[1]["url"] != first


@pytest.mark.parametrize("paid", [True, False])
def test_a_bank_debit_counts_when_it_arrives(world: World, paid: bool) -> None:
    user = world.user()
    url = world.call(user, "/billing/checkout", tier="premium")[1]["url"]
    world.browse(url, card="async")
    world.deliver_all()
    row = world.row(user)
    assert (row["tier"], row["status"]) == ("free", "active")
    session = world.stripe.books.all("checkout.session")[0]
    assert session["payment_status"] == "unpaid"
    assert world.stripe.books.all("subscription")[0]["status"] == "active"
    # Nothing else is sold meanwhile, or both could be paid.
    status, body = world.call(user, "/billing/checkout", tier="basic")
    assert (status, body["code"]) == (409, "payment_pending")
    world.control("/settle", session=session["id"], paid=paid)
    world.deliver_all()
    assert world.row(user)["tier"] == ("premium" if paid else "free")
    assert world.call(user, "/billing/checkout", tier="basic")[0] == 200


def test_an_unpaid_session_holds_back_a_subscription_whose_invoice_is_not_known(world: World) -> None:
    user = world.user()
    url = world.call(user, "/billing/checkout", tier="premium")[1]["url"]
    world.browse(url, card="async")
    world.stripe.books.all("subscription")[0]["latest_invoice"] = None
    for event in reversed(world.events()):
        world.deliver(event)
    assert world.row(user)["tier"] == "free"
    session = world.stripe.books.all("checkout.session")[0]
    session["payment_status"] = "paid"
    world.deliver({**world.events("checkout.session.completed")[0], "id": "evt_later"})
    assert world.row(user)["tier"] == "premium"


def test_who_has_a_plan_is_led_to_confirm_the_change(world: World) -> None:
    user = world.user(subscribed="basic")
    world.deliver_all()
    status, body = world.call(user, "/billing/checkout", tier="premium")
    assert status == 200
    assert "billing.stripe.com" in body["url"]
    assert world.browse(body["url"]) == "http://app.test/billing?plan=changed"
    world.deliver_all()
    assert world.row(user)["tier"] == "premium"
    assert len(world.stripe.books.all("subscription")) == 1
    status, body = world.call(user, "/billing/checkout", tier="premium")
    assert (status, body["code"]) == (409, "already_on_this_plan")


def test_portal(world: World) -> None:
    user = world.user()
    status, body = world.call(user, "/billing/portal")
    assert (status, body["code"]) == (409, "no_billing_account")
    world.subscribe(user, "basic")
    world.deliver_all()
    status, body = world.call(user, "/billing/portal")
    assert status == 200
    assert world.browse(body["url"], do="cancel") == "http://app.test/billing"
    world.deliver_all()
    assert not world.row(user)["is_auto_renew_enabled"]


@pytest.mark.parametrize(
    ("tier", "status", "code"),
    [
        ("free", 422, "plan_is_free"),
        ("platinum", 404, "not_found"),
        ("Premium!", 422, "invalid_request"),
        ("", 422, "invalid_request"),
    ],
)
def test_plans_that_cannot_be_bought(world: World, tier: str, status: int, code: str) -> None:
    user = world.user()
    answer, body = world.call(user, "/billing/checkout", tier=tier)
    assert (answer, body["code"]) == (status, code)
    assert not made(world, "/v1/customers")


def test_a_plan_without_a_price_is_not_for_sale(world: World) -> None:
    user = world.user()
    with world.database.as_owner() as owner:
        owner.execute("update subscription_tier set stripe_price_id = null where slug = 'basic'")
    answer, body = world.call(user, "/billing/checkout", tier="basic")
    assert (answer, body["code"]) == (409, "plan_not_for_sale")


def test_only_for_the_signed_in(world: World) -> None:
    from functions.billing.handler import handler

    for path in ("/billing/checkout", "/billing/portal"):
        for token in (None, "x.y.z"):
            assert handler(request("POST", path, {"tier": "basic"}, token), None)["statusCode"] == 401


def test_a_customer_that_was_lost_at_stripe_is_replaced(world: World) -> None:
    """Deleted there, and the event never arrived: the next click heals it."""
    user = world.user()
    world.call(user, "/billing/checkout", tier="basic")
    lost = world.row(user)["stripe_customer_id"]
    world.api("DELETE", f"/v1/customers/{lost}")
    with world.database.as_superuser() as connection:
        connection.execute("update private.stripe_checkout set created_at = created_at - interval '1 day'")
    assert world.call(user, "/billing/checkout", tier="basic")[0] == 200
    assert world.row(user)["stripe_customer_id"] not in (None, lost)


def test_stripe_down(world: World) -> None:
    user = world.user()
    world.fault(path="/v1/customers", times=None, status=503)
    status, body = world.call(user, "/billing/checkout", tier="basic")
    assert (status, body["code"]) == (503, "upstream_unavailable")
    world.clear_faults()
    assert world.call(user, "/billing/checkout", tier="basic")[0] == 200
    assert len(world.stripe.books.all("customer")) == 1
