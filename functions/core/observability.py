"""Structured logs and metrics of all functions.

Log lines carry ids (request, user, run), never e-mail addresses, tokens or request bodies. Metrics are log lines in
CloudWatch's embedded format, so that recording one costs no call.
"""

from __future__ import annotations

import os

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

SERVICE = "streamvibe"
NAMESPACE = "StreamVibe"

logger = Logger(service=SERVICE, level=os.environ.get("LOG_LEVEL", "INFO"), log_uncaught_exceptions=False)


def record(name: str, value: float = 1, unit: MetricUnit = MetricUnit.Count, **dimensions: str) -> None:
    """Record one metric, such as `record("SyncRuns", platform="youtube", status="succeeded")`.

    Dimensions are small closed sets (a platform, a status), never ids: each combination is a metric that is paid for.
    POWERTOOLS_METRICS_DISABLED=true, as on the local stack, records nothing.
    """
    if os.environ.get("POWERTOOLS_METRICS_DISABLED", "").lower() == "true":
        return
    with single_metric(name=name, unit=unit, value=value, namespace=NAMESPACE) as metric:
        metric.add_dimension(name="service", value=SERVICE)
        for dimension, label in dimensions.items():
            metric.add_dimension(name=dimension, value=label)


__all__ = ["MetricUnit", "logger", "record"]
