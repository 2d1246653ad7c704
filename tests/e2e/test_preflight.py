"""`python -m infra.preflight` finds nothing wrong with the local stack, and each thing that is broken on purpose."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing

import boto3
import pytest

from functions.core import settings
from infra.local.stack import Stack
from infra.preflight import stage
from infra.preflight.checks import ALL, Finding, Level, check_settings

REQUIRED = [setting.name for setting in settings.all_settings() if setting.default is None]


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


@pytest.mark.parametrize("name", REQUIRED)
def test_each_missing_setting_is_one_finding(
    name: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(name)
    (found,) = [one for one in check_settings(environment) if one.level is Level.FAIL]
    assert found.text.startswith(f"The setting {name} is missing: ")
    assert found.advice == f"Set {name}; see docs/configuration.md."


def test_a_stages_secrets_are_looked_for_where_its_functions_will(stack: Stack, environment: dict[str, str]) -> None:
    """As the operator runs it: what is not secret is in the environment, what is secret in SSM, but for one."""
    name = f"stage{os.getpid()}"
    referring = stage.environment(name, {})
    secrets = [key for key, value in referring.items() if value.startswith(settings.STORES)]
    assert "STRIPE_WEBHOOK_SECRET" in secrets
    plain = {key: value for key, value in environment.items() if key not in secrets and not key.endswith("_QUEUE_URL")}
    keys = {key: stack.env[key] for key in ("AWS_ENDPOINT_URL", "AWS_REGION")}
    session = boto3.Session("local", "local", region_name=keys["AWS_REGION"])
    with closing(session.client("ssm", endpoint_url=keys["AWS_ENDPOINT_URL"])) as store:

        def keep(key: str) -> None:
            value = environment.get(key) or "none"
            store.put_parameter(Name=f"/streamvibe/{name}/{key}", Value=value, Type="SecureString", Overwrite=True)

        for key in secrets:
            if key != "STRIPE_WEBHOOK_SECRET":
                keep(key)
        without = preflight(name, plain)
        keep("STRIPE_WEBHOOK_SECRET")
        complete = preflight(name, plain)
    assert without.returncode == 1
    wanted = f"aws ssm put-parameter --type SecureString --name /streamvibe/{name}/STRIPE_WEBHOOK_SECRET --value"
    assert wanted in without.stdout
    assert complete.returncode == 0, complete.stdout + complete.stderr
    assert environment["STRIPE_WEBHOOK_SECRET"] not in complete.stdout + without.stdout


def preflight(name: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.preflight", "--stage", name],
        cwd=stage.SERVERLESS.parent,
        env={**environment, "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
