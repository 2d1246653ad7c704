"""What every handler logs when it works and when it fails: ids, and nothing that is secret or personal."""

from __future__ import annotations

import importlib
import io
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from functions.core import mail
from functions.core.observability import logger
from infra.local.runner.invoke import LambdaContext
from infra.local.runner.service import read_service
from infra.local.stack import Stack
from infra.local.upstream.stripe.webhooks import sign
from tests.e2e.creators import Creator
from tests.e2e.test_notices import tell
from tests.e2e.test_sync_machine import message, start_unsent
from tests.metrics import recorded

Rows = Callable[..., list[dict[str, Any]]]
FUNCTIONS = read_service().functions
SILENT = {"health"}  # answers a monitor every minute


@pytest.fixture
def written(in_process: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """All that this process logs, with warnings of libraries, as on Lambda. Metrics go to standard output."""
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "false")
    everything = io.StringIO()
    before = logger.registered_handler.setStream(everything)  # type: ignore[attr-defined]
    of_libraries = logging.StreamHandler(everything)
    logging.getLogger().addHandler(of_libraries)
    yield everything
    logging.getLogger().removeHandler(of_libraries)
    logger.registered_handler.setStream(before)  # type: ignore[attr-defined]
    if mail._client.cache_info().currsize:
        mail._client().close()
    mail._client.cache_clear()


def call(name: str, event: dict[str, Any]) -> Any:
    """The function's answer, as Lambda calls it."""
    function = FUNCTIONS[name]
    module, _, entry = function.handler.rpartition(".")
    context = LambdaContext(name, time.monotonic() + function.timeout_seconds, aws_request_id=f"lambda-{name}")
    return getattr(importlib.import_module(module), entry)(event, context)


def http(name: str, method: str, path: str, *, token: str = "", body: str = "", query: str = "", **headers: str) -> Any:
    """The same for a function of the gateway, whose request id ends in the function's name."""
    sent = {"content-type": "application/json", "host": "functions.test", "authorization": f"Bearer {token}", **headers}
    gateway = {"method": method, "path": path, "sourceIp": "192.0.2.1", "protocol": "HTTP/1.1", "userAgent": "test"}
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": sent,
        "requestContext": {"http": gateway, "requestId": f"gateway-{name}", "stage": "$default"},
        "body": body,
        "isBase64Encoded": False,
    }
    return call(name, event)


def texts(value: Any) -> Iterator[str]:
    """The texts in a JSON value that are long enough to be told from a word."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, str) and len(value) >= 16 and not value.startswith("http"):
        yield value


def in_vault(db: Rows, creator: Creator) -> set[str]:
    """What the creator's connections keep there."""
    query = """
        select s.decrypted_secret from vault.decrypted_secrets as s where s.name in (
            select vault_secret_name from public.platform_connection where user_id = %s
            union all select vault_secret_name from public.seo_connection where user_id = %s
        )
    """
    found = set[str]()
    for row in db(query, creator.id, creator.id):
        try:
            found |= set(texts(json.loads(row["decrypted_secret"])))
        except ValueError:
            found.add(row["decrypted_secret"])
    return found


def test_no_handler_logs_a_secret_or_a_person(
    stack: Stack,
    db: Rows,
    sim: Callable[..., Any],
    sign_up: Callable[[], Creator],
    new_account: Callable[..., str],
    written: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> None:
    creator, mark = sign_up(), f"canary-{uuid4().hex}"
    address = f"{mark}@example.com"
    # Nobody else of the tests before is waiting for e-mail.
    switches = "is_email_notifications_enabled = false, is_weekly_digest_enabled = false"
    db(f"update public.user_setting set {switches} where user_id <> %s", creator.id)
    db("update public.users set email = %s, full_name = %s where id = %s", address, mark, creator.id)
    token, said = creator.access_token, json.dumps({"secret": mark})
    account = creator.connect("youtube", new_account(3))["accounts"][0]
    secrets = in_vault(db, creator)
    brought = creator.visit("tiktok")

    # What users and others send, refused and taken.
    http("health", "GET", "/health", query=mark)
    http("oauth", "GET", "/oauth/youtube/callback", query=f"code={mark}&state={mark}")
    http("oauth", "POST", "/oauth/tiktok/callback", token=token, body=json.dumps({"code": mark, "state": mark}))
    sim("POST", "faults", host="open.tiktokapis.com", path="/v2/oauth/token", times=None, status=500, body=said)
    assert http("oauth", "POST", "/oauth/tiktok/callback", token=token, body=json.dumps(brought))["statusCode"] >= 500
    http("oauth", "POST", "/oauth/facebook/deauthorize", body=f"signed_request={mark}")
    for name, path in (("sync", "/sync"), ("analyze", "/analyze"), ("seo_submit", "/seo/submit")):
        http(name, "POST", path, token=mark, body=said)
        http(name, "POST", path, token=token, body=said, **{"idempotency-key": mark})
    http("billing", "POST", "/billing/checkout", token=token, body=json.dumps({"tier": "nothing", "email": address}))
    http("billing", "POST", "/billing/checkout", token=token, body=json.dumps({"tier": "premium"}))
    http("stripe_webhook", "POST", "/stripe/webhook", body=said, **{"stripe-signature": mark})
    thing = {"id": "sub_nobody", "customer_email": address, "client_secret": mark}
    event = {"id": f"evt_{uuid4().hex}", "type": "customer.subscription.updated", "data": {"object": thing}}
    body = json.dumps({**event, "object": "event", "created": int(time.time()), "livemode": False})
    signature = sign(body.encode(), stack.env["STRIPE_WEBHOOK_SECRET"], int(time.time()))
    http("stripe_webhook", "POST", "/stripe/webhook", body=body, **{"stripe-signature": signature})

    # Work: a run that a platform's answer interrupts and one that succeeds, messages of nobody.
    run_id = start_unsent(db, creator, account["id"])
    sim("POST", "faults", host="www.googleapis.com", times=None, status=500, body=said)
    call("sync_worker", {"Records": [message({"run_id": run_id}), message(said)]})
    sim("DELETE", "faults")
    db("update sync_run set waiting_until = null where id = %s", run_id)
    db("delete from private.platform_health where true")
    call("sync_worker", {"Records": [message({"run_id": run_id})]})
    assert creator.run(run_id)["status"] == "succeeded"
    (item, *_) = creator.items(account["id"])
    analysed = json.dumps({"content_item_id": item["id"]})
    assert http("analyze", "POST", "/analyze", token=token, body=analysed)["statusCode"] == 201
    for name in ("analyze_worker", "seo_worker"):
        call(name, {"Records": [message(mark), message({"run_id": str(uuid4()), "content_item_id": mark})]})
    engine = {"engine": "bing", "site_url": "https://creator.example/", "credentials": {"api_key": mark}}
    creator.rest("rpc/connect_search_engine", "POST", json=engine)
    tell(db, creator, mark, mark)
    sim("POST", "faults", host="ssl.bing.com", times=None, status=500, body=said)
    for name in ("sync_dispatch", "analyze_dispatch", "seo_poll", "maintenance", "notices", "digest"):
        call(name, {"source": "aws.events", "detail-type": "Scheduled Event"})
    (link,) = db("select token from private.email_token where user_id = %s", creator.id)
    for method in ("GET", "POST"):
        http("unsubscribe", method, "/unsubscribe", query=f"token={link['token']}&kind=notice")

    logged = [json.loads(line) for line in written.getvalue().splitlines() if line.startswith("{")]
    metrics = capsys.readouterr().out
    assert {name for name, _, _ in recorded(metrics)} >= {"AICostCents", "SyncInterruptions", "StripeWebhookRefused"}
    # Something to find: every function said something, under its own request, and the work under its user and run.
    assert {line["request_id"].split("-", 1)[1] for line in logged} == FUNCTIONS.keys() - SILENT
    by_run = [line for line in logged if line["request_id"] == "lambda-sync_worker" and line.get("run_id") == run_id]
    assert {line["message"] for line in by_run} >= {"run interrupted", "pages stored"}
    assert {line["user_id"] for line in by_run} == {creator.id}
    assert any(line.get("user_id") == creator.id for line in logged if line["request_id"] == "gateway-sync")
    # Nothing to find.
    names = ("SUPABASE_SECRET_KEY", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "GOOGLE_CLIENT_SECRET")
    secrets |= in_vault(db, creator) | {mark, token, brought["code"], brought["state"], str(link["token"])}
    secrets |= {stack.env[name] for name in names}
    assert len(secrets) >= 10
    output = written.getvalue() + metrics
    assert not [secret for secret in secrets if secret in output]
    assert "@example.com" not in output
