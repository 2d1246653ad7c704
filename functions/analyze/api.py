"""POST /analyze: suggestions for one of the signed-in user's items."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from functions.analyze import service
from functions.core.app import IdempotencyKey, SignedIn, create_app, lambda_handler
from functions.database import rates

app = create_app("Analysis")


class Wanted(BaseModel):
    """What to analyse, and by whom if that matters. `force` analyses an item again although it is unchanged."""

    model_config = ConfigDict(extra="forbid")

    content_item_id: UUID
    provider: Annotated[str | None, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", examples=["local"])] = None
    model: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    force: StrictBool = False


@app.post("/analyze", status_code=201)
async def analyze(user: SignedIn, wanted: Wanted, idempotency_key: IdempotencyKey = None) -> JSONResponse:
    """The `ai_suggestion` row: 201 made for this call, for one analysis; 200 the last one of an unchanged item."""
    rates.take(user.id, "analyze")
    result = service.analyse(
        user.id,
        str(wanted.content_item_id),
        provider=wanted.provider,
        model=wanted.model,
        force=wanted.force,
        idempotency_key=idempotency_key,
    )
    return JSONResponse(result.suggestion, status_code=201 if result.is_new else 200)


handle = lambda_handler(app)
