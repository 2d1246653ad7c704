"""One origin for the data API (`/rest/v1`) and Auth (`/auth/v1`), with the API key rules of hosted projects.

Every request carries an `apikey` (header or query parameter). `sb_publishable_...` stands for the role anon,
`sb_secret_...` for service_role; a user's access token in `Authorization` decides over both. The keys are no JWTs, so
the gateway puts a signed role token in their place before it forwards. https://supabase.com/docs/guides/api/api-keys

    python -m infra.local.gateway      # settings below, from the environment
"""

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.local.auth.keys import SigningKey
from infra.local.auth.routes import Pool, auth_app
from infra.local.auth.sessions import Issuer

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# Public without a key: whoever verifies a token needs them.
OPEN_PATHS = ("/auth/v1/.well-known/", "/auth/v1/verify", "/auth/v1/callback", "/auth/v1/authorize", "/auth/v1/sso/")
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "host", "apikey", "date", "server"}
)
DATA_API_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Keys:
    """The project's API keys."""

    publishable: str
    secret: str


class ApiKeys:
    """ASGI middleware: refuses requests without a valid key and turns the key into a role token."""

    def __init__(self, app: ASGIApp, keys: Keys, signing_key: SigningKey) -> None:
        self.app = app
        self.tokens = {
            keys.publishable: signing_key.role_token("anon"),
            keys.secret: signing_key.role_token("service_role"),
        }
        self.secret = keys.secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(OPEN_PATHS):
            return await self.app(scope, receive, send)
        request = Request(scope)
        apikey = request.headers.get("apikey") or request.query_params.get("apikey")
        refusal = self._refusal(request, apikey)
        if refusal is not None:
            return await refusal(scope, receive, send)
        assert apikey is not None
        _, _, bearer = request.headers.get("authorization", "").partition(" ")
        token = bearer if bearer and bearer != apikey else self.tokens[apikey]
        return await self.app(_with_token(scope, token), receive, send)

    def _refusal(self, request: Request, apikey: str | None) -> Response | None:
        if not apikey:
            hint = "No `apikey` request header or url param was found."
            return JSONResponse({"message": "No API key found in request", "hint": hint}, 401)
        if apikey not in self.tokens:
            hint = "Double check your Supabase `anon` or `service_role` API key."
            return JSONResponse({"message": "Invalid API key", "hint": hint}, 401)
        if apikey == self.secret and request.headers.get("user-agent", "").startswith("Mozilla/"):
            hint = "Secret API keys can only be used in a protected environment and should never be used in a browser."
            return JSONResponse({"message": "Forbidden use of secret API key in browser", "hint": hint}, 401)
        authorization = request.headers.get("authorization")
        scheme, _, bearer = (authorization or "").partition(" ")
        if authorization and bearer != apikey and (scheme.lower() != "bearer" or bearer.count(".") != 2):
            parts = len(bearer.split(".")) if bearer else 0
            message = f"Expected 3 parts in JWT; got {parts}"
            body = {"code": "PGRST301", "details": None, "hint": None, "message": message}
            return JSONResponse(
                body, 401, {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{message}"'}
            )
        return None


class DataApi:
    """Forwards to the data API, streaming the answer as it comes."""

    def __init__(self, url: str) -> None:
        # No redirects, no environment proxies, no decoding: what comes back is passed on as it is.
        self.client = httpx.AsyncClient(
            base_url=url, timeout=DATA_API_TIMEOUT_SECONDS, trust_env=False, limits=httpx.Limits(max_connections=200)
        )

    async def forward(self, request: Request) -> Response:
        """The data API's answer to `request`; 503 if it gives none."""
        headers = [(name, value) for name, value in request.headers.raw if name.decode() not in HOP_BY_HOP]
        path = request.scope["raw_path"].removeprefix(b"/rest/v1").decode("ascii") or "/"
        query = request.scope["query_string"]
        target = self.client.base_url.copy_with(raw_path=path.encode() + (b"?" + query if query else b""))
        outgoing = self.client.build_request(request.method, target, headers=headers, content=await request.body())
        try:
            answer = await self.client.send(outgoing, stream=True)
        except httpx.TransportError:
            return JSONResponse({"message": "The data API does not answer"}, 503)
        response = StreamingResponse(answer.aiter_raw(), answer.status_code, background=BackgroundTask(answer.aclose))
        response.raw_headers = [
            (name.lower(), value)
            for name, value in answer.headers.raw
            if name.decode().lower() not in HOP_BY_HOP and not name.lower().startswith(b"access-control-")
        ]
        return response


def gateway_app(pool: Pool, issuer: Issuer, keys: Keys, data_api_url: str) -> ASGIApp:
    """The whole origin as an ASGI application."""
    data_api = DataApi(data_api_url)

    async def not_found(_request: Request, _error: Exception) -> Response:
        return JSONResponse({"message": "no Route matched with those values"}, 404)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await data_api.client.aclose()
        pool.close()

    app = Starlette(
        routes=[
            Mount("/auth/v1", auth_app(pool, issuer)),
            Route("/rest/v1", data_api.forward, methods=METHODS),
            Route("/rest/v1/{path:path}", data_api.forward, methods=METHODS),
        ],
        exception_handlers={404: not_found},
        lifespan=lifespan,
    )
    guarded = ApiKeys(app, keys, issuer.key)
    return CORSMiddleware(
        guarded,
        allow_origins=["*"],
        allow_methods=METHODS,
        allow_headers=["*"],
        expose_headers=["Content-Encoding", "Content-Location", "Content-Range", "Content-Type", "Date", "Location",
                        "Server", "Transfer-Encoding", "Range-Unit", "X-Total-Count", "Link", "X-Supabase-Api-Version"],
        max_age=3600,
    )  # fmt: skip


def _with_token(scope: Scope, token: str) -> Scope:
    """The same request, bearing `token`, without the key in header or query."""
    raw: Iterable[tuple[bytes, bytes]] = scope["headers"]
    headers = [(name, value) for name, value in raw if name not in (b"authorization", b"apikey")]
    headers.append((b"authorization", f"Bearer {token}".encode()))
    query = scope["query_string"]
    query = b"&".join(part for part in query.split(b"&") if not part.startswith(b"apikey="))
    return {**scope, "headers": headers, "query_string": query}


def main() -> None:
    """Serve until told to stop."""
    environment = os.environ
    pool: Pool = ConnectionPool(
        environment["AUTH_DATABASE_URL"],
        kwargs={"row_factory": dict_row, "application_name": "auth"},
        min_size=1,
        max_size=10,
        check=ConnectionPool.check_connection,  # Postgres may have been started again meanwhile
        open=True,
    )
    issuer = Issuer(SigningKey.load(Path(environment["SIGNING_KEY_FILE"])), environment["SUPABASE_URL"])
    keys = Keys(environment["SUPABASE_PUBLISHABLE_KEY"], environment["SUPABASE_SECRET_KEY"])
    app = gateway_app(pool, issuer, keys, environment["DATA_API_URL"])
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(environment["GATEWAY_PORT"]),
        log_level="warning",
        access_log=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
