"""Yandex Webmaster API v4: the recrawl queue.

Docs: https://yandex.com/dev/webmaster/doc/en/reference/host-recrawl-post. Credentials: `{"access_token": "..."}`, sent
as `Authorization: OAuth ...`. A task that is DONE means that the robot came by, not that the page is in the index.
409 URL_ALREADY_ADDED is as good as a success: the address is in the queue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from functions.connectors.address import DEFAULT_PORTS, parse
from functions.connectors.client import Request, Response
from functions.connectors.search.answers import ask, bad_answer, keep, unreadable, whole
from functions.connectors.spec import SearchEngineSpec, Site, SubmissionOutcome, SubmissionStatus

ORIGIN = "https://api.webmaster.yandex.net"
TASKS_PER_PAGE = 100

_user_ids: dict[str, int] = {}

_STATES: dict[str, tuple[SubmissionStatus, str]] = {
    "IN_PROGRESS": ("submitted", "In the recrawl queue"),
    "DONE": ("crawled", "Visited by the robot"),
    "FAILED": ("failed", "The robot could not load the page"),
}
_MESSAGES = {
    "INVALID_OAUTH_TOKEN": "Yandex does not accept the access token any more; connect the site again.",
    "HOST_NOT_VERIFIED": "The site is not verified in Yandex Webmaster.",
    "HOST_NOT_FOUND": "The site is not in the Yandex Webmaster account.",
    "INVALID_URL": "Yandex does not accept this address.",
}


def submit(site: Site, urls: Sequence[str]) -> Sequence[SubmissionOutcome]:
    """Put one address into the recrawl queue."""
    (url,) = urls
    queue = _queue(site, url)
    if isinstance(queue, SubmissionOutcome):
        return [queue]
    answer = ask(Request("POST", queue, headers=_headers(site), json={"url": url}), "Yandex")
    body = answer.json_object()
    if answer.ok and not body.keys() & {"task_id", "quota_remainder"}:
        outcome = unreadable(answer)
    elif answer.ok:
        task = body.get("task_id")
        outcome = SubmissionOutcome(
            status="submitted",
            request={"url": url},
            response_status=answer.status,
            response=keep(answer, site),
            index_status_url=f"{queue}/{quote(task, safe='', errors='replace')}" if isinstance(task, str) else None,
            remaining_today=whole(body.get("quota_remainder")),
        )
    elif answer.status == 409 and body.get("error_code") == "URL_ALREADY_ADDED":
        outcome = SubmissionOutcome(
            status="submitted",
            reason="already_added",
            request={"url": url},
            response_status=409,
            response=keep(answer, site),
        )
    else:
        outcome = _bad(answer, site, request={"url": url})
    return [outcome]


def inspect(site: Site, url: str, index_status_url: str | None) -> SubmissionOutcome:
    """The state of the address's task. Without the task's own address it is looked for in the queue."""
    if index_status_url is not None and index_status_url.startswith(f"{ORIGIN}/v4/user/"):
        answer = ask(Request("GET", index_status_url, headers=_headers(site)), "Yandex")
        tasks = [answer.json_object()]
    else:
        queue = _queue(site, url)
        if isinstance(queue, SubmissionOutcome):
            return queue
        params = {"offset": 0, "limit": TASKS_PER_PAGE}
        answer = ask(Request("GET", queue, params=params, headers=_headers(site)), "Yandex")
        found = answer.json_object().get("tasks")
        tasks = [task for task in found if isinstance(task, dict)] if isinstance(found, list) else []
    if not answer.ok:
        return _bad(answer, site)
    if not any("state" in task for task in tasks) and "tasks" not in answer.json_object():
        return unreadable(answer)
    state = next((str(task.get("state")) for task in tasks if task.get("url") in (url, None)), "")
    status, coverage = _STATES.get(state, ("submitted", "Not in the recrawl queue any more"))
    return SubmissionOutcome(
        status=status,
        reason="page_not_loaded" if status == "failed" else None,
        message=f"{coverage}." if status == "failed" else None,
        response_status=answer.status,
        response={"state": state if state in _STATES else None},
        coverage_state=coverage,
    )


def verify(site: Site) -> SubmissionOutcome:
    """Whether the token may ask for the site's recrawl quota."""
    queue = _queue(site, site.site_url)
    if isinstance(queue, SubmissionOutcome):
        return queue
    answer = ask(Request("GET", f"{queue.removesuffix('queue')}quota", headers=_headers(site)), "Yandex")
    if not answer.ok:
        return _bad(answer, site)
    told = answer.json_object().keys() & {"daily_quota", "quota_remainder"}
    return SubmissionOutcome(status="submitted") if told else unreadable(answer)


def _queue(site: Site, url: str) -> str | SubmissionOutcome:
    """The address of the site's recrawl queue, or why there is none."""
    user_id = _user_id(site)
    if isinstance(user_id, SubmissionOutcome):
        return user_id
    address = parse(url)
    host_id = f"{address.scheme}:{address.host}:{DEFAULT_PORTS[address.scheme]}"
    return f"{ORIGIN}/v4/user/{user_id}/hosts/{quote(host_id, safe=':')}/recrawl/queue"


def _user_id(site: Site) -> int | SubmissionOutcome:
    token = hashlib.sha256(str(site.credentials["access_token"]).encode()).hexdigest()
    if token not in _user_ids:
        answer = ask(Request("GET", f"{ORIGIN}/v4/user", headers=_headers(site)), "Yandex")
        if not answer.ok:
            return _bad(answer, site)
        user_id = answer.json_object().get("user_id")
        if isinstance(user_id, bool) or not isinstance(user_id, int):
            return unreadable(answer)
        if len(_user_ids) >= 1000:
            _user_ids.clear()
        _user_ids[token] = user_id
    return _user_ids[token]


def _headers(site: Site) -> dict[str, str]:
    return {"Authorization": f"OAuth {site.credentials['access_token']}"}


def _bad(answer: Response, site: Site, **known: Any) -> SubmissionOutcome:
    code = answer.json_object().get("error_code")
    if code == "QUOTA_EXCEEDED":
        return SubmissionOutcome(
            status="pending",
            reason="daily_quota",
            message="Yandex accepts no more addresses of this site today.",
            response_status=answer.status,
            response=keep(answer, site),
            remaining_today=0,
            **known,
        )
    return bad_answer(answer, site, code=code, message=_MESSAGES.get(str(code)), **known)


SPEC = SearchEngineSpec(
    slug="yandex",
    display_name="Yandex",
    urls_per_call=1,
    furthest="crawled",
    submit=submit,
    verify=verify,
    inspect=inspect,
)
