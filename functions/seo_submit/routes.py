"""POST /seo/submit: the HTTP face, apart from the handlers that start without a web framework."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from functions.core.app import IdempotencyKey, SignedIn, create_app, lambda_handler
from functions.database import rates
from functions.seo_submit import service

app = create_app("StreamVibe search submission")


class SubmitRequest(BaseModel):
    """`url` is the page of the creator's own site that shows the item; without engines, all connected ones are told."""

    content_item_id: UUID
    url: str
    search_engines: Annotated[list[Annotated[str, Field(max_length=63)]], Field(min_length=1, max_length=16)] | None = (
        None
    )


class Submission(BaseModel):
    """What has become of the page at one engine. `id` is that of the row in `seo_submission`; null if none was needed.

    `error_code` is a stable word for `error_message`; both are set on refusals and failures, and while something is in
    the way of a pending one. `duplicate`: the page was submitted within the last ten minutes, and this is that row.
    """

    id: UUID | None
    search_engine: str
    connection_id: UUID | None
    content_item_id: UUID
    submitted_url: str
    status: Literal["pending", "submitted", "crawled", "indexed", "refused", "failed"]
    error_code: str | None = None
    error_message: str | None = None
    coverage_state: str | None = None
    index_status_url: str | None = None
    retry_count: int = 0
    next_retry_at: datetime | None = None
    submitted_at: datetime | None = None
    indexed_at: datetime | None = None
    created_at: datetime | None = None
    duplicate: bool = False


class SubmitAnswer(BaseModel):
    submissions: list[Submission]


@app.post("/seo/submit", status_code=202)
async def submit(body: SubmitRequest, user: SignedIn, idempotency_key: IdempotencyKey = None) -> SubmitAnswer:
    """One entry for each engine, with its own status or reasoned refusal."""
    rates.take(user.id, "submit")
    found = service.submit(
        user.id, str(body.content_item_id), body.url, body.search_engines, idempotency_key=idempotency_key
    )
    return SubmitAnswer(submissions=[Submission.model_validate(one) for one in found])


handle = lambda_handler(app)
