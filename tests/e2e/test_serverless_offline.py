"""The handlers behind an API Gateway that is not ours: a few calls of each kind through serverless-offline.

`STREAMVIBE_FUNCTIONS=serverless-offline` puts the whole of tests/e2e behind it (`make soak` does).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import boto3
import httpx
import pytest

from infra.local.stack import Stack
from infra.local.upstream.stripe.webhooks import sign
from tests import serverless_offline
from tests.e2e.creators import LIMITS, Creator
from tests.serverless_offline import STAGE, Offline

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def offline(stack: Stack) -> Iterator[Offline]:
    with serverless_offline.serving(stack) as serving:
        yield serving


@pytest.fixture(scope="module")
def functions(offline: Offline) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=offline.stack.env["FUNCTIONS_URL"], timeout=60, limits=LIMITS) as client:
        yield client


@pytest.fixture
def creator(offline: Offline, functions: httpx.Client) -> Creator:
    return Creator.sign_up(offline.stack, functions)


def test_anyone_may_ask_for_health(functions: httpx.Client) -> None:
    answer = functions.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


def test_a_creator_connects_and_syncs(creator: Creator, new_account: Callable[..., str]) -> None:
    """The callback's GET and POST, tokens in Vault, a run through the queue."""
    (account,) = creator.connect("youtube", new_account(12))["accounts"]
    run = creator.sync(account["id"])
    assert (run["status"], creator.used()) == ("succeeded", 1)
    assert len(creator.items(account["id"])) == 12


def test_what_the_browser_brings_is_handed_on_as_it_came(functions: httpx.Client, offline: Offline) -> None:
    brought = {"code": "a/b+c d&e=f", "state": "ä%2F#"}
    answer = functions.get("/oauth/youtube/callback", params=brought)
    assert answer.status_code == 303
    location = answer.headers["location"]
    assert location.startswith(offline.stack.env["APP_URL"])
    assert dict(parse_qsl(urlsplit(location).fragment)) == {**brought, "platform": "youtube"}


@pytest.mark.parametrize("spaces", ["", "\n  "], ids=["compact", "as sent, spaces and all"])
def test_stripes_signature_holds_over_the_body_as_sent(functions: httpx.Client, stack: Stack, spaces: str) -> None:
    event = {"id": f"evt_{uuid4().hex}", "object": "event", "type": "customer.created", "livemode": False}
    event |= {"created": int(time.time()), "data": {"object": {"id": "cus_x", "name": "Zoë 🎬"}}}
    body = (spaces + json.dumps(event, ensure_ascii=False, indent=2 if spaces else None) + spaces).encode()
    headers = {"Stripe-Signature": sign(body, stack.env["STRIPE_WEBHOOK_SECRET"], int(time.time()))}
    headers["Content-Type"] = "application/json; charset=utf-8"
    answer = functions.post("/stripe/webhook", content=body, headers=headers)
    assert (answer.status_code, answer.json()["outcome"]) == (200, "ignored")
    refused = functions.post("/stripe/webhook", content=body + b" ", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_signature")


def test_refusals_are_problem_documents(functions: httpx.Client, creator: Creator) -> None:
    nobody = functions.post("/sync", json={"social_account_id": str(uuid4())})
    nothing = creator.call("POST", "/sync", json={"social_account_id": str(uuid4())})
    absurd = creator.call("POST", "/sync", content=b"{", headers={"Content-Type": "application/json"})
    for answer, status, code in (
        (nobody, 401, "unauthenticated"),
        (nothing, 404, "unknown_account"),
        (absurd, 422, "invalid_request"),
    ):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        document = answer.json()
        assert (document["status"], document["code"]) == (status, code)
        assert document["request_id"] == answer.headers["x-request-id"]


def test_the_apps_browser_may_call_and_no_other(functions: httpx.Client, offline: Offline) -> None:
    app = offline.stack.env["APP_URL"]
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    allowed = functions.options("/sync", headers={**asked, "Origin": app})
    assert allowed.headers["access-control-allow-origin"] == app
    assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
    refused = functions.options("/sync", headers={**asked, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in refused.headers


def test_lambdas_own_api_runs_a_scheduled_function(offline: Offline) -> None:
    values = offline.stack.env
    client = boto3.client(
        "lambda",
        endpoint_url=offline.lambda_url,
        region_name=values["AWS_REGION"],
        aws_access_key_id=values["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=values["AWS_SECRET_ACCESS_KEY"],
    )
    event = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    invoked = client.invoke(FunctionName=f"streamvibe-{STAGE}-sync_dispatch", Payload=json.dumps(event))
    assert (invoked["StatusCode"], "FunctionError" in invoked) == (200, False)
    assert json.loads(invoked["Payload"].read()) == {"sent": 0}
    client.close()
