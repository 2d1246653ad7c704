"""A platform's API on behalf of one account: signs requests, renews a token that is not taken, watches the limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from functions.connectors.client import Request, Response, send
from functions.connectors.spec import Pause, PlatformSpec
from functions.core.errors import TokenRejectedError

CALL_DEADLINE_SECONDS = 12.0


class PlatformApi:
    """The `Api` of a spec. `renew` gets a fresh access token after the platform rejected the last one.

    `pause` is the longest one that the platform asked for with what was called so far.
    """

    def __init__(
        self,
        platform: PlatformSpec,
        access_token: str,
        scopes: frozenset[str],
        renew: Callable[[], str] | None = None,
    ) -> None:
        self._platform = platform
        self._access_token = access_token
        self._renew = renew
        self.scopes = scopes
        self.pause: Pause | None = None

    def call(self, request: Request) -> Any:
        """The JSON of the answer. Raises what the platform's `check` says, and UpstreamError for what is not JSON."""
        try:
            response = self._send(request)
        except TokenRejectedError:
            if self._renew is None:
                raise
            self._access_token = self._renew()
            response = self._send(request)
        asked = self._platform.read_pause(response) if self._platform.read_pause is not None else None
        if asked is not None and (self.pause is None or asked.seconds > self.pause.seconds):
            self.pause = asked
        return response.json()

    def _send(self, request: Request) -> Response:
        return send(
            self._platform.sign(request, self._access_token),
            service=self._platform.display_name,
            check=self._platform.check,
            idempotent=True,  # nothing is ever written to a platform
            deadline_seconds=CALL_DEADLINE_SECONDS,
            retries=1,
        )
