"""The schema is the user's ER diagram, and the documents made from catalog and code are up to date."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from infra.docs import diagram
from infra.docs.__main__ import ROOT, pages
from tests.databases import Database

WANTED: dict[str, Any] = tomllib.loads((Path(__file__).parent / "er_diagram.toml").read_text(encoding="utf-8"))
RELATIONSHIPS = {(parent, child) for parent, child in WANTED.pop("relationships")}


@pytest.fixture(scope="module")
def drawn(database: Database) -> diagram.Diagram:
    return diagram.read(database.dsn())


def test_there_are_28_tables() -> None:
    assert len(WANTED) == 28


@pytest.mark.parametrize("table", WANTED)
def test_each_column_is_there_with_its_type(drawn: diagram.Diagram, table: str) -> None:
    there = {name: kind for kind, name, _ in drawn.tables[table]}
    wanted = {name: kind for name, kind, *_ in (column.split() for column in WANTED[table])}
    assert {name: there.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("table", WANTED)
def test_primary_keys_are_the_diagrams(drawn: diagram.Diagram, table: str) -> None:
    there = {name for _, name, keys in drawn.tables[table] if "PK" in keys}
    assert there == {column.split()[0] for column in WANTED[table] if "PK" in column.split()}


@pytest.mark.parametrize("key", ["FK", "UK"])
@pytest.mark.parametrize("table", WANTED)
def test_keys_that_the_diagram_marks_exist(drawn: diagram.Diagram, table: str, key: str) -> None:
    there = {name for _, name, keys in drawn.tables[table] if key in keys}
    # users.id is marked as coming from auth.users in words only.
    assert there >= {column.split()[0] for column in WANTED[table] if key in column.split()} - {"id"}


def test_every_relationship_is_a_foreign_key(drawn: diagram.Diagram) -> None:
    assert {(parent, child) for parent, child, _, _ in drawn.relations} >= RELATIONSHIPS


def test_the_generated_documents_say_what_is_there(database: Database) -> None:
    for path, text in pages(database.dsn()).items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path} is out of date: run `make docs`."
