"""What the functions of a deployed stage are told: serverless.yml's environments, secrets read from SSM as they do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from functions.core import settings
from functions.core.errors import ConfigurationError

SERVERLESS = Path(__file__).resolve().parents[2] / "serverless.yml"
SECRETS = "${self:custom.secrets}/"
DEFAULT_REGION = "us-east-1"  # as in serverless.yml


def environment(stage: str, given: Mapping[str, str]) -> dict[str, str]:
    """`given` and, in place of anything of the same name, references to the stage's parameters.

    What the deployment itself makes, the queues' addresses, counts as there.
    """
    service = yaml.safe_load(SERVERLESS.read_text(encoding="utf-8"))
    found = dict(given)
    for holder in (service["provider"], *service["functions"].values()):
        for name, value in (holder.get("environment") or {}).items():
            if isinstance(value, dict):
                found[name] = "made by the deployment"
            elif value.startswith(SECRETS):
                found[name] = f"ssm:/streamvibe/{stage}/{name}"
    if not found.get("AWS_DEFAULT_REGION"):
        found["AWS_DEFAULT_REGION"] = found.get("AWS_REGION") or DEFAULT_REGION
    return found


def fetched(referring: Mapping[str, str]) -> dict[str, str]:
    """The same with what the references name, as far as it can be read. Sets this process's environment."""
    os.environ.update(referring)
    found = dict(referring)
    for setting in settings.all_settings():
        if referring.get(setting.name, "").startswith(settings.STORES):
            try:
                value = setting.value()
            except ConfigurationError:
                continue  # check_settings says so
            found[setting.name] = " ".join(value) if isinstance(value, tuple) else str(value)
    return found
