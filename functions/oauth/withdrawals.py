"""Meta's callbacks: a person withdrew consent there, or wants their data deleted. Each is signed with our secret.

Docs: https://developers.facebook.com/docs/development/create-an-app/app-dashboard/data-deletion-callback.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import APIRouter, Request

from functions.core.errors import InvalidRequestError
from functions.oauth import departure

router = APIRouter()


async def _signed_request(request: Request) -> str:
    # Meta sends a form of one field; FastAPI's forms would need another package.
    values = parse_qs((await request.body()).decode("utf-8", "replace")).get("signed_request", [])
    if len(values) != 1:
        raise InvalidRequestError("Send one `signed_request`.", code="invalid_signature")
    return values[0]


@router.post("/oauth/{platform}/deauthorize")
async def withdraw(platform: str, request: Request) -> dict[str, str]:
    """A platform says that a person withdrew consent there; the request is signed with our secret."""
    departure.withdraw(platform, await _signed_request(request))
    return {"status": "withdrawn"}


@router.post("/oauth/{platform}/data-deletion")
async def request_deletion(platform: str, request: Request) -> dict[str, Any]:
    """A platform says that a person wants their data deleted; answers where its state can be seen."""
    return departure.request_deletion(platform, await _signed_request(request))


@router.get("/oauth/{platform}/data-deletion/{code}")
async def deletion_status(platform: str, code: UUID) -> dict[str, Any]:
    """What became of a deletion request."""
    return departure.deletion_status(platform, str(code))
