"""Stripe's books: customers, prices, subscriptions and invoices, and what time does to them.

Everything that changes goes through `Books`, which also writes the events. A subscription's time is its customer's test
clock, or the simulators' clock where it has none.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from infra.local.upstream.stripe import shapes
from infra.local.upstream.stripe.shapes import MONTH_SECONDS, Object

CATALOGUE = ("product", "price", "billing.meter")
DAY_SECONDS = 86_400
INCOMPLETE_SECONDS = 23 * 3600
RETRY_DAYS = (3, 5, 7)  # between one attempt of a refused renewal and the next
PERIOD_SECONDS = {"day": DAY_SECONDS, "week": 7 * DAY_SECONDS, "month": MONTH_SECONDS, "year": 365 * DAY_SECONDS}
# What a card does. `async` stands for bank debits: money arrives days later.
CARDS = ("ok", "declined", "async")
CARD_OF_PAYMENT_METHOD = {
    "pm_card_chargeCustomerFail": "declined",
    "pm_card_chargeDeclined": "declined",
    "pm_usBankAccount": "async",
    "pm_sepaDebit": "async",
}


class Books:
    def __init__(self, real_now: Callable[[], float], publish: Callable[[Object], None]) -> None:
        self._real_now = real_now
        self._publish = publish
        self.objects: dict[str, Object] = {}  # all of them, by id
        self.reset()

    def reset(self) -> None:
        """Forget everything but what is on sale, which is set up once and not what a test is about."""
        self.objects = {name: one for name, one in self.objects.items() if one["object"] in CATALOGUE}
        self.events: list[Object] = []
        self.meter_events: dict[str, Object] = {}  # by identifier
        self.cards: dict[str, str] = {}  # customer -> what its payment method does
        # What each checkout session would buy: (price and quantity, the subscription's metadata, days of trial).
        self.orders: dict[str, tuple[list[Object], dict[str, str], int | None]] = {}
        self.gives_up_as = "canceled"  # where a subscription ends whose renewal is never paid: a Dashboard setting
        self._told_of_trial_end: set[str] = set()

    # ------------------------------------------------------------------------------------------------ plain things

    def add(self, made: Object) -> Object:
        self.objects[made["id"]] = made
        return made

    def all(self, kind: str) -> list[Object]:
        """Objects of a kind, newest first, as Stripe lists them."""
        return [one for one in reversed(self.objects.values()) if one["object"] == kind]

    def now(self, customer_id: str | None = None) -> int:
        clock = self.objects.get(self.objects.get(customer_id or "", {}).get("test_clock") or "")
        return int(clock["frozen_time"]) if clock else int(self._real_now())

    def emit(self, kind: str, thing: Object, previous: Object | None = None) -> None:
        """Write an event; its snapshot is of this moment, whenever it may be delivered."""
        customer = thing["id"] if thing["object"] == "customer" else thing.get("customer")
        event = {
            "id": shapes.new_id("evt"),
            "object": "event",
            "api_version": shapes.API_VERSION,
            "created": self.now(customer),
            "data": {
                "object": copy.deepcopy(thing),
                **({"previous_attributes": copy.deepcopy(previous)} if previous is not None else {}),
            },
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }
        self.events.append(event)
        self._publish(event)

    # ------------------------------------------------------------------------------------------------ subscriptions

    def subscribe(
        self,
        customer_id: str,
        prices: list[tuple[Object, int | None]],
        fields: Object,
        *,
        trial_end: int | None = None,
        card: str | None = None,
    ) -> Object:
        """A new subscription and its first invoice."""
        now = self.now(customer_id)
        subscription = shapes.subscription({"customer": customer_id, **fields}, [], now)
        end = trial_end or now + period_seconds(prices[0][0])
        subscription["items"]["data"] = [
            shapes.item(price, quantity, subscription=subscription["id"], start=now, end=end, now=now)
            for price, quantity in prices
        ]
        if trial_end:
            subscription |= {"status": "trialing", "trial_start": now, "trial_end": trial_end}
            subscription["billing_cycle_anchor"] = trial_end
        subscription["test_clock"] = self.objects[customer_id].get("test_clock")
        self.add(subscription)
        invoice = self._invoice(subscription, "subscription_create", 0 if trial_end else self._amount(subscription))
        self.emit("customer.subscription.created", subscription)
        self.charge(invoice, card)
        return subscription

    def change(self, subscription: Object, changes: Object) -> None:
        """Set fields and say so in an `updated` event, if anything did change."""
        previous = {key: subscription.get(key) for key, value in changes.items() if subscription.get(key) != value}
        if not previous:
            return
        subscription.update(changes)
        self.emit("customer.subscription.updated", subscription, previous)

    def replace_items(self, subscription: Object, items: list[Object], changes: Object) -> None:
        """Another plan: items change at once, the difference is invoiced and paid."""
        before = {"items": copy.deepcopy(subscription["items"])}
        difference = sum(map(shapes.amount_of, items)) - self._amount(subscription)
        subscription["items"]["data"] = items
        subscription.update(changes)
        self.emit("customer.subscription.updated", subscription, before)
        if difference > 0 and subscription["status"] in ("active", "past_due"):
            self.charge(self._invoice(subscription, "subscription_update", difference))

    def cancel(
        self, subscription: Object, *, reason: str = "cancellation_requested", details: Object | None = None
    ) -> None:
        now = self.now(subscription["customer"])
        subscription["canceled_at"] = subscription["canceled_at"] or now
        subscription["ended_at"] = now
        subscription["status"] = "canceled"
        kept = subscription["cancellation_details"]
        subscription["cancellation_details"] = {**kept, "reason": kept["reason"] or reason, **(details or {})}
        self.emit("customer.subscription.deleted", subscription)

    def pause(self, subscription: Object) -> None:
        subscription["status"] = "paused"
        self.emit("customer.subscription.updated", subscription, {"status": "active"})
        self.emit("customer.subscription.paused", subscription)

    def resume(self, subscription: Object) -> None:
        now = self.now(subscription["customer"])
        for item in subscription["items"]["data"]:
            item |= {"current_period_start": now, "current_period_end": now + period_seconds(item["price"])}
        subscription |= {"status": "active", "billing_cycle_anchor": now}
        invoice = self._invoice(subscription, "subscription_cycle", self._amount(subscription))
        self.emit("customer.subscription.updated", subscription, {"status": "paused"})
        self.emit("customer.subscription.resumed", subscription)
        self.charge(invoice)

    # ------------------------------------------------------------------------------------------------ invoices

    def charge(self, invoice: Object, card: str | None = None) -> None:
        """Finalise an invoice if need be, and try to collect it."""
        now = self.now(invoice["customer"])
        if invoice["status"] == "draft":
            invoice["status"] = "open"
            invoice["number"] = f"SV-{len(self.all('invoice')):04}"
            invoice["status_transitions"]["finalized_at"] = now
            self.emit("invoice.finalized", invoice)
        invoice["attempted"] = True
        invoice["attempt_count"] += 1
        outcome = card or self.cards.get(invoice["customer"], "ok")
        if outcome == "ok" or invoice["amount_due"] == 0:
            self.pay(invoice)
        elif outcome == "async":
            # The money is on its way: Stripe activates the subscription while the invoice is still open.
            self._settle_status(invoice, "active")
        else:
            self._refused(invoice)

    def pay(self, invoice: Object) -> None:
        """The money is there."""
        invoice |= {
            "status": "paid",
            "amount_paid": invoice["amount_due"],
            "amount_remaining": 0,
            "next_payment_attempt": None,
        }
        invoice["status_transitions"]["paid_at"] = self.now(invoice["customer"])
        self.emit("invoice.paid", invoice)
        self.emit("invoice.payment_succeeded", invoice)
        self._settle_status(invoice, "active")

    def fail_async(self, invoice: Object) -> None:
        """A debit that bounced after the subscription was already active."""
        self._refused(invoice)
        self._settle_status(invoice, "past_due")

    def _refused(self, invoice: Object) -> None:
        first = invoice["billing_reason"] == "subscription_create"
        tries = invoice["attempt_count"]
        if not first and tries <= len(RETRY_DAYS):
            invoice["next_payment_attempt"] = self.now(invoice["customer"]) + RETRY_DAYS[tries - 1] * DAY_SECONDS
        else:
            invoice["next_payment_attempt"] = None
        self.emit("invoice.payment_failed", invoice)
        subscription = self._subscription_of(invoice)
        if first or subscription["status"] == "canceled":
            return
        if invoice["next_payment_attempt"] is None:
            self._give_up(subscription)
        else:
            self._settle_status(invoice, "past_due")

    def _give_up(self, subscription: Object) -> None:
        if self.gives_up_as == "canceled":
            self.cancel(subscription, reason="payment_failed")
        else:
            self.change(subscription, {"status": self.gives_up_as})

    def _settle_status(self, invoice: Object, status: str) -> None:
        subscription = self._subscription_of(invoice)
        if subscription["latest_invoice"] == invoice["id"] and subscription["status"] not in (
            "trialing",
            "canceled",
            "incomplete_expired",
            "paused",
        ):
            self.change(subscription, {"status": status})

    def _subscription_of(self, invoice: Object) -> Object:
        return self.objects[invoice["parent"]["subscription_details"]["subscription"]]

    def _amount(self, subscription: Object) -> int:
        return sum(map(shapes.amount_of, subscription["items"]["data"]))

    def _invoice(self, subscription: Object, reason: str, amount: int) -> Object:
        invoice = self.add(shapes.invoice(subscription, reason, amount, self.now(subscription["customer"])))
        subscription["latest_invoice"] = invoice["id"]
        self.emit("invoice.created", invoice)
        return invoice

    # ------------------------------------------------------------------------------------------------ time

    def settle_due(self) -> None:
        """Let everything happen that is due by now, in order, on every clock."""
        for subscription in [one for one in self.objects.values() if one["object"] == "subscription"]:
            now = self.now(subscription["customer"])
            while (due := min(self._due(subscription), default=None, key=lambda pair: pair[0])) and due[0] <= now:
                due[1](subscription, due[0])

    def _due(self, subscription: Object) -> Iterator[tuple[int, Callable[[Object, int], None]]]:
        status = subscription["status"]
        if status in ("canceled", "incomplete_expired"):
            return
        if status == "incomplete":
            yield subscription["created"] + INCOMPLETE_SECONDS, self._expire
            return
        end = subscription["items"]["data"][0]["current_period_end"]
        if subscription["cancel_at"]:
            yield subscription["cancel_at"], lambda one, _: self.cancel(one)
        elif subscription["cancel_at_period_end"]:
            yield end, lambda one, _: self.cancel(one)
        if status == "trialing":
            if subscription["id"] not in self._told_of_trial_end:
                yield subscription["trial_end"] - 3 * DAY_SECONDS, self._warn_of_trial_end
            yield subscription["trial_end"], self._end_trial
        elif status in ("active", "past_due"):
            yield end, self.renew
            invoice = self.objects.get(subscription["latest_invoice"] or "")
            if invoice and invoice["next_payment_attempt"]:
                yield invoice["next_payment_attempt"], lambda *_: self.charge(invoice)
        resumes = (subscription["pause_collection"] or {}).get("resumes_at")
        if resumes:
            yield resumes, lambda one, _: self.change(one, {"pause_collection": None})

    def _expire(self, subscription: Object, at: int) -> None:
        subscription["ended_at"] = at
        self.change(subscription, {"status": "incomplete_expired"})

    def _warn_of_trial_end(self, subscription: Object, _: int) -> None:
        self._told_of_trial_end.add(subscription["id"])
        self.emit("customer.subscription.trial_will_end", subscription)

    def _end_trial(self, subscription: Object, at: int) -> None:
        without_card = subscription["customer"] not in self.cards
        behaviour = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
        if without_card and behaviour == "pause":
            self.pause(subscription)
        elif without_card and behaviour == "cancel":
            self.cancel(subscription, reason="payment_failed")
        else:
            subscription["status"] = "active"
            self.renew(subscription, at)

    def renew(self, subscription: Object, at: int) -> None:
        """The next period begins at `at`, and is invoiced as the collection's state says."""
        before = {"items": copy.deepcopy(subscription["items"])}
        for item in subscription["items"]["data"]:
            item |= {"current_period_start": at, "current_period_end": at + period_seconds(item["price"])}
        invoice = self._invoice(subscription, "subscription_cycle", self._amount(subscription))
        self.emit("customer.subscription.updated", subscription, before)
        paused = subscription["pause_collection"]
        if paused is None:
            self.charge(invoice)
        elif paused["behavior"] != "keep_as_draft":
            invoice["status"] = {"void": "void", "mark_uncollectible": "uncollectible"}[paused["behavior"]]
            self.emit({"void": "invoice.voided"}.get(invoice["status"], "invoice.marked_uncollectible"), invoice)


def period_seconds(price: Object) -> int:
    recurring: dict[str, Any] = price["recurring"]
    return PERIOD_SECONDS[recurring["interval"]] * int(recurring["interval_count"])
