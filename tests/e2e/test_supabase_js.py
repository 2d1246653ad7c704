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


@pytest.fixture(scope="module")
def auth(run_script: Callable[..., Any]) -> Any:
    return run_script("auth.mjs")


def test_the_admins_calls(auth: Any) -> None:
    assert auth["listed"]["length"] == 1
    assert auth["listed"]["total"] >= 2
    assert auth["listed"]["nextPage"] == 2
    assert auth["found"]
    assert auth["changed"]["app"] == {"provider": "email", "providers": ["email"], "plan": "x"}
    assert auth["changed"]["user"]["nick"] == "M"
    assert auth["notAdmin"] == {"status": 403, "code": "not_admin", "name": "AuthApiError"}
    assert auth["gone"] == {"status": 404, "code": "user_not_found", "name": "AuthApiError"}


def test_sessions(auth: Any) -> None:
    assert auth["sessions"] == 2
    assert 3500 < auth["expires_at"] <= 3600
    assert auth["asked"]
    assert auth["updated"]["theme"] == "dark"
    assert set(auth["events"]) >= {"SIGNED_IN", "TOKEN_REFRESHED", "USER_UPDATED"}


def test_signing_out_elsewhere_and_everywhere(auth: Any) -> None:
    assert auth["others"] == {"status": 400, "code": "refresh_token_not_found", "name": "AuthApiError"}
    assert auth["ended"]["name"] == "AuthSessionMissingError"  # what supabase-js makes of session_not_found


def test_an_anonymous_user_stays_the_same_one(auth: Any) -> None:
    assert auth["guest"] == {"anonymous": True, "kept": False, "same": True}


def test_a_weak_password_is_told_as_such(auth: Any) -> None:
    assert auth["weak"] == {"status": 422, "code": "weak_password", "name": "AuthWeakPasswordError"}
