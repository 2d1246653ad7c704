"""Calls to the database over PostgREST with the service key.

`rpc` is how functions change anything: one call is one SQL function is one transaction. It speaks PostgREST's RPC
protocol over the shared HTTP client, because importing the postgrest package costs a cold start more than everything
else a queue worker does. Reading rows is in `rows.py`, with postgrest's query builder.
"""

from __future__ import annotations

import json
from typing import Any

import httpx

from functions.core import http, settings
from functions.core.errors import DatabaseUnavailableError
from functions.database import errors

RPC_TIMEOUT_SECONDS = 10.0


def base_url() -> str:
    """Where PostgREST is."""
    return f"{settings.SUPABASE_URL.value()}/rest/v1"


def headers() -> dict[str, str]:
    """What makes a request one of service_role."""
    key = settings.SUPABASE_SECRET_KEY.value()
    return {"apikey": key, "Authorization": f"Bearer {key}"}


def rpc(function: str, **params: Any) -> Any:
    """Call the SQL function `public.<function>` with named arguments as service_role; returns its JSON value.

    Safe to repeat by contract of the SQL, so a connection that fails before an answer is tried once more.
    Raises the errors of `functions.database.errors`.
    """
    url = f"{base_url()}/rpc/{function}"
    content = json.dumps(params, default=str).encode()
    sent = {**headers(), "Content-Type": "application/json"}
    for last_try in (False, True):
        try:
            answer = http.client().post(url, content=content, headers=sent, timeout=RPC_TIMEOUT_SECONDS)
        except httpx.TransportError:
            if last_try:
                raise DatabaseUnavailableError from None
            continue
        if answer.is_success:
            return answer.json() if answer.content else None
        failure = errors.from_answer(answer.status_code, _json(answer))
        if last_try or not isinstance(failure, DatabaseUnavailableError):
            raise failure
    raise DatabaseUnavailableError


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
