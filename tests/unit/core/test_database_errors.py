"""PostgREST's error objects become our errors; only messages that our own SQL raised reach people."""

from __future__ import annotations

import pytest

from functions.core.errors import (
    ConflictError,
    DatabaseError,
    DatabaseUnavailableError,
    InvalidRequestError,
    NotFoundError,
    StreamVibeError,
)
from functions.database import errors

LEAK = 'duplicate key value violates unique constraint "users_email_key"'


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "PT404", NotFoundError),
        (409, "PT409", ConflictError),
        (422, "PT422", InvalidRequestError),
        (400, "22P05", InvalidRequestError),
        (400, "22021", InvalidRequestError),
        (409, "23505", DatabaseError),
        (403, "42501", DatabaseError),
        (500, "40001", DatabaseUnavailableError),
        (500, "40P01", DatabaseUnavailableError),
        (500, "57014", DatabaseUnavailableError),
        (503, "PGRST001", DatabaseUnavailableError),
        (502, "", DatabaseUnavailableError),
    ],
)
def test_codes_are_mapped(status: int, code: str, expected: type[StreamVibeError]) -> None:
    assert type(errors.from_answer(status, {"code": code, "message": "m"})) is expected


def test_only_our_own_messages_are_shown() -> None:
    assert errors.from_answer(404, {"code": "PT404", "message": "No such account."}).detail == "No such account."
    assert LEAK not in errors.from_answer(409, {"code": "23505", "message": LEAK}).detail
    assert LEAK not in errors.from_answer(500, LEAK).detail


def test_a_hint_that_is_a_word_becomes_the_problem_code() -> None:
    assert errors.from_answer(409, {"code": "PT409", "hint": "item_changed"}).problem_code == "item_changed"
    assert errors.from_answer(409, {"code": "PT409", "hint": "Do this."}).problem_code == "conflict"
