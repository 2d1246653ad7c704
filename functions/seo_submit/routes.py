"""POST /seo/submit: the HTTP face, apart from the handlers that start without a web framework."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from functions.core.app import IdempotencyKey, SignedIn, create_app, lambda_handler
from functions.seo_submit import service

app = create_app("StreamVibe search submission")


class SubmitRequest(BaseModel):
    """`url` is the page of the creator's own site that shows the item; without engines, all connected ones are told."""

    content_item_id: UUID
    url: str
    search_engines: Annotated[list[Annotated[str, Field(max_length=63)]], Field(min_length=1, max_length=16)] | None = (
        None
    )


class SubmitAnswer(BaseModel):
    submissions: list[dict[str, Any]]


@app.post("/seo/submit", status_code=202)
async def submit(body: SubmitRequest, user: SignedIn, idempotency_key: IdempotencyKey = None) -> SubmitAnswer:
    """One entry for each engine, with its own status or reasoned refusal."""
    found = service.submit(
        user.id, str(body.content_item_id), body.url, body.search_engines, idempotency_key=idempotency_key
    )
    return SubmitAnswer(submissions=found)


handle = lambda_handler(app)
