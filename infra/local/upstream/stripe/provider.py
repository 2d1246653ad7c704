"""Stripe's hosts and their routes. Control routes (under `/_sim/stripe`) stand in for the Dashboard and for time.

Every call settles what has become due first, so moving the clock and then asking shows the world as of now.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl

from infra.local.upstream.messages import Request, Response, json_response
from infra.local.upstream.provider import Provider, Route, World
from infra.local.upstream.stripe import checkout, shapes
from infra.local.upstream.stripe.books import CARDS, Books
from infra.local.upstream.stripe.catalogue import Catalogue
from infra.local.upstream.stripe.checkout import Checkout
from infra.local.upstream.stripe.customers import Customers
from infra.local.upstream.stripe.desk import Handle
from infra.local.upstream.stripe.developers import Developers
from infra.local.upstream.stripe.forms import Params, nested, refuse
from infra.local.upstream.stripe.shapes import Object
from infra.local.upstream.stripe.subscriptions import Subscriptions
from infra.local.upstream.stripe.usage import Usage
from infra.local.upstream.stripe.webhooks import Deliveries, Endpoint

API = "api.stripe.com"


class Stripe(Provider):
    """One Stripe account in test mode."""

    name = "stripe"
    hosts = (API, checkout.CHECKOUT, checkout.PORTAL)

    def __init__(self, world: World) -> None:
        self.deliveries = Deliveries()
        self.endpoints: list[Endpoint] = []
        self.books = Books(world.clock.now, self._publish)
        self._replays: dict[str, tuple[str, Response]] = {}
        subscriptions = Subscriptions(self.books)
        self._checkout = Checkout(self.books, subscriptions)
        self._desks = (
            Customers(self.books),
            Catalogue(self.books),
            subscriptions,
            self._checkout,
            Usage(self.books),
            Developers(self.books, self.endpoints),
        )
        super().__init__(world)

    def reset(self) -> None:
        self.deliveries.forget()
        self.books.reset()
        self._replays.clear()
        self.endpoints.clear()
        functions, secrets = os.environ.get("FUNCTIONS_URL"), os.environ.get("STRIPE_WEBHOOK_SECRET", "").split()
        if functions and secrets:  # the local stack's own endpoint
            self.endpoints.append(Endpoint(f"{functions}/stripe/webhook", secrets[0]))

    def _publish(self, event: Object) -> None:
        for endpoint in self.endpoints:
            if endpoint.wants(event["type"]):
                self.deliveries.send(endpoint, event)

    # ------------------------------------------------------------------------------------------------ the frame

    def routes(self) -> Sequence[Route]:
        calls = [(line.split(" "), handle) for desk in self._desks for line, handle in desk.calls().items()]
        return [
            *(Route(method, API, pattern, self._api(handle)) for (method, pattern), handle in calls),
            *(
                Route(method, host, pattern, handle)
                for (host, pattern), handle in self._checkout.pages().items()
                for method in ("GET", "POST")
            ),
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
            params = Params(nested((*pairs, *body)), base_url=request.base_url)
            wanted = params.words("expand")
            result = handle(params, *values)
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

    def _replay(self, request: Request, key: str) -> Response:
        fingerprint, response = self._replays[key]
        if fingerprint != _fingerprint(request):
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with."
            )
            return json_response({"error": {"type": "idempotency_error", "message": message}}, 400)
        return response.with_headers({"idempotent-replayed": "true"})

    # ------------------------------------------------------------------------------------------------ controls

    def set_webhook(self, request: Request) -> Response:
        """`{url, secret, api_version?, disorder?}` replaces all endpoints; `{}` removes them."""
        fields = request.json()
        self.endpoints[:] = [Endpoint(**fields)] if fields else []
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
        session = self._known(fields["session"])
        invoice = self._known(session["invoice"])
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
        subscription = self._known(request.json()["subscription"])
        begun = subscription["items"]["data"][0]["current_period_start"]
        self.books.renew(subscription, max(self.books.now(subscription["customer"]), begun + 1))
        return json_response(subscription)

    def set_dunning(self, request: Request) -> Response:
        """`{gives_up_as: canceled|unpaid|past_due}`: how a subscription ends that is never paid."""
        self.books.gives_up_as = request.json()["gives_up_as"]
        return json_response({"gives_up_as": self.books.gives_up_as})

    def _known(self, identity: str) -> Object:
        if identity not in self.books.objects:
            raise ValueError(f"there is no {identity}")
        return self.books.objects[identity]


def _check_key(request: Request) -> None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    key = value.strip()
    if scheme.lower() == "basic":
        key = base64.b64decode(key).decode("utf-8", "replace").partition(":")[0]
    if not key.startswith(("sk_", "rk_")):
        raise refuse("You did not provide an API key.", status=401)


def _fingerprint(request: Request) -> str:
    return hashlib.sha256(request.path.encode() + b"\0" + request.body).hexdigest()
