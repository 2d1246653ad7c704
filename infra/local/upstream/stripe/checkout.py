"""Checkout and portal: sessions, and the pages that a browser opens."""

from __future__ import annotations

from infra.local.upstream.messages import Request, Response, html_response, redirect
from infra.local.upstream.stripe import shapes
from infra.local.upstream.stripe.books import CARDS, DAY_SECONDS, Books
from infra.local.upstream.stripe.desk import Desk, Handle
from infra.local.upstream.stripe.forms import Params, refuse
from infra.local.upstream.stripe.shapes import Object
from infra.local.upstream.stripe.subscriptions import Subscriptions

CHECKOUT = "checkout.stripe.com"
PORTAL = "billing.stripe.com"
SESSION_SECONDS = 24 * 3600


class Checkout(Desk):
    """https://docs.stripe.com/api/checkout/sessions and https://docs.stripe.com/api/customer_portal/sessions"""

    def __init__(self, books: Books, subscriptions: Subscriptions) -> None:
        super().__init__(books)
        self.subscriptions = subscriptions

    def calls(self) -> dict[str, Handle]:
        return {
            "POST /v1/checkout/sessions": self.create_checkout,
            "GET /v1/checkout/sessions": self.lister("checkout.session", "customer", "subscription", "status"),
            "GET /v1/checkout/sessions/{id}": self.getter("checkout.session"),
            "POST /v1/checkout/sessions/{id}/expire": self.expire_checkout,
            "POST /v1/billing_portal/sessions": self.create_portal,
        }

    def pages(self) -> dict[tuple[str, str], Handle]:
        """(host, path) -> the page; a browser may GET or POST it."""
        return {
            (CHECKOUT, "/c/pay/{id}"): self.checkout_page,
            (PORTAL, "/p/session/{id}"): self.portal_page,
        }

    def create_checkout(self, params: Params) -> Object:
        mode = params.needed("mode")
        if mode != "subscription":
            raise refuse("The simulator sells subscriptions only.", param="mode")
        customer = params.text("customer")
        if customer and self.find("customer", customer).get("deleted"):
            raise refuse(f"No such customer: '{customer}'", param="customer", code="resource_missing")
        lines = [
            {"price": self.find("price", line.needed("price"))["id"], "quantity": line.integer("quantity")}
            for line in params.objects("line_items")
        ]
        if not lines:
            raise refuse("Missing required param: line_items.", param="line_items", code="parameter_missing")
        data = params.object("subscription_data")
        identity = shapes.new_id("cs_test")
        now = self.books.now(customer)
        made = {
            "id": identity,
            "object": "checkout.session",
            "amount_total": sum(int(self.books.objects[line["price"]]["unit_amount"] or 0) for line in lines),
            "cancel_url": params.text("cancel_url"),
            "client_reference_id": params.text("client_reference_id"),
            "created": now,
            "currency": "usd",
            "customer": customer,
            "customer_email": params.text("customer_email"),
            "expires_at": params.integer("expires_at", now + SESSION_SECONDS),
            "invoice": None,
            "livemode": False,
            "metadata": params.texts("metadata"),
            "mode": mode,
            "payment_method_collection": params.text("payment_method_collection") or "always",
            "payment_status": "unpaid",
            "status": "open",
            "subscription": None,
            "success_url": params.needed("success_url"),
            "ui_mode": params.text("ui_mode") or "hosted_page",
            "url": f"{params.base_url}/{CHECKOUT}/c/pay/{identity}",
        }
        params.plain(
            "allow_promotion_codes", "automatic_tax", "billing_address_collection", "locale", "customer_update"
        )
        self.books.orders[identity] = (lines, data.texts("metadata"), data.integer("trial_period_days"))
        return self.books.add(made)

    def expire_checkout(self, _: Params, identity: str) -> Object:
        session = self.find("checkout.session", identity)
        if session["status"] != "open":
            raise refuse('Only Checkout Sessions with a status in ["open"] can be expired.')
        session |= {"status": "expired", "url": None}
        self.books.emit("checkout.session.expired", session)
        return session

    def checkout_page(self, request: Request, identity: str) -> Response:
        """Pays at once and goes back, as the simulators' sign-in pages approve at once. `?card=` chooses the card."""
        session = self.find("checkout.session", identity)
        card = request.query.get("card") or request.form().get("card") or "ok"
        if session["status"] == "expired" or self.books.now(session["customer"]) > session["expires_at"]:
            return html_response("<h1>This checkout session has expired</h1>", 410)
        if card not in CARDS:
            return html_response(f"<h1>No such card</h1><p>One of {', '.join(CARDS)}.</p>", 422)
        if card == "declined":
            return html_response("<h1>Your card was declined.</h1>", 402)
        if session["status"] == "open":
            self._complete(session, card)
        return redirect(session["success_url"].replace("{CHECKOUT_SESSION_ID}", identity), {})

    def _complete(self, session: Object, card: str) -> None:
        lines, metadata, trial_days = self.books.orders[session["id"]]
        if session["customer"] is None:
            made = shapes.customer({"email": session["customer_email"]}, self.books.now())
            session["customer"] = self.books.add(made)["id"]
            self.books.emit("customer.created", made)
        self.books.cards[session["customer"]] = card
        trial_end = self.books.now(session["customer"]) + trial_days * DAY_SECONDS if trial_days else None
        subscription = self.books.subscribe(
            session["customer"],
            [(self.books.objects[line["price"]], line["quantity"]) for line in lines],
            {"metadata": metadata},
            trial_end=trial_end,
        )
        paid = self.books.objects[subscription["latest_invoice"]]["status"] == "paid"
        session |= {
            "status": "complete",
            "subscription": subscription["id"],
            "invoice": subscription["latest_invoice"],
            "payment_status": ("no_payment_required" if trial_end else "paid") if paid else "unpaid",
            "url": None,
        }
        self.books.emit("checkout.session.completed", session)

    def create_portal(self, params: Params) -> Object:
        customer = self.find("customer", params.needed("customer"))
        flow = params.object("flow_data")
        kind = flow.text("type")
        confirm = flow.object("subscription_update_confirm")
        cancel = flow.object("subscription_cancel")
        after = flow.object("after_completion")
        after.text("type")
        back = after.object("redirect").text("return_url")
        made = {
            "id": shapes.new_id("bps"),
            "object": "billing_portal.session",
            "configuration": "bpc_default",
            "created": self.books.now(),
            "customer": customer["id"],
            "flow": None,
            "livemode": False,
            "locale": params.text("locale"),
            "return_url": params.text("return_url"),
        }
        if kind:
            made["flow"] = {
                "type": kind,
                "back": back,
                "subscription": confirm.text("subscription") or cancel.text("subscription"),
                "items": [
                    {"id": one.text("id"), "price": one.text("price"), "quantity": one.integer("quantity")}
                    for one in confirm.objects("items")
                ],
            }
        made["url"] = f"{params.base_url}/{PORTAL}/p/session/{made['id']}"
        self.books.add(made)
        return made

    def portal_page(self, request: Request, identity: str) -> Response:
        """A session made for one step takes it and goes back; others show what can be done (`?do=cancel|card`)."""
        session = self.find("billing_portal.session", identity)
        self.books.settle_due()
        flow = session["flow"]
        done = request.query.get("do") or request.form().get("do") or (flow or {}).get("type")
        mine = [
            one
            for one in self.books.all("subscription")
            if one["customer"] == session["customer"] and one["status"] not in ("canceled", "incomplete_expired")
        ]
        if done == "subscription_update_confirm":
            subscription = self.find("subscription", flow["subscription"])
            self.subscriptions.set_items(subscription, flow["items"], {})
        elif done in ("cancel", "subscription_cancel"):
            for subscription in mine:
                self.subscriptions.cancel_at_period_end(subscription)
        elif done in ("card", "payment_method_update"):
            self.books.cards[session["customer"]] = request.query.get("card", "ok")
        else:
            links = "".join(f'<li><a href="?do={one}">{one}</a></li>' for one in ("cancel", "card"))
            return html_response(f"<h1>Your subscription</h1><p>{len(mine)} running</p><ul>{links}</ul>")
        return redirect((flow or {}).get("back") or session["return_url"] or f"{request.base_url}/", {})
