"""Every handler of serverless.yml run by Lambda's own runtime interface client, with events as AWS sends them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local.stack import Stack
from tests.deploy.runtime_api import running

EVENTS = Path(__file__).parent / "events"
SERVERLESS = Path(__file__).parents[2] / "serverless.yml"
FUNCTIONS: dict[str, dict[str, Any]] = yaml.safe_load(SERVERLESS.read_text(encoding="utf-8"))["functions"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Lambda's client is built for Linux only")


def recorded(kind: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{kind}.json").read_text(encoding="utf-8"))
    return event


def http_event(method: str, path: str) -> dict[str, Any]:
    event = recorded("http")
    filled = path.replace("{platform}", "youtube").replace("{id}", "0b0e7a3c-8a5d-4c1b-9f0a-2f6f0f1f2f3f")
    filled = filled.replace("{code}", "nobody-has-this-code")
    key = f"{method} {path}"
    event |= {"routeKey": key, "rawPath": filled}
    event["requestContext"] |= {"routeKey": key}
    event["requestContext"]["http"] |= {"method": method, "path": filled}
    if "{platform}" in path:
        event["pathParameters"] = {"platform": "youtube"}
    return event


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lambda_s_client_runs_it(name: str, stack: Stack) -> None:
    block = FUNCTIONS[name]
    with running(block["handler"], stack.child_environment()) as function:
        for source in block["events"]:
            ((kind, value),) = source.items()
            if kind == "httpApi":
                by_default = http_event("GET", "/nowhere") | {"routeKey": "$default"}
                outcome = function.invoke(by_default if value == "*" else http_event(value["method"], value["path"]))
                assert outcome.kind == "response", outcome
                assert outcome.body["statusCode"] < 500, outcome
                headers = {key.lower(): text for key, text in outcome.body["headers"].items()}
                assert headers["x-request-id"] == "B7KkRi1eoAMEPzw="
                if outcome.body["statusCode"] >= 400:
                    assert headers["content-type"] == "application/problem+json"
            elif kind == "sqs":
                outcome = function.invoke(recorded("sqs"))
                assert outcome.kind == "response", outcome
                # What is no message of ours is either let go or left to the dead-letter queue; nothing else fails.
                failed = [failure["itemIdentifier"] for failure in outcome.body["batchItemFailures"]]
                assert failed in ([], [recorded("sqs")["Records"][0]["messageId"]])
            else:
                assert function.invoke(recorded("schedule")).kind == "response"


@pytest.mark.parametrize("name", ["analyze", "stripe_webhook"])
def test_lambda_s_client_reports_a_missing_setting_as_one_sentence(name: str, stack: Stack) -> None:
    environment = {key: value for key, value in stack.child_environment().items() if key != "SUPABASE_SECRET_KEY"}
    with running(FUNCTIONS[name]["handler"], environment) as function:
        outcome = function.start_failure()
    assert outcome.kind == "init/error", outcome
    assert outcome.body["errorType"].endswith("ConfigurationError")
    assert outcome.body["errorMessage"].startswith("The setting SUPABASE_SECRET_KEY is missing: ")
    assert "\n" not in outcome.body["errorMessage"]
