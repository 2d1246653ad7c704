"""Metrics are one log line in CloudWatch's embedded format each; code and catalogue name the same ones."""

from __future__ import annotations

import ast
import io
import json
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from functions.core.observability import METRICS, NAMESPACE, begin, logger, record
from tests.metrics import recorded

FUNCTIONS = Path(__file__).parents[3] / "functions"


def test_a_metric_is_one_line_summed_up_by_its_dimensions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POWERTOOLS_METRICS_DISABLED", raising=False)
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "streamvibe-dev")
    record("SyncRuns", 3, platform="youtube", outcome="failed")
    (line,) = capsys.readouterr().out.splitlines()
    written = json.loads(line)
    assert written["SyncRuns"] == 3
    assert (written["platform"], written["outcome"], written["service"]) == ("youtube", "failed", "streamvibe-dev")
    (declared,) = written["_aws"]["CloudWatchMetrics"]
    assert declared == {
        "Namespace": NAMESPACE,
        "Dimensions": [["service", "outcome"]],
        "Metrics": [{"Name": "SyncRuns", "Unit": "Count"}],
    }
    assert recorded(line) == [("SyncRuns", 3, {"platform": "youtube", "outcome": "failed"})]


def test_nothing_is_written_where_metrics_are_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    record("ChargesReaped")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("labels", [{}, {"platform": "youtube"}, {"platform": "x", "outcome": "y", "user": "z"}])
def test_other_labels_than_the_catalogues_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(TypeError):
        record("SyncRuns", 1, **labels)


def test_code_and_catalogue_name_the_same_metrics() -> None:
    found = set()
    for path in FUNCTIONS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "record":
                assert isinstance(node.args[0], ast.Constant), path
                name = str(node.args[0].value)
                assert {keyword.arg for keyword in node.keywords} == METRICS[name].labels, (path, name)
                found.add(name)
    assert found == METRICS.keys()


def test_an_invocation_begins_with_its_own_id_and_nothing_of_the_last_one() -> None:
    logger.thread_safe_append_keys(user_id="of the last one")
    assert begin(SimpleNamespace(aws_request_id="lambda"), {"requestContext": {"requestId": "gateway"}}) == "gateway"
    assert logger.thread_safe_get_current_keys() == {"request_id": "gateway"}
    assert begin(SimpleNamespace(aws_request_id="lambda")) == "lambda"


def test_invocations_side_by_side_keep_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", written)
    begin(SimpleNamespace(aws_request_id="first"))
    other = threading.Thread(target=begin, args=(SimpleNamespace(aws_request_id="second"),))
    other.start()
    other.join()
    logger.warning("still the first")
    assert json.loads(written.getvalue())["request_id"] == "first"
