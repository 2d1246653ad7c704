"""Doing what was claimed: asks the engines, and turns their outcomes into what the database stores.

One engine's trouble stays its own: a few calls in a row that find it down end its turn, and the database's breaker
keeps the others from trying. Nothing here compares an engine's name or remembers anything between two calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from typing import Any, TypeVar

from functions.connectors import registry
from functions.connectors.address import parse
from functions.connectors.spec import SearchEngineSpec, Site, SubmissionOutcome
from functions.core import http
from functions.core.errors import StreamVibeError, UpstreamUnavailableError, UrlRefusedError
from functions.core.observability import logger, record
from functions.database import submissions

ROWS_PER_CLAIM = 100  # of engines that take one address at a time
ROWS_PER_STORE = 2000  # so that storing stays far from the database's time limit, refunds of all of them included
CALLS_DOWN_IN_A_ROW = 3
MAX_TEXT_CHARACTERS = 2048
SECONDS_OF_A_CALL = 20.0  # the longest that one page may take: its page, a token, the engine
MINIMUM_SECONDS = 10.0  # with less time left a call would say more about us than about the engine

Result = dict[str, Any]
T = TypeVar("T")

_NO_CREDENTIALS = SubmissionOutcome(
    "failed", "credentials_missing", "The credentials of the site are gone; connect it again.", are_credentials_bad=True
)


def run(engine: str, *, seconds_left: Callable[[], float], ids: Sequence[str] | None = None) -> int:
    """Claim a batch of `engine`'s due submissions (or those of `ids`), do them, store what came of it.

    How many were claimed; 0 means that there is nothing to do now. One call to the database for the claim, and one for
    each ROWS_PER_STORE pages of it.
    """
    spec = registry.search_engine(engine)
    claim = submissions.claim(engine, max(spec.urls_per_call, ROWS_PER_CLAIM), ids)
    if not claim["groups"]:
        return int(claim["claimed"])
    results = _Turn(spec, seconds_left).results(claim["groups"])
    for part in _parts(list(results)):
        for outcome, count in submissions.complete(engine, claim["token"], part)["outcomes"].items():
            record("Submissions", count, engine=engine, outcome=outcome)
    return int(claim["claimed"])


def verify(engine: str, site: Site) -> SubmissionOutcome:
    """Try a connection's credentials; 'submitted' means that they are good."""
    return _asked(lambda: registry.search_engine(engine).verify(site))


class _Turn:
    """One batch of one engine."""

    def __init__(self, spec: SearchEngineSpec, seconds_left: Callable[[], float]) -> None:
        self._spec = spec
        self._seconds_left = seconds_left
        self._down_in_a_row = 0

    def results(self, groups: Sequence[Mapping[str, Any]]) -> Iterator[Result]:
        for group in groups:
            site = Site(group["site_url"], group["credentials"] or {})
            pages = group["pages"]
            for_all = None if site.credentials else _NO_CREDENTIALS
            known = {"connection_id": group["connection_id"], "is_check": False}
            waiting = [page for page in pages if page[2] == "pending"]
            yield from self._pages(_calls(self._spec, site, waiting), known, for_all)
            known = {**known, "is_check": True}
            waiting = [page for page in pages if page[2] != "pending"]
            yield from self._pages(_questions(self._spec, site, waiting), known, for_all)

    def _pages(self, calls: Iterator[_Call], known: Result, for_all: SubmissionOutcome | None) -> Iterator[Result]:
        """One result for each run of pages with the same outcome; `for_all` is one that is known beforehand."""
        for ids, call in calls:
            if for_all is not None:
                yield {**known, "ids": ids, **self._stored(for_all, known["is_check"])}
                continue
            if self._down_in_a_row >= CALLS_DOWN_IN_A_ROW or self._seconds_left() < MINIMUM_SECONDS:
                yield {**known, "ids": ids, "is_untried": True}
                continue
            outcomes = _outcomes(call, len(ids), self._seconds_left())
            self._down_in_a_row = self._down_in_a_row + 1 if outcomes[0].is_engine_down else 0
            last = outcomes[-1]
            if last.are_credentials_bad or last.reason in {"daily_quota", "throttled"}:
                # The rest of the site would hear the same; it is not asked, and no call is counted for it.
                for_all = replace(last, response_status=None, response={}, remaining_today=None)
            for _, same in groupby(zip(ids, outcomes, strict=True), key=lambda pair: id(pair[1])):
                run_of_pages = list(same)
                yield {
                    **known,
                    "ids": [identifier for identifier, _ in run_of_pages],
                    **self._stored(run_of_pages[0][1], known["is_check"]),
                }

    def _stored(self, outcome: SubmissionOutcome, is_check: bool) -> Result:
        status = outcome.status
        if is_check and status == "failed" and not 200 <= (outcome.response_status or 0) < 300:
            status = "refused"  # the question was turned down; that says nothing about the page
        result = {name: _storable(value) for name, value in asdict(outcome).items()}
        result["has_refused_credentials"] = result.pop("are_credentials_bad") and status != "pending"
        result["is_final"] = status == self._spec.furthest
        return {**result, "status": status, "method": outcome.method or self._spec.slug}


def _storable(value: Any) -> Any:
    """An engine's words without what no text column takes (halves of characters, zeros), and not without end."""
    if not isinstance(value, str):
        return value
    return value.encode(errors="replace").decode().replace("\x00", "")[:MAX_TEXT_CHARACTERS]


def _parts(results: Sequence[Result]) -> Iterator[list[Result]]:
    """`results` in portions of at most ROWS_PER_STORE pages; a call is counted with the first of its pages only."""
    part: list[Result] = []
    room = ROWS_PER_STORE
    for result in results:
        ids = result["ids"]
        for start in range(0, len(ids), ROWS_PER_STORE):
            piece = ids[start : start + ROWS_PER_STORE]
            if len(piece) > room:
                yield part
                part, room = [], ROWS_PER_STORE
            part.append({**result, "ids": piece, "calls": 1 if start == 0 else 0})
            room -= len(piece)
    if part:
        yield part


_Call = tuple[list[str], Callable[[], Sequence[SubmissionOutcome]]]


def _calls(spec: SearchEngineSpec, site: Site, pages: Sequence[Sequence[Any]]) -> Iterator[_Call]:
    """Addresses of one host, as many as the engine takes at once."""

    def host(page: Sequence[Any]) -> str:
        try:
            return parse(page[1]).host
        except UrlRefusedError:
            return ""

    for name, of_host in groupby(sorted(pages, key=host), key=host):
        same_host = list(of_host)
        for start in range(0, len(same_host), spec.urls_per_call):
            part = same_host[start : start + spec.urls_per_call]
            urls = [page[1] for page in part]
            yield [page[0] for page in part], _submitting(spec, site, urls) if name else _refusing(len(urls))


def _submitting(spec: SearchEngineSpec, site: Site, urls: Sequence[str]) -> Callable[[], Sequence[SubmissionOutcome]]:
    return lambda: spec.submit(site, urls)


def _refusing(count: int) -> Callable[[], Sequence[SubmissionOutcome]]:
    refused = SubmissionOutcome("refused", UrlRefusedError.code, UrlRefusedError.title)
    return lambda: [refused] * count


def _questions(spec: SearchEngineSpec, site: Site, pages: Sequence[Sequence[Any]]) -> Iterator[_Call]:
    inspect = spec.inspect
    if inspect is None:
        # Nobody to ask: the submission is as far as it gets.
        if pages:
            yield [page[0] for page in pages], lambda: [SubmissionOutcome(spec.furthest)] * len(pages)
        return
    for identifier, url, _, index_status_url in pages:
        yield [identifier], lambda url=url, at=index_status_url: [inspect(site, url, at)]  # type: ignore[misc]


def _outcomes(
    call: Callable[[], Sequence[SubmissionOutcome]], count: int, seconds: float
) -> Sequence[SubmissionOutcome]:
    outcomes = _asked(call, seconds)
    return [outcomes] * count if isinstance(outcomes, SubmissionOutcome) else outcomes


def _asked(ask: Callable[[], T], seconds: float = SECONDS_OF_A_CALL) -> T | SubmissionOutcome:
    """What `ask` answers, or what its error means. Nothing that an engine does may take the batch with it."""
    try:
        with http.deadline(min(seconds, SECONDS_OF_A_CALL)):
            return ask()
    except UpstreamUnavailableError as error:
        return SubmissionOutcome("pending", "engine_unavailable", error.detail, is_engine_down=True)
    except StreamVibeError as error:
        return SubmissionOutcome("pending" if error.retryable else "failed", error.problem_code, error.detail)
    except Exception as error:  # noqa: BLE001 - a fault of ours in one engine's parser must not stop the others
        logger.error("search engine could not be asked", extra={"error_type": type(error).__name__})
        return SubmissionOutcome("pending", "internal_error", "Something went wrong on our side.")
