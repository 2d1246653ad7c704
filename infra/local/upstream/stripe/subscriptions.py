"""Subscriptions and their invoices."""

from __future__ import annotations

import copy

from infra.local.upstream.stripe import shapes
from infra.local.upstream.stripe.books import DAY_SECONDS, period_seconds
from infra.local.upstream.stripe.desk import Desk, Handle, page
from infra.local.upstream.stripe.forms import Params, refuse
from infra.local.upstream.stripe.shapes import Object

CANCEL_FIELDS = ("comment", "feedback")


class Subscriptions(Desk):
    """https://docs.stripe.com/api/subscriptions"""

    def calls(self) -> dict[str, Handle]:
        return {
            "POST /v1/subscriptions": self.create_subscription,
            "GET /v1/subscriptions": self.list_subscriptions,
            "GET /v1/subscriptions/{id}": self.getter("subscription"),
            "POST /v1/subscriptions/{id}": self.update_subscription,
            "DELETE /v1/subscriptions/{id}": self.cancel_subscription,
            "POST /v1/subscriptions/{id}/resume": self.resume_subscription,
            "POST /v1/subscriptions/{id}/pause": self.pause_subscription,
            "GET /v1/subscription_items": self.list_items,
            "GET /v1/invoices": self.list_invoices,
            "GET /v1/invoices/{id}": self.getter("invoice"),
            "POST /v1/invoices/{id}/pay": self.pay_invoice,
        }

    def create_subscription(self, params: Params) -> Object:
        customer = self.find("customer", params.needed("customer"))
        prices = [
            (self.find("price", item.needed("price")), item.integer("quantity")) for item in params.objects("items")
        ]
        if not prices:
            raise refuse("Missing required param: items.", param="items", code="parameter_missing")
        method = params.text("default_payment_method")
        if method:
            self.use_card(customer["id"], method)
        days, trial_end = params.integer("trial_period_days"), params.integer("trial_end")
        end_behaviour = params.object("trial_settings").object("end_behavior").text("missing_payment_method")
        fields = {
            "metadata": params.texts("metadata"),
            "cancel_at_period_end": params.flag("cancel_at_period_end"),
            "cancel_at": params.integer("cancel_at"),
            "default_payment_method": method,
            "trial_settings": {"end_behavior": {"missing_payment_method": end_behaviour or "create_invoice"}},
        }
        params.plain(
            "payment_behavior", "collection_method", "days_until_due", "off_session", "description", "payment_settings"
        )
        now = self.books.now(customer["id"])
        return self.books.subscribe(
            customer["id"], prices, fields, trial_end=now + days * DAY_SECONDS if days else trial_end
        )

    def list_subscriptions(self, params: Params) -> Object:
        customer, status, price = params.text("customer"), params.text("status"), params.text("price")
        ended = ("canceled", "incomplete_expired")
        found = [
            one
            for one in self.books.all("subscription")
            if customer in (None, one["customer"])
            and (status == "all" or one["status"] == status or (status is None and one["status"] not in ended))
            and (price is None or any(item["price"]["id"] == price for item in one["items"]["data"]))
        ]
        return page(params, found, "/v1/subscriptions")

    def update_subscription(self, params: Params, identity: str) -> Object:
        subscription = self.find("subscription", identity)
        if subscription["status"] in ("canceled", "incomplete_expired"):
            raise refuse("A canceled subscription can only update its cancellation_details and metadata.")
        changes: Object = {}
        if "metadata" in params:
            changes["metadata"] = {**subscription["metadata"], **params.texts("metadata")}
        if "pause_collection" in params:
            changes["pause_collection"] = _pause_collection(params)
        if "cancel_at" in params:
            changes["cancel_at"] = params.integer("cancel_at")
        if "trial_end" in params:
            changes |= self._move_trial_end(subscription, params.needed("trial_end"))
        if "default_payment_method" in params:
            method = params.needed("default_payment_method")
            self.use_card(subscription["customer"], method)
            changes["default_payment_method"] = method
        params.plain("proration_behavior", "payment_behavior", "proration_date", "billing_cycle_anchor")
        items = [
            {
                "id": one.text("id"),
                "price": one.text("price"),
                "quantity": one.integer("quantity"),
                "deleted": one.flag("deleted"),
            }
            for one in params.objects("items")
        ]
        details = params.object("cancellation_details").plain(*CANCEL_FIELDS)
        if "cancel_at_period_end" in params:
            changes |= self._scheduled_cancel(subscription, params.flag("cancel_at_period_end"), details)
        if items:
            self.set_items(subscription, items, changes)
        else:
            self.books.change(subscription, changes)
        return subscription

    def _scheduled_cancel(self, subscription: Object, scheduled: bool, details: Object) -> Object:
        end = subscription["items"]["data"][0]["current_period_end"]
        reason = "cancellation_requested" if scheduled else None
        empty = {"comment": None, "feedback": None}
        return {
            "cancel_at_period_end": scheduled,
            "cancel_at": end if scheduled else None,
            "canceled_at": self.books.now(subscription["customer"]) if scheduled else None,
            "cancellation_details": {**empty, **details, "reason": reason},
        }

    def cancel_at_period_end(self, subscription: Object) -> None:
        self.books.change(subscription, self._scheduled_cancel(subscription, True, {}))

    def _move_trial_end(self, subscription: Object, value: str) -> Object:
        end = self.books.now(subscription["customer"]) if value == "now" else int(value)
        for item in subscription["items"]["data"]:
            item["current_period_end"] = end
        return {"trial_end": end}

    def set_items(self, subscription: Object, wanted: list[Object], changes: Object) -> None:
        now = self.books.now(subscription["customer"])
        items = copy.deepcopy(subscription["items"]["data"])
        first = items[0]
        for one in wanted:
            place = next((index for index, item in enumerate(items) if item["id"] == one["id"]), None)
            if one["id"] and place is None:
                raise refuse(f"No such subscription item: '{one['id']}'", param="items", code="resource_missing")
            if one.get("deleted") and place is not None:
                items.pop(place)
                continue
            price = self.find("price", one["price"]) if one["price"] else items[place or 0]["price"]
            start, end = first["current_period_start"], first["current_period_end"]
            if place is not None and period_seconds(price) != period_seconds(items[place]["price"]):
                start, end = now, now + period_seconds(price)  # another interval begins anew
            made = shapes.item(price, one["quantity"], subscription=subscription["id"], start=start, end=end, now=now)
            if place is None:
                items.append(made)
            else:
                items[place] = {**made, "id": items[place]["id"], "created": items[place]["created"]}
        self.books.replace_items(subscription, items, changes)

    def cancel_subscription(self, params: Params, identity: str) -> Object:
        subscription = self.find("subscription", identity)
        if subscription["status"] in ("canceled", "incomplete_expired"):
            raise refuse(f"No such subscription: '{identity}'", param="id", code="resource_missing", status=404)
        details = params.object("cancellation_details").plain(*CANCEL_FIELDS)
        params.plain("invoice_now", "prorate")
        self.books.cancel(subscription, details=details)
        return subscription

    def pause_subscription(self, params: Params, identity: str) -> Object:
        params.plain("type")
        subscription = self.find("subscription", identity)
        self.books.pause(subscription)
        return subscription

    def resume_subscription(self, params: Params, identity: str) -> Object:
        params.plain("billing_cycle_anchor", "proration_behavior")
        subscription = self.find("subscription", identity)
        if subscription["status"] != "paused":
            raise refuse("Only paused subscriptions can be resumed.")
        self.books.resume(subscription)
        return subscription

    def list_items(self, params: Params) -> Object:
        subscription = self.find("subscription", params.needed("subscription"))
        return page(params, subscription["items"]["data"], "/v1/subscription_items")

    def list_invoices(self, params: Params) -> Object:
        subscription, customer, status = params.text("subscription"), params.text("customer"), params.text("status")
        found = [
            one
            for one in self.books.all("invoice")
            if customer in (None, one["customer"])
            and status in (None, one["status"])
            and subscription in (None, one["parent"]["subscription_details"]["subscription"])
        ]
        return page(params, found, "/v1/invoices")

    def pay_invoice(self, params: Params, identity: str) -> Object:
        invoice = self.find("invoice", identity)
        params.plain("payment_method", "paid_out_of_band", "off_session")
        if invoice["status"] != "open":
            raise refuse("Invoice is not open.")
        self.books.charge(invoice)
        return invoice


def _pause_collection(params: Params) -> Object | None:
    if isinstance(params.peek("pause_collection"), str):
        params.text("pause_collection")
        return None
    given = params.object("pause_collection")
    behaviour = given.needed("behavior")
    if behaviour not in ("keep_as_draft", "mark_uncollectible", "void"):
        raise refuse("Invalid pause_collection[behavior].", param="pause_collection[behavior]")
    return {"behavior": behaviour, "resumes_at": given.integer("resumes_at")}
