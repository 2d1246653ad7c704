"""What developers use: events, webhook endpoints, test clocks."""

from __future__ import annotations

from infra.local.upstream.stripe import shapes
from infra.local.upstream.stripe.books import DAY_SECONDS, Books
from infra.local.upstream.stripe.desk import Desk, Handle, page
from infra.local.upstream.stripe.forms import Params, refuse
from infra.local.upstream.stripe.shapes import Object
from infra.local.upstream.stripe.webhooks import Endpoint


class Developers(Desk):
    """https://docs.stripe.com/api/events and https://docs.stripe.com/api/test_clocks"""

    def __init__(self, books: Books, endpoints: list[Endpoint]) -> None:
        super().__init__(books)
        self.endpoints = endpoints

    def calls(self) -> dict[str, Handle]:
        return {
            "GET /v1/events": self.list_events,
            "GET /v1/events/{id}": self.get_event,
            "POST /v1/webhook_endpoints": self.create_webhook_endpoint,
            "GET /v1/webhook_endpoints": self.list_webhook_endpoints,
            "POST /v1/test_helpers/test_clocks": self.create_test_clock,
            "GET /v1/test_helpers/test_clocks/{id}": self.getter("test_helpers.test_clock"),
            "POST /v1/test_helpers/test_clocks/{id}/advance": self.advance_test_clock,
        }

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
        return page(params, found, "/v1/events")

    def get_event(self, _: Params, identity: str) -> Object:
        for event in self.books.events:
            if event["id"] == identity:
                return event
        raise refuse(f"No such event: '{identity}'", param="id", code="resource_missing", status=404)

    def create_webhook_endpoint(self, params: Params) -> Object:
        made = Endpoint(
            params.needed("url"),
            shapes.new_id("whsec"),
            params.text("api_version") or shapes.API_VERSION,
            tuple(params.words("enabled_events")) or ("*",),
        )
        self.endpoints.append(made)
        return {**_shown(made), "secret": made.secret}

    def list_webhook_endpoints(self, params: Params) -> Object:
        return page(params, [_shown(one) for one in reversed(self.endpoints)], "/v1/webhook_endpoints")

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


def _shown(endpoint: Endpoint) -> Object:
    return {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "api_version": endpoint.api_version,
        "enabled_events": list(endpoint.enabled_events),
        "livemode": False,
        "status": "enabled",
        "url": endpoint.url,
    }
