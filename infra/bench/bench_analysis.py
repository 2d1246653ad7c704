"""Analysis: what the handler costs besides the provider, and how fast the built-in analyser is.

The database and the provider answer at once here, so that only our own work is measured: the event, the token, the
request's checks, the prompt, the answer's parsing, cleaning and scoring, and the response.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import httpx
import jwt
from pydantic import BaseModel

from functions.analyze import appraisal, brief, builtin, prompt
from functions.analyze.text import words
from functions.connectors import client
from functions.connectors.client import Request, Response
from functions.connectors.spec import Prompt
from infra.bench.ratio import Progress, Ratio, time_ratio
from infra.local.upstream.ai import model

ISSUER = "http://supabase.test"
SECRET = "a-secret-of-the-benchmarks-and-of-nothing-else"
ITEMS = 200
TOPICS = ("Sourdough Bread", "Miso Soup", "Trail Running", "Film Photography", "Garden Furniture", "Speed Chess")
FORMS = ("How I Make {} at Home", "{}: the Mistake Everyone Makes", "40 Tips for Better {}", "{} on a Budget")
DESCRIPTION = """Today I show you {} from the very beginning, with everything that went wrong on the way.

0:00 Intro
1:20 What you need
4:10 The method that works

Everything in this video is made with simple tools. Let me know in the comments how yours turned out!
#{} #{}"""


class Wanted(BaseModel):
    """The body of the bare handler's request: the same fields as POST /analyze."""

    content_item_id: str
    provider: str | None = None
    model: str | None = None
    force: bool = False


def run(progress: Progress) -> list[Ratio]:
    """Handler over a bare one, with nothing, a provider and the built-in analyser in it; items a second of the last."""
    row = {"id": str(uuid4()), "suggested_titles": ["A title"]}
    results = []
    for name, provider in (
        ("nothing to do", None),
        ("prompt and answer of a provider", "openai"),
        ("built-in", "local"),
    ):
        progress(f"handler, {name}")
        with _surroundings(provider, row) as event:
            from functions.analyze.handler import handler  # noqa: PLC0415 - asks for its settings when loaded

            answer = handler(event, None)
            assert answer["statusCode"] == 201, answer
            ratio = time_ratio(partial(handler, event, None), partial(_bare, event, row), repeat=20)
        results.append(Ratio(f"POST /analyze, {name}", ratio, "", "bare handler: json and the same pydantic model"))
    progress("built-in analyser")
    facts = _items()
    for one in facts[:10]:
        builtin.answer(one)
    began = time.perf_counter()
    for one in facts:
        appraisal.appraise(builtin.answer(one), one)
    rate = len(facts) / (time.perf_counter() - began)
    ratio = time_ratio(
        lambda: [appraisal.appraise(builtin.answer(one), one) for one in facts[:20]],
        lambda: [Counter(words.words(one.item.text)) for one in facts[:20]],
        pairs=9,
    )
    note = f"{rate:.0f} items a second of one channel"
    results.append(Ratio("built-in analyser with scores", ratio, "", "counting the words of the same items", note))
    return results


def _bare(event: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    Wanted.model_validate_json(event["body"])
    return {"statusCode": 201, "headers": {"content-type": "application/json"}, "body": json.dumps(row)}


@contextmanager
def _surroundings(provider: str | None, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Settings, a database and a provider that answer at once, and an event of a signed-in user.

    Without a provider the analysis itself is left out, too.
    """
    user_id, item_id = str(uuid4()), str(uuid4())
    item = _items()[0].item
    begun = {
        "state": "started",
        "run_id": str(uuid4()),
        "attempt": 1,
        "user_id": user_id,
        "provider": provider,
        "base_url": None,
        "model": "any",
        "is_builtin": provider == "local",
        "facts": {"item": {**_fields(item), "platform": item.platform, "content_type": item.content_type}},
    }
    stored = {"state": "stored", "platform": "youtube", "suggestion": row}
    claims = {"sub": user_id, "role": "authenticated", "aud": "authenticated", "iss": f"{ISSUER}/auth/v1"}
    token = jwt.encode({**claims, "exp": int(time.time()) + 3600}, SECRET, algorithm="HS256")
    event = {
        "version": "2.0",
        "rawPath": "/analyze",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "f.test", "authorization": f"Bearer {token}"},
        "requestContext": {"requestId": "r", "http": {"method": "POST", "path": "/analyze", "sourceIp": "192.0.2.1"}},
        "body": json.dumps({"content_item_id": item_id}),
        "isBase64Encoded": False,
    }
    environment = {
        "SUPABASE_URL": ISSUER,
        "SUPABASE_SECRET_KEY": "none",
        "SUPABASE_JWT_SECRET": SECRET,
        "OPENAI_API_KEY": "sk-none",
    }
    with (
        patch.dict(os.environ, environment),
        patch("functions.database.analysis.begin_analysis", lambda *_, **__: begun),
        patch("functions.database.analysis.finish_analysis", lambda *_, **__: stored),
        patch.object(client, "send", _answer),
        patch("functions.analyze.analyst.suggest", lambda *_: row) if provider is None else nullcontext(),
    ):
        yield event


def _fields(item: brief.Item) -> dict[str, Any]:
    return {"title": item.title, "description": item.description, "tags": item.tags, "hashtags": item.hashtags}


def _answer(request: Request, **_: Any) -> Response:
    """The provider's answer, made once."""
    assert request.url.endswith("/responses")
    return _made_answer()


@cache
def _made_answer() -> Response:
    asked: Prompt = prompt.compose(_items()[0]).prompt
    reply = model.reply(asked.system, asked.user, dict(asked.schema), None)
    content = [{"type": "output_text", "text": reply.text}]
    body = {
        "status": "completed",
        "output": [{"type": "message", "content": content}],
        "usage": {"input_tokens": 900, "output_tokens": 300},
    }
    return Response("OpenAI", 200, httpx.Headers(), json.dumps(body).encode())


@cache
def _items() -> list[brief.Brief]:
    """Items of one channel, each with the others as siblings."""
    made = []
    for number in range(ITEMS):
        topic = TOPICS[number % len(TOPICS)]
        word = topic.split()[-1].lower()
        made.append(
            brief.Item(
                title=f"{FORMS[number % len(FORMS)].format(topic)} ({number})",
                description=DESCRIPTION.format(topic.lower(), word, topic.replace(" ", "")),
                tags=(topic.lower(), word, "at home"),
                hashtags=(word,),
                category="Howto & Style",
                language="en",
                platform="youtube",
                content_type="long_video",
            )
        )
    siblings = tuple(
        brief.Sibling(one.title, one.tags, (), one.category, 1.0 + number) for number, one in enumerate(made[:30])
    )
    trends = tuple(brief.Trend(topic.lower(), 50.0) for topic in TOPICS)
    return [brief.Brief(one, siblings, trends) for one in made]
