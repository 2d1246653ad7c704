"""IndexNow: one post tells every engine that takes part (Bing, Yandex, Naver, Seznam, Yep); Google does not.

Docs: https://www.indexnow.org/documentation. Credentials: `{"key": "8 to 128 of a-z A-Z 0-9 -", "key_location"?: url}`.
The key file is looked at before the engine is asked, because a post with a key that is not there counts as spam.
200 means received, 202 that the key is still being checked. Nothing ever says 'indexed'.

The participants' own IndexNow addresses are never used: who has connected Bing or Yandex as well reaches those by their
own APIs, which tell more, and who has not still reaches them through this one post.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from functions.connectors.address import parse
from functions.connectors.client import Request
from functions.connectors.search.answers import ask, bad_answer, load
from functions.connectors.spec import SearchEngineSpec, Site, SubmissionOutcome
from functions.core.errors import UrlRefusedError

ENDPOINT = "https://api.indexnow.org/indexnow"  # the participants forward to each other: it is told once, here
MAX_URLS = 10_000
KEY_CHECK_SECONDS = 600.0  # how long the engine gets to look at a new key before it is told again
KEY_FILE_SECONDS = 600.0  # how long a key file that was seen is believed in

_seen_key_files: dict[tuple[str, str], float] = {}

_MESSAGES = {
    400: "IndexNow could not read the request.",
    403: "IndexNow could not find the key on your site.",
    422: "The address does not belong to the host of the key, or the key is not in the right form.",
}

_BEYOND_THE_KEY = SubmissionOutcome(
    "refused",
    "outside_key_location",
    "Your IndexNow key file speaks for the pages of its own directory only; put it at the root of the site.",
)


def submit(site: Site, urls: Sequence[str]) -> Sequence[SubmissionOutcome]:
    """One post for up to 10,000 addresses of one host; one outcome for all of them.

    A key file elsewhere than at the root speaks for its own directory only, and one address beyond that would have the
    engine refuse the whole post: such addresses are refused here.
    """
    host, key = parse(urls[0]).host, str(site.credentials["key"])
    location = _key_location(site, urls[0])
    trouble = _key_file_trouble(host, key, location)
    if trouble is not None:
        return [trouble] * len(urls)
    directory = parse(location).path.rpartition("/")[0] + "/"
    told = [url for url in urls if parse(url).path.startswith(directory)]
    outcome = _post(site, host, key, location, told) if told else _BEYOND_THE_KEY
    if len(told) == len(urls):
        return [outcome] * len(urls)
    is_told = frozenset(told)
    return [outcome if url in is_told else _BEYOND_THE_KEY for url in urls]


def _post(site: Site, host: str, key: str, location: str, urls: Sequence[str]) -> SubmissionOutcome:
    answer = ask(
        Request(
            "POST",
            ENDPOINT,
            headers={"Content-Type": "application/json; charset=utf-8"},
            json={"host": host, "key": key, "keyLocation": location, "urlList": list(urls)},
        ),
        "IndexNow",
    )
    # The key is no secret by design (it stands on the site), but nobody needs it in a row either.
    request = {"host": host, "urls": len(urls)}
    if answer.status == 202:
        outcome = SubmissionOutcome(
            status="pending",
            reason="key_check_pending",
            message="IndexNow has received the address and is still checking the key file.",
            request=request,
            response_status=202,
            retry_after_seconds=KEY_CHECK_SECONDS,
        )
    elif answer.ok and answer.json_object().get("success") is not False:
        outcome = SubmissionOutcome(status="submitted", request=request, response_status=answer.status)
    else:
        outcome = bad_answer(answer, site, message=_MESSAGES.get(answer.status), request=request)
    return outcome


def verify(site: Site) -> SubmissionOutcome:
    """Whether the key file is where it should be; nobody else has to be asked."""
    host, key = parse(site.site_url).host, str(site.credentials["key"])
    return _key_file_trouble(host, key, _key_location(site, site.site_url)) or SubmissionOutcome(status="submitted")


def _key_location(site: Site, url: str) -> str:
    return str(site.credentials.get("key_location") or f"{parse(url).origin}/{site.credentials['key']}.txt")


def _key_file_trouble(host: str, key: str, location: str) -> SubmissionOutcome | None:
    """Why the key file does not prove that the site is theirs; None if it does."""
    now = time.monotonic()
    if now - _seen_key_files.get((host, key), float("-inf")) < KEY_FILE_SECONDS:
        return None
    try:
        if parse(location).host != host:
            return _no_key_file("The IndexNow key file must be on the host of the page.")
    except UrlRefusedError as error:
        return _no_key_file(error.detail)
    file = load(location, max_bytes=1024)
    if isinstance(file, SubmissionOutcome):
        return replace(file, reason="key_file_missing", are_credentials_bad=file.status == "failed")
    if file.decode("utf-8-sig", "replace").strip() != key:
        return _no_key_file("The IndexNow key file on your site holds something else than the key.")
    if len(_seen_key_files) >= 1000:
        _seen_key_files.clear()
    _seen_key_files[host, key] = now
    return None


def _no_key_file(message: str) -> SubmissionOutcome:
    return SubmissionOutcome("failed", "key_file_missing", message, are_credentials_bad=True)


SPEC = SearchEngineSpec(
    slug="indexnow", display_name="IndexNow", urls_per_call=MAX_URLS, furthest="submitted", submit=submit, verify=verify
)
