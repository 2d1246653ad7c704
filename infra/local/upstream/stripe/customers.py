"""Customers and their payment methods."""

from __future__ import annotations

import copy

from infra.local.upstream.stripe import shapes
from infra.local.upstream.stripe.desk import Desk, Handle, page
from infra.local.upstream.stripe.forms import Params
from infra.local.upstream.stripe.shapes import Object

CUSTOMER_FIELDS = ("email", "name", "description", "metadata", "phone", "address", "preferred_locales")


class Customers(Desk):
    """https://docs.stripe.com/api/customers"""

    def calls(self) -> dict[str, Handle]:
        return {
            "POST /v1/customers": self.create_customer,
            "GET /v1/customers": self.list_customers,
            "GET /v1/customers/{id}": self.get_customer,
            "POST /v1/customers/{id}": self.update_customer,
            "DELETE /v1/customers/{id}": self.delete_customer,
            "POST /v1/payment_methods": self.create_payment_method,
            "POST /v1/payment_methods/{id}/attach": self.attach_payment_method,
        }

    def create_customer(self, params: Params) -> Object:
        fields = params.plain(*CUSTOMER_FIELDS)
        clock, method = params.text("test_clock"), params.text("payment_method")
        if clock:
            self.find("test_helpers.test_clock", clock)
        settings = params.object("invoice_settings").plain("default_payment_method")
        made = self.books.add(shapes.customer({**fields, "test_clock": clock}, self.books.now()))
        if method or settings.get("default_payment_method"):
            self._pay_by(made, method or settings["default_payment_method"])
        self.books.emit("customer.created", made)
        return made

    def list_customers(self, params: Params) -> Object:
        email = params.text("email")
        found = [one for one in self.books.all("customer") if email in (None, one["email"])]
        return page(params, [one for one in found if not one.get("deleted")], "/v1/customers")

    def get_customer(self, _: Params, identity: str) -> Object:
        found = self.find("customer", identity)
        if found.get("deleted"):
            return {"id": identity, "object": "customer", "deleted": True}
        return copy.deepcopy(found)

    def update_customer(self, params: Params, identity: str) -> Object:
        found = self.find("customer", identity)
        found.update(params.plain(*CUSTOMER_FIELDS))
        method = params.object("invoice_settings").text("default_payment_method")
        if method:
            self._pay_by(found, method)
        self.books.emit("customer.updated", found, {})
        return found

    def delete_customer(self, _: Params, identity: str) -> Object:
        found = self.find("customer", identity)
        for subscription in self.books.all("subscription"):
            if subscription["customer"] == identity and subscription["status"] not in (
                "canceled",
                "incomplete_expired",
            ):
                self.books.cancel(subscription)
        found["deleted"] = True
        self.books.emit("customer.deleted", found)
        return {"id": identity, "object": "customer", "deleted": True}

    def attach_payment_method(self, params: Params, identity: str) -> Object:
        customer = self.find("customer", params.needed("customer"))
        self._pay_by(customer, identity)
        return {
            "id": identity,
            "object": "payment_method",
            "customer": customer["id"],
            "type": "card",
            "livemode": False,
        }

    def _pay_by(self, customer: Object, method: str) -> None:
        self.use_card(customer["id"], method)
        customer["invoice_settings"] = {"default_payment_method": method}

    def create_payment_method(self, params: Params) -> Object:
        """A card by one of Stripe's test tokens; tokens of cards that fail make methods that fail."""
        token = params.object("card").text("token") or ""
        params.plain("type", "metadata", "billing_details")
        name = "pm_card_chargeCustomerFail" if "Fail" in token or "Declined" in token else shapes.new_id("pm")
        return {"id": name, "object": "payment_method", "customer": None, "type": "card", "livemode": False}
