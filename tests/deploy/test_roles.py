"""Each function's role opens exactly the parameters that its environment names, and its own log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.package import needs
from tests.deploy.conftest import ROOT

SERVICE: dict[str, Any] = yaml.safe_load((ROOT / "serverless.yml").read_text(encoding="utf-8"))
ROLES: dict[str, Any] = yaml.safe_load((ROOT / "infra" / "resources" / "roles.yml").read_text(encoding="utf-8"))
LEGACY = "SUPABASE_JWT_SECRET"  # named by .env.<stage> where a project still has one; who checks tokens may open it
WITHOUT_SETTINGS = {"health"}  # reads none, whatever the provider's block hands to all functions


def _statements(function: str) -> list[dict[str, Any]]:
    role = ROLES["Resources"][SERVICE["functions"][function]["role"]]["Properties"]
    return [statement for policy in role["Policies"] for statement in policy["PolicyDocument"]["Statement"]]


def _opened(function: str) -> set[str]:
    found = [one["Resource"] for one in _statements(function) if one["Action"] == "ssm:GetParameter"]
    names = [resource["Fn::Sub"] for resources in found for resource in resources]
    prefix = "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/streamvibe/${sls:stage}/"
    assert all(name.startswith(prefix) for name in names)
    return {name.removeprefix(prefix) for name in names}


def _named(function: str) -> set[str]:
    block = SERVICE["functions"][function].get("environment") or {}
    environment = SERVICE["provider"]["environment"] | block
    named = {value for value in environment.values() if isinstance(value, str) and "custom.secrets" in value}
    modules = needs.of(SERVICE["functions"][function]["handler"], "aarch64").modules
    legacy = {LEGACY} if Path("functions/core/auth.py") in modules else set()
    return {value.partition("/")[2] for value in named} | legacy


@pytest.mark.parametrize("function", SERVICE["functions"])
def test_it_opens_the_parameters_that_are_named(function: str) -> None:
    assert _opened(function) == (set() if function in WITHOUT_SETTINGS else _named(function))


@pytest.mark.parametrize("function", SERVICE["functions"])
def test_it_writes_its_own_log_only(function: str) -> None:
    (log,) = [one["Resource"]["Fn::Sub"] for one in _statements(function) if "logs:PutLogEvents" in one["Action"]]
    assert log.endswith(f":log-group:/aws/lambda/streamvibe-${{sls:stage}}-{function}:*")


def test_no_two_functions_share_a_role() -> None:
    used = [block["role"] for block in SERVICE["functions"].values()]
    assert len(used) == len(set(used))
    assert set(used) == set(ROLES["Resources"])


@pytest.mark.parametrize("function", SERVICE["functions"])
def test_it_reads_the_queues_that_feed_it_and_no_others(function: str) -> None:
    fed = {event["sqs"]["arn"]["Fn::GetAtt"][0] for event in SERVICE["functions"][function]["events"] if "sqs" in event}
    read = [one["Resource"]["Fn::GetAtt"][0] for one in _statements(function) if "sqs:ReceiveMessage" in one["Action"]]
    assert set(read) == fed
    assert json.dumps(_statements(function)).count("sqs:ReceiveMessage") == len(fed)
