"""serverless-offline before the functions: an implementation of API Gateway's HTTP API and of Lambda that is not ours.

https://github.com/dherault/serverless-offline, run by osls, reads serverless.yml as it stands but for what needs AWS:

- roles and resources are left out, and queues go by the addresses that they have on the local stack;
- schedules and queues stay with our runner: it would fire schedules by itself, and knows no SQS;
- artefacts are left out: it would unpack them at each start of a function and then run the files beside serverless.yml;
- functions have no time limit: each call that finds all processes of a function busy starts another one, and how long
  twenty of them take to start at once on a small machine is no verdict (it answers 200 where a call ran out of time).

Secrets come from SSM by name, as on AWS (moto's, here). A function's processes are kept for its next calls.
"""

from __future__ import annotations

import copy
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from infra.local import environment
from infra.local.ports import free_port
from infra.local.processes import Child
from infra.local.stack import Stack
from tests.node import installed

ROOT = Path(__file__).parents[1]
NODE = ROOT / "infra" / "node"
STAGE = "offline"
SECRET = "${self:custom.secrets}/"
RUNTIME = "python3.13"  # it knows no later name yet; the program that it starts is `python3` in any case


def is_chosen() -> bool:
    """STREAMVIBE_FUNCTIONS: `serverless-offline`, or nothing for our runner."""
    chosen = os.environ.get("STREAMVIBE_FUNCTIONS", "")
    if chosen not in ("", "serverless-offline"):
        raise pytest.UsageError(f"STREAMVIBE_FUNCTIONS is {chosen!r}; it may be serverless-offline")
    return bool(chosen)


@dataclass(frozen=True)
class Offline:
    """`stack` with FUNCTIONS_URL at serverless-offline; `lambda_url` speaks Lambda's own API (Invoke)."""

    stack: Stack
    lambda_url: str
    log: Path


@contextmanager
def serving(stack: Stack, port: int | None = None) -> Iterator[Offline]:
    """serverless-offline beside `stack`, on `port`, while the block lasts. Skips where Node is absent."""
    modules = installed(NODE, "no foreign gateway calls the functions")
    port, lambda_port = port or free_port(), free_port()
    seen = copy.copy(stack)
    seen.env = {**stack.env, "FUNCTIONS_URL": environment.url(port)}
    project = stack.folder / f"offline-{port}"
    service = _service(seen.env)
    options = {"host": "127.0.0.1", "httpPort": port, "lambdaPort": lambda_port, "noSponsor": True, "noTimeout": True}
    service["custom"]["serverless-offline"] = options
    project.mkdir()
    (project / "functions").symlink_to(ROOT / "functions")
    (project / "node_modules").symlink_to(modules)
    (project / "serverless.yml").write_text(yaml.safe_dump(service, sort_keys=False), encoding="utf-8")
    _keep_secrets(service, seen.env)
    # It tells functions an English locale, as Lambda does, which a machine may not have.
    utf8 = {"PYTHONUTF8": "1"}
    variables = {**seen.child_environment(), **utf8, "HOME": str(project), "VIRTUAL_ENV": sys.prefix}
    command = [shutil.which("node") or "node", str(modules / ".bin" / "osls"), "offline", "start", "--stage", STAGE]
    gateway = Child("serverless-offline", command, variables, project / "log", port, "/health", project)
    gateway.start()
    try:
        gateway.wait_until_ready()
        yield Offline(seen, environment.url(lambda_port), gateway.log)
    finally:
        gateway.stop()


def _service(values: Mapping[str, str]) -> dict[str, Any]:
    """serverless.yml without what needs AWS."""
    service: dict[str, Any] = yaml.safe_load((ROOT / "serverless.yml").read_text(encoding="utf-8"))
    del service["resources"], service["package"]
    service["plugins"] = ["serverless-offline"]
    service["provider"]["runtime"] = RUNTIME
    for block in _blocks(service):
        for name, value in block.items():
            if isinstance(value, dict):  # {Ref: SyncQueue}
                block[name] = values[name]
    for function in service["functions"].values():
        del function["role"], function["package"]
        function["events"] = [event for event in function["events"] if "httpApi" in event]
    return service


def _blocks(service: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for holder in (service["provider"], *service["functions"].values()):
        yield holder.get("environment") or {}


def _keep_secrets(service: Mapping[str, Any], values: Mapping[str, str]) -> None:
    """Put into SSM what serverless.yml looks for there, as an operator does."""
    store = boto3.client(
        "ssm",
        endpoint_url=values["AWS_ENDPOINT_URL"],
        region_name=values["AWS_REGION"],
        aws_access_key_id=values["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=values["AWS_SECRET_ACCESS_KEY"],
    )
    names = {name for block in _blocks(service) for name, value in block.items() if str(value).startswith(SECRET)}
    for name in sorted(names):
        value = values.get(name) or "none"
        store.put_parameter(Name=f"/streamvibe/{STAGE}/{name}", Value=value, Type="SecureString", Overwrite=True)
    store.close()
