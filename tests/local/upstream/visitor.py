"""What tests do at every platform: visit the authorise page, and drive the simulator."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from infra.local.upstream.seed import APPS

REDIRECT_URI = "http://127.0.0.1:5000/oauth/callback"
VERIFIER = "a-verifier-of-more-than-forty-three-characters-0123456789"


def s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


@dataclass(frozen=True)
class Visitor:
    client: httpx.Client

    def authorize(self, platform: str, url: str, **extra: str) -> dict[str, str]:
        """The parameters that the authorise page sends back to the redirect URI."""
        key = "client_key" if platform == "tiktok" else "client_id"
        params = {
            key: APPS[platform].client_id,
            "redirect_uri": REDIRECT_URI,
            "response_type": "code",
            "state": "state-1",
            **extra,
        }
        answer = self.client.get(url, params=params)
        assert answer.status_code == 302, answer.text
        return {k: v[-1] for k, v in parse_qs(urlsplit(answer.headers["location"]).query).items()}

    def control(self, path: str, /, **fields: Any) -> Any:
        answer = self.client.post(f"/_sim/{path}", json=fields)
        assert answer.is_success, answer.text
        return answer.json()

    def tokens(self, platform: str, account: str | None = None, **fields: Any) -> dict[str, Any]:
        """A grant's tokens without the browser."""
        issued: dict[str, Any] = self.control(f"{platform}/grants", account=account, **fields)
        return issued

    def advance(self, seconds: float) -> None:
        self.control("clock", advance_seconds=seconds)

    def journal(self, host: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.client.get("/_sim/requests", params={"host": host}).json()
        return entries
