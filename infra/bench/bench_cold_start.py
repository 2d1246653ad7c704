"""Cold start and warm overhead of every function, as ratios to a bare FastAPI + Mangum handler in the same run.

The artefacts are those of `make package`, built for this machine. A cold start is a fresh interpreter that sees nothing
but the artefact: from its start to the handler's first answer.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from functions.core import settings
from infra.bench.ratio import Progress, Ratio, time_ratio
from infra.package.__main__ import handlers
from infra.package.artefact import build

BUILD = Path(__file__).resolve().parents[2] / "build" / "bench"
WITHOUT_FRAMEWORK = ("worker", "work", "dispatch", "poll", "webhook", "maintenance", "notices", "unsubscribe", "digest")
WARM_CALLS = 300
# What any handler of this shape costs: a body, two headers, one of them by a dependency, and a JSON answer.
BARE = """
from typing import Annotated

from fastapi import Depends, FastAPI, Header
from mangum import Mangum
from pydantic import BaseModel

app = FastAPI()


class Order(BaseModel):
    social_account_id: str | None = None


async def caller(authorization: Annotated[str | None, Header()] = None) -> str | None:
    return authorization


@app.post("/")
async def root(
    order: Order, user: Annotated[str | None, Depends(caller)], key: Annotated[str | None, Header()] = None
) -> dict[str, str]:
    return {"status": "ok"}

handler = Mangum(app, lifespan="off")
"""
# Runs in the fresh interpreter, which sees the artefact and nothing else of this machine. boto3, which the Lambda
# runtime carries, is not there: a function that needed it to give its first answer would fail here.
PROBE = """
import importlib, json, sys, time
artefact, name, event, calls = sys.argv[1:5]
sys.path[:0] = [artefact]
module, _, entry = name.rpartition(".")
handler = getattr(importlib.import_module(module), entry)
event = json.loads(event)


class Context:
    aws_request_id = "bench"

    def get_remaining_time_in_millis(self):
        return 3000


def call():
    try:
        return handler(event, Context())
    except Exception:
        return None  # the database is not there; how long it takes to find that out is part of the answer


call()
start = time.perf_counter()
for _ in range(int(calls)):
    call()
print(time.perf_counter() - start)
"""
SETTINGS = {
    "SUPABASE_URL": "http://127.0.0.1:9",
    "SUPABASE_SECRET_KEY": "sb_secret_bench",
    "APP_URL": "http://127.0.0.1:9",
    "FUNCTIONS_URL": "http://127.0.0.1:9",
    "STRIPE_SECRET_KEY": "sk_test_bench",
    "STRIPE_WEBHOOK_SECRET": "whsec_bench",
    "EMAIL_FROM": "hello@streamvibe.example",
    "LOG_LEVEL": "CRITICAL",
    "POWERTOOLS_METRICS_DISABLED": "true",
    "POWERTOOLS_TRACE_DISABLED": "true",
}


def run(progress: Progress) -> list[Ratio]:
    """A cold start ratio for each function, and the warm overhead of the HTTP ones."""
    architecture = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
    bare = _build_bare(architecture)
    ratios = []
    for name, handler in handlers().items():
        progress(name)
        build(name, handler, architecture, BUILD)
        light = name.endswith(WITHOUT_FRAMEWORK) or name == "health"
        event = _event(name)
        candidate = _start(BUILD / name, handler, event)
        ratio = time_ratio(candidate, _start(bare, "bare.handler", _http_event("POST", "/")), pairs=9, warm_up=1)
        ratios.append(Ratio(f"{name}, cold", ratio, "<= 0.60" if light else "<= 1.40", "bare FastAPI + Mangum"))
        if not light:
            ratios.append(Ratio(f"{name}, warm", _warm(name, handler, bare), "<= 1.50", "bare FastAPI + Mangum"))
    return ratios


def _build_bare(architecture: str) -> Path:
    """The baseline's artefact: the same wheels, and a handler without anything of ours."""
    build("bare", "functions.core.app.lambda_handler", architecture, BUILD)
    (BUILD / "bare" / "bare.py").write_text(BARE, encoding="utf-8")
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(BUILD / "bare" / "bare.py")], check=True)
    return BUILD / "bare"


def _start(artefact: Path, handler: str, event: dict[str, object], calls: int = 0) -> Callable[[], float]:
    arguments = [str(artefact), handler, json.dumps(event), str(calls)]
    command = [sys.executable, "-I", "-S", "-B", "-c", PROBE, *arguments]
    environment = {**SETTINGS, "PATH": os.environ["PATH"]}
    environment |= {setting.name: "bench" for setting in settings.PLATFORM_CREDENTIALS}
    for queue in ("SYNC_QUEUE_URL", "ANALYZE_QUEUE_URL", "SEO_QUEUE_URL"):
        environment[queue] = "http://127.0.0.1:9/queue"

    def start() -> float:
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if finished.returncode:
            raise RuntimeError(f"{handler} does not start from its artefact: {finished.stderr.strip()[-400:]}")
        return float(finished.stdout.strip().splitlines()[-1])

    return start


def _warm(name: str, handler: str, bare: Path) -> float:
    """Median of paired ratios of the time that a number of calls takes in one warm process."""
    candidate = _start(BUILD / name, handler, _event(name), WARM_CALLS)
    baseline = _start(bare, "bare.handler", _http_event("POST", "/"), WARM_CALLS)
    pairs = sorted(candidate() / baseline() for _ in range(5))
    return pairs[len(pairs) // 2]


def _event(name: str) -> dict[str, object]:
    """A first event that needs no database: an unauthorised call, an empty batch, a schedule."""
    if name.endswith(("worker", "work")):
        return {"Records": []}
    if name.endswith(("dispatch", "poll", "maintenance", "notices", "digest")):
        return {"source": "aws.events", "detail-type": "Scheduled Event"}
    paths = {"health": ("GET", "/health"), "oauth": ("POST", "/oauth/youtube/authorize"), "sync": ("POST", "/sync")}
    paths |= {"analyze": ("POST", "/analyze"), "seo_submit": ("POST", "/seo/submit")}
    paths |= {"unsubscribe": ("GET", "/unsubscribe")}
    paths |= {"billing": ("POST", "/billing/portal"), "stripe_webhook": ("POST", "/stripe/webhook")}
    return _http_event(*paths.get(name, ("GET", "/")))


def _http_event(method: str, path: str) -> dict[str, object]:
    http = {"method": method, "path": path, "sourceIp": "192.0.2.1", "protocol": "HTTP/1.1", "userAgent": "bench"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "api.example"},
        "requestContext": {"http": http, "requestId": "bench", "domainName": "api.example", "stage": "$default"},
        "body": "{}" if method == "POST" else None,
        "isBase64Encoded": False,
    }
