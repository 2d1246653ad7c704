"""What the four AI simulators share: orders, the model behind them, and the check of a strict schema."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from infra.local.upstream.ai import model
from infra.local.upstream.ai.model import KINDS, Order, Reply
from infra.local.upstream.messages import Refusal, Request, Response, json_response
from infra.local.upstream.provider import Provider, Route

ERROR_KINDS = frozenset({"rate_limited", "overloaded", "no_credit", "bad_key", "server_error"})


class AIProvider(Provider):
    """A vendor of models. `failure` is its answer to an ordered error, in its own words."""

    def reset(self) -> None:
        self.orders: list[Order] = []
        self.calls = 0

    def controls(self) -> Sequence[Route]:
        return (
            Route("POST", "", "/orders", self._order),
            Route("DELETE", "", "/orders", self._forget),
            Route("GET", "", "/calls", lambda _: json_response({"calls": self.calls})),
        )

    def _order(self, request: Request) -> Response:
        fields = request.json()
        if fields.get("kind") not in KINDS:
            return json_response({"error": f"kind is one of {list(KINDS)}"}, 400)
        self.orders.append(Order(fields["kind"], int(fields.get("times") or 1), str(fields.get("text") or "")))
        return json_response({"orders": len(self.orders)})

    def _forget(self, _: Request) -> Response:
        self.orders.clear()
        return json_response({})

    def take_order(self) -> Order | None:
        """The order for this call, its use counted."""
        self.calls += 1
        for order in self.orders:
            if order.times > 0:
                order.times -= 1
                return order
        return None

    def ask(self, system: str, user: str, schema: dict[str, Any]) -> Reply:
        """The model's reply. Raises Refusal for an ordered error."""
        order = self.take_order()
        if order is not None and order.kind in ERROR_KINDS:
            raise Refusal(self.failure(order.kind))
        return model.reply(system, user, schema, order)

    @abstractmethod
    def failure(self, kind: str) -> Response:
        """The vendor's answer to one of ERROR_KINDS."""


def loose_objects(schema: Any) -> list[str]:
    """What a strict schema must not have: objects with optional or further properties, and bounds."""
    if not isinstance(schema, dict):
        return []
    problems = []
    if schema.get("type") == "object":
        names = set(schema.get("properties") or {})
        if schema.get("additionalProperties") is not False:
            problems.append("additionalProperties must be false")
        if set(schema.get("required") or ()) != names:
            problems.append("required must name every property")
    problems += [
        f"{word} is not supported" for word in ("minLength", "maxLength", "minimum", "maximum") if word in schema
    ]
    children = [*(schema.get("properties") or {}).values(), schema.get("items")]
    return problems + [problem for child in children for problem in loose_objects(child)]
