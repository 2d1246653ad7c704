"""The HTTP face of Auth: https://supabase.com/docs/reference/self-hosting-auth/introduction"""

import json
import logging
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg_pool import ConnectionPool
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.local.auth import account, admin
from infra.local.auth.calls import Answer, Call, Handler
from infra.local.auth.errors import API_VERSION_HEADER, AuthError, api_version, validation_failed
from infra.local.auth.sessions import Client, Issuer

Pool = ConnectionPool[psycopg.Connection[DictRow]]
NOT_STORED = {"Cache-Control": "no-store, no-cache, must-revalidate", "Pragma": "no-cache"}  # answers with tokens
LOG = logging.getLogger("streamvibe.auth")
# Flows that need a mailbox, a phone, a browser or a second factor.
LEFT_OUT = ("otp", "magiclink", "recover", "resend", "verify", "invite", "reauthenticate", "authorize", "callback",
            "sso", "factors", "factors/{rest:path}", "user/identities/{rest:path}", "admin/generate_link")  # fmt: skip


def health(_call: Call) -> Answer:
    """GET /health."""
    return 200, {"version": "local", "name": "GoTrue", "description": "A stand-in for Supabase Auth"}


def settings(_call: Call) -> Answer:
    """GET /settings: what a client may offer."""
    external = {"email": True, "phone": False, "anonymous_users": True}
    return 200, {"external": external, "disable_signup": False, "mailer_autoconfirm": True, "phone_autoconfirm": False}


def left_out(_call: Call) -> Answer:
    """Flows that the local stack does not have."""
    raise AuthError(501, "not_implemented", "The local stack has no e-mail, SMS, OAuth or MFA flows")


def auth_app(pool: Pool, issuer: Issuer) -> Starlette:
    """Auth as an ASGI application, mounted by the gateway at /auth/v1."""

    def route(path: str, method: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            return await _respond(request, pool, issuer, handler)

        return Route(path, endpoint, methods=[method])

    async def jwks(_request: Request) -> Response:
        return JSONResponse(issuer.key.jwks(), headers={"Cache-Control": "public, max-age=600"})

    async def discovery(_request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": issuer.url,
                "authorization_endpoint": f"{issuer.url}/oauth/authorize",
                "token_endpoint": f"{issuer.url}/oauth/token",
                "jwks_uri": f"{issuer.url}/.well-known/jwks.json",
                "userinfo_endpoint": f"{issuer.url}/oauth/userinfo",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }
        )

    async def not_found(_request: Request, _error: Exception) -> Response:
        return Response("404 page not found\n", 404, media_type="text/plain")

    return Starlette(
        routes=[
            Route("/.well-known/jwks.json", jwks),
            Route("/.well-known/openid-configuration", discovery),
            route("/health", "GET", health),
            route("/settings", "GET", settings),
            route("/signup", "POST", account.sign_up),
            route("/token", "POST", account.token),
            route("/user", "GET", account.get_user),
            route("/user", "PUT", account.update_user),
            route("/logout", "POST", account.sign_out),
            route("/admin/users", "GET", admin.list_users),
            route("/admin/users", "POST", admin.create_user),
            route("/admin/users/{user_id}", "GET", admin.get_user),
            route("/admin/users/{user_id}", "PUT", admin.update_user),
            route("/admin/users/{user_id}", "DELETE", admin.delete_user),
            *(route(f"/{path}", method, left_out) for path in LEFT_OUT for method in ("GET", "POST", "DELETE")),
        ],
        exception_handlers={404: not_found},
    )


async def _respond(request: Request, pool: Pool, issuer: Issuer, handler: Handler) -> Response:
    version = api_version(request.headers.get(API_VERSION_HEADER, ""))
    headers = {"X-Supabase-Api-Version": version} if version else {}
    try:
        body = _read_body(await request.body())
        status, payload, more = await run_in_threadpool(_handle, request, body, pool, issuer, handler)
        headers |= more
        if isinstance(payload, dict) and "access_token" in payload:
            headers |= NOT_STORED
    except AuthError as error:
        if error.status == 500:
            LOG.warning("%s", error.message, exc_info=error)
        return JSONResponse(error.body(version), error.status, headers)
    except psycopg.Error as failure:
        LOG.warning("the database refused", exc_info=failure)
        unexpected = AuthError(
            500, "unexpected_failure", "Unexpected failure, please check server logs for more information"
        )
        return JSONResponse(unexpected.body(version), 500, headers)
    return Response(None, status, headers) if payload is None else JSONResponse(payload, status, headers)


def _handle(
    request: Request, body: dict[str, Any], pool: Pool, issuer: Issuer, handler: Handler
) -> "tuple[int, Any, dict[str, str]]":
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    client = Client(request.headers.get("user-agent", ""), request.client.host if request.client else "")
    with pool.connection() as connection:
        call = Call(
            connection=connection,
            issuer=issuer,
            body=body,
            query=dict(request.query_params),
            path={name: str(value) for name, value in request.path_params.items()},
            bearer=bearer if scheme.lower() == "bearer" else "",
            client=client,
        )
        status, payload = handler(call)
        return status, payload, call.headers


def _read_body(raw: bytes) -> dict[str, Any]:
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
        json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise AuthError(400, "bad_json", f"Could not parse request body as JSON: {error}") from None
    if not isinstance(body, dict):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON: not an object")
    if _holds_nul(body):
        raise validation_failed("Text cannot hold the character NUL")
    return body


def _holds_nul(value: Any) -> bool:
    """Postgres has no place for it, neither in text nor in jsonb."""
    if isinstance(value, dict):
        return any(_holds_nul(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\x00" in value
