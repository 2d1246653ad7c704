"""Taking any one setting away gives one clear sentence when the function is loaded, not a failure at a request.

One process has loaded the libraries and forks for each case, so that all cases together take a few seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from functions.core import settings
from infra.local.stack import Stack
from tests.deploy.conftest import ROOT

LOADER = """
import importlib, json, os, sys
import fastapi, httpx, mangum, postgrest, pydantic, functions.core.app, functions.database.client
from functions.core.errors import ConfigurationError

cases = json.load(sys.stdin)
results = []
for module, setting in cases:
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.environ.pop(setting, None)
        try:
            importlib.import_module(module)
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


def test_each_missing_setting_is_named_at_start(stack: Stack, service: dict[str, Any]) -> None:
    # Functions of one module load together, so the module is what has settings.
    environments: dict[str, set[str]] = {}
    for block in service["functions"].values():
        module = block["handler"].rpartition(".")[0]
        environment = service["provider"]["environment"] | (block.get("environment") or {})
        environments.setdefault(module, set()).update(environment)
    known = {setting.name: setting for setting in settings.all_settings()}
    required = {name for name, setting in known.items() if setting.default is None}
    cases = [(module, name) for module, names in environments.items() for name in sorted(names & required)]
    assert len(cases) > 30

    command = [sys.executable, "-c", LOADER]
    environment = {**stack.child_environment(), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        command, input=json.dumps(cases), env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said = dict(zip(cases, json.loads(done.stdout), strict=True))
    for (module, name), sentence in said.items():
        wanted = f"The setting {name} is missing: {known[name].description}."
        assert sentence in ("", wanted), f"{module} without {name}: {sentence}"
    loads_without = {case for case, sentence in said.items() if not sentence}
    assert not {case for case in loads_without if case[1] == "SUPABASE_SECRET_KEY"} - {
        ("functions.health.handler", "SUPABASE_SECRET_KEY")
    }
    # Each setting without a default is demanded by somebody.
    named = {name for _, name in cases}
    assert named == {name for (_, name), sentence in said.items() if sentence}
