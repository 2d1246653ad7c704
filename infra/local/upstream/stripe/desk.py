"""What every part of the simulated Stripe account has: the books, and reading from them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from infra.local.upstream.stripe import shapes
from infra.local.upstream.stripe.books import CARD_OF_PAYMENT_METHOD, Books
from infra.local.upstream.stripe.forms import Params, refuse
from infra.local.upstream.stripe.shapes import Object

# `Handle(params, *values)` with one string for each {placeholder} of its route.
Handle = Callable[..., Any]


class Desk:
    """One part of the API over the shared books. `calls` maps "METHOD /path" to what answers it."""

    def __init__(self, books: Books) -> None:
        self.books = books

    def calls(self) -> dict[str, Handle]:
        raise NotImplementedError

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
            return page(params, found, f"/v1/{kind}s")

        return listed

    def use_card(self, customer_id: str, method: str) -> None:
        """From now on the customer pays with this payment method."""
        self.books.cards[customer_id] = CARD_OF_PAYMENT_METHOD.get(method, "ok")


def page(params: Params, found: list[Object], url: str) -> Object:
    """One page of a listing, newest first, as `limit`, `starting_after` and `ending_before` ask for it."""
    limit = params.integer("limit", 10) or 10
    after, before = params.text("starting_after"), params.text("ending_before")
    ids = [one["id"] for one in found]
    if after:
        found = found[ids.index(after) + 1 :] if after in ids else []
    if before:
        found = found[: ids.index(before)] if before in ids else []
    return shapes.listing(copy.deepcopy(found[:limit]), url, has_more=len(found) > limit)
