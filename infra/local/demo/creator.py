"""A creator's app, as small as it can be: supabase-py for Auth and data, plain HTTP for the functions.

This is the example client of the project: what it does, any app can do with the publishable key and a sign-in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, cast
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
from supabase import Client, ClientOptions, create_client

FUNCTION_TIMEOUT_SECONDS = 40.0
WAIT_SECONDS = 120.0
POLL_SECONDS = 0.15


class JourneyError(Exception):
    """The journey cannot go on; the message says where it stopped and what the answer was."""


class Creator:
    """One signed-in person. `supabase` is the unmodified official client."""

    def __init__(self, environment: Mapping[str, str], name: str) -> None:
        self.name = name
        self._functions_url = environment["FUNCTIONS_URL"]
        self._http = httpx.Client(timeout=FUNCTION_TIMEOUT_SECONDS)
        options = ClientOptions(auto_refresh_token=False, persist_session=False)
        self.supabase: Client = create_client(
            environment["SUPABASE_URL"], environment["SUPABASE_PUBLISHABLE_KEY"], options=options
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def sign_up(self) -> str:
        """Sign up and in with a fresh e-mail address; returns the address."""
        email = f"{self.name.lower()}-{uuid4().hex[:8]}@example.com"
        answer = self.supabase.auth.sign_up({"email": email, "password": uuid4().hex})
        if answer.session is None:
            raise JourneyError("Signing up gave no session.")
        self._token = answer.session.access_token
        return email

    # ------------------------------------------------------------------------------------------------ functions

    def post(self, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> httpx.Response:
        """POST to a function as this creator."""
        sent = {"Authorization": f"Bearer {self._token}", **headers}
        return self._http.post(f"{self._functions_url}{path}", json=dict(body or {}), headers=sent)

    def call(self, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> dict[str, Any]:
        """POST that must succeed; returns the JSON answer."""
        answer = self.post(path, body, **headers)
        if not answer.is_success:
            raise JourneyError(f"POST {path} answered {answer.status_code}: {answer.text[:300]}")
        return dict(answer.json())

    def connect(self, platform: str, account: str | None = None) -> list[dict[str, Any]]:
        """Connect a platform as a browser would; `account` is who signs in there. Returns the connected accounts."""
        start = self.call(f"/oauth/{platform}/authorize")
        url = httpx.URL(start["authorize_url"])
        consent = self._http.get(url.copy_merge_params({"login_hint": account}) if account else url)
        relay = self._http.get(_location(consent))
        fragment = parse_qs(urlsplit(_location(relay)).fragment)
        completion = {name: values[0] for name, values in fragment.items() if name in {"code", "state", "iss"}}
        return list(self.call(f"/oauth/{platform}/callback", completion)["accounts"])

    def pay(self, checkout_url: str) -> None:
        """Pay at Stripe's checkout page, with a card that works."""
        _location(self._http.post(checkout_url))

    # ----------------------------------------------------------------------------------------------------- data

    def rows(self, table: str, columns: str = "*", **equal: str) -> list[dict[str, Any]]:
        """Rows of a table that this creator may read."""
        query = self.supabase.table(table).select(columns)
        for column, value in equal.items():
            query = query.eq(column, value)
        return cast("list[dict[str, Any]]", query.execute().data)

    def rpc(self, function: str, **params: Any) -> Any:
        """What a function of the database answers this creator."""
        return self.supabase.rpc(function, params).execute().data

    def watch(
        self, table: str, identity: str, until: Callable[[dict[str, Any]], bool], columns: str = "*"
    ) -> Iterator[dict[str, Any]]:
        """A row again and again until it is as wanted. Raises JourneyError if that takes too long."""
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            (row,) = self.rows(table, columns, id=identity)
            yield row
            if until(row):
                return
            time.sleep(POLL_SECONDS)
        raise JourneyError(f"{table} {identity} did not get there in {WAIT_SECONDS:.0f} s.")


def _location(answer: httpx.Response) -> str:
    if not answer.is_redirect:
        raise JourneyError(f"{answer.request.url.copy_with(query=None)} did not redirect: {answer.status_code}")
    return answer.headers["location"]
