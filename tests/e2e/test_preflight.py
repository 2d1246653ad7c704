"""`python -m infra.preflight` finds nothing wrong with the local stack, and each thing that is broken on purpose."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from infra.local.stack import Stack
from infra.preflight.checks import ALL, Finding, Level


@pytest.fixture
def environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What an operator of this stack has; settings are read from the process, so they are there too."""
    values = {**stack.child_environment(), **stack.env}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


def failures(environment: Mapping[str, str]) -> list[Finding]:
    return [one for check in ALL for one in check(environment) if one.level is Level.FAIL]


def test_the_local_stack_is_in_order(environment: dict[str, str]) -> None:
    assert failures(environment) == []


@pytest.mark.parametrize(
    ("name", "value", "subject"),
    [
        ("DATABASE_URL", "", "database"),
        ("DATABASE_URL", "postgresql://postgres:secret-password@127.0.0.1:1/postgres", "database"),
        ("SUPABASE_SECRET_KEY", "sb_secret_wrong", "keys"),
        ("SUPABASE_SECRET_KEY", "sb_publishable_x", "keys"),
        ("SUPABASE_URL", "http://127.0.0.1:1", "keys"),
        ("STRIPE_WEBHOOK_SECRET", "sk_test_x", "stripe"),
        ("STRIPE_SECRET_KEY", "pk_test_x", "stripe"),
        ("SUPABASE_JWKS_URL", "http://127.0.0.1:1/keys", "signing keys"),
        ("APP_URL", "", "settings"),
        ("TIKTOK_CLIENT_KEY", "", "settings"),
    ],
)
def test_what_is_broken_is_found_and_advised(
    name: str, value: str, subject: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    found = failures({**environment, name: value})
    assert subject in {one.subject for one in found}
    assert all(one.advice for one in found)
    assert "secret-password" not in " ".join(one.text + one.advice for one in found)
