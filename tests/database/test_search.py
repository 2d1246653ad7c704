"""search_content: what it finds, for whom, in which order, and that it gives away nothing that RLS would hide."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests import factories
from tests.databases import Connection, Database


class World:
    """Two creators; the one with a public profile owns what the tests look for."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.creator = database.create_user()
        self.stranger = database.create_user()
        with database.as_owner() as owner:
            self.channel = factories.account(owner, self.creator)
            self.reels = factories.account(owner, self.creator, "instagram")
            self.other_channel = factories.account(owner, self.stranger)
            factories.make_public(owner, self.creator)
            item = self._item
            self.items = {
                "title": item(owner, "Sourdough for beginners", published_at="2026-03-01Z"),
                "tags": item(owner, "My weekend", tags=["sourdough", "baking"], published_at="2026-02-01Z"),
                "description": item(
                    owner, "Long day", description="We talk about sourdough.", published_at="2026-05-01Z"
                ),
                "accents": item(owner, "Crème brûlée at home"),
                "japanese": item(owner, "東京 ラーメン"),
                "private": item(owner, "Secret sourdough", visibility="private"),
                "unlisted": item(owner, "Unlisted sourdough", visibility="unlisted"),
                "deleted": item(owner, "Deleted sourdough", deleted_at="2026-04-01Z"),
                "hostile": item(owner, "<img src=x onerror=alert(1)> pwned & done"),
                "reel": factories.content(owner, self.reels, "Quick focaccia", content_type="reel"),
                "strangers": factories.content(owner, self.other_channel, "Stranger's sourdough"),
            }
        self.names = {identity: name for name, identity in self.items.items()}

    def _item(self, owner: Connection, title: str, **columns: Any) -> UUID:
        return factories.content(owner, self.channel, title, **columns)

    def search(self, query: str, user: UUID | None = None, **filters: Any) -> list[dict[str, Any]]:
        who = self.database.as_anon() if user is None else self.database.as_user(user)
        arguments = {"query": query, **filters}
        named = ", ".join(f"{name} => %({name})s" for name in arguments)
        with who as request:
            return request.execute(f"select * from search_content({named})", arguments).fetchall()

    def found(self, query: str, user: UUID | None = None, **filters: Any) -> list[str]:
        return [self.names[row["id"]] for row in self.search(query, user, **filters)]


@pytest.fixture(scope="module")
def world(database: Database) -> World:
    return World(database)


def test_title_ranks_over_tags_over_description(world: World) -> None:
    assert world.found("sourdough", scope="public") == ["title", "tags", "description"]


def test_own_scope_finds_everything_of_the_caller_and_nothing_else(world: World) -> None:
    everything = {"title", "tags", "description", "private", "unlisted", "deleted"}
    assert set(world.found("sourdough", world.creator)) == everything
    assert set(world.found("sourdough", world.stranger)) == {"strangers"}


def test_public_scope_is_the_same_for_visitors_strangers_and_the_owner(world: World) -> None:
    visitors = world.found("sourdough", scope="public")
    assert world.found("sourdough", world.stranger, scope="public") == visitors
    assert world.found("sourdough", world.creator, scope="public") == visitors


@pytest.mark.parametrize("scope", ["own", "public"])
def test_it_finds_exactly_what_row_level_security_shows(world: World, scope: str) -> None:
    with world.database.as_user(world.creator) as request:
        shown = request.execute(
            """
            select id from content_item
            where search_vector @@ websearch_to_tsquery('simple', 'sourdough')
              and case %s when 'own' then social_account_id = any (%s) else is_public end
            """,
            [scope, [world.channel, world.reels]],
        ).fetchall()
    assert {row["id"] for row in shown} == {
        world.items[name] for name in world.found("sourdough", world.creator, scope=scope)
    }
    assert shown


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("creme brulee", ["accents"]),
        ("CRÈME", ["accents"]),
        ("東京", ["japanese"]),
        ('"sourdough for"', ["title"]),
        ("sourdough -beginners -talk", ["tags"]),
        ("focaccia or brûlée", ["accents", "reel"]),
        ("sourd", ["title", "tags", "description"]),
        ("sourdough begin", ["title"]),
        ("sourdouhg", ["title"]),
        ("begginers", ["title"]),
        ("zzzzzz", []),
        ("", []),
        ("   ", []),
        ("!!! ''' :* & |", []),
        ("'; drop table content_item; --", []),
    ],
)
def test_words_accents_phrases_beginnings_and_slips(world: World, query: str, expected: list[str]) -> None:
    found = world.found(query, scope="public")
    assert found == expected if len(expected) != 2 else set(found) == set(expected)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"platform": "instagram"}, []),
        ({"platform": "youtube"}, ["title", "tags", "description"]),
        ({"platform": "nowhere"}, []),
        ({"content_type": "reel"}, []),
        ({"content_type": "long_video"}, ["title", "tags", "description"]),
        ({"published_from": "2026-03-01Z"}, ["title", "description"]),
        ({"published_to": "2026-03-01Z"}, ["tags"]),
        ({"published_from": "2026-02-15Z", "published_to": "2026-04-01Z"}, ["title"]),
        ({"tags": ["baking"]}, ["tags"]),
        ({"tags": ["baking", "sourdough"]}, ["tags"]),
        ({"tags": ["baking", "none"]}, []),
        ({"tags": []}, ["title", "tags", "description"]),
    ],
)
def test_filters(world: World, filters: dict[str, Any], expected: list[str]) -> None:
    assert world.found("sourdough", scope="public", **filters) == expected


def test_pages_join_without_gap_or_overlap(world: World) -> None:
    whole = world.found("sourdough", world.creator)
    pages = [world.found("sourdough", world.creator, max_results=2, skip=skip) for skip in range(0, 10, 2)]
    assert [name for page in pages for name in page] == whole
    assert pages[-1] == []  # behind the end there is nothing, and no other kind of match takes its place


def test_highlights_are_html_with_no_tags_but_ours(world: World) -> None:
    (hit,) = world.search("pwned", scope="public")
    assert hit["highlight"] == "&lt;img src=x onerror=alert(1)&gt; <mark>pwned</mark> &amp; done"
    (talk,) = world.search("talk", scope="public")
    assert "<mark>talk</mark>" in talk["snippet"]


@pytest.mark.parametrize(
    ("arguments", "state"),
    [
        ({"query": None}, "PT422"),
        ({"query": "x" * 1_000_001}, "PT422"),
        ({"query": "x", "scope": "everything"}, "PT422"),
        ({"query": "x", "scope": None}, "PT422"),
        ({"query": "x", "max_results": 0}, "PT422"),
        ({"query": "x", "max_results": 2**31 - 1}, "PT422"),
        ({"query": "x", "max_results": None}, "PT422"),
        ({"query": "x", "skip": -1}, "PT422"),
        ({"query": "x", "platform": "x" * 1_000_000}, "PT422"),
        ({"query": "x", "content_type": "x" * 1_000_000}, "PT422"),
        ({"query": "x", "tags": ["x" * 1_000_000]}, "PT422"),
        ({"query": "x", "skip": 2**31 - 1}, "PT422"),
    ],
)
def test_hostile_arguments_are_refused(world: World, arguments: dict[str, Any], state: str) -> None:
    with pytest.raises(psycopg.Error) as refusal:
        world.search(**{"scope": "public", **arguments})
    assert refusal.value.sqlstate == state


def test_visitors_have_no_content_of_their_own(world: World) -> None:
    with pytest.raises(psycopg.Error) as refusal:
        world.search("sourdough")
    assert refusal.value.sqlstate == "PT401"
