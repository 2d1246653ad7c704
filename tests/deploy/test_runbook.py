"""Every alarm has its page in the runbook."""

from __future__ import annotations

import re

import yaml

from tests.deploy.conftest import ROOT


def test_each_alarm_has_its_page() -> None:
    resources = yaml.safe_load((ROOT / "infra" / "resources" / "alarms.yml").read_text(encoding="utf-8"))["Resources"]
    alarms = {name for name, one in resources.items() if one["Type"] == "AWS::CloudWatch::Alarm"}
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    titles = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert alarms == alarms & {name.strip() for title in titles for name in title.split(",")}
    assert len(alarms) >= 10
