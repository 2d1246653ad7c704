"""An unmodified supabase-js signs up, reads and edits its own rows, and sees none of a stranger's."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def journey(run_script: Callable[..., Any]) -> Any:
    return run_script("journey.mjs")


def test_signs_up_and_verifies_its_own_token(journey: Any) -> None:
    assert journey["claims"]["sub"] == journey["user"]
    assert journey["claims"]["role"] == "authenticated"


def test_reads_and_edits_its_own_rows(journey: Any) -> None:
    assert journey["own"]["full_name"] == "Maya"
    assert journey["renamed"] == {"full_name": "Maya K."}
    assert journey["tiers"] == ["free", "basic", "premium"]
    assert journey["quota"]


def test_a_stranger_sees_and_changes_nothing(journey: Any) -> None:
    assert journey["theirs"] == []
    assert journey["stolen"] == []


def test_refusals(journey: Any) -> None:
    assert journey["anonymous"] == {"status": 401, "code": "42501"}
    assert journey["refused"] == {"status": 403, "code": "42501"}
    assert journey["twice"] == {"status": 422, "code": "user_already_exists"}
    assert journey["wrong"] == {"status": 400, "code": "invalid_credentials"}
    assert journey["late"] == {"status": 400, "code": "refresh_token_not_found"}
