"""What osls makes of serverless.yml: clean for cfn-lint, deployed to an AWS that is moto's, least privilege."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.local.ports import free_port
from infra.local.processes import Child
from tests.deploy.conftest import ROOT, STAGE, osls_run

pytestmark = pytest.mark.node


# Before osls deploys, it asks CloudFormation about the template. AWS looks at its syntax; moto asks cfn-lint and takes
# its remarks on style for errors, those too that .cfnlintrc leaves out (see there).
MOTO = """
import sys
from moto.cloudformation import models
from moto.server import main

models.validate_template_cfn_lint = lambda template: []
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""


@pytest.fixture
def account(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An empty AWS account; the environment of programs that use it."""
    port = free_port()
    moto = Child("moto", [sys.executable, "-c", MOTO, str(port)], os.environ, tmp_path / "log", port, "/moto-api/")
    moto.start()
    try:
        moto.wait_until_ready()
        keys = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
        yield {**keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": "us-east-1"}
    finally:
        moto.stop()


def resources(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Logical id -> properties of every resource of `kind`, such as `SQS::Queue`."""
    found = template["Resources"].items()
    return {name: one.get("Properties", {}) for name, one in found if one["Type"] == f"AWS::{kind}"}


def test_cfn_lint_finds_nothing(template_file: Path) -> None:
    command = [str(Path(sys.executable).parent / "cfn-lint"), "--config-file", str(ROOT / ".cfnlintrc")]
    done = subprocess.run([*command, str(template_file)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_osls_deploys_it(
    osls: Path, packaged: Path, template: dict[str, Any], service: dict[str, Any], account: dict[str, str]
) -> None:
    done = osls_run(osls, "deploy", packaged.parent, account)
    assert done.returncode == 0, done.stdout + done.stderr

    address = account["AWS_ENDPOINT_URL"]
    session = boto3.Session("test", "test", region_name=account["AWS_REGION"])
    with (
        closing(session.client("cloudformation", endpoint_url=address)) as formation,
        closing(session.client("lambda", endpoint_url=address)) as lambdas,
        closing(session.client("iam", endpoint_url=address)) as iam,
        closing(session.client("sqs", endpoint_url=address)) as sqs,
        closing(session.client("events", endpoint_url=address)) as events,
    ):
        (stack,) = formation.describe_stacks()["Stacks"]
        functions = {one["FunctionName"]: one for one in lambdas.list_functions()["Functions"]}
        roles = {one["Arn"] for one in iam.list_roles()["Roles"]}
        urls = sqs.list_queues()["QueueUrls"]
        rules = events.list_rules()["Rules"]
        sources = lambdas.list_event_source_mappings()["EventSourceMappings"]
    assert (stack["StackName"], stack["StackStatus"]) == (f"streamvibe-{STAGE}", "UPDATE_COMPLETE")
    assert set(functions) == {f"streamvibe-{STAGE}-{name}" for name in service["functions"]}
    assert len({one["Role"] for one in functions.values()} & roles) == len(functions), "each function has its own role"
    queues = {url.rsplit("/", 1)[1].split("-")[2] for url in urls}
    assert queues == set(resources(template, "SQS::Queue"))
    triggers = [event for block in service["functions"].values() for event in block["events"]]
    schedules = [event["schedule"] for event in triggers if "schedule" in event]
    assert sorted(rule["ScheduleExpression"] for rule in rules) == sorted(schedules)
    assert len(sources) == sum("sqs" in event for event in triggers)


def test_only_x_ray_is_allowed_on_everything(template: dict[str, Any]) -> None:
    roles = resources(template, "IAM::Role")
    statements = [
        statement
        for role in roles.values()
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    assert len(statements) > len(roles)
    for statement in statements:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not any("*" in action for action in actions)
        if statement["Resource"] == "*":
            assert all(action.startswith("xray:") for action in actions), statement
        else:
            text = json.dumps(statement["Resource"])
            # Log streams of the function's own group, and nothing else, end in a star.
            assert "*" not in text or (text.count("*") == 1 and "log-group:/aws/lambda/" in text), statement
        assert "ManagedPolicyArns" not in statement
    assert not any("ManagedPolicyArns" in role for role in roles.values())


def test_every_queue_gives_up_into_one_that_an_alarm_watches(template: dict[str, Any]) -> None:
    queues = resources(template, "SQS::Queue")
    work = {name: one["RedrivePolicy"] for name, one in queues.items() if "RedrivePolicy" in one}
    assert set(work) == {"SyncQueue", "AnalyzeQueue", "SeoQueue"}
    dead = {one["deadLetterTargetArn"]["Fn::GetAtt"][0] for one in work.values()}
    assert dead == set(queues) - set(work)
    alarms = json.dumps(resources(template, "CloudWatch::Alarm"))
    assert all(f'["{name}", "QueueName"]' in alarms for name in dead | set(work))


def test_queues_are_read_with_partial_failures_and_a_ceiling(template: dict[str, Any]) -> None:
    sources = resources(template, "Lambda::EventSourceMapping")
    assert sources
    for source in sources.values():
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert source["ScalingConfig"]["MaximumConcurrency"] >= 2
    # It would take from the account's whole, and fails on a new account, which has ten.
    functions = resources(template, "Lambda::Function").values()
    assert not any("ReservedConcurrentExecutions" in one for one in functions)


def test_the_http_api_is_throttled_logged_and_open_to_the_app_alone(template: dict[str, Any]) -> None:
    (api,) = resources(template, "ApiGatewayV2::Api").values()
    assert api["CorsConfiguration"]["AllowOrigins"] == ["https://app.example"]
    (stage,) = resources(template, "ApiGatewayV2::Stage").values()
    assert stage["DefaultRouteSettings"]["ThrottlingRateLimit"] > 0
    assert stage["AccessLogSettings"]["DestinationArn"]


def test_functions_are_alike_where_they_must_be(template: dict[str, Any]) -> None:
    for function in resources(template, "Lambda::Function").values():
        assert function["Architectures"] == ["arm64"]
        assert function["Runtime"] == "python3.13"  # as build/runtime.json says
        assert function["TracingConfig"] == {"Mode": "Active"}
    groups = resources(template, "Logs::LogGroup").values()
    assert all(group["RetentionInDays"] == 30 for group in groups)
    assert groups
