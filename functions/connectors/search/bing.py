"""Bing's URL Submission API, for sites that are verified in Bing Webmaster Tools.

Docs: https://learn.microsoft.com/en-us/bingwebmaster/getting-access and
https://learn.microsoft.com/en-us/dotnet/api/microsoft.bing.webmaster.api.interfaces.iwebmasterapi.
Credentials: `{"api_key": "..."}`. A batch larger than what is left of the day's quota is refused as a whole, so the
quota is read first. Bing says when it last crawled an address, never that the address is in its index.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from functions.connectors.client import Request, Response
from functions.connectors.search.answers import ask, bad_answer, keep, unreadable, whole
from functions.connectors.spec import SearchEngineSpec, Site, SubmissionOutcome

API = "https://ssl.bing.com/webmaster/api.svc/json"
MAX_URLS = 500
LAST_MILLISECOND = 253_402_300_800_000  # of the year 9999, where Python's calendar ends
_DATE = re.compile(r"/Date\((-?[0-9]{1,14})(?:[+-]\d{4})?\)/")
_BAD_CREDENTIALS = {"InvalidApiKey", "NotAuthorized", "NotAllowed", "UserNotFound", "SiteNotFound"}
_ERROR_WORD = re.compile(r"ERROR!!!\s*(\w{3,40})")


def submit(site: Site, urls: Sequence[str]) -> Sequence[SubmissionOutcome]:
    """One batch of as many addresses as the day's quota allows; the rest are for another day."""
    answer = ask(_get(site, "GetUrlSubmissionQuota", siteUrl=site.site_url), "Bing")
    if not answer.ok:
        return [_bad(answer, site)] * len(urls)
    quota = _result(answer)
    today, this_month = whole(quota.get("DailyQuota")), whole(quota.get("MonthlyQuota"))
    known = [number for number in (today, this_month) if number is not None]
    if not known:
        return [unreadable(answer)] * len(urls)
    left = min(*known, len(urls))
    too_many = SubmissionOutcome(
        status="pending",
        reason="daily_quota",
        message="Bing accepts no more addresses of this site today.",
        response=keep(answer, site),
        remaining_today=0,
    )
    if left <= 0:
        return [too_many] * len(urls)
    batch = list(urls[:left])
    body = {"siteUrl": site.site_url, "urlList": batch}
    answer = ask(
        Request("POST", f"{API}/SubmitUrlbatch", params={"apikey": site.credentials["api_key"]}, json=body), "Bing"
    )
    request = {"siteUrl": site.site_url, "urls": len(batch)}
    if answer.ok and "d" not in answer.json_object():
        outcome = unreadable(answer)
    elif answer.ok:
        outcome = SubmissionOutcome(
            status="submitted",
            request=request,
            response_status=answer.status,
            response=keep(answer, site),
            remaining_today=None if today is None else today - len(batch),
        )
    else:
        outcome = _bad(answer, site, request=request)
    return [outcome] * len(batch) + [too_many] * (len(urls) - len(batch))


def inspect(site: Site, url: str, _: str | None) -> SubmissionOutcome:
    """What Bing knows about `url`: that it found it, and when it last crawled it."""
    answer = ask(_get(site, "GetUrlInfo", siteUrl=site.site_url, url=url), "Bing")
    if not answer.ok:
        return _bad(answer, site)
    if "d" not in answer.json_object():
        return unreadable(answer)
    found = _result(answer)
    crawled, discovered = _date(found.get("LastCrawledDate")), _date(found.get("DiscoveryDate"))
    said = f"Crawled {crawled:%Y-%m-%d}" if crawled else f"Discovered {discovered:%Y-%m-%d}" if discovered else None
    return SubmissionOutcome(
        status="crawled" if crawled else "submitted",
        response_status=answer.status,
        response=keep(answer, site),
        coverage_state=said or "Not known to Bing yet",
    )


def verify(site: Site) -> SubmissionOutcome:
    """Whether the key may ask for the site's quota."""
    answer = ask(_get(site, "GetUrlSubmissionQuota", siteUrl=site.site_url), "Bing")
    if not answer.ok:
        return _bad(answer, site)
    return SubmissionOutcome(status="submitted") if "d" in answer.json_object() else unreadable(answer)


def _get(site: Site, method: str, **params: str) -> Request:
    return Request("GET", f"{API}/{method}", params={**params, "apikey": site.credentials["api_key"]})


def _bad(answer: Response, site: Site, **known: Any) -> SubmissionOutcome:
    """Bing answers 400 to everything; what it means stands in the message."""
    message = str(answer.json_object().get("Message", ""))
    word = _ERROR_WORD.match(message)
    code = word[1] if word else None
    if "quota" in message.lower():
        return SubmissionOutcome(
            status="pending",
            reason="daily_quota",
            message="Bing accepts no more addresses of this site today.",
            response_status=answer.status,
            response=keep(answer, site),
            remaining_today=0,
            **known,
        )
    if code in {"ThrottleUser", "ThrottleHost"}:
        return SubmissionOutcome(
            status="pending",
            reason="throttled",
            message="Bing asks to come back later.",
            response_status=answer.status,
            response=keep(answer, site),
            **known,
        )
    bad = answer.status in {401, 403} or code in _BAD_CREDENTIALS
    return bad_answer(answer, site, code=code, are_credentials_bad=bad, **known)


def _result(answer: Response) -> dict[str, Any]:
    result = answer.json_object().get("d")
    return result if isinstance(result, dict) else {}


def _date(value: Any) -> datetime | None:
    """From `/Date(ms)/`; Bing's 'never' is a date before 1970."""
    match = _DATE.fullmatch(str(value or ""))
    if match is None or not 0 < int(match[1]) < LAST_MILLISECOND:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(match[1]))


SPEC = SearchEngineSpec(
    slug="bing",
    display_name="Bing",
    urls_per_call=MAX_URLS,
    furthest="crawled",
    submit=submit,
    verify=verify,
    inspect=inspect,
)
