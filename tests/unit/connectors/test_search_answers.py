"""Whatever an engine answers, it is read as an outcome that can be stored, and as no more than it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from functions.connectors import registry
from functions.connectors.client import Request, Response
from functions.connectors.search import bing, google, indexnow, yandex
from functions.connectors.spec import Site, SubmissionOutcome
from functions.seo_submit import engines
from tests.unit.connectors.mutants import NO_OBJECTS, mutants

KEY = "0123456789abcdef"
PAGE = "https://creator.example/videos/1"
SITE = Site("https://creator.example/", {"key": KEY, "api_key": KEY, "access_token": "token-123456"})
JOB = b'<script type="application/ld+json">{"@type": "JobPosting"}</script>'
DATE = "/Date(1767225600000)/"
INSPECTED = {"verdict": "PASS", "coverageState": "Indexed", "lastCrawlTime": "2026-01-01T00:00:00Z"}

# What each engine answers to each call, one after the other.
CALLS: dict[tuple[str, str], list[Any]] = {
    ("bing", "submit"): [{"d": {"DailyQuota": 5, "MonthlyQuota": 50}}, {"d": None}],
    ("bing", "inspect"): [{"d": {"Url": PAGE, "LastCrawledDate": DATE, "DiscoveryDate": DATE}}],
    ("bing", "verify"): [{"d": {"DailyQuota": 5, "MonthlyQuota": 50}}],
    ("yandex", "submit"): [{"user_id": 1}, {"task_id": "a-b", "quota_remainder": 5}],
    ("yandex", "inspect"): [{"user_id": 1}, {"tasks": [{"task_id": "a-b", "url": PAGE, "state": "DONE"}]}],
    ("yandex", "verify"): [{"user_id": 1}, {"daily_quota": 5, "quota_remainder": 4}],
    ("google", "submit"): [{"urlNotificationMetadata": {"url": PAGE}}],
    ("google", "inspect"): [
        {"inspectionResult": {"inspectionResultLink": "https://g.example", "indexStatusResult": INSPECTED}}
    ],
    ("google", "verify"): [{"permissionLevel": "siteOwner"}],
    ("indexnow", "submit"): [{"success": True}],
}
ERRORS: dict[str, Any] = {
    "bing": {"ErrorCode": 3, "Message": "ERROR!!! InvalidApiKey"},
    "yandex": {"error_code": "QUOTA_EXCEEDED", "error_message": "..."},
    "google": {"error": {"status": "RESOURCE_EXHAUSTED", "details": [{"metadata": {"quota_limit": "PerDay"}}]}},
    "indexnow": {"success": False, "message": "..."},
}
Answers = list[tuple[int, bytes]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What is put in here is what the engines answer, in order."""
    waiting: Answers = []

    def answer(request: Request, service: str) -> Response:
        status, body = waiting.pop(0)
        return Response(service, status, httpx.Headers(), body)

    for module in (bing, google, indexnow, yandex):
        monkeypatch.setattr(module, "ask", answer)
    monkeypatch.setattr(google, "load", lambda url: JOB)
    monkeypatch.setattr(indexnow, "load", lambda url, max_bytes: KEY.encode())
    return waiting


def outcome(answers: Answers, engine: str, call: str, said: Answers) -> SubmissionOutcome:
    answers[:] = said
    yandex._user_ids.clear()
    spec = registry.search_engine(engine)
    if call == "submit":
        (found,) = spec.submit(SITE, [PAGE])
        return found
    if call == "verify":
        return spec.verify(SITE)
    assert spec.inspect is not None
    return spec.inspect(SITE, PAGE, None)


def assert_storable(found: SubmissionOutcome, engine: str) -> None:
    turn = engines._Turn(registry.search_engine(engine), lambda: 1.0)
    row = turn._stored(found, is_check=False)
    text = json.dumps(row, allow_nan=False, ensure_ascii=False)
    assert "\\u0000" not in text
    assert len(text.encode()) < 20_000
    assert row["remaining_today"] is None or 0 <= row["remaining_today"] < 2**31
    assert KEY not in text


def variants(engine: str, call: str) -> Iterator[tuple[Answers, bool]]:
    """The call's answers with one of them changed; whether the changed one holds nothing at all."""
    good = [(200, json.dumps(body).encode()) for body in CALLS[engine, call]]
    for place, body in enumerate(CALLS[engine, call]):
        for raw in (json.dumps(mutant).encode() for mutant in mutants(body)):
            yield [*good[:place], (200, raw), *good[place + 1 :]], False
        for raw in NO_OBJECTS:
            yield [*good[:place], (200, raw), *good[place + 1 :]], True
        for raw in [*(json.dumps(mutant).encode() for mutant in mutants(ERRORS[engine])), *NO_OBJECTS]:
            for status in (302, 400, 403, 429, 500):
                yield [*good[:place], (status, raw), *good[place + 1 :]], True


@pytest.mark.parametrize(("engine", "call"), CALLS)
def test_every_answer_is_read_and_can_be_stored(answers: Answers, engine: str, call: str) -> None:
    for said, is_empty in variants(engine, call):
        found = outcome(answers, engine, call, said)
        assert_storable(found, engine)
        # IndexNow's answers are empty when all is well.
        if is_empty and not (engine == "indexnow" and said[0][0] == 200):
            assert found.status in ("pending", "failed")


@pytest.mark.parametrize(("engine", "call"), CALLS)
def test_what_is_said_is_what_is_stored(answers: Answers, engine: str, call: str) -> None:
    good = [(200, json.dumps(body).encode()) for body in CALLS[engine, call]]
    expected = (
        {"google": "indexed", "bing": "crawled", "yandex": "crawled"}[engine] if call == "inspect" else "submitted"
    )
    assert outcome(answers, engine, call, good).status == expected


@pytest.mark.parametrize(("body", "is_down"), [(b"<html>Back soon</html>", True), (b"", True), (b'{"d": null}', False)])
def test_one_sites_odd_answer_is_no_outage(answers: Answers, body: bytes, is_down: bool) -> None:
    found = outcome(answers, "bing", "submit", [(200, body)])
    assert (found.status, found.reason, found.is_engine_down) == ("pending", "unreadable_answer", is_down)


def test_a_key_file_speaks_for_its_own_directory(answers: Answers) -> None:
    site = Site("https://creator.example/", {"key": KEY, "key_location": f"https://creator.example/blog/{KEY}.txt"})
    inside, outside = "https://creator.example/blog/1", "https://creator.example/blogger/1"
    answers[:] = [(200, b"")]
    found = indexnow.submit(site, [inside, outside, inside])
    assert [(one.status, one.reason) for one in found] == [
        ("submitted", None),
        ("refused", "outside_key_location"),
        ("submitted", None),
    ]
    # Nothing is left to tell: the engine is not asked.
    assert [one.status for one in indexnow.submit(site, [outside])] == ["refused"]
