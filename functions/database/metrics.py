"""The metrics domain of the database (sql/…018000_metrics.sql): what ended there, counted once."""

from __future__ import annotations

from typing import Any

from functions.database.client import rpc

Row = dict[str, Any]


def count() -> Row:
    """Since the last call: {quota: [{quota_type, operation, units}], sync_runs: [{platform, outcome, runs}]}."""
    counted: Row = rpc("count_metrics")
    return counted
