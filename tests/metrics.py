"""Reading back what `functions.core.observability.record` wrote."""

from __future__ import annotations

import json

Recorded = tuple[str, float, dict[str, str]]


def recorded(output: str) -> list[Recorded]:
    """(name, value, labels) of each metric among the lines that a function wrote, in order."""
    found = []
    for line in output.splitlines():
        if line.startswith('{"_aws"'):
            fields = json.loads(line)
            (directive,) = fields.pop("_aws")["CloudWatchMetrics"]
            (name,) = (metric["Name"] for metric in directive["Metrics"])
            fields.pop("service")
            found.append((name, fields.pop(name), fields))
    return found
