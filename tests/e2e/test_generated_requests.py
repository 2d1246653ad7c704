"""Requests that schemathesis makes from the OpenAPI document, good and bad: no fault, no trace of what is behind."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import openapi
from schemathesis.generation import GenerationMode

from tests.e2e.creators import Creator

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
OPERATIONS = [(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods]
CASES = 1000 if os.environ.get("STREAMVIBE_PROFILE") == "soak" else 12
# Traces of code, of the database and of the setup, which no answer may show.
LEAK = re.compile(
    r"Traceback|File \"|psycopg|pydantic|sqlstate|PGRST\d|sb_secret_|sk_test_|whsec_|site-packages|select .+ from "
)


@pytest.fixture(scope="module")
def creator(sign_up: Any) -> Creator:
    made: Creator = sign_up()
    return made


@pytest.fixture(scope="module")
def own(creator: Creator) -> dict[str, str]:
    """What is really there, which no generator guesses: by the fields that name it."""
    account = str(creator.connect("youtube")["accounts"][0]["id"])
    creator.sync(account)
    item = creator.rest(f"content_item?social_account_id=eq.{account}&select=id&limit=1")[0]["id"]
    return {"social_account_id": account, "content_item_id": item}


@pytest.fixture(scope="module", autouse=True)
def unlimited(db: Any) -> Any:
    """No limit on calls, so that each request gets further than being counted; as before at the end."""
    before = db("select key, value from private.setting where key like 'rate.%%' and key <> 'rate.window'")
    db("update private.setting set value = '1000000' where key like 'rate.%%' and key <> 'rate.window'")
    yield
    for row in before:
        db("update private.setting set value = %s::text::jsonb where key = %s", json.dumps(row["value"]), row["key"])


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_generated_requests_get_no_fault_and_no_leak(
    creator: Creator, own: dict[str, str], method: str, path: str
) -> None:
    operation = openapi.from_dict(DOCUMENT)[path][method]
    cases = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )
    token = creator.access_token

    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, on_own=st.booleans())
    def ask(case: Any, on_own: bool) -> None:
        if on_own and isinstance(case.body, dict):
            case.body |= {name: value for name, value in own.items() if name in case.body}
        # Who deletes the account would make all later requests a stranger's: that one is asked without a token.
        signed = {} if path == "/account" else {"Authorization": f"Bearer {token}"}
        answer = case.call(base_url=creator.stack.env["FUNCTIONS_URL"], headers=signed)
        assert answer.status_code < 500, (answer.status_code, answer.text)
        assert not LEAK.search(answer.text), answer.text
        if answer.status_code >= 400 and "problem+json" in answer.headers.get("content-type", [""])[0]:
            problem = json.loads(answer.text)
            assert problem["code"]
            assert problem["request_id"]

    ask()
