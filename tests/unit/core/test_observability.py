"""Metrics are one log line in CloudWatch's embedded format each, and silent where they are switched off."""

from __future__ import annotations

import json

import pytest

from functions.core.observability import NAMESPACE, record


def test_a_metric_is_one_line_with_its_dimensions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POWERTOOLS_METRICS_DISABLED", raising=False)
    record("SyncRuns", 3, platform="youtube", outcome="done")
    (line,) = capsys.readouterr().out.splitlines()
    written = json.loads(line)
    assert written["SyncRuns"] == [3.0]
    assert (written["platform"], written["outcome"], written["service"]) == ("youtube", "done", "streamvibe")
    (declared,) = written["_aws"]["CloudWatchMetrics"]
    assert declared["Namespace"] == NAMESPACE
    assert sorted(declared["Dimensions"][0]) == ["outcome", "platform", "service"]


def test_nothing_is_written_where_metrics_are_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    record("SyncRuns")
    assert capsys.readouterr().out == ""
