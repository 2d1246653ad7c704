"""Working on a run: page after page, until it ends, has to wait, or the worker's own time is over.

Nothing that matters is remembered here. The database holds the cursor, moved with each page; whoever comes next goes
on from there, so this process may end anywhere. Redeliveries and duplicates find the run taken, done, or further on.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from typing import Any

from functions.connectors import registry
from functions.connectors.api import PlatformApi
from functions.connectors.spec import AccountRecord, ContentRecord, Page, PlatformSpec
from functions.core import http, queues, settings
from functions.core.errors import (
    DatabaseUnavailableError,
    GrantRevokedError,
    StreamVibeError,
    UpstreamError,
    UpstreamRefusedError,
)
from functions.core.observability import logger, record
from functions.database import analysis, sync
from functions.sync import tokens

Row = dict[str, Any]

PAGE_SECONDS = 18.0  # for all calls of one page; shorter than the lease (sync.lease)
STORE_SECONDS = 5.0  # what storing a page and handing over may take
ANALYSES_AT_ONCE = 20
LEAST_SECONDS = 15.0  # with less than this left no page is begun
PAGES_A_TURN = 100  # then the run goes to the end of the queue, so that a long one does not keep short ones waiting


@dataclasses.dataclass(frozen=True, slots=True)
class Time:
    """When a worker should hand its run over, and when it is ended (both on time.monotonic()'s clock)."""

    hand_over_at: float
    end_at: float

    def is_over(self, pages: int) -> bool:
        """Whether another page should be left to another worker, after so many of them."""
        return pages >= PAGES_A_TURN or time.monotonic() > self.hand_over_at or self.left() < LEAST_SECONDS

    def left(self) -> float:
        return self.end_at - time.monotonic()


class NotDoneError(Exception):
    """The message should be delivered again."""


def work_on(run_id: str, available: Time) -> None:
    """Work on a run while there is time, for one page at least. Raises NotDoneError where a redelivery is wanted."""
    if available.left() < LEAST_SECONDS:
        raise NotDoneError
    logger.thread_safe_append_keys(run_id=run_id)
    claimed = sync.claim(run_id)
    if "look_again_in" in claimed:
        _send_again(run_id, claimed["look_again_in"])
    if claimed["status"] != "claimed":
        return
    logger.thread_safe_append_keys(user_id=claimed["user_id"], platform=claimed["platform"])
    try:
        status = _pages(run_id, claimed, available)
    except GrantRevokedError as error:
        _release(run_id, claimed, error, is_final=True)
    except UpstreamRefusedError as error:
        _release(run_id, claimed, error, is_final=True, blame=_blame(claimed, error))
    except UpstreamError as error:
        if not _release(run_id, claimed, error, is_final=False, blame=_blame(claimed, error)):
            raise NotDoneError from None
    except DatabaseUnavailableError as error:
        # It would not take the release either; the lease ends by itself.
        logger.error(error.detail, extra={"code": error.problem_code})
        raise NotDoneError from None
    except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on later, and not for ever
        # Such as a page that the database refuses.
        logger.error("unexpected error", extra={"error_type": type(error).__name__})
        known = error if isinstance(error, StreamVibeError) else StreamVibeError()
        if not _release(run_id, claimed, known, is_final=False):
            raise NotDoneError from None
    else:
        _after(run_id, claimed, status)


def _after(run_id: str, claimed: Row, status: Row) -> None:
    """What follows the pages of this call: more of them now or later, or what comes after a whole run."""
    logger.info("pages stored", extra={"status": status["status"], "wait_seconds": status.get("seconds")})
    if status["status"] == "next":
        _send_again(run_id, 0)
    elif status["status"] == "waiting":
        _send_again(run_id, status["seconds"])
    else:
        _hand_on(claimed["user_id"])


def _pages(run_id: str, claimed: Row, available: Time) -> Row:
    """Read and store pages; the last answer of the database."""
    spec = registry.platform(claimed["platform"])
    account = _account(claimed["account"])
    with http.deadline(min(PAGE_SECONDS, available.left() - STORE_SECONDS)):
        api = _api(spec, claimed, account)
    cursor, page_number = claimed["cursor"], claimed["page_number"]
    seen = {cursor}
    for pages in itertools.count(1):
        with http.deadline(min(PAGE_SECONDS, available.left() - STORE_SECONDS)):
            fresh = spec.fetch_account(api, account) if page_number == 0 else None
            account = (
                dataclasses.replace(fresh, sync_hint={**account.sync_hint, **fresh.sync_hint}) if fresh else account
            )
            page = without_circles(spec.fetch_page(api, account, cursor), seen)
        answer = sync.apply_page(
            run_id,
            claimed["lease"],
            page_number,
            # A page may list an item twice.
            items=[
                content_row(record)
                for record in {record.platform_content_id: record for record in page.records}.values()
            ],
            next_cursor=page.cursor,
            account=_account_row(fresh) if fresh else None,
            pause_seconds=api.pause.seconds if api.pause else 0,
            is_shared_pause=api.pause is not None and api.pause.is_shared,
            warning=page.warning,
            not_listed=sorted(page.not_listed),
        )
        if answer["status"] != "next":
            return answer
        if available.is_over(pages):
            return sync.release(run_id, claimed["lease"])
        cursor, page_number = page.cursor, answer["page_number"]
    raise AssertionError("unreachable")


def without_circles(page: Page, seen: set[str | None]) -> Page:
    """A page that leads on to one that was read before is the last: a platform's listing must not go round for ever."""
    if page.cursor is None:
        return page
    if page.cursor in seen:
        return dataclasses.replace(page, cursor=None, warning=page.warning or "listing_goes_round")
    seen.add(page.cursor)
    return page


def _hand_on(user_id: str) -> None:
    """New items of users who want that are analysed right away. What fails here is found by that queue's dispatcher."""
    try:
        runs = analysis.plan_analyses(ANALYSES_AT_ONCE, user_id)
        if runs:
            queues.send(settings.ANALYZE_QUEUE_URL.value(), [{"run_id": run_id} for run_id in runs])
    except Exception as error:  # noqa: BLE001 - the sync itself is done
        logger.warning("analyses left to their dispatcher", extra={"error_type": type(error).__name__})


def _api(spec: PlatformSpec, claimed: Row, account: AccountRecord) -> PlatformApi:
    scopes = frozenset(claimed["scopes"])
    held = tokens.use(spec.slug, claimed["connection_id"])

    def renew() -> str:
        nonlocal held
        if held.has_own(account.platform_account_id):
            # A page's token fails by itself when its person loses their role there; the grant may still be good.
            return _own_token_anew(spec, PlatformApi(spec, held.token.access_token, scopes, renew_grant), account)
        return renew_grant()

    def renew_grant() -> str:
        nonlocal held
        held = tokens.use(spec.slug, claimed["connection_id"], rejected_version=held.version)
        return held.token.access_token

    return PlatformApi(spec, held.access_token(account.platform_account_id), scopes, renew)


def _own_token_anew(spec: PlatformSpec, grant_api: PlatformApi, account: AccountRecord) -> str:
    listed = spec.fetch_profile(grant_api).find(account)
    if listed is None or listed.access_token is None:
        raise UpstreamRefusedError(
            f"{spec.display_name} no longer lists this account for the person who connected it.",
            service=spec.display_name,
            upstream_code="account_not_listed",
        )
    return listed.access_token


def _release(run_id: str, claimed: Row, error: StreamVibeError, *, is_final: bool, blame: str | None = None) -> bool:
    """Give the run back; whether it has ended, because of a final error or because it was one failure too many."""
    released = sync.release(
        run_id,
        claimed["lease"],
        error_code=(error.upstream_code if isinstance(error, UpstreamError) else None) or error.problem_code,
        error_message=error.detail,
        retry_after_seconds=error.retry_after_seconds if isinstance(error, UpstreamError) else None,
        is_final=is_final,
        blame=blame,
    )
    has_ended = bool(released["status"] == "done")
    logger.warning("run interrupted", extra={"code": error.problem_code, "has_ended": has_ended})
    # Runs that have ended are counted in the database, whoever ended them; "lost" is another worker's run by now.
    if released["status"] == "waiting":
        record("SyncInterruptions", platform=claimed["platform"])
    if has_ended:
        # What earlier pages brought is there to be analysed all the same.
        _hand_on(claimed["user_id"])
    return has_ended


def _blame(claimed: Row, error: UpstreamError) -> str | None:
    """Whose fault it is: the platform's own trouble, a limit that all users share, or this account's (None)."""
    if error.upstream_code in registry.platform(claimed["platform"]).app_limit_codes:
        return "app_limit"
    is_outage = error.upstream_status is None or error.upstream_status >= 500
    return "platform" if is_outage and not isinstance(error, UpstreamRefusedError) else None


def _send_again(run_id: str, delay_seconds: int) -> None:
    # What the queue cannot keep for so long, or does not take, the dispatcher sends.
    if delay_seconds <= queues.LONGEST_DELAY_SECONDS:
        queues.send(settings.SYNC_QUEUE_URL.value(), [{"run_id": run_id}], delay_seconds=delay_seconds)


def content_row(record: ContentRecord) -> Row:
    """A piece of content as apply_content_page takes it."""
    row = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    row["not_asked"] = sorted(record.not_asked)
    row["published_at"] = record.published_at.isoformat() if record.published_at else None
    return row


def _account(stored: Row) -> AccountRecord:
    return AccountRecord(
        platform_account_id=stored["platform_account_id"],
        account_name=stored["account_name"],
        username=stored["username"],
        sync_hint={name: value for name, value in stored["sync_hint"].items() if value is not None},
    )


def _account_row(account: AccountRecord) -> Row:
    row = {field.name: getattr(account, field.name) for field in dataclasses.fields(account)}
    row.pop("access_token")
    return row
