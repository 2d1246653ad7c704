"""Stripe's simulator, the data API and a database for the billing functions, which run in this process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest

from functions.connectors import client, stripe
from functions.core import http
from functions.database import billing as tables
from infra.local.upstream.server import running
from infra.local.upstream.stripe.provider import Stripe
from infra.local.upstream.stripe.webhooks import payload, sign
from tests.backend import JWT_SECRET, backend
from tests.databases import Database

API_VERSION = stripe.API_VERSION
SECRET = "whsec_of_the_tests"
Answer = dict[str, Any]
Row = dict[str, Any]


@pytest.fixture(scope="session")
def simulators() -> Iterator[tuple[str, Stripe]]:
    with running() as (base_url, made):
        yield base_url, made.world.get(Stripe)


@pytest.fixture(scope="module")
def environment(database: Database, simulators: tuple[str, Stripe]) -> Iterator[None]:
    """The settings of the functions, for as long as the module runs."""
    with backend(database) as served, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPABASE_URL", served.url)
        patch.setenv("SUPABASE_SECRET_KEY", served.secret_key)
        patch.setenv("APP_URL", "http://app.test")
        patch.setenv("STRIPE_SECRET_KEY", "sk_test_of_the_tests")
        patch.setenv("STRIPE_WEBHOOK_SECRET", SECRET)
        patch.setenv("UPSTREAM_OVERRIDES", json.dumps({"https://api.stripe.com": f"{simulators[0]}/api.stripe.com"}))
        patch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
        patch.setenv("SUPABASE_JWT_SECRET", JWT_SECRET)
        patch.setattr(client, "FIRST_BACKOFF_SECONDS", 0.01)  # repetitions happen, nobody waits for them
        yield
        http.forget_client()


@dataclass
class World:
    """One test's Stripe account, database and webhook."""

    database: Database
    stripe: Stripe
    url: str
    prices: dict[str, str] = field(default_factory=dict)

    def api(self, method: str, path: str, **fields: Any) -> Row:
        """A call to Stripe's API, as its Dashboard or another client would make it."""
        return stripe.call(method, path, fields)

    def control(self, path: str, **fields: Any) -> Row:
        answer = httpx.post(f"{self.url}/_sim/stripe{path}", json=fields)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def fault(self, **fields: Any) -> None:
        assert httpx.post(f"{self.url}/_sim/faults", json={"host": "api.stripe.com", **fields}).is_success

    def clear_faults(self) -> None:
        httpx.delete(f"{self.url}/_sim/faults")

    def journal(self) -> list[Row]:
        return list(httpx.get(f"{self.url}/_sim/requests?host=api.stripe.com").json())

    def user(self, *, subscribed: str | None = None, **fields: Any) -> UUID:
        """Somebody who has signed up; with a customer and (by the API) a subscription if one is named."""
        user_id = self.database.create_user()
        if subscribed is not None:
            self.subscribe(user_id, subscribed, **fields)
        return user_id

    def customer(self, user_id: UUID) -> str:
        """The user's customer, made and claimed as a checkout does it."""
        known = self.row(user_id)["stripe_customer_id"]
        if known:
            return str(known)
        made = self.api("POST", "/v1/customers", email="somebody@example.com", payment_method="pm_card_visa")["id"]
        with self.database.as_owner() as owner:
            owner.execute("update subscription set stripe_customer_id = %s where user_id = %s", [made, user_id])
        return str(made)

    def subscribe(self, user_id: UUID, tier: str, **fields: Any) -> Row:
        return self.api(
            "POST",
            "/v1/subscriptions",
            customer=self.customer(user_id),
            items=[{"price": self.prices[tier]}],
            metadata={"user_id": str(user_id)},
            **fields,
        )

    def events(self, *types: str) -> list[Row]:
        """What Stripe would deliver, oldest first."""
        return [event for event in self.stripe.books.events if not types or event["type"] in types]

    def deliver(self, event: Row, *, version: str = API_VERSION, at: float | None = None) -> Answer:
        """One delivery to the webhook; its answer."""
        body = payload(event, version)
        return post(body, sign(body, SECRET, int(at if at is not None else time.time())))

    def deliver_all(self) -> None:
        for event in self.events():
            assert self.deliver(event)["statusCode"] == 200
        self.stripe.books.events.clear()

    def row(self, user_id: UUID) -> Row:
        """The user's subscription, with tier and status by name."""
        with self.database.as_superuser() as connection:
            found = connection.execute(
                """
                select s.*, t.slug as tier, st.slug as status
                from subscription s join subscription_tier t on t.id = s.tier_id
                join subscription_status st on st.id = s.status_id where s.user_id = %s
                """,
                [user_id],
            ).fetchone()
        assert found is not None
        return found

    def inbox(self) -> dict[str, Row]:
        with self.database.as_superuser() as connection:
            return {row["id"]: row for row in connection.execute("select * from private.stripe_event").fetchall()}

    def notices(self, user_id: UUID) -> list[str]:
        with self.database.as_superuser() as connection:
            rows = connection.execute("select type from notification where user_id = %s order by created_at", [user_id])
            return [str(row["type"]) for row in rows.fetchall()]

    def call(self, user_id: UUID, path: str, **fields: Any) -> tuple[int, Row]:
        """A signed-in user's request to the billing function: status and body."""
        from functions.billing.handler import handler
        from functions.core import settings

        issuer = f"{settings.SUPABASE_URL.value()}/auth/v1"
        claims = {"sub": str(user_id), "role": "authenticated", "aud": "authenticated", "iss": issuer}
        token = jwt.encode({**claims, "exp": int(time.time()) + 3600}, JWT_SECRET, algorithm="HS256")
        answer = handler(request("POST", path, fields, token), None)
        return answer["statusCode"], json.loads(answer["body"])

    def browse(self, url: str, **query: str) -> str:
        """Open a page of Stripe's in a browser; where it sends the browser next."""
        answer = httpx.get(url, params=query)
        assert answer.is_redirect, answer.text
        return answer.headers["location"]

    def audit(self, user_id: UUID, action: str) -> list[Row]:
        with self.database.as_superuser() as connection:
            return connection.execute(
                "select * from audit_log where user_id = %s and action = %s", [user_id, action]
            ).fetchall()


def request(method: str, path: str, fields: Row, token: str | None) -> dict[str, Any]:
    """An API Gateway HTTP API event (payload format 2.0)."""
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json",
            "host": "functions.test",
            **({"authorization": f"Bearer {token}"} if token else {}),
        },
        "requestContext": {
            "requestId": "request-1",
            "http": {"method": method, "path": path, "sourceIp": "192.0.2.1", "protocol": "HTTP/1.1"},
        },
        "body": json.dumps(fields),
        "isBase64Encoded": False,
    }


def post(body: bytes | str, header: str | None, **fields: Any) -> Answer:
    """The webhook's answer to a request as API Gateway hands it over."""
    from functions.stripe_webhook.handler import handler

    event = {
        "version": "2.0",
        "rawPath": "/stripe/webhook",
        "headers": {"content-type": "application/json", **({"stripe-signature": header} if header is not None else {})},
        "requestContext": {"requestId": "request-1", "http": {"method": "POST", "path": "/stripe/webhook"}},
        "body": body.decode() if isinstance(body, bytes) else body,
        "isBase64Encoded": False,
        **fields,
    }
    return handler(event, None)


@pytest.fixture(scope="module")
def prices(environment: None, database: Database, simulators: tuple[str, Stripe]) -> dict[str, str]:
    """Puts the plans on sale, as an operator does once; price ids by plan. They survive a reset of the simulator."""
    from functions.billing import catalogue

    httpx.post(f"{simulators[0]}/_sim/reset")
    catalogue.install()
    with database.as_superuser() as connection:
        rows = connection.execute("select slug, stripe_price_id from subscription_tier").fetchall()
    return {row["slug"]: row["stripe_price_id"] for row in rows}


@pytest.fixture
def world(
    prices: dict[str, str], database: Database, simulators: tuple[str, Stripe], monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """A fresh Stripe account with the plans on sale."""
    # The webhook's patience with the API is for production; a busy machine of tests is not a slow Stripe.
    monkeypatch.setattr("functions.stripe_webhook.service.READ_DEADLINE_SECONDS", 30.0)
    url, simulator = simulators
    httpx.post(f"{url}/_sim/reset")
    with database.as_superuser() as connection:
        for slug, price in prices.items():
            connection.execute("update subscription_tier set stripe_price_id = %s where slug = %s", [price, slug])
    yield World(database, simulator, url, prices)
    httpx.post(f"{url}/_sim/reset")


@pytest.fixture
def maintenance() -> Callable[[], dict[str, int]]:
    """One round of billing's maintenance."""
    from functions.maintenance import billing as jobs

    return lambda: jobs.run(time.monotonic() + 600)


__all__ = ["SECRET", "World", "post", "tables"]
