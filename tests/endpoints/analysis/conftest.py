"""AI simulators, the data API and a database for the analysis functions, which run in this process."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import httpx
import pytest

from functions.core import http
from infra.local.upstream import seed
from infra.local.upstream.server import running
from tests import factories
from tests.backend import JWT_SECRET, api_event, backend
from tests.database.quota import SUM_OF_THE_CYCLE
from tests.databases import Database

Row = dict[str, Any]
Result = TypeVar("Result")
# The provider's slug and its simulator's name and host.
PROVIDERS = {
    "openai": ("openai", "api.openai.com"),
    "anthropic": ("anthropic", "api.anthropic.com"),
    "google": ("gemini", "generativelanguage.googleapis.com"),
    "local": ("llm", "llm.example"),
}
TITLE = "How I Make Sourdough Bread at Home"
DESCRIPTION = "Today I show you how I make sourdough bread at home with just flour, water and salt."


@pytest.fixture(scope="session")
def upstream() -> Iterator[str]:
    with running() as (base_url, _):
        yield base_url


@pytest.fixture(scope="module")
def environment(database: Database, upstream: str) -> Iterator[None]:
    """The settings of the functions, for as long as the module runs."""
    with backend(database) as served, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPABASE_URL", served.url)
        patch.setenv("SUPABASE_SECRET_KEY", served.secret_key)
        patch.setenv("SUPABASE_JWT_SECRET", JWT_SECRET)
        patch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
        patch.setenv("ANALYZE_QUEUE_URL", "http://queue.test/analyze")
        patch.setenv(
            "UPSTREAM_OVERRIDES",
            json.dumps({f"https://{host}": f"{upstream}/{host}" for _, host in PROVIDERS.values()}),
        )
        for name, value in seed.AI_KEYS.items():
            patch.setenv(name, value)
        yield
        http.forget_client()


@dataclass
class Studio:
    """Creators with items to analyse, and the providers' simulators."""

    database: Database
    upstream: str
    control: httpx.Client

    def creator(self, tier: str = "free", **user_settings: bool) -> UUID:
        user_id = self.database.create_user()
        self.subscribe(user_id, tier)
        with self.database.as_owner() as owner:
            for name in user_settings:
                assert name.startswith("is_auto_")
                owner.execute(f"update user_setting set {name} = true where user_id = %s".encode(), [user_id])
        return user_id

    def subscribe(self, user_id: UUID, tier: str) -> None:
        self.execute(
            """
            update subscription set tier_id = (select id from subscription_tier where slug = %s) where user_id = %s
            """,
            tier,
            user_id,
        )

    def account(self, user_id: UUID, platform: str = "youtube") -> UUID:
        with self.database.as_owner() as owner:
            return factories.account(owner, user_id, platform)

    def item(self, user_id: UUID, title: str | None = TITLE, *, account: UUID | None = None, **columns: Any) -> UUID:
        columns.setdefault("description", DESCRIPTION)
        with self.database.as_owner() as owner:
            account = account or factories.account(owner, user_id, columns.pop("platform", "youtube"))
            return factories.content(owner, account, title, **columns)  # type: ignore[arg-type]

    def analyse(self, user_id: UUID, item: UUID, *, key: str | None = None, **fields: Any) -> tuple[int, Row]:
        """POST /analyze as the user; status and body."""
        from functions.analyze.handler import handler

        answer = handler(api_event(user_id, "/analyze", {"content_item_id": str(item), **fields}, key), None)
        body = json.loads(answer["body"])
        return answer["statusCode"], body

    def order(self, provider: str, kind: str, times: int = 1, text: str = "") -> None:
        name = PROVIDERS[provider][0]
        answer = self.control.post(
            f"{self.upstream}/_sim/{name}/orders", json={"kind": kind, "times": times, "text": text}
        )
        assert answer.is_success, answer.text

    def fault(self, provider: str, **fields: Any) -> None:
        answer = self.control.post(f"{self.upstream}/_sim/faults", json={"host": PROVIDERS[provider][1], **fields})
        assert answer.is_success, answer.text

    def settle_down(self) -> None:
        """Forget faults, orders and the journal."""
        self.control.delete(f"{self.upstream}/_sim/faults")
        self.control.delete(f"{self.upstream}/_sim/requests")
        for name, _ in PROVIDERS.values():
            self.control.delete(f"{self.upstream}/_sim/{name}/orders")

    def requests(self, provider: str) -> list[Row]:
        return list(self.control.get(f"{self.upstream}/_sim/requests?host={PROVIDERS[provider][1]}").json())

    def used(self, user_id: UUID) -> int:
        """Analyses charged in this cycle, after checking that counter and ledger agree and nothing is pending."""
        with self.database.as_superuser() as connection:
            sums = connection.execute(SUM_OF_THE_CYCLE, [user_id]).fetchone()
            assert sums is not None
            assert sums["ai_analyses_used"] == sums["ai_analysis"]
            pending = connection.execute(
                """
                select count(*) as count from quota_usage_history where user_id = %s and operation = 'increment'
                and settled_at is null and released_at is null
                """,
                [user_id],
            ).fetchone()
        assert pending == {"count": 0}
        return int(sums["ai_analyses_used"])

    def rows(self, query: str, *values: Any) -> list[Row]:
        with self.database.as_superuser() as connection:
            return connection.execute(query.encode(), values).fetchall()

    def execute(self, query: str, *values: Any) -> None:
        with self.database.as_superuser() as connection:
            connection.execute(query.encode(), values)

    def suggestions(self, item: UUID) -> list[Row]:
        return self.rows("select * from ai_suggestion where content_item_id = %s order by version", item)

    def apply(self, user_id: UUID, suggestion: Any, *fields: str) -> Row:
        with self.database.as_user(user_id) as session:
            row = session.execute("select apply_suggestion(%s, %s) as answer", [suggestion, list(fields)]).fetchone()
        assert row is not None
        return dict(row["answer"])

    def revert(self, user_id: UUID, revision: Any) -> Row:
        with self.database.as_user(user_id) as session:
            row = session.execute("select revert_revision(%s) as answer", [revision]).fetchone()
        assert row is not None
        return dict(row["answer"])


def together(count: int, call: Callable[[int], Result]) -> list[Result]:
    """`call` from `count` threads that start at once; each has an event loop, as Mangum wants one."""
    gate = threading.Barrier(count)

    def run(number: int) -> Result:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            gate.wait()
            return call(number)
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.fixture(scope="session")
def control() -> Iterator[httpx.Client]:
    """One client for all tests: each new one loads certificates, which costs more than a whole analysis."""
    with httpx.Client(verify=False) as client:
        yield client


@pytest.fixture
def studio(database: Database, upstream: str, control: httpx.Client, environment: None) -> Iterator[Studio]:
    made = Studio(database, upstream, control)
    made.settle_down()
    yield made
    made.settle_down()
