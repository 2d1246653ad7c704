"""Query strings that nobody would write: none of them may break the server or reach Postgres as bad SQL.

What the grammar lets through may still be wrong for the schema (a column or an operator that does not exist), and
Postgres says so. It must never complain of syntax, for then a request has shaped the statement.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.local.data_api.app import DataApi
from infra.local.data_api.config import from_settings
from infra.local.data_api.request import RawRequest
from infra.local.data_api.response import Response
from tests.databases import Database
from tests.local.data_api.conftest import settings_for

SOAK = os.environ.get("STREAMVIBE_PROFILE") == "soak"
EXAMPLES = 2_500 if SOAK else 50
REQUESTS = 50  # in each example

# Syntax errors, and the complaints that mean the same of a name, a parameter or a clause.
SYNTAX = {"42601", "42602", "42622", "42P02", "42P18", "42939", "42000", "42P10"}
# Which columns are unique is the schema's business; PostgREST lets Postgres say it.
NOT_UNIQUE = "there is no unique or exclusion constraint matching the ON CONFLICT specification"

TABLES = (
    "albums",
    "artists",
    "tracks",
    "tags",
    "labels",
    "staff",
    "notes",
    "ledger",
    "album_list",
    "cheap",
    "Odd Name",
)
FUNCTIONS = ("add_them", "pair", "listing", "albums_by", "numbers", "joined", "total_of", "greet", "over_loaded")
COLUMNS = (
    "id",
    "title",
    "stock",
    "details",
    "genres",
    "on_sale",
    "search",
    "mood",
    "name",
    "words",
    "a",
    "n",
    "artist",
)

METHODS = ("GET", "GET", "GET", "GET", "HEAD", "POST", "PATCH", "DELETE", "PUT")
OPERATORS = (
    *("eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch", "in", "is", "isdistinct", "x"),
    *("cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj", "fts", "plfts", "phfts", "wfts"),
)
VALUES = ("1", "x", "null", "{1,2}", "(1,2)", "[1,2)", "true", "", "*", '"q"', "a.b", "2020-01-01")
CASTS = ("", "", "", "::text", "::int", "::numeric(3)", "::double precision", "::select", "::int4range", "::a b")
LETTERS = "aZ09_ $-.,:;()[]{}<>!*&|'\"\\%/@?=+~#é\0\t\n"
HEADERS = {
    "prefer": (
        *("count=exact", "count=planned", "return=representation", "return=headers-only", "x"),
        "resolution=merge-duplicates,return=representation",
        "missing=default,return=representation",
        "handling=strict,max-affected=1",
    ),
    "accept": (
        *("*/*", "text/csv", "text/plain", ";;", "application/vnd.pgrst.object+json"),
        "application/vnd.pgrst.array+json;nulls=stripped",
    ),
    "range": ("0-1", "5-2", "3-", "x"),
    "content-type": ("application/json", "text/csv", "application/x-www-form-urlencoded", "text/plain", ""),
}


class Writer:
    """Writes requests that are nearly right, from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def one(self, *choices: str) -> str:
        return self._random.choice(choices)

    def perhaps(self, likelihood: float) -> bool:
        return self._random.random() < likelihood

    def several(self, write: Callable[[], str], most: int) -> list[str]:
        return [write() for _ in range(self._random.randint(0, most))]

    def odd(self) -> str:
        return "".join(self._random.choices(LETTERS, k=self._random.randint(0, 10)))

    def name(self) -> str:
        if self.perhaps(0.75):
            return self.one(*COLUMNS, *TABLES)
        return self.odd() if self.perhaps(0.5) else f'"{self.odd()}"'

    def field(self) -> str:
        steps = [self.one("->", "->>") + (self.odd() if self.perhaps(0.3) else self.one("a", "0", "-1", "press", "1x"))]
        return self.name() + ("".join(steps) if self.perhaps(0.2) else "")

    def condition(self) -> str:
        modifier = self.one("", "", "", "", "(any)", "(all)", "(english)", "(simple)", "()", "(any")
        value = self.odd() if self.perhaps(0.3) else self.one(*VALUES)
        return f"{self.one('', '', 'not.', 'not.not.')}{self.one(*OPERATORS)}{modifier}.{value}"

    def logic(self, depth: int = 0) -> str:
        if depth > 2 or self.perhaps(0.6):
            return f"{self.field()}.{self.condition()}"
        inner = self.several(lambda: self.logic(depth + 1), 3)
        return f"{self.one('', '', 'not.')}{self.one('and', 'or', 'xor')}({','.join(inner)})"

    def item(self, depth: int = 0) -> str:
        alias = f"{self.name()}:" if self.perhaps(0.2) else ""
        if depth > 2 or self.perhaps(0.6):
            if self.perhaps(0.3):
                return self.one("*", "count()")
            aggregate = self.one("", "", "", "", ".sum()", ".count()", ".max()::text", ".avg")
            return alias + self.field() + self.one(*CASTS) + aggregate
        join = f"!{self.odd()}" if self.perhaps(0.1) else self.one("", "", "!inner", "!artist_id", "!artist_id!inner")
        inner = self.several(lambda: self.item(depth + 1), 3)
        relation = self.one(*TABLES, "next_album", "album_by_computed", "boss_id")
        return f"{self.one('', '', '...')}{alias}{relation}{join}({','.join(inner)})"

    def order(self) -> str:
        term = f"{self.one(*TABLES)}({self.field()})" if self.perhaps(0.2) else self.field()
        return term + self.one("", ".asc", ".desc", ".down") + self.one("", ".nullsfirst", ".nullslast", ".nulls")

    def parameter(self) -> tuple[str, str]:
        match self.one("filter", "filter", "embedded", "select", "order", "logic", "range", "columns", "odd"):
            case "filter":
                return self.field(), self.condition()
            case "embedded":
                return f"{self.one(*TABLES)}.{self.field()}", self.condition()
            case "select":
                return "select", ",".join(self.several(self.item, 4))
            case "order":
                return self.one("order", "artists.order", "tracks.order"), ",".join(self.several(self.order, 3))
            case "logic":
                return self.one("and", "or", "not.and", "tracks.or"), f"({','.join(self.several(self.logic, 3))})"
            case "range":
                value = self.one("0", "1", "5", "-1", "99999999999999999999", "x", "")
                return self.one("limit", "offset", "tracks.limit", "tracks.offset"), value
            case "columns":
                return self.one("columns", "on_conflict"), ",".join(self.several(self.name, 3))
        return self.odd(), self.odd()

    def body(self) -> bytes:
        row = {self.one(*COLUMNS): self.one(*VALUES) for _ in range(self._random.randint(0, 3))}
        value = [row, row] if self.perhaps(0.3) else row
        return self.odd().encode() if self.perhaps(0.2) else json.dumps(value).encode()

    def request(self) -> RawRequest:
        path = f"/rpc/{self.one(*FUNCTIONS)}" if self.perhaps(0.25) else f"/{self.one(*TABLES)}"
        pairs = [self.parameter() for _ in range(self._random.randint(0, 5))]
        query = "&".join(f"{quote(key)}={quote(value)}" for key, value in pairs)
        headers = {header: self.one(*values) for header, values in HEADERS.items() if self.perhaps(0.25)}
        return RawRequest(self.one(*METHODS), quote(path), query, headers, self.body())


@pytest.fixture(scope="module")
def answer(shop: Database) -> Iterator[Callable[[RawRequest], Response]]:
    """Answers a request in this thread, without HTTP between."""
    given_settings = settings_for(shop, DB_AGGREGATES_ENABLED="true", DB_MAX_ROWS="20")
    api = DataApi(from_settings(given_settings), given_settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(api.start())
        yield lambda raw: runner.run(api.answer(raw))
        runner.run(api.stop())


def check(raw: RawRequest, response: Response) -> None:
    shown = f"{raw}: {response.status} {response.body[:300]!r}"
    if response.status < 400 or (raw.method == "HEAD" and response.status == 416):
        return
    problem = json.loads(response.body)
    code = problem["code"]
    assert code not in SYNTAX or problem["message"] == NOT_UNIQUE, shown
    # PostgREST answers 500 where a view cannot be written to.
    assert response.status < 500 or code == "55000", shown


@settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=not SOAK
)
@given(seed=st.integers(0, 2**63))
def test_no_query_string_breaks_anything(answer: Callable[[RawRequest], Response], seed: int) -> None:
    writer = Writer(seed)
    for _ in range(REQUESTS):
        raw = writer.request()
        check(raw, answer(raw))


def test_deep_nesting_breaks_nothing(answer: Callable[[RawRequest], Response]) -> None:
    for query in [
        "or=" + "(and" * 3000 + "(id.eq.1)" + ")" * 3000,
        "select=" + "artists(" * 3000 + "id" + ")" * 3000,
        "select=details" + "->a" * 3000,
    ]:
        raw = RawRequest("GET", "/albums", query, {})
        assert answer(raw).status in (200, 400)
