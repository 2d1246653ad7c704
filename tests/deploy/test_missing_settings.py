"""Taking any one setting away gives one clear sentence when the function is loaded, not a failure at a request.

One process has loaded the libraries and forks for each case, so that all cases together take a few seconds.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from functions.core import settings
from infra.local.stack import Stack
from infra.package import needs
from tests.deploy.conftest import ROOT

SERVICE: dict[str, Any] = yaml.safe_load((ROOT / "serverless.yml").read_text(encoding="utf-8"))
KNOWN = {setting.name: setting for setting in settings.all_settings()}
REQUIRED = {name for name, setting in KNOWN.items() if setting.default is None}
LOCAL_ONLY = {"UPSTREAM_OVERRIDES", "AWS_ENDPOINT_URL"}
# Imports reach further than calls: of functions.oauth these use the departures and the renewals, not the redirects.
NOT_CALLED = {"maintenance": {"APP_URL", "FUNCTIONS_URL"}}

# Each case is loaded with nothing but the environment that its block in serverless.yml gives it.
LOADER = """
import importlib, json, os, sys
import fastapi, httpx, mangum, postgrest, pydantic, functions.core.app, functions.database.client
from functions.core.errors import ConfigurationError

cases = json.load(sys.stdin)
results = []
for handler, environment in cases:
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.environ.clear()
        os.environ.update(environment, _HANDLER=handler)
        try:
            importlib.import_module(handler.rpartition(".")[0])
            said = ""
        except ConfigurationError as error:
            said = error.detail
        except BaseException as error:
            said = "not a ConfigurationError: " + type(error).__name__
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        results.append(answer.read())
    os.wait()
json.dump(results, sys.stdout)
"""
Case = tuple[str, str | None]


def own(function: str) -> set[str]:
    """Settings that the function's own block names."""
    return set(SERVICE["functions"][function].get("environment") or {})


def given(function: str) -> set[str]:
    return own(function) | set(SERVICE["provider"]["environment"])


def read_by(function: str) -> set[str]:
    """Settings that the function's code names, wherever its imports reach."""
    modules = needs.of(SERVICE["functions"][function]["handler"], "aarch64").modules
    texts = [(ROOT / path).read_text(encoding="utf-8") for path in modules if path.name != "settings.py"]
    return {name for text in texts for name in re.findall(r"settings\.([A-Z_]+)", text)}


def expected(function: str) -> set[str]:
    """What it must ask for: what its own block brings, and what it uses of that which all are given."""
    shared = set(SERVICE["provider"]["environment"]) & read_by(function) - NOT_CALLED.get(function, set())
    return REQUIRED & (own(function) | shared)


@pytest.fixture(scope="module")
def sentences(stack: Stack) -> dict[Case, str]:
    """What each function says when it is loaded with its settings but one, and with all of them (None)."""
    values = stack.child_environment()
    cases = list(_cases())
    environments = [
        (SERVICE["functions"][function]["handler"], _environment(values, given(function) - {left_out}))
        for function, left_out in cases
    ]
    done = subprocess.run(
        [sys.executable, "-c", LOADER],
        input=json.dumps(environments),
        env={**values, "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(cases, json.loads(done.stdout), strict=True))


def _cases() -> Iterator[Case]:
    for function in SERVICE["functions"]:
        yield function, None
        yield from ((function, name) for name in sorted(given(function) & REQUIRED))


def _environment(values: Mapping[str, str], names: set[str]) -> dict[str, str]:
    kept = {name: values[name] for name in names if name in values}
    return {**kept, "AWS_REGION": "us-east-1", "PATH": values["PATH"]}


@pytest.mark.parametrize("function", SERVICE["functions"])
def test_each_missing_setting_is_named_at_start(function: str, sentences: dict[Case, str]) -> None:
    said = {name: sentences[function, name] for name in given(function) & REQUIRED}
    asked_for = {name for name, sentence in said.items() if sentence}
    for name in asked_for:
        assert said[name] == f"The setting {name} is missing: {KNOWN[name].description}."
    assert expected(function) <= asked_for, "these would fail at a request"


@pytest.mark.parametrize("function", SERVICE["functions"])
def test_it_starts_with_what_its_block_gives_it(function: str, sentences: dict[Case, str]) -> None:
    assert sentences[function, None] == ""


def test_each_setting_can_be_given_to_somebody() -> None:
    named = set().union(*map(given, SERVICE["functions"]))
    assert set(KNOWN) - named == LOCAL_ONLY
    assert set().union(*map(expected, SERVICE["functions"])) == REQUIRED, "somebody needs it, or it is no setting"
