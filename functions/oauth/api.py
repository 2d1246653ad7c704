"""The HTTP face of connections: authorise, the browser's way back, completion, disconnection."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Request, Response
from pydantic import BaseModel, Field, SkipValidation

from functions.core.app import SignedIn, create_app, lambda_handler
from functions.database import rates
from functions.oauth import departure, service, withdrawals

app = create_app("Connections")


class Start(BaseModel):
    """`return_to` is a page of the app; the completion hands it back."""

    return_to: Annotated[str, Field(max_length=2000)] | None = None


class Completion(BaseModel):
    """What the browser brought back from the platform."""

    # An attempt burns its state whatever else is wrong with it, so the rest is the service's to refuse.
    code: Annotated[str | None, SkipValidation] = None
    state: Annotated[str, Field(min_length=1, max_length=service.LONGEST_STATE_CHARACTERS)]
    iss: Annotated[str | None, SkipValidation] = None


@app.post("/oauth/{platform}/authorize")
async def authorize(user: SignedIn, platform: str, start: Start | None = None) -> dict[str, Any]:
    """Start to connect a platform: send the browser to `authorize_url` before `expires_at`."""
    rates.take(user.id, "connect")
    return service.authorize(user.id, platform, start.return_to if start else None)


@app.get("/oauth/{platform}/callback", status_code=303, response_class=Response)
async def relay(platform: str, request: Request) -> Response:
    """The browser comes back from the platform and is sent on to the app, with code and state in the fragment."""
    return Response(status_code=303, headers={"Location": service.relay_url(platform, dict(request.query_params))})


@app.post("/oauth/{platform}/callback", status_code=201)
async def complete(user: SignedIn, platform: str, completion: Completion) -> dict[str, Any]:
    """The user who started completes: the platform's accounts are connected."""
    rates.take(user.id, "connect")
    return service.complete(user.id, platform, completion.code, completion.state, completion.iss)


@app.delete("/connections/{connection_id}", status_code=204, response_class=Response)
async def disconnect(user: SignedIn, connection_id: UUID) -> Response:
    """End a connection: the grant is given back, its secret and everything synced through it are deleted."""
    service.disconnect(user.id, str(connection_id))
    return Response(status_code=204)


@app.delete("/account", status_code=202)
async def delete_account(user: SignedIn) -> dict[str, str]:
    """Delete the account: every grant given back, the subscription canceled, then all rows and secrets."""
    return {"status": "deleted" if departure.delete_account(user.id) else "pending"}


app.include_router(withdrawals.router)
handle = lambda_handler(app)
