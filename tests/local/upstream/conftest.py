"""The simulators in a thread of the test process, spoken to over real HTTP; reset after each test."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from infra.local.upstream.server import running
from tests.local.upstream.visitor import Visitor


@pytest.fixture(scope="session")
def upstream_url() -> Iterator[str]:
    with running() as (base_url, _):
        yield base_url


@pytest.fixture
def client(upstream_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=upstream_url, timeout=60) as client:
        yield client
        client.post("/_sim/reset")


@pytest.fixture
def visitor(client: httpx.Client) -> Visitor:
    return Visitor(client)
