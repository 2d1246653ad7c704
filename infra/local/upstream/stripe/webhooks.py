"""Webhook deliveries: signed, retried with growing pauses, repeated and shuffled where a test asks for it.

They run in threads, because the functions that receive them call the simulator back before they answer.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.local.upstream.stripe import shapes
from infra.local.upstream.stripe.shapes import Object

RETRY_PAUSES_SECONDS = (1, 2, 4, 8, 16, 32, 64, 128)  # Stripe's run over three days
TIMEOUT_SECONDS = 20.0
DISORDER_SECONDS = 0.5
WORKERS = 4


@dataclass(slots=True)
class Endpoint:
    """Where events go. `disorder` shuffles and repeats deliveries, reproducibly by its seed."""

    url: str
    secret: str
    api_version: str = shapes.API_VERSION
    enabled_events: tuple[str, ...] = ("*",)
    disorder: int | None = None
    id: str = field(default_factory=lambda: shapes.new_id("we"))

    def wants(self, kind: str) -> bool:
        return "*" in self.enabled_events or kind in self.enabled_events


@dataclass(slots=True)
class Delivery:
    """One event on its way to one endpoint, with what became of it."""

    endpoint: Endpoint
    event: Object
    attempts: int = 0
    statuses: list[int | str] = field(default_factory=list)

    def describe(self) -> Object:
        return {
            "event": self.event["id"],
            "type": self.event["type"],
            "url": self.endpoint.url,
            "attempts": self.attempts,
            "statuses": self.statuses,
        }


def sign(body: bytes, secret: str, timestamp: int) -> str:
    """The value of `Stripe-Signature` (https://docs.stripe.com/webhooks#verify-manually)."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


class Deliveries:
    """A queue of deliveries, ordered by when each is due."""

    def __init__(self) -> None:
        self.log: list[Delivery] = []
        self._due: list[tuple[float, int, Delivery]] = []
        self._sequence = 0
        self._pending = 0
        self._changed = threading.Condition()
        self._workers = 0

    def send(self, endpoint: Endpoint, event: Object) -> None:
        delivery = Delivery(endpoint, event)
        delays = [0.0]
        if endpoint.disorder is not None:
            chance = random.Random(f"{endpoint.disorder}/{len(self.log)}")  # noqa: S311 - reproducible disorder
            delays = [chance.uniform(0, DISORDER_SECONDS) for _ in range(chance.choice((1, 1, 2, 3)))]
        self.log.append(delivery)
        for delay in delays:
            self._schedule(delivery, delay)

    @property
    def pending(self) -> int:
        return self._pending

    def forget(self) -> None:
        with self._changed:
            self._pending -= len(self._due)
            self._due.clear()
            self.log.clear()
            self._changed.notify_all()

    def _schedule(self, delivery: Delivery, delay: float) -> None:
        with self._changed:
            self._sequence += 1
            self._pending += 1
            heapq.heappush(self._due, (time.monotonic() + delay, self._sequence, delivery))
            if self._workers < WORKERS:
                self._workers += 1
                threading.Thread(target=self._work, name="stripe-webhooks", daemon=True).start()
            self._changed.notify_all()

    def _next(self) -> Delivery:
        with self._changed:
            while True:
                pause = self._due[0][0] - time.monotonic() if self._due else None
                if pause is not None and pause <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(pause)

    def _work(self) -> None:
        with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False, verify=False) as client:  # noqa: S501 - loopback
            while True:
                delivery = self._next()
                again = self._attempt(client, delivery)
                if again is not None:
                    self._schedule(delivery, again)
                with self._changed:
                    self._pending -= 1
                    self._changed.notify_all()

    def _attempt(self, client: httpx.Client, delivery: Delivery) -> float | None:
        """Deliver once; the pause before the next try, or None when there is none."""
        endpoint = delivery.endpoint
        body = payload(delivery.event, endpoint.api_version)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": sign(body, endpoint.secret, int(time.time())),
        }
        delivery.attempts += 1
        try:
            answer = client.post(endpoint.url, content=body, headers=headers)
        except httpx.HTTPError as error:
            delivery.statuses.append(type(error).__name__)
        else:
            delivery.statuses.append(answer.status_code)
            if answer.is_success:
                return None
        pauses = RETRY_PAUSES_SECONDS
        return pauses[delivery.attempts - 1] if delivery.attempts <= len(pauses) else None


def payload(event: Object, version: str) -> bytes:
    """The body of a delivery: the event in the shape of the endpoint's API version, indented as Stripe sends it."""
    shown: dict[str, Any] = {**shapes.render(event, version), "api_version": version}
    return json.dumps(shown, indent=2).encode()
