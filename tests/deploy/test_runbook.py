"""Alarms, dashboard, runbook and code speak of the same things."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from functions.core.observability import METRICS, NAMESPACE
from tests.deploy.conftest import ROOT

RESOURCES = ROOT / "infra" / "resources"
STAGED = "streamvibe-${sls:stage}"
RUNBOOK = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
FUNCTIONS = set(yaml.safe_load((ROOT / "serverless.yml").read_text(encoding="utf-8"))["functions"])
Watched = tuple[str, str, dict[str, Any]]  # namespace, metric, dimensions


def alarms() -> dict[str, dict[str, Any]]:
    """Name -> properties."""
    resources = yaml.safe_load((RESOURCES / "alarms.yml").read_text(encoding="utf-8"))["Resources"]
    return {name: one["Properties"] for name, one in resources.items() if one["Type"] == "AWS::CloudWatch::Alarm"}


def watched_by(alarm: dict[str, Any]) -> Iterator[Watched]:
    parts = [one["MetricStat"]["Metric"] for one in alarm.get("Metrics", []) if "MetricStat" in one] or [alarm]
    for part in parts:
        dimensions = {one["Name"]: one["Value"] for one in part.get("Dimensions", [])}
        yield part["Namespace"], part["MetricName"], dimensions


def drawn() -> Iterator[Watched]:
    """What the dashboard shows; a dot stands for what is above it."""
    board = yaml.safe_load((RESOURCES / "dashboard.yml").read_text(encoding="utf-8"))["Resources"]["Dashboard"]
    for widget in json.loads(board["Properties"]["DashboardBody"]["Fn::Sub"])["widgets"]:
        above: list[str] = []
        for line in widget["properties"]["metrics"]:
            above = [above[place] if word == "." else word for place, word in enumerate(line)]
            yield above[0], above[1], dict(zip(above[2::2], above[3::2], strict=True))


def test_each_alarm_has_its_page_and_each_page_its_alarm() -> None:
    chapter = RUNBOOK.partition("## Alarms")[2].partition("\n## ")[0]
    pages = [name.strip() for title in re.findall(r"^### (.+)$", chapter, re.MULTILINE) for name in title.split(",")]
    assert sorted(pages) == sorted(alarms())


def test_each_alarm_calls_somebody() -> None:
    topic = yaml.safe_load((RESOURCES / "alarms.yml").read_text(encoding="utf-8"))["Resources"]["AlarmTopic"]
    assert "aws/sns" not in json.dumps(topic), "CloudWatch may not use that key"
    for name, alarm in alarms().items():
        assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}], name
        assert alarm["AlarmDescription"], name
        assert alarm["TreatMissingData"] in {"notBreaching", "breaching"}, name


def test_own_metrics_are_named_as_the_code_records_them() -> None:
    by_alarms = [one for alarm in alarms().values() for one in watched_by(alarm)]
    own = [one for one in [*by_alarms, *drawn()] if one[0] == NAMESPACE]
    assert {name for _, name, _ in own} >= {"AICostCents", "Charges", "Refunds", "SyncRuns", "StripeWebhookLagSeconds"}
    for _, name, dimensions in own:
        assert dimensions.pop("service") == STAGED
        assert tuple(dimensions) == METRICS[name].dimensions, (name, dimensions)


def test_functions_are_named_as_they_are_deployed() -> None:
    deployed = {f"{STAGED}-{name}" for name in FUNCTIONS}
    shown: dict[str, set[str]] = {}
    for namespace, metric, dimensions in drawn():
        if namespace == "AWS/Lambda":
            shown.setdefault(metric, set()).add(dimensions["FunctionName"])
    assert shown == {"Errors": deployed, "Duration": deployed}
    for alarm in alarms().values():
        names = {dimensions.get("FunctionName") for _, _, dimensions in watched_by(alarm)} - {None}
        assert names <= deployed


def test_the_runbook_explains_each_metric() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]*\| (.+) \|$", RUNBOOK, re.MULTILINE))
    assert rows == {name: metric.description for name, metric in METRICS.items()}
