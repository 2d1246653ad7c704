"""Stripe's hosts and their routes. Control routes (under `/_sim/stripe`) stand in for the Dashboard and for time.

Every call settles what has become due first, so moving the clock and then asking shows the world as of now.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

from infra.local.upstream.messages import Request, Response, html_response, json_response, redirect
from infra.local.upstream.provider import Provider, Route, World
from infra.local.upstream.stripe import shapes
from infra.local.upstream.stripe.books import CARD_OF_PAYMENT_METHOD, CARDS, DAY_SECONDS, Books, period_seconds
from infra.local.upstream.stripe.forms import Params, nested, refuse
from infra.local.upstream.stripe.shapes import Object
from infra.local.upstream.stripe.webhooks import Deliveries, Endpoint

API = "api.stripe.com"
CHECKOUT = "checkout.stripe.com"
PORTAL = "billing.stripe.com"
SESSION_SECONDS = 24 * 3600
METER_EVENT_PAST_SECONDS = 35 * DAY_SECONDS
METER_EVENT_FUTURE_SECONDS = 5 * 60
CUSTOMER_FIELDS = ("email", "name", "description", "metadata", "phone", "address", "preferred_locales")
CANCEL_FIELDS = ("comment", "feedback")

CATALOGUE = ("product", "price", "billing.meter")

Handle = Callable[..., Any]


class Stripe(Provider):
    """One Stripe account in test mode."""

    name = "stripe"
    hosts = (API, CHECKOUT, PORTAL)

    def __init__(self, world: World) -> None:
        self.deliveries = Deliveries()
        self.books = Books(world.clock.now, self._publish)
        super().__init__(world)

    def reset(self) -> None:
        """Forget everything but what is on sale, which is set up once and not what a test is about."""
        catalogue = [one for one in self.books.objects.values() if one["object"] in CATALOGUE]
        self.deliveries.forget()
        self.endpoints: list[Endpoint] = []
        self.books = Books(self.clock.now, self._publish)
        for one in catalogue:
            self.books.add(one)
        self._replays: dict[str, tuple[str, Response]] = {}
        # What each session would buy: (price and quantity, the subscription's metadata, days of trial).
        self._orders: dict[str, tuple[list[Object], dict[str, str], int | None]] = {}
        functions, secrets = os.environ.get("FUNCTIONS_URL"), os.environ.get("STRIPE_WEBHOOK_SECRET", "").split()
        if functions and secrets:  # the local stack's own endpoint
            self.endpoints.append(Endpoint(f"{functions}/stripe/webhook", secrets[0]))

    def _publish(self, event: Object) -> None:
        for endpoint in self.endpoints:
            if endpoint.wants(event["type"]):
                self.deliveries.send(endpoint, event)

    # ------------------------------------------------------------------------------------------------ the frame

    def routes(self) -> Sequence[Route]:
        api: dict[str, Handle] = {
            "POST /v1/customers": self.create_customer,
            "GET /v1/customers": self.list_customers,
            "GET /v1/customers/{id}": self.get_customer,
            "POST /v1/customers/{id}": self.update_customer,
            "DELETE /v1/customers/{id}": self.delete_customer,
            "POST /v1/payment_methods/{id}/attach": self.attach_payment_method,
            "POST /v1/products": self.create_product,
            "GET /v1/products": self.lister("product", "active"),
            "GET /v1/products/{id}": self.getter("product"),
            "POST /v1/prices": self.create_price,
            "GET /v1/prices": self.list_prices,
            "GET /v1/prices/{id}": self.getter("price"),
            "POST /v1/prices/{id}": self.update_price,
            "POST /v1/checkout/sessions": self.create_checkout,
            "GET /v1/checkout/sessions": self.lister("checkout.session", "customer", "subscription", "status"),
            "GET /v1/checkout/sessions/{id}": self.getter("checkout.session"),
            "POST /v1/checkout/sessions/{id}/expire": self.expire_checkout,
            "POST /v1/billing_portal/sessions": self.create_portal,
            "POST /v1/subscriptions": self.create_subscription,
            "GET /v1/subscriptions": self.list_subscriptions,
            "GET /v1/subscriptions/{id}": self.getter("subscription"),
            "POST /v1/subscriptions/{id}": self.update_subscription,
            "DELETE /v1/subscriptions/{id}": self.cancel_subscription,
            "POST /v1/subscriptions/{id}/resume": self.resume_subscription,
            "POST /v1/subscriptions/{id}/pause": self.pause_subscription,
            "GET /v1/subscription_items": self.list_items,
            "GET /v1/invoices": self.lister("invoice", "customer", "status"),
            "GET /v1/invoices/{id}": self.getter("invoice"),
            "POST /v1/invoices/{id}/pay": self.pay_invoice,
            "GET /v1/events": self.list_events,
            "GET /v1/events/{id}": self.get_event,
            "POST /v1/billing/meters": self.create_meter,
            "GET /v1/billing/meters": self.lister("billing.meter", "status"),
            "GET /v1/billing/meters/{id}": self.getter("billing.meter"),
            "POST /v1/billing/meter_events": self.create_meter_event,
            "GET /v1/billing/meters/{id}/event_summaries": self.summarise_meter,
            "POST /v1/webhook_endpoints": self.create_webhook_endpoint,
            "POST /v1/test_helpers/test_clocks": self.create_test_clock,
            "GET /v1/test_helpers/test_clocks/{id}": self.getter("test_helpers.test_clock"),
            "POST /v1/test_helpers/test_clocks/{id}/advance": self.advance_test_clock,
        }
        pages: dict[str, Handle] = {
            f"GET {CHECKOUT} /c/pay/{{id}}": self.checkout_page,
            f"POST {CHECKOUT} /c/pay/{{id}}": self.checkout_page,
            f"GET {PORTAL} /p/session/{{id}}": self.portal_page,
            f"POST {PORTAL} /p/session/{{id}}": self.portal_page,
        }
        api_routes = [(line.split(" "), self._api(handle)) for line, handle in api.items()]
        page_routes = [(line.split(" "), handle) for line, handle in pages.items()]
        return [
            *(Route(method, API, pattern, handle) for (method, pattern), handle in api_routes),
            *(Route(method, host, pattern, handle) for (method, host, pattern), handle in page_routes),
        ]

    def controls(self) -> Sequence[Route]:
        return [
            Route("POST", "", "/webhooks", self.set_webhook),
            Route("GET", "", "/deliveries", self.show_deliveries),
            Route("POST", "", "/deliveries", self.redeliver),
            Route("POST", "", "/card", self.set_card),
            Route("POST", "", "/settle", self.settle_async),
            Route("POST", "", "/renew", self.renew_now),
            Route("POST", "", "/dunning", self.set_dunning),
        ]

    def not_found(self, request: Request) -> Response:
        error = {
            "type": "invalid_request_error",
            "message": f"Unrecognized request URL ({request.method}: {request.path}).",
        }
        return json_response({"error": error}, 404)

    def _api(self, handle: Handle) -> Callable[..., Response]:
        """What every API call goes through: key, idempotency, parameters, expansion, version."""

        def answer(request: Request, *values: str) -> Response:
            _check_key(request)
            self.books.settle_due()
            key = request.headers.get("idempotency-key") if request.method == "POST" else None
            if key and key in self._replays:
                return self._replay(request, key)
            pairs = request.query_pairs if request.method in ("GET", "DELETE") else ()
            body = parse_qsl(request.body.decode(), keep_blank_values=True)
            params = Params(nested((*pairs, *body)))
            wanted = params.words("expand")
            result = handle(params, *values) if handle not in self._with_request() else handle(request, params, *values)
            params.finish()
            for path in wanted:
                result = shapes.expand(result, path, self.books.objects.get)
            version = request.headers.get("stripe-version", shapes.API_VERSION)
            response = json_response(
                shapes.render(result, version), headers={"request-id": shapes.new_id("req"), "stripe-version": version}
            )
            if key:
                self._replays[key] = (_fingerprint(request), response)
            return response

        return answer

    def _with_request(self) -> tuple[Handle, ...]:
        """Those that need to know under which address they are reached."""
        return (self.create_checkout, self.create_portal)

    def _replay(self, request: Request, key: str) -> Response:
        fingerprint, response = self._replays[key]
        if fingerprint != _fingerprint(request):
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with."
            )
            return json_response({"error": {"type": "idempotency_error", "message": message}}, 400)
        return response.with_headers({"idempotent-replayed": "true"})

    def find(self, kind: str, identity: str) -> Object:
        found = self.books.objects.get(identity)
        if found is None or found["object"] != kind:
            raise refuse(f"No such {kind}: '{identity}'", param="id", code="resource_missing", status=404)
        return found

    def getter(self, kind: str) -> Handle:
        return lambda _, identity: copy.deepcopy(self.find(kind, identity))

    def lister(self, kind: str, *filters: str) -> Handle:
        def listed(params: Params) -> Object:
            wanted = {name: value for name in filters if (value := params.text(name)) is not None}
            found = [
                one for one in self.books.all(kind) if all(str(one.get(k)).lower() == v for k, v in wanted.items())
            ]
            return _page(params, found, f"/v1/{kind}s")

        return listed

    # ------------------------------------------------------------------------------------------------ customers

    def create_customer(self, params: Params) -> Object:
        fields = params.plain(*CUSTOMER_FIELDS)
        clock, method = params.text("test_clock"), params.text("payment_method")
        if clock:
            self.find("test_helpers.test_clock", clock)
        settings = params.object("invoice_settings").plain("default_payment_method")
        made = self.books.add(shapes.customer({**fields, "test_clock": clock}, self.books.now()))
        if method or settings.get("default_payment_method"):
            self._use_card(made, method or settings["default_payment_method"])
        self.books.emit("customer.created", made)
        return made

    def list_customers(self, params: Params) -> Object:
        email = params.text("email")
        found = [one for one in self.books.all("customer") if email in (None, one["email"])]
        return _page(params, [one for one in found if not one.get("deleted")], "/v1/customers")

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
            self._use_card(found, method)
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
        self._use_card(customer, identity)
        return {
            "id": identity,
            "object": "payment_method",
            "customer": customer["id"],
            "type": "card",
            "livemode": False,
        }

    def _use_card(self, customer: Object, method: str) -> None:
        self.books.cards[customer["id"]] = CARD_OF_PAYMENT_METHOD.get(method, "ok")
        customer["invoice_settings"] = {"default_payment_method": method}

    # ------------------------------------------------------------------------------------------------ catalogue

    def create_product(self, params: Params) -> Object:
        fields = {"name": params.needed("name"), **params.plain("description", "metadata", "tax_code", "unit_label")}
        identity = params.text("id") or shapes.new_id("prod")
        made = {"id": identity, "object": "product", "active": params.flag("active", True), "livemode": False}
        made |= {"created": self.books.now(), "metadata": {}, "description": None, **fields}
        self.books.add(made)
        self.books.emit("product.created", made)
        return made

    def create_price(self, params: Params) -> Object:
        recurring = params.object("recurring")
        usage = recurring.text("usage_type") or "licensed"
        meter = recurring.text("meter")
        if usage == "metered" and not meter:
            raise refuse("Metered prices need a meter.", param="recurring[meter]", code="parameter_missing")
        if meter:
            self.find("billing.meter", meter)
        lookup_key = params.text("lookup_key")
        self._claim_lookup_key(lookup_key, transfer=params.flag("transfer_lookup_key"))
        fields = {
            "product": self.find("product", params.needed("product"))["id"],
            "currency": params.needed("currency"),
            "unit_amount": params.integer("unit_amount", 0),
            "lookup_key": lookup_key,
            "recurring": {
                "interval": recurring.text("interval") or "month",
                "interval_count": recurring.integer("interval_count", 1),
                "meter": meter,
                "usage_type": usage,
            },
            **params.plain("nickname", "metadata", "billing_scheme", "tiers_mode", "tiers", "tax_behavior"),
        }
        made = self.books.add(shapes.price(fields, self.books.now()))
        self.books.emit("price.created", made)
        return made

    def _claim_lookup_key(self, key: str | None, *, transfer: bool) -> None:
        for price in self.books.all("price"):
            if key is not None and price["lookup_key"] == key:
                if not transfer:
                    raise refuse(f"A price (`{price['id']}`) already uses that lookup key.", param="lookup_key")
                price["lookup_key"] = None

    def update_price(self, params: Params, identity: str) -> Object:
        found = self.find("price", identity)
        found.update(params.plain("metadata", "nickname"))
        if "active" in params:
            found["active"] = params.flag("active")
        self.books.emit("price.updated", found, {})
        return found

    def list_prices(self, params: Params) -> Object:
        keys, active, product = params.words("lookup_keys"), params.text("active"), params.text("product")
        found = [
            one
            for one in self.books.all("price")
            if (not keys or one["lookup_key"] in keys)
            and active in (None, str(one["active"]).lower())
            and product in (None, one["product"])
        ]
        return _page(params, found, "/v1/prices")

    # ------------------------------------------------------------------------------------------------ checkout

    def create_checkout(self, request: Request, params: Params) -> Object:
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
            "url": f"{request.base_url}/{CHECKOUT}/c/pay/{identity}",
        }
        params.plain(
            "allow_promotion_codes", "automatic_tax", "billing_address_collection", "locale", "customer_update"
        )
        self._orders[identity] = (lines, data.texts("metadata"), data.integer("trial_period_days"))
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
        lines, metadata, trial_days = self._orders[session["id"]]
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

    def create_portal(self, request: Request, params: Params) -> Object:
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
        made["url"] = f"{request.base_url}/{PORTAL}/p/session/{made['id']}"
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
            self._set_items(subscription, flow["items"], {})
        elif done in ("cancel", "subscription_cancel"):
            for subscription in mine:
                self._cancel_at_period_end(subscription)
        elif done in ("card", "payment_method_update"):
            self.books.cards[session["customer"]] = request.query.get("card", "ok")
        else:
            links = "".join(f'<li><a href="?do={one}">{one}</a></li>' for one in ("cancel", "card"))
            return html_response(f"<h1>Your subscription</h1><p>{len(mine)} running</p><ul>{links}</ul>")
        return redirect((flow or {}).get("back") or session["return_url"] or f"{request.base_url}/", {})

    # ------------------------------------------------------------------------------------------------ subscriptions

    def create_subscription(self, params: Params) -> Object:
        customer = self.find("customer", params.needed("customer"))
        prices = [
            (self.find("price", item.needed("price")), item.integer("quantity")) for item in params.objects("items")
        ]
        if not prices:
            raise refuse("Missing required param: items.", param="items", code="parameter_missing")
        method = params.text("default_payment_method")
        if method:
            self.books.cards[customer["id"]] = CARD_OF_PAYMENT_METHOD.get(method, "ok")
        days, trial_end = params.integer("trial_period_days"), params.integer("trial_end")
        end_behaviour = params.object("trial_settings").object("end_behavior").text("missing_payment_method")
        fields = {
            "metadata": params.texts("metadata"),
            "cancel_at_period_end": params.flag("cancel_at_period_end"),
            "cancel_at": params.integer("cancel_at"),
            "default_payment_method": method,
            "trial_settings": {"end_behavior": {"missing_payment_method": end_behaviour or "create_invoice"}},
        }
        params.plain("payment_behavior", "collection_method", "off_session", "description", "payment_settings")
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
        return _page(params, found, "/v1/subscriptions")

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
            self.books.cards[subscription["customer"]] = CARD_OF_PAYMENT_METHOD.get(method, "ok")
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
            self._set_items(subscription, items, changes)
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

    def _cancel_at_period_end(self, subscription: Object) -> None:
        self.books.change(subscription, self._scheduled_cancel(subscription, True, {}))

    def _move_trial_end(self, subscription: Object, value: str) -> Object:
        end = self.books.now(subscription["customer"]) if value == "now" else int(value)
        for item in subscription["items"]["data"]:
            item["current_period_end"] = end
        return {"trial_end": end}

    def _set_items(self, subscription: Object, wanted: list[Object], changes: Object) -> None:
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
        return _page(params, subscription["items"]["data"], "/v1/subscription_items")

    def pay_invoice(self, params: Params, identity: str) -> Object:
        invoice = self.find("invoice", identity)
        params.plain("payment_method", "paid_out_of_band", "off_session")
        if invoice["status"] != "open":
            raise refuse("Invoice is not open.")
        self.books.charge(invoice)
        return invoice

    # ------------------------------------------------------------------------------------------------ events, usage

    def list_events(self, params: Params) -> Object:
        kind, kinds = params.text("type"), params.words("types")
        created = params.object("created")
        since = created.integer("gte", 0) or 0
        params.plain("delivery_success")
        found = [
            one
            for one in reversed(self.books.events)
            if kind in (None, one["type"]) and (not kinds or one["type"] in kinds) and one["created"] >= since
        ]
        return _page(params, found, "/v1/events")

    def get_event(self, _: Params, identity: str) -> Object:
        for event in self.books.events:
            if event["id"] == identity:
                return event
        raise refuse(f"No such event: '{identity}'", param="id", code="resource_missing", status=404)

    def create_meter(self, params: Params) -> Object:
        mapping, values = params.object("customer_mapping"), params.object("value_settings")
        name = params.needed("event_name")
        if any(one["event_name"] == name and one["status"] == "active" for one in self.books.all("billing.meter")):
            raise refuse(f"An active meter already uses the event name {name}.", param="event_name")
        made = {
            "id": shapes.new_id("mtr"),
            "object": "billing.meter",
            "created": self.books.now(),
            "customer_mapping": {
                "type": mapping.text("type") or "by_id",
                "event_payload_key": mapping.text("event_payload_key") or "stripe_customer_id",
            },
            "default_aggregation": {"formula": params.object("default_aggregation").needed("formula")},
            "display_name": params.needed("display_name"),
            "event_name": name,
            "livemode": False,
            "status": "active",
            "value_settings": {"event_payload_key": values.text("event_payload_key") or "value"},
        }
        return self.books.add(made)

    def create_meter_event(self, params: Params) -> Object:
        name, payload, now = params.needed("event_name"), params.texts("payload"), self.books.now()
        identifier = params.text("identifier") or shapes.new_id("mev")
        at = params.integer("timestamp", now) or now
        if not any(one["event_name"] == name and one["status"] == "active" for one in self.books.all("billing.meter")):
            raise refuse(f"No active meter found for event name {name}.", param="event_name", code="resource_missing")
        if not payload.get("stripe_customer_id") or not payload.get("value", "").isdigit():
            raise refuse("Missing or bad value in payload.", param="payload", code="parameter_invalid")
        if not now - METER_EVENT_PAST_SECONDS <= at <= now + METER_EVENT_FUTURE_SECONDS:
            raise refuse(
                "The timestamp must be within the past 35 calendar days or up to 5 minutes in the future.",
                param="timestamp",
                code="timestamp_out_of_range",
            )
        if identifier in self.books.meter_events:
            raise refuse(f"An event already exists with identifier {identifier}.", param="identifier")
        made = {
            "object": "billing.meter_event",
            "created": now,
            "event_name": name,
            "identifier": identifier,
            "livemode": False,
            "payload": payload,
            "timestamp": at,
        }
        self.books.meter_events[identifier] = made
        return made

    def summarise_meter(self, params: Params, identity: str) -> Object:
        meter = self.find("billing.meter", identity)
        customer = params.needed("customer")
        start, end = params.integer("start_time", 0) or 0, params.integer("end_time", 1 << 40) or 0
        total = sum(
            int(one["payload"]["value"])
            for one in self.books.meter_events.values()
            if one["event_name"] == meter["event_name"]
            and one["payload"]["stripe_customer_id"] == customer
            and start <= one["timestamp"] < end
        )
        summary = {
            "id": shapes.new_id("mtrusg"),
            "object": "billing.meter_event_summary",
            "aggregated_value": total,
            "start_time": start,
            "end_time": end,
            "livemode": False,
            "meter": identity,
        }
        return shapes.listing([summary], f"/v1/billing/meters/{identity}/event_summaries")

    # ------------------------------------------------------------------------------------------------ test helpers

    def create_webhook_endpoint(self, params: Params) -> Object:
        made = Endpoint(
            params.needed("url"),
            shapes.new_id("whsec"),
            params.text("api_version") or shapes.API_VERSION,
            tuple(params.words("enabled_events")) or ("*",),
        )
        self.endpoints.append(made)
        return {
            "id": made.id,
            "object": "webhook_endpoint",
            "api_version": made.api_version,
            "enabled_events": list(made.enabled_events),
            "livemode": False,
            "secret": made.secret,
            "status": "enabled",
            "url": made.url,
        }

    def create_test_clock(self, params: Params) -> Object:
        made = {
            "id": shapes.new_id("clock"),
            "object": "test_helpers.test_clock",
            "created": self.books.now(),
            "frozen_time": params.integer("frozen_time", self.books.now()),
            "livemode": False,
            "name": params.text("name"),
            "status": "ready",
        }
        return self.books.add(made)

    def advance_test_clock(self, params: Params, identity: str) -> Object:
        clock = self.find("test_helpers.test_clock", identity)
        to = int(params.needed("frozen_time"))
        if to <= clock["frozen_time"]:
            raise refuse("The clock only moves forward.", param="frozen_time")
        # Step by step, so that what happens on the way happens at its own time.
        while clock["frozen_time"] < to:
            clock["frozen_time"] = min(clock["frozen_time"] + DAY_SECONDS, to)
            self.books.settle_due()
        return clock

    # ------------------------------------------------------------------------------------------------ controls

    def set_webhook(self, request: Request) -> Response:
        """`{url, secret, api_version?, disorder?}` replaces all endpoints; `{}` removes them."""
        fields = request.json()
        self.endpoints = [Endpoint(**fields)] if fields else []
        return json_response({"endpoints": [one.url for one in self.endpoints]})

    def show_deliveries(self, _: Request) -> Response:
        log = [one.describe() for one in self.deliveries.log]
        return json_response({"pending": self.deliveries.pending, "deliveries": log})

    def redeliver(self, request: Request) -> Response:
        """`{event}` is sent again to every endpoint, as "Resend" in the Dashboard does."""
        wanted = request.json()["event"]
        for event in self.books.events:
            if event["id"] == wanted:
                for endpoint in self.endpoints:
                    self.deliveries.send(endpoint, event)
        return json_response({"pending": self.deliveries.pending})

    def set_card(self, request: Request) -> Response:
        """`{customer, card: ok|declined|async}`: what the customer's payment method does from now on."""
        fields = request.json()
        if fields["card"] not in CARDS:
            raise ValueError(f"card is one of {CARDS}")
        self.books.cards[fields["customer"]] = fields["card"]
        return json_response(fields)

    def settle_async(self, request: Request) -> Response:
        """`{session, paid: true|false}`: the debit of an asynchronous checkout arrives, or bounces."""
        fields = request.json()
        session = self.find("checkout.session", fields["session"])
        invoice = self.find("invoice", session["invoice"])
        if fields["paid"]:
            session["payment_status"] = "paid"
            self.books.pay(invoice)
            self.books.emit("checkout.session.async_payment_succeeded", session)
        else:
            self.books.fail_async(invoice)
            self.books.emit("checkout.session.async_payment_failed", session)
        return json_response(session)

    def renew_now(self, request: Request) -> Response:
        """`{subscription}`: its period ends this moment, whatever the calendar says."""
        subscription = self.find("subscription", request.json()["subscription"])
        begun = subscription["items"]["data"][0]["current_period_start"]
        self.books.renew(subscription, max(self.books.now(subscription["customer"]), begun + 1))
        return json_response(subscription)

    def set_dunning(self, request: Request) -> Response:
        """`{gives_up_as: canceled|unpaid|past_due}`: how a subscription ends that is never paid."""
        self.books.gives_up_as = request.json()["gives_up_as"]
        return json_response({"gives_up_as": self.books.gives_up_as})


def _check_key(request: Request) -> None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    key = value.strip()
    if scheme.lower() == "basic":
        key = base64.b64decode(key).decode("utf-8", "replace").partition(":")[0]
    if not key.startswith(("sk_", "rk_")):
        raise refuse("You did not provide an API key.", status=401)


def _fingerprint(request: Request) -> str:
    return hashlib.sha256(request.path.encode() + b"\0" + request.body).hexdigest()


def _page(params: Params, found: list[Object], url: str) -> Object:
    limit = params.integer("limit", 10) or 10
    after, before = params.text("starting_after"), params.text("ending_before")
    ids = [one["id"] for one in found]
    if after:
        found = found[ids.index(after) + 1 :] if after in ids else []
    if before:
        found = found[: ids.index(before)] if before in ids else []
    return shapes.listing(copy.deepcopy(found[:limit]), url, has_more=len(found) > limit)


def _pause_collection(params: Params) -> Object | None:
    if isinstance(params.peek("pause_collection"), str):
        params.text("pause_collection")
        return None
    given = params.object("pause_collection")
    behaviour = given.needed("behavior")
    if behaviour not in ("keep_as_draft", "mark_uncollectible", "void"):
        raise refuse("Invalid pause_collection[behavior].", param="pause_collection[behavior]")
    return {"behavior": behaviour, "resumes_at": given.integer("resumes_at")}
