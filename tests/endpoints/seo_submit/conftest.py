"""The search engines' simulators, the data API and a database for search submission, which runs in this process."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from functions.connectors import guard
from functions.connectors.search import google, indexnow, yandex
from functions.core import http
from infra.local.upstream.origins import origins
from infra.local.upstream.server import running
from tests import factories
from tests.backend import JWT_SECRET, api_event, backend
from tests.database.quota import SUM_OF_THE_CYCLE
from tests.databases import Database

Row = dict[str, Any]
SITE = "https://creator.example/"
HOSTS = {
    "google": "indexing.googleapis.com",
    "bing": "ssl.bing.com",
    "yandex": "api.webmaster.yandex.net",
    "indexnow": "api.indexnow.org",
}
CREDENTIALS: dict[str, Row] = {
    "google": {"access_token": "ya29.of-the-tests"},
    "bing": {"api_key": "bing-key-of-the-tests"},
    "yandex": {"access_token": "yandex-token-of-the-tests"},
    "indexnow": {"key": "0123456789abcdef0123456789abcdef"},
}


@pytest.fixture(scope="session")
def upstream() -> Iterator[str]:
    with running() as (base_url, _):
        yield base_url


def _no_such_name(host: str, port: int) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.fixture(scope="module")
def environment(database: Database, upstream: str) -> Iterator[None]:
    """The settings of the functions, for as long as the module runs."""
    with backend(database) as served, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPABASE_URL", served.url)
        patch.setenv("SUPABASE_SECRET_KEY", served.secret_key)
        patch.setenv("SUPABASE_JWT_SECRET", JWT_SECRET)
        patch.setenv("SEO_QUEUE_URL", "http://queue.test/seo")
        patch.setenv("UPSTREAM_OVERRIDES", json.dumps(origins(upstream)))
        patch.setattr(guard, "system_resolver", _no_such_name)  # no test asks a real name server
        yield
        http.forget_client()


@dataclass(frozen=True)
class Creator:
    """A signed-up user with one item to submit pages for."""

    id: UUID
    item: UUID


@dataclass
class Newsroom:
    """Creators, their sites, the engines, and the three handlers."""

    database: Database
    upstream: str

    def creator(self, *engines: str, tier: str = "free", site: str = SITE) -> Creator:
        user_id = self.database.create_user()
        with self.database.as_owner() as owner:
            tier_id = factories.lookup(owner, "subscription_tier", tier)
            owner.execute("update subscription set tier_id = %s where user_id = %s", [tier_id, user_id])
            item = factories.content(owner, factories.account(owner, user_id))
        for engine in engines:
            self.connect(user_id, engine, site)
        return Creator(user_id, item)

    def connect(self, user_id: UUID, engine: str, site: str = SITE, **changes: Any) -> Row:
        """connect_search_engine as the user; its answer."""
        credentials = {**CREDENTIALS[engine], **changes}
        with self.database.as_user(user_id) as session:
            row = session.execute(
                "select connect_search_engine(%s, %s, %s::jsonb) as made", [engine, site, json.dumps(credentials)]
            ).fetchone()
        assert row is not None
        return dict(row["made"])

    def post(
        self, creator: Creator, url: str, *engines: str, key: str | None = None, **changes: Any
    ) -> tuple[int, Row]:
        """POST /seo/submit as the creator: status and body."""
        body: Row = {"content_item_id": str(creator.item), "url": url, **changes}
        if engines:
            body["search_engines"] = list(engines)
        from functions.seo_submit import handler

        answer = handler.api(api_event(creator.id, "/seo/submit", body, key), None)
        return answer["statusCode"], json.loads(answer["body"])

    def submit(self, creator: Creator, url: str, *engines: str, key: str | None = None) -> list[Row]:
        """A request that is taken; its submissions."""
        status, body = self.post(creator, url, *engines, key=key)
        assert status == 202, body
        return list(body["submissions"])

    def poll(self, seconds: float = 300) -> Row:
        """One round of the schedule."""
        from functions.seo_submit import handler

        context = _Context(time.monotonic() + seconds)
        return dict(handler.poll({"source": "aws.events"}, context))

    def work(self, *messages: Row) -> Row:
        """A batch of the seo queue."""
        from functions.seo_submit import handler

        records = [{"messageId": f"m{n}", "body": json.dumps(body)} for n, body in enumerate(messages)]
        return handler.work({"Records": records}, None)

    def rows(self, query: str, *values: Any) -> list[Row]:
        with self.database.as_superuser() as connection:
            return connection.execute(query.encode(), values).fetchall()

    def row(self, query: str, *values: Any) -> Row:
        (only,) = self.rows(query, *values)
        return only

    def execute(self, query: str, *values: Any) -> None:
        with self.database.as_superuser() as connection:
            connection.execute(query.encode(), values)

    def submission(self, submission_id: str) -> Row:
        return self.row("select * from seo_submission where id = %s", submission_id)

    def make_due(self, creator: Creator | None = None) -> None:
        """As if the time had come for everything that is waiting (of one creator) and not at work this moment."""
        self.execute(
            """
            update seo_submission set next_retry_at = now() where id in (
                select id from seo_submission where next_retry_at is not null and (%s::uuid is null or user_id = %s)
                for update skip locked
            )
            """,
            *[creator and creator.id] * 2,
        )

    def used(self, creator: Creator) -> int:
        """Submissions charged in this cycle, after checking that counter and ledger agree."""
        sums = self.row(SUM_OF_THE_CYCLE, creator.id)
        assert sums["seo_submissions_used"] == sums["seo_submission"]
        return int(sums["seo_submissions_used"])

    def unsettled(self, creator: Creator) -> int:
        return int(
            self.row(
                "select count(*) as count from quota_usage_history where user_id = %s and operation = 'increment' "
                "and settled_at is null and released_at is null",
                creator.id,
            )["count"]
        )

    def notifications(self, creator: Creator) -> list[Row]:
        return self.rows("select * from notification where user_id = %s order by created_at", creator.id)

    def control(self, control: str, /, **fields: Any) -> Any:
        answer = httpx.post(f"{self.upstream}/_sim{control}", json=fields)
        assert answer.is_success, answer.text
        return answer.json()

    def fault(self, engine: str, **fields: Any) -> None:
        self.control("/faults", host=HOSTS.get(engine, engine), **fields)

    def clear_faults(self) -> None:
        httpx.delete(f"{self.upstream}/_sim/faults")

    def advance(self, seconds: float) -> None:
        self.control("/clock", advance_seconds=seconds)

    def requests(self, engine: str, method: str | None = None) -> list[Row]:
        found = httpx.get(f"{self.upstream}/_sim/requests?host={HOSTS.get(engine, engine)}").json()
        return [request for request in found if method in (None, request["method"])]

    def settle_down(self) -> None:
        """Everything outside as at the start, no engine down, nothing due, nothing remembered by this process."""
        assert httpx.post(f"{self.upstream}/_sim/reset").is_success
        self.execute("delete from private.engine_health where true")
        self.execute("delete from private.engine_budget where true")
        self.execute("update seo_submission set next_retry_at = null where next_retry_at is not null")
        self.execute("update seo_connection set next_verification_at = null where next_verification_at is not null")
        self.execute(
            "update user_setting set is_auto_seo_submission_enabled = false where is_auto_seo_submission_enabled"
        )
        google._tokens.clear()
        yandex._user_ids.clear()
        indexnow._seen_key_files.clear()


@dataclass(frozen=True)
class _Context:
    ends_at: float

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.ends_at - time.monotonic()) * 1000))


@pytest.fixture
def newsroom(database: Database, upstream: str, environment: None) -> Newsroom:
    made = Newsroom(database, upstream)
    made.settle_down()
    return made
