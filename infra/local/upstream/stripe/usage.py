"""Meters and what they count."""

from __future__ import annotations

from infra.local.upstream.stripe import shapes
from infra.local.upstream.stripe.books import DAY_SECONDS
from infra.local.upstream.stripe.desk import Desk, Handle
from infra.local.upstream.stripe.forms import Params, refuse
from infra.local.upstream.stripe.shapes import Object

METER_EVENT_PAST_SECONDS = 35 * DAY_SECONDS
METER_EVENT_FUTURE_SECONDS = 5 * 60


class Usage(Desk):
    """https://docs.stripe.com/api/billing/meter-event"""

    def calls(self) -> dict[str, Handle]:
        return {
            "POST /v1/billing/meters": self.create_meter,
            "GET /v1/billing/meters": self.lister("billing.meter", "status"),
            "GET /v1/billing/meters/{id}": self.getter("billing.meter"),
            "POST /v1/billing/meter_events": self.create_meter_event,
            "GET /v1/billing/meters/{id}/event_summaries": self.summarise_meter,
        }

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
