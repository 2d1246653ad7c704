"""Google: the Indexing API where it may be used, and Search Console's URL Inspection for the truth.

Docs: https://developers.google.com/search/apis/indexing-api/v3/using-api and
https://developers.google.com/webmaster-tools/v1/urlInspection.index/inspect.

The Indexing API is for pages with JobPosting or BroadcastEvent data only; other pages are refused with advice, because
Google ignores them and may take the access away. Only the inspection's verdict PASS means that a page is indexed.

Credentials, one of
- a service account's key file: `{"client_email": "...", "private_key": "-----BEGIN PRIVATE KEY-----..."}`, the account
  being an owner of the Search Console property,
- an OAuth grant: `{"refresh_token": "...", "client_id": "...", "client_secret": "..."}`,
- an access token that ends within the hour, to try things out: `{"access_token": "..."}`;
each with `property`, such as `sc-domain:example.com`, where it is not the site's address itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from functions.connectors.client import Request, Response
from functions.connectors.search.answers import ask, bad_answer, keep, load, unreadable
from functions.connectors.spec import SearchEngineSpec, Site, SubmissionOutcome, SubmissionStatus

TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address; a key file's own `token_uri` is not used
PUBLISH_URL = "https://indexing.googleapis.com/v3/urlNotifications:publish"
INSPECT_URL = "https://searchconsole.googleapis.com/v1/urlInspection/index:inspect"
SITES_URL = "https://searchconsole.googleapis.com/webmasters/v3/sites"
SCOPES = "https://www.googleapis.com/auth/indexing https://www.googleapis.com/auth/webmasters.readonly"
ASSERTION_SECONDS = 3600
TOKEN_MARGIN_SECONDS = 120
MAX_DETAIL_DEPTH = 6

ADVICE = (
    "Google takes direct submissions of job postings and live streams only. For this page, keep it in the sitemap that "
    "Search Console knows and use 'Request indexing' there."
)

_NOT_THEIRS = "Google says that these credentials do not own the site in Search Console."

_START = re.compile(r"<!--|<script\b([^>]{0,1000})>", re.IGNORECASE)
_END_OF_COMMENT = re.compile(r"-->")
_END_OF_SCRIPT = re.compile(r"</script\b", re.IGNORECASE)
_JSON_LD = re.compile(r"\btype\s*=\s*[\"']?\s*application/ld\+json\b", re.IGNORECASE)

_TOKEN = re.compile(r"[!-~]{1,8192}")

_tokens: dict[str, tuple[str, float]] = {}


def submit(site: Site, urls: Sequence[str]) -> Sequence[SubmissionOutcome]:
    """Publish one address, if its page is of a kind that the Indexing API takes."""
    (url,) = urls
    page = load(url)
    if isinstance(page, SubmissionOutcome):
        return [page]
    if not is_eligible(page.decode("utf-8", "replace")):
        return [SubmissionOutcome(status="refused", reason="page_kind_not_accepted", message=ADVICE)]
    request = {"url": url, "type": "URL_UPDATED"}
    answer = _ask(site, Request("POST", PUBLISH_URL, json=request))
    if isinstance(answer, SubmissionOutcome):
        return [answer]
    if not answer.ok:
        return [_bad(answer, site, request=request)]
    if "urlNotificationMetadata" not in answer.json_object():
        return [unreadable(answer)]
    return [
        SubmissionOutcome(
            status="submitted", request=request, response_status=answer.status, response=keep(answer, site)
        )
    ]


def inspect(site: Site, url: str, _: str | None) -> SubmissionOutcome:
    """What Google's index holds about `url`."""
    request = {
        "inspectionUrl": url,
        "siteUrl": _property(site),
        "languageCode": "en-US",
    }
    answer = _ask(site, Request("POST", INSPECT_URL, json=request))
    if isinstance(answer, SubmissionOutcome):
        return answer
    if not answer.ok:
        return _bad(answer, site, request=request)
    result = _object(answer.json_object(), "inspectionResult")
    found = _object(result, "indexStatusResult")
    if not found:
        return unreadable(answer)
    status: SubmissionStatus = (
        "indexed" if found.get("verdict") == "PASS" else "crawled" if found.get("lastCrawlTime") else "submitted"
    )
    coverage, link = found.get("coverageState"), result.get("inspectionResultLink")
    return SubmissionOutcome(
        status=status,
        request=request,
        response_status=answer.status,
        response=keep(answer, site),
        coverage_state=coverage if isinstance(coverage, str) else None,
        index_status_url=link if isinstance(link, str) and link.startswith("https://") else None,
    )


def verify(site: Site) -> SubmissionOutcome:
    """Whether Search Console lets these credentials see the property."""
    answer = _ask(site, Request("GET", f"{SITES_URL}/{quote(_property(site), safe='')}"))
    if isinstance(answer, SubmissionOutcome):
        return answer
    if not answer.ok:
        return _bad(answer, site)
    level = answer.json_object().get("permissionLevel")
    if not isinstance(level, str):
        return unreadable(answer)
    if level == "siteUnverifiedUser":
        return SubmissionOutcome(status="failed", reason="not_verified", message=_NOT_THEIRS)
    return SubmissionOutcome(status="submitted")


def _property(site: Site) -> str:
    return str(site.credentials.get("property") or site.site_url)


def is_eligible(html: str) -> bool:
    """Whether a page's JSON-LD holds a JobPosting, or a VideoObject whose publication is a BroadcastEvent."""
    return any(_is_eligible(data) for data in _json_ld(html))


def _json_ld(html: str) -> Iterator[Any]:
    """The page's JSON-LD blocks; what is no JSON is left out.

    Read by hand in one pass: pages come from strangers, and for some of them the standard library's parser takes
    quadratic time.
    """
    at = 0
    while (start := _START.search(html, at)) is not None:
        end = (_END_OF_COMMENT if start[1] is None else _END_OF_SCRIPT).search(html, start.end())
        if end is None:
            return
        if start[1] is not None and _JSON_LD.search(start[1]):
            with contextlib.suppress(ValueError, RecursionError):
                yield json.loads(html[start.end() : end.start()])
        at = end.end()


def _is_eligible(data: Any, *, in_video: bool = False, depth: int = 0) -> bool:
    if depth > 20:
        return False
    if isinstance(data, list):
        return any(_is_eligible(one, in_video=in_video, depth=depth + 1) for one in data)
    if not isinstance(data, dict):
        return False
    kinds = data.get("@type")
    names = {str(kind).rpartition("/")[2] for kind in (kinds if isinstance(kinds, list) else [kinds])}
    if "JobPosting" in names or (in_video and "BroadcastEvent" in names):
        return True
    in_video = "VideoObject" in names
    return any(_is_eligible(value, in_video=in_video, depth=depth + 1) for value in data.values())


def _ask(site: Site, request: Request) -> Response | SubmissionOutcome:
    """The answer to `request` with the site's token. A kept token that is not good any more is renewed, once."""
    for last_try in (False, True):
        is_kept = _token_key(site) in _tokens
        token = _access_token(site)
        if isinstance(token, SubmissionOutcome):
            return token
        answer = ask(replace(request, headers={"Authorization": f"Bearer {token}"}), "Google")
        if answer.status != 401 or not is_kept or last_try:
            return answer
        _tokens.pop(_token_key(site), None)
    raise AssertionError("unreachable")


def _access_token(site: Site) -> str | SubmissionOutcome:
    """A token for the site's credentials, kept in this process until shortly before it ends."""
    if "access_token" in site.credentials:
        return str(site.credentials["access_token"])
    key = _token_key(site)
    known, ends_at = _tokens.get(key, ("", 0.0))
    if time.monotonic() < ends_at:
        return known
    form = _assertion(site.credentials) if "private_key" in site.credentials else _refresh(site.credentials)
    if form is None:
        return _REFUSED_CREDENTIALS
    answer = ask(Request("POST", TOKEN_URL, form=form), "Google")
    body = answer.json_object()
    token, lifetime = body.get("access_token"), body.get("expires_in")
    if not answer.ok:
        return _REFUSED_CREDENTIALS if answer.status in {400, 401, 403} else bad_answer(answer, site)
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        return unreadable(answer)
    if len(_tokens) >= 1000:
        _tokens.clear()
    seconds = float(min(lifetime, ASSERTION_SECONDS)) if isinstance(lifetime, int) else 600.0
    _tokens[key] = (token, time.monotonic() + seconds - TOKEN_MARGIN_SECONDS)
    return token


def _token_key(site: Site) -> str:
    # Only what proves the identity decides which token it is.
    identity = [site.credentials.get(name) for name in ("client_email", "private_key", "client_id", "refresh_token")]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


_REFUSED_CREDENTIALS = SubmissionOutcome(
    status="failed",
    reason="credentials_refused",
    message="Google does not accept these credentials any more; connect the site again.",
    are_credentials_bad=True,
)


def _assertion(credentials: Mapping[str, Any]) -> dict[str, str] | None:
    import jwt  # noqa: PLC0415 - with it comes cryptography, which most calls do not need

    now = int(time.time())
    claims = {
        "iss": credentials["client_email"],
        "scope": SCOPES,
        "aud": TOKEN_URL,
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
    }
    try:
        assertion = jwt.encode(claims, credentials["private_key"], algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        return None
    return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}


def _refresh(credentials: Mapping[str, Any]) -> dict[str, str]:
    names = ("refresh_token", "client_id", "client_secret")
    return {"grant_type": "refresh_token", **{name: str(credentials.get(name, "")) for name in names}}


def _bad(answer: Response, site: Site, **known: Any) -> SubmissionOutcome:
    error = _object(answer.json_object(), "error")
    if answer.status == 429 and any("PerDay" in text for text in _texts(error.get("details"))):
        return SubmissionOutcome(
            status="pending",
            reason="daily_quota",
            message="Google accepts no more requests of this project today.",
            response_status=429,
            response=keep(answer, site),
            remaining_today=0,
            **known,
        )
    message = _NOT_THEIRS if answer.status == 403 else None
    return bad_answer(answer, site, code=error.get("status"), message=message, **known)


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """All texts in `value`, wherever this year's form of the details has them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)) and depth < MAX_DETAIL_DEPTH:
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part, depth + 1)


def _object(parent: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


SPEC = SearchEngineSpec(
    slug="google",
    display_name="Google",
    urls_per_call=1,
    furthest="indexed",
    submit=submit,
    verify=verify,
    inspect=inspect,
)
