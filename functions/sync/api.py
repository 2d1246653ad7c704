"""The HTTP face of sync."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel

from functions.core.app import IdempotencyKey, SignedIn, create_app, lambda_handler
from functions.database import rates
from functions.sync import service

app = create_app("Sync")


class Start(BaseModel):
    """The account to bring up to date."""

    social_account_id: UUID


@app.post("/sync", status_code=202)
async def start(user: SignedIn, wanted: Start, idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    """Start a sync, or find the one that is under way. Watch it in the table `sync_run`."""
    rates.take(user.id, "sync")
    return service.start(user.id, str(wanted.social_account_id), idempotency_key)


handle = lambda_handler(app)
