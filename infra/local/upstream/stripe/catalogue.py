"""Products and prices."""

from __future__ import annotations

from infra.local.upstream.stripe import shapes
from infra.local.upstream.stripe.desk import Desk, Handle, page
from infra.local.upstream.stripe.forms import Params, refuse
from infra.local.upstream.stripe.shapes import Object


class Catalogue(Desk):
    """https://docs.stripe.com/api/prices"""

    def calls(self) -> dict[str, Handle]:
        return {
            "POST /v1/products": self.create_product,
            "GET /v1/products": self.lister("product", "active"),
            "GET /v1/products/{id}": self.getter("product"),
            "POST /v1/prices": self.create_price,
            "GET /v1/prices": self.list_prices,
            "GET /v1/prices/{id}": self.getter("price"),
            "POST /v1/prices/{id}": self.update_price,
        }

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
            "product": self._product_of(params)["id"],
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
        return page(params, found, "/v1/prices")

    def _product_of(self, params: Params) -> Object:
        if "product_data" in params:
            return self.create_product(params.object("product_data"))
        return self.find("product", params.needed("product"))
