"""POST /billing/checkout and POST /billing/portal: addresses of Stripe's pages for the signed-in user."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from functions.billing import service
from functions.core import settings
from functions.core.app import SignedIn, create_app, lambda_handler
from functions.database import rates

settings.require(settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY, settings.STRIPE_SECRET_KEY, settings.APP_URL)

app = create_app("Billing")


class Checkout(BaseModel):
    """The plan to buy, by its slug."""

    model_config = ConfigDict(extra="forbid")

    tier: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", examples=["premium"])]


class Destination(BaseModel):
    """Where to send the browser. Made for one visit, soon."""

    url: str


@app.post("/billing/checkout")
async def checkout(user: SignedIn, wanted: Checkout) -> Destination:
    """Buy a plan or, if you have one, confirm the change to another."""
    rates.take(user.id, "billing")
    return Destination(url=service.checkout_url(user.id, wanted.tier))


@app.post("/billing/portal")
async def portal(user: SignedIn) -> Destination:
    """Manage the plan: change, cancel, payment method, invoices."""
    rates.take(user.id, "billing")
    return Destination(url=service.portal_url(user.id))


handler = lambda_handler(app)
