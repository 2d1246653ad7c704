"""A creator at the local stack: signs up, connects platforms as a browser would, starts syncs and watches them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx

from infra.local.stack import Stack

WAIT_SECONDS = 180.0
POLL_SECONDS = 0.05
# Servers close idle connections after five seconds; a request on one that is being closed at that moment would fail.
LIMITS = httpx.Limits(keepalive_expiry=2.0)


@dataclass
class Creator:
    """One signed-in user. Requests go to the functions unless they say `rest`."""

    stack: Stack
    id: str
    access_token: str
    http: httpx.Client

    @classmethod
    def sign_up(cls, stack: Stack, http: httpx.Client) -> Creator:
        # Made by an admin, because hosted projects send a mail to who signs up, and none to example.com.
        auth, key = f"{stack.env['SUPABASE_URL']}/auth/v1", stack.env["SUPABASE_SECRET_KEY"]
        person = {"email": f"{uuid4()}@example.com", "password": "a long password"}
        http.post(
            f"{auth}/admin/users", headers={"apikey": key}, json={**person, "email_confirm": True}
        ).raise_for_status()
        answer = http.post(
            f"{auth}/token?grant_type=password",
            headers={"apikey": stack.env["SUPABASE_PUBLISHABLE_KEY"]},
            json=person,
        )
        answer.raise_for_status()
        return cls(stack, answer.json()["user"]["id"], answer.json()["access_token"], http)

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.access_token}", **options.pop("headers", {})}
        return self.http.request(method, self.stack.env["FUNCTIONS_URL"] + path, headers=headers, **options)

    def rest(self, path: str, method: str = "GET", **options: Any) -> Any:
        """The data API's JSON, as this user."""
        headers = {
            "apikey": self.stack.env["SUPABASE_PUBLISHABLE_KEY"],
            "Authorization": f"Bearer {self.access_token}",
            **options.pop("headers", {}),
        }
        url = f"{self.stack.env['SUPABASE_URL']}/rest/v1/{path}"
        answer = self.http.request(method, url, headers=headers, **options)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def visit(self, platform: str, login_hint: str = "") -> dict[str, str]:
        """Start and consent, as the browser does; what arrives in the app's fragment."""
        started = self.call("POST", f"/oauth/{platform}/authorize", json={})
        assert started.status_code == 200, started.text
        return self.consent(started.json()["authorize_url"], login_hint)

    def consent(self, authorize_url: str, login_hint: str = "") -> dict[str, str]:
        approved = self.http.get(httpx.URL(authorize_url).copy_merge_params({"login_hint": login_hint}))
        assert approved.status_code == 302, approved.text
        relayed = self.http.get(approved.headers["location"])
        assert relayed.status_code == 303, relayed.text
        location = relayed.headers["location"]
        assert location.startswith(self.stack.env["APP_URL"])
        return dict(parse_qsl(urlsplit(location).fragment))

    def complete(self, platform: str, brought: dict[str, str]) -> httpx.Response:
        body = {name: brought[name] for name in ("code", "state", "iss") if name in brought}
        return self.call("POST", f"/oauth/{platform}/callback", json=body)

    def connect(self, platform: str, login_hint: str = "") -> dict[str, Any]:
        """`{connection, accounts}` of a platform that has been connected."""
        completed = self.complete(platform, self.visit(platform, login_hint))
        assert completed.status_code == 201, completed.text
        answer: dict[str, Any] = completed.json()
        return answer

    def start_sync(self, account_id: str, **headers: str) -> str:
        started = self.call("POST", "/sync", json={"social_account_id": account_id}, headers=headers)
        assert started.status_code == 202, started.text
        return str(started.json()["run_id"])

    def run(self, run_id: str) -> dict[str, Any]:
        (row,) = self.rest(f"sync_run?id=eq.{run_id}")
        found: dict[str, Any] = row
        return found

    def wait_for_run(self, run_id: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """The run's row once it has ended."""
        until = time.monotonic() + seconds
        while True:
            row = self.run(run_id)
            if row["status"] not in {"queued", "running"}:
                return row
            assert time.monotonic() < until, row
            time.sleep(POLL_SECONDS)

    def sync(self, account_id: str) -> dict[str, Any]:
        return self.wait_for_run(self.start_sync(account_id))

    def items(self, account_id: str) -> list[dict[str, Any]]:
        """All items of an account, newest first."""
        rows: list[dict[str, Any]] = []
        while True:
            query = f"content_item?social_account_id=eq.{account_id}&order=published_at.desc,id&offset={len(rows)}"
            page = self.rest(query)
            if not page:
                return rows
            rows += page

    def used(self, quota_type: str = "sync") -> int:
        return int(self.rest("subscription?select=syncs_used,ai_analyses_used")[0][f"{quota_type}s_used"])
