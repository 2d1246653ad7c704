"""Submitting a page, on request and automatically.

A request makes one row and one charge for each engine in one transaction, then tries the engines at once; what does not
succeed in time is left to the scheduled poll. Each engine's row has its own state, or its own reasoned refusal.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from functions.connectors.address import WebAddress, parse
from functions.core.errors import ConflictError, InvalidRequestError, QuotaExceededError, StreamVibeError
from functions.core.observability import logger
from functions.database import submissions
from functions.seo_submit import engines, ownership

SECONDS_FOR_ENGINES = 22.0  # the gateway ends a request after 30

Row = dict[str, Any]


def submit(
    user_id: str,
    content_item_id: str,
    url: str,
    search_engines: Sequence[str] | None = None,
    *,
    idempotency_key: str | None = None,
    is_automatic: bool = False,
) -> list[Row]:
    """Submit the page of an item to some engines, or to all that the user has connected.

    One entry for each engine: id, search_engine, status, error_code, error_message and the rest of the row. Raises
    UrlRefusedError, NotFoundError (not the user's item), QuotaExceededError, ConflictError (key reused, nothing
    connected).
    """
    page = parse(url)
    wanted = None if search_engines is None else sorted({name.lower() for name in search_engines})
    connections = submissions.targets(user_id, content_item_id, wanted)
    chosen = _choose(page, connections, wanted)
    made = submissions.create(
        user_id,
        content_item_id,
        str(page),
        chosen,
        engines=wanted,
        idempotency_key=idempotency_key,
        is_automatic=is_automatic,
    )
    if made["quota"] is not None:
        raise QuotaExceededError(**made["quota"])
    entries: list[Row] = made["submissions"]
    if not made["replayed"]:
        _try_now([target["search_engine"] for target in chosen if target["error_code"] is None], entries)
    return submissions.answers(user_id, entries)


def submit_automatically(message: Row) -> None:
    """One message of the seo queue: {content_item_id, connection_id}. Coming twice does nothing twice."""
    content_item_id, connection_id = str(message["content_item_id"]), str(message["connection_id"])
    page = submissions.auto_page(content_item_id, connection_id)
    if page is None:
        return
    logger.thread_safe_append_keys(user_id=page["user_id"])
    try:
        submit(
            page["user_id"],
            content_item_id,
            page["url"],
            [page["search_engine"]],
            idempotency_key=f"auto:{content_item_id}:{connection_id}",
            is_automatic=True,
        )
    except StreamVibeError as error:
        if error.retryable:
            raise
        # No quota left, no such page: it was tried, and the user's own request says more than a queue can.
        logger.info("automatic submission not made", extra={"code": error.problem_code})
    submissions.finish_auto(content_item_id, connection_id)


def _choose(page: WebAddress, connections: Sequence[Row], wanted: Sequence[str] | None) -> list[Row]:
    """One target for each engine: the connected site that the page belongs to, or why there is none."""
    names = wanted if wanted is not None else sorted({connection["search_engine"] for connection in connections})
    platform = ownership.platform_of(page)
    if not names:
        if platform is not None:
            code, message = ownership.platform_refusal(platform)
            raise InvalidRequestError(message, code=code)
        raise ConflictError("Connect a search engine first.", code="no_search_engine")
    return [_target(page, name, [one for one in connections if one["search_engine"] == name]) for name in names]


def _target(page: WebAddress, name: str, connections: Sequence[Row]) -> Row:
    refusals = [(connection, ownership.refusal(page, connection["site_url"])) for connection in connections]
    fitting = [connection for connection, refusal in refusals if refusal is None]
    if fitting:
        # The most specific site, if several fit.
        best = max(fitting, key=lambda connection: len(connection["site_url"]))
        return {
            "search_engine": name,
            "connection_id": best["connection_id"],
            "error_code": None,
            "error_message": None,
        }
    if refusals:
        connection, refusal = refusals[0]
        assert refusal is not None
        code, message = refusal
        connection_id = connection["connection_id"]
    elif (platform := ownership.platform_of(page)) is not None:
        connection_id, (code, message) = None, ownership.platform_refusal(platform)
    else:
        connection_id, code, message = None, "not_connected", "You have not connected this search engine."
    return {"search_engine": name, "connection_id": connection_id, "error_code": code, "error_message": message}


def _try_now(names: Sequence[str], entries: Sequence[Row]) -> None:
    """Ask all engines at once, because together they may take longer than the gateway waits."""
    ids = [entry["id"] for entry in entries if entry["id"] is not None and not entry.get("duplicate")]
    if not ids or not names:
        return
    ends_at = time.monotonic() + SECONDS_FOR_ENGINES

    def try_one(name: str) -> None:
        try:
            engines.run(name, seconds_left=lambda: ends_at - time.monotonic(), ids=ids)
        except StreamVibeError as error:
            # The rows are there and due: the poll will do what this request could not.
            logger.warning("submission left to the poll", extra={"engine": name, "code": error.problem_code})

    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        list(pool.map(try_one, names))
