"""Rare schemas: hidden tables behind views, wide keys, odd names and types, media types of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import Database, DatabaseFactory
from tests.local.data_api.conftest import Ask, serving, settings_for

EXOTIC = Path(__file__).with_name("exotic.sql")


@pytest.fixture(scope="module")
def rare(databases: DatabaseFactory) -> Iterator[Database]:
    database = databases.empty()
    with database.as_superuser() as connection:
        connection.execute(EXOTIC.read_bytes())
    yield database
    databases.drop(database)


@pytest.fixture(scope="module")
def ask(rare: Database) -> Iterator[Ask]:
    with serving(settings_for(rare, DB_SCHEMAS='we!rd "é', DB_EXTRA_SEARCH_PATH="side")) as send:
        yield send


@pytest.mark.parametrize(
    ("target", "rows"),
    [
        ("roles?select=part,films(title)&film=eq.2", [{"part": "cameo", "films": {"title": "Two"}}]),
        ("roles?select=actors(name)&part=eq.side", [{"actors": {"name": "Bo"}}]),
        ("actors?select=name,roles(part)&name=eq.Bo", [{"name": "Bo", "roles": [{"part": "side"}]}]),
        ("films?select=title,actors!roles(name)&title=eq.Two", [{"title": "Two", "actors": [{"name": "Ada"}]}]),
        ("actors?select=films!roles(title)&name=eq.Bo", [{"films": [{"title": "One"}]}]),
        ("films?select=awards(name)&order=film-id", [{"awards": {"name": "Gold"}}, {"awards": None}]),
        ("awards?select=films(title)", [{"films": {"title": "One"}}]),
        ("outer_films?select=loud,awards(name)&id=eq.1", [{"loud": "ONE", "awards": {"name": "Gold"}}]),
        ("part_count?select=n,films(title)&film=eq.2", [{"n": 1, "films": {"title": "Two"}}]),
        ("films?select=roles(part)&film-id=eq.1", [{"roles": [{"part": "lead"}]}]),  # the function, not the key
        ("films?select=is_long&film-id=eq.1", [{"is_long": False}]),
        ('únï?select=näme,"with \\"quote\\""&näme=eq.ä', [{"näme": "ä", 'with "quote"': "q"}]),
        ("many_types?select=j->a->1->b,k:j->a->>0", [{"b": 2, "k": "1"}]),
        (
            "many_types?select=b,bits,c,v",
            [{"b": "\\x6869", "bits": "101", "c": "ab ", "v": "abcd"}],
        ),
        ("many_types?select=id&ts=gt.2020-01-01T00:00:00%2B00:00&i=lt.2 days", [{"id": 1}]),
        ("shapes?select=corner->x,corners->0->y", [{"x": 1, "y": 4}]),
        ("shapes?select=id&corner->>y=eq.2", [{"id": 1}]),
        ("clothes?select=size,label&found=fts.warm", [{"size": "l", "label": "red"}]),
    ],
)
def test_reading(ask: Ask, target: str, rows: list[dict[str, object]]) -> None:
    answer = ask(f"GET /{target}")
    assert (answer.status_code, answer.json()) == (200, rows)


def test_a_key_shown_twice_is_two_relationships(ask: Ask) -> None:
    answer = ask("GET /twice?select=films(title)")
    assert answer.status_code == 300
    assert [found["relationship"] for found in answer.json()["details"]] == [
        "roles_film_fkey using twice(one) and films(film-id)",
        "roles_film_fkey using twice(other) and films(film-id)",
    ]
    assert ask("GET /twice?select=films!other(title)&limit=1").status_code == 200


def test_a_key_shown_in_part_is_none(ask: Ask) -> None:
    assert ask("GET /only_half?select=actors(name)").json()["code"] == "PGRST200"
    assert ask("OPTIONS /only_half").headers["Allow"] == "OPTIONS,GET,HEAD,POST,PATCH,DELETE"


@pytest.mark.parametrize(
    ("target", "accept", "content_type", "text"),
    [
        ("films?order=film-id", "application/vnd.shout", "application/vnd.shout", "ONETWO"),
        ("films?select=*&order=film-id.desc", "application/vnd.shout", "application/vnd.shout", "TWOONE"),
        ("rpc/films_like?word=t%25", "application/vnd.shout", "application/vnd.shout", "TWO"),
        ("rpc/typed", "application/vnd.shout", "application/vnd.shout", "HEY"),
        ("rpc/typed", "application/json", "application/json; charset=utf-8", '"HEY"'),
        ("rpc/quiet", "application/vnd.quiet", "application/vnd.Quiet", "hush"),
        ("awards", "unknown/type", "application/octet-stream", "Gold"),
        ("awards", "*/*", "application/octet-stream", "Gold"),
        ("awards?select=name", "*/*", "application/json; charset=utf-8", '[{"name":"Gold"}]'),
    ],
)
def test_media_types_of_its_own(ask: Ask, target: str, accept: str, content_type: str, text: str) -> None:
    answer = ask(f"GET /{target}", Accept=accept)
    assert (answer.status_code, answer.headers["Content-Type"], answer.text) == (200, content_type, text)


def test_media_types_of_its_own_need_the_whole_row(ask: Ask) -> None:
    assert ask("GET /films?select=title", Accept="application/vnd.shout").status_code == 406
    assert ask("GET /actors", Accept="application/vnd.shout").status_code == 406


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("echo_char?c=abc&b=101&v=xyz", "abc/101/xyz"),
        ("defaults", "1x"),
        ("defaults?a=5&b=x&c=1&c=2", "5x1,2"),
        ("pairs", [{"x": 1, "y": 2}, {"x": 3, "y": 4}]),
        ("pairs?x=eq.3&select=y", [{"y": 4}]),
        ("one_pair", {"x": 5, "y": 6}),
        ("rows_of?order=a.desc&limit=1", [{"a": 2, "b": "y"}]),
        ("both_ways?a=1", {"a": 2, "b": 3}),
        ("null_int", None),
        ("json_text", {"a": 1}),
        ("level", "repeatable read"),
        ("films_like?word=o%25&select=title,awards(name)", [{"title": "One", "awards": {"name": "Gold"}}]),
    ],
)
def test_calling(ask: Ask, target: str, value: object) -> None:
    answer = ask(f"GET /rpc/{target}")
    assert (answer.status_code, answer.json()) == (200, value)


def test_whole_bodies(ask: Ask) -> None:
    assert ask("POST /rpc/raw_json", json={"a": 1}).json() == "json"
    assert ask("POST /rpc/raw_or_named", json={"b": 1}).json() == "whole"
    assert ask("POST /rpc/raw_or_named", json={"a": 1}).json() == "named"
    both = ask("POST /rpc/raw_both", json={"a": 1})
    assert both.status_code == 300
    assert both.json()["message"].endswith('between: we!rd "é.raw_both( => json), we!rd "é.raw_both( => jsonb)')
    assert ask("POST /rpc/do_nothing").status_code == 404


def test_the_root_describes_domains_by_what_they_rest_on(ask: Ask) -> None:
    document = ask("GET /").json()
    clothes = document["definitions"]["clothes"]["properties"]
    assert clothes["size"] == {"type": "string", "format": '"we!rd ""é".own_size', "enum": ["s", "l"]}
    assert clothes["label"] == {"type": "string", "format": "text", "default": "none"}
    assert clothes["found"] == {"type": "string", "format": "tsvector"}
    shapes = document["definitions"]["shapes"]["properties"]
    assert shapes["corners"]["items"] == {"type": "string"}


def test_the_timezone_shows(ask: Ask) -> None:
    for zone, shown in [("Asia/Tokyo", "2020-01-02T12:04:05+09:00"), ("UTC", "2020-01-02T03:04:05+00:00")]:
        assert ask("GET /many_types?select=ts", Prefer=f"timezone={zone}").json() == [{"ts": shown}]
        assert ask("GET /rpc/fulltime", Prefer=f"timezone={zone}").json() == shown
