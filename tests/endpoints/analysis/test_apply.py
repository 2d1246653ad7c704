"""Applying a suggestion and taking it back: once, by its owner, and never over somebody's newer words."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.endpoints.analysis.conftest import DESCRIPTION, TITLE, Studio, together

Row = dict[str, Any]


def item_row(studio: Studio, item: UUID) -> Row:
    (row,) = studio.rows("select * from content_item where id = %s", item)
    return row


def revisions(studio: Studio, item: UUID) -> list[Row]:
    return studio.rows(
        "select * from content_revision where content_item_id = %s order by created_at, field_name", item
    )


@pytest.fixture
def analysed(studio: Studio) -> tuple[UUID, UUID, Row]:
    creator = studio.creator()
    item = studio.item(creator, tags=["old"])
    status, suggestion = studio.analyse(creator, item)
    assert status == 201
    return creator, item, suggestion


def refused(studio: Studio, creator: UUID, suggestion: Any, *fields: str) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as error:
        studio.apply(creator, suggestion, *fields)
    return error.value


def test_apply_writes_item_revision_and_application(studio: Studio, analysed: tuple[UUID, UUID, Row]) -> None:
    creator, item, suggestion = analysed
    answer = studio.apply(creator, suggestion["id"], "title", "tags")
    row = item_row(studio, item)
    assert row["title"] == suggestion["suggested_titles"][0] == answer["applied"]["title"]
    assert row["tags"] == suggestion["suggested_tags"]
    assert row["description"] == DESCRIPTION
    written = revisions(studio, item)
    assert [(one["field_name"], one["change_source"]) for one in written] == [
        ("tags", "ai_suggestion"),
        ("title", "ai_suggestion"),
    ]
    assert written[1]["old_value"] == TITLE
    assert {str(one["id"]) for one in written} == set(answer["revision_ids"])
    applications = studio.rows(
        "select * from ai_suggestion_application where suggestion_id = %s order by applied_field", suggestion["id"]
    )
    assert [(one["applied_field"], one["applied_by_user_id"]) for one in applications] == [
        ("tags", creator),
        ("title", creator),
    ]
    assert json.loads(applications[0]["applied_value"]) == suggestion["suggested_tags"]
    (stored,) = studio.suggestions(item)
    assert stored["is_applied"]
    assert stored["applied_at"] is not None


def test_applying_again_changes_nothing(studio: Studio, analysed: tuple[UUID, UUID, Row]) -> None:
    creator, item, suggestion = analysed
    first = studio.apply(creator, suggestion["id"], "title")
    again = studio.apply(creator, suggestion["id"], "title")
    assert again["changed"] == []
    assert again["revision_ids"] == first["revision_ids"]
    assert len(revisions(studio, item)) == 1
    # Another field of the same suggestion is no conflict with the first.
    assert studio.apply(creator, suggestion["id"], "description", "title")["changed"] == ["description"]
    assert len(revisions(studio, item)) == 2


def test_parallel_calls_apply_once(studio: Studio, analysed: tuple[UUID, UUID, Row]) -> None:
    creator, item, suggestion = analysed
    answers = together(6, lambda _: studio.apply(creator, suggestion["id"], "title", "tags"))
    assert sorted(answer["changed"] for answer in answers) == [[]] * 5 + [["tags", "title"]]
    assert len(revisions(studio, item)) == 2
    assert len(studio.rows("select id from ai_suggestion_application where suggestion_id = %s", suggestion["id"])) == 2


def test_an_item_that_has_changed_is_not_overwritten(studio: Studio, analysed: tuple[UUID, UUID, Row]) -> None:
    creator, item, suggestion = analysed
    with studio.database.as_user(creator) as own:
        own.execute("update content_item set title = 'My own new title' where id = %s", [item])
    error = refused(studio, creator, suggestion["id"], "description")
    assert (error.sqlstate, error.diag.message_hint) == ("PT409", "item_changed")
    assert json.loads(str(error.diag.message_detail)) == {"title": {"analysed": TITLE, "current": "My own new title"}}
    assert item_row(studio, item)["title"] == "My own new title"
    assert [one["change_source"] for one in revisions(studio, item)] == ["manual"]
    # Put back, it can be applied; numbers that sync brings are no change of the text.
    with studio.database.as_user(creator) as own:
        own.execute("update content_item set title = %s where id = %s", [TITLE, item])
    studio.execute("update content_item set views_count = 7, synced_at = now() where id = %s", item)
    assert studio.apply(creator, suggestion["id"], "description")["changed"] == ["description"]


def test_an_edit_after_applying_is_respected(studio: Studio, analysed: tuple[UUID, UUID, Row]) -> None:
    creator, item, suggestion = analysed
    studio.apply(creator, suggestion["id"], "title")
    with studio.database.as_user(creator) as own:
        own.execute("update content_item set title = 'Mine again' where id = %s", [item])
    assert refused(studio, creator, suggestion["id"], "title").sqlstate == "PT409"
    assert item_row(studio, item)["title"] == "Mine again"


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ([], "unknown_field"),
        (["title", "visibility"], "unknown_field"),
        (["views_count"], "unknown_field"),
        (["category"], "nothing_suggested"),
    ],
)
def test_fields_are_checked(studio: Studio, analysed: tuple[UUID, UUID, Row], fields: list[str], hint: str) -> None:
    creator, item, suggestion = analysed
    error = refused(studio, creator, suggestion["id"], *fields)
    assert (error.sqlstate, error.diag.message_hint) == ("PT422", hint)
    assert item_row(studio, item)["title"] == TITLE


def test_only_the_owner_applies_and_reverts(studio: Studio, analysed: tuple[UUID, UUID, Row]) -> None:
    creator, item, suggestion = analysed
    stranger = studio.creator()
    assert refused(studio, stranger, suggestion["id"], "title").sqlstate == "PT404"
    assert refused(studio, creator, uuid4(), "title").sqlstate == "PT404"
    (revision,) = studio.apply(creator, suggestion["id"], "title")["revision_ids"]
    for wrong, asked in ((stranger, revision), (creator, uuid4())):
        with pytest.raises(psycopg.Error) as error:
            studio.revert(wrong, asked)
        assert error.value.sqlstate == "PT404"
    assert item_row(studio, item)["title"] == suggestion["suggested_titles"][0]
    for body in ("private.write_suggestion(%s, '{title}', null)", "private.auto_apply(%s)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), studio.database.as_user(creator) as own:
            own.execute(f"select {body}".encode(), [suggestion["id"]])


def test_revert_undoes_and_can_be_repeated(studio: Studio, analysed: tuple[UUID, UUID, Row]) -> None:
    creator, item, suggestion = analysed
    answer = studio.apply(creator, suggestion["id"], "title", "tags")
    for revision in answer["revision_ids"]:
        undone = studio.revert(creator, revision)
        assert not undone["replayed"]
        assert studio.revert(creator, revision) == {**undone, "replayed": True}
    row = item_row(studio, item)
    assert (row["title"], row["tags"]) == (TITLE, ["old"])
    assert [one["change_source"] for one in revisions(studio, item)].count("revert") == 2
    (stored,) = studio.suggestions(item)
    assert not stored["is_applied"]
    applications = studio.rows(
        "select reverted_at from ai_suggestion_application where suggestion_id = %s", suggestion["id"]
    )
    assert all(one["reverted_at"] is not None for one in applications)
    # What was taken back may be applied again.
    assert studio.apply(creator, suggestion["id"], "title")["changed"] == ["title"]
    assert studio.suggestions(item)[0]["is_applied"]


def test_a_later_edit_is_not_reverted_away(studio: Studio, analysed: tuple[UUID, UUID, Row]) -> None:
    creator, item, suggestion = analysed
    (revision,) = studio.apply(creator, suggestion["id"], "title")["revision_ids"]
    with studio.database.as_user(creator) as own:
        own.execute("update content_item set title = 'Newer' where id = %s", [item])
    with pytest.raises(psycopg.Error) as error:
        studio.revert(creator, revision)
    assert error.value.sqlstate == "PT409"
    detail = json.loads(str(error.value.diag.message_detail))
    assert detail == {"title": {"expected": suggestion["suggested_titles"][0], "current": "Newer"}}
    assert item_row(studio, item)["title"] == "Newer"


@pytest.mark.parametrize(
    ("column", "before", "after"),
    [
        ("title", "A", None),
        ("description", None, "text"),
        ("tags", ["a", 'b "c"'], []),
        ("hashtags", [], ["x"]),
        ("category", None, "Music"),
        ("language", "en", "pt-BR"),
        ("visibility", "public", "private"),
    ],
)
def test_every_editable_field_can_be_reverted(studio: Studio, column: str, before: Any, after: Any) -> None:
    creator = studio.creator()
    item = studio.item(creator, **{column: before} if column != "title" else {})
    studio.execute(f"update content_item set {column} = %s where id = %s", before, item)
    studio.execute("delete from content_revision where content_item_id = %s", item)
    with studio.database.as_user(creator) as own:
        own.execute(f"update content_item set {column} = %s where id = %s".encode(), [after, item])
    (revision,) = revisions(studio, item)
    studio.revert(creator, revision["id"])
    assert item_row(studio, item)[column] == before


def test_a_field_back_at_upstreams_value_follows_upstream_again(
    studio: Studio, analysed: tuple[UUID, UUID, Row]
) -> None:
    creator, item, suggestion = analysed
    studio.execute(
        """
        update content_item set upstream = jsonb_build_object('title', title), locally_edited_fields = '{}'
        where id = %s
        """,
        item,
    )
    (revision,) = studio.apply(creator, suggestion["id"], "title")["revision_ids"]
    assert item_row(studio, item)["locally_edited_fields"] == ["title"]
    studio.revert(creator, revision)
    assert item_row(studio, item)["locally_edited_fields"] == []


def test_who_edited_cannot_be_forged(studio: Studio, analysed: tuple[UUID, UUID, Row]) -> None:
    """The setting that names the source ends with the function: what the client does next is its own edit."""
    creator, item, suggestion = analysed
    with studio.database.as_user(creator) as own:
        own.execute("select apply_suggestion(%s, '{title}')", [suggestion["id"]])
        own.execute("update content_item set title = 'By hand' where id = %s", [item])
    assert sorted(one["change_source"] for one in revisions(studio, item)) == ["ai_suggestion", "manual"]
