"""Structured logs and metrics of all functions.

Log lines carry ids (request, user, run), never e-mail addresses, tokens or request bodies. Metrics are log lines in
CloudWatch's embedded format, so that recording one costs no call. Traces are Lambda's own: the X-Ray SDK behind
Powertools' Tracer takes longer to import than everything else that a worker loads.

Docs: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.logging import Logger

from functions.core import answers

SERVICE = "streamvibe"
NAMESPACE = "StreamVibe"
Labels = tuple[str, ...]


def _service() -> str:
    """The service's name holds the stage, so that the stages of an account are told apart."""
    return os.environ.get("POWERTOOLS_SERVICE_NAME", SERVICE)


logger = Logger(service=_service(), level=os.environ.get("LOG_LEVEL", "INFO"), log_uncaught_exceptions=False)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric is paid for by each combination of its `dimensions`; `details` are in the log line only."""

    description: str
    dimensions: Labels = ()
    details: Labels = ()
    unit: str = "Count"

    @property
    def labels(self) -> frozenset[str]:
        return frozenset(self.dimensions + self.details)


METRICS: Mapping[str, Metric] = {
    "SyncRuns": Metric(
        "runs that ended: succeeded, partial, failed or canceled; counted in the database",
        ("outcome",),
        ("platform",),
    ),
    "SyncInterruptions": Metric("runs that go on later after an error", details=("platform",)),
    "TokenRefreshes": Metric(
        "tokens renewed, failed for now, or dead until the user connects again", ("outcome",), ("platform",)
    ),
    "Charges": Metric("units charged; counted in the database", ("quota_type",)),
    "Refunds": Metric("units given back; counted in the database", ("quota_type",)),
    "ChargesReaped": Metric("charges that nobody settled in time, among the refunds"),
    "Analyses": Metric("analyses that were stored or failed", ("outcome",)),
    "AICostCents": Metric("what AI providers ask for, failed analyses included", unit="None"),
    "Submissions": Metric("pages by what the engine made of them", ("outcome",), ("engine",)),
    "StripeWebhookLagSeconds": Metric("from Stripe's event to its committed effect", unit="Seconds"),
    "StripeWebhookFailures": Metric("deliveries answered with 5xx"),
    "StripeWebhookRefused": Metric("deliveries with a wrong signature"),
    "StripeEventsDead": Metric("events that are no longer tried by themselves, at each round"),
    "StripeAlerts": Metric("states at Stripe that a person should look at"),
    "StripeRepairs": Metric("plans that differed from Stripe and were put right"),
    "EmailsSent": Metric("e-mails handed to SES", ("kind",)),
    "EmailsFailed": Metric("e-mails that SES did not take", ("kind",)),
}
"""Every metric there is. Labels are small closed sets (a platform, an outcome), never ids."""


def begin(context: Any, event: dict[str, Any] | None = None) -> str:
    """Start an invocation's log with its request id, and nothing of the one before; returns the id.

    `event` is given by the functions of the gateway, whose id of the request is the one that callers see.
    """
    identity = answers.request_id(event or {}, context)
    logger.thread_safe_clear_keys()  # the local stack runs calls side by side, each in a thread
    logger.thread_safe_append_keys(request_id=identity)
    return identity


def record(name: str, value: float = 1, **labels: str) -> None:
    """Record one of METRICS with its labels, such as `record("SyncRuns", platform="youtube", outcome="failed")`.

    POWERTOOLS_METRICS_DISABLED=true, as on the local stack, records nothing.
    """
    metric = METRICS[name]
    if labels.keys() != metric.labels:
        raise TypeError(f"{name} has the labels {sorted(metric.labels)}.")
    if os.environ.get("POWERTOOLS_METRICS_DISABLED", "").lower() == "true":
        return
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["service", *metric.dimensions]],
        "Metrics": [{"Name": name, "Unit": metric.unit}],
    }
    made = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    sys.stdout.write(json.dumps({"_aws": made, "service": _service(), **labels, name: value}) + "\n")


__all__ = ["METRICS", "Metric", "begin", "logger", "record"]
