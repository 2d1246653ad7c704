"""The HTTP face of Auth: https://supabase.com/docs/reference/self-hosting-auth/introduction

Handlers are plain functions from a `Call` to a status and a body, run in a thread with a connection whose transaction
commits when they return and rolls back when they raise.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import DictRow
from psycopg_pool import ConnectionPool
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.local.auth import sessions, users
from infra.local.auth.errors import API_VERSION_HEADER, AuthError, validation_failed
from infra.local.auth.passwords import hash_password, verify_password
from infra.local.auth.sessions import Client, Issuer
from infra.local.auth.users import Connection

Pool = ConnectionPool[psycopg.Connection[DictRow]]
ADMIN_ROLES = ("service_role", "supabase_admin")
PER_PAGE = 50
EMAIL_EXISTS = AuthError(422, "email_exists", "A user with this email address has already been registered")
PHONE_EXISTS = AuthError(422, "phone_exists", "A user with this phone number has already been registered")
USER_EXISTS = AuthError(422, "user_already_exists", "User already registered")
# Flows that need a mailbox, a phone, a browser or a second factor.
LEFT_OUT = ("otp", "magiclink", "recover", "resend", "verify", "invite", "reauthenticate", "authorize", "callback",
            "sso", "factors", "factors/{rest:path}", "user/identities/{rest:path}", "admin/generate_link")  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One request, read."""

    connection: Connection
    issuer: Issuer
    body: dict[str, Any]
    query: dict[str, str]
    path: dict[str, str]
    bearer: str
    client: Client
    headers: dict[str, str] = field(default_factory=dict)  # what the answer carries besides its body

    def text(self, name: str) -> str:
        """A string of the body, empty if absent. 400 for another type."""
        value = self.body.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise AuthError(400, "bad_json", f"Could not parse request body as JSON: {name} is not a string")
        return value

    def mapping(self, name: str) -> dict[str, Any] | None:
        """An object of the body, None if absent. 400 for another type."""
        value = self.body.get(name)
        if value is not None and not isinstance(value, dict):
            raise AuthError(400, "bad_json", f"Could not parse request body as JSON: {name} is not an object")
        return value


LOG = logging.getLogger("streamvibe.auth")
Answer = tuple[int, Any]
Handler = Callable[[Call], Answer]


def sign_up(call: Call) -> Answer:
    """POST /signup: by e-mail and password, or anonymously without either."""
    email, phone, password = call.text("email"), call.text("phone"), call.text("password")
    if not email and not phone:
        user_id = users.insert_user(call.connection, metadata=call.mapping("data"), anonymous=True)
        return 200, _open(call, user_id, "anonymous")
    if not password:
        raise validation_failed("Signup requires a valid password")
    users.check_password(password)
    if email and phone:
        raise validation_failed("Only an email address or phone number should be provided on signup.")
    if phone:
        raise AuthError(400, "phone_provider_disabled", "Phone signups are disabled")
    address = users.clean_email(email)
    if users.find_user_by(call.connection, "email", address):
        raise USER_EXISTS
    try:
        user_id = users.insert_user(call.connection, email=address, password=password, metadata=call.mapping("data"))
    except psycopg.errors.UniqueViolation as error:  # somebody was quicker, or a trigger's own key
        if error.diag.table_name == "users" and error.diag.schema_name == "auth":
            raise USER_EXISTS from error
        raise AuthError(500, "unexpected_failure", "Database error saving new user") from error
    users.confirm_user(call.connection, user_id, email=True)
    return 200, _open(call, user_id, "password")


def token(call: Call) -> Answer:
    """POST /token?grant_type=password|refresh_token."""
    grant_type = call.query.get("grant_type")
    if grant_type == "refresh_token":
        return 200, sessions.refresh_session(call.connection, call.issuer, call.text("refresh_token"), call.client)
    if grant_type != "password":
        raise AuthError(400, "invalid_credentials", "unsupported_grant_type")
    email, phone = call.text("email"), call.text("phone")
    if email and phone:
        raise validation_failed("Only an email address or phone number should be provided on login.")
    if not email and not phone:
        raise validation_failed("missing email or phone")
    column, value = ("email", email.strip().lower()) if email else ("phone", phone.removeprefix("+"))
    user = users.find_user_by(call.connection, column, value)
    # The same work for an unknown user, so that the answer's time does not tell.
    matches = verify_password(call.text("password"), user["encrypted_password"] if user else hash_password("nobody"))
    if user is None or not matches:
        raise AuthError(400, "invalid_credentials", "Invalid login credentials")
    sessions.check_not_banned(call.connection, user["id"])
    if not user[f"{column}_confirmed_at"]:
        raise AuthError(400, f"{column}_not_confirmed", f"{column.capitalize()} not confirmed")
    return 200, _open(call, user["id"], "password")


def get_user(call: Call) -> Answer:
    """GET /user."""
    user, _ = sessions.signed_in_user(call.connection, call.issuer, call.bearer)
    return 200, users.user_json(call.connection, user)


def update_user(call: Call) -> Answer:
    """PUT /user: e-mail (changed at once, there is no mailbox), password, own metadata."""
    user, claims = sessions.signed_in_user(call.connection, call.issuer, call.bearer)
    if call.body.get("app_metadata") is not None:
        raise AuthError(403, "not_admin", "Updating app_metadata requires admin privileges")
    password = call.text("password")
    if "password" in call.body:
        users.check_password(password)
        if user["is_anonymous"] and not call.text("email") and not call.text("phone"):
            raise AuthError(
                422,
                "validation_failed",
                "Updating password of an anonymous user without an email or phone is not allowed",
            )
        if verify_password(password, user["encrypted_password"]):
            raise AuthError(422, "same_password", "New password should be different from the old password.")
    _change(call, user, "data")
    if user["is_anonymous"] and call.text("email"):
        call.connection.execute("update auth.users set is_anonymous = false where id = %s", [user["id"]])
    if call.text("email"):
        users.confirm_user(call.connection, user["id"], email=True)
    if password:
        sessions.close_sessions(call.connection, claims, "others")
    return 200, _user(call, user["id"])


def sign_out(call: Call) -> Answer:
    """POST /logout?scope=global|local|others."""
    scope = call.query.get("scope") or "global"
    _, claims = sessions.signed_in_user(call.connection, call.issuer, call.bearer)
    if scope not in ("global", "local", "others"):
        raise validation_failed(f'Unsupported logout scope "{scope}"')
    sessions.close_sessions(call.connection, claims, scope)
    return 204, None


def admin_list_users(call: Call) -> Answer:
    """GET /admin/users?page=&per_page=, newest first."""
    _require_admin(call)
    try:
        page, size = int(call.query.get("page") or 1), int(call.query.get("per_page") or PER_PAGE)
    except ValueError:
        raise validation_failed("Bad Pagination Parameters: not a number") from None
    if page < 1 or size < 1:
        raise validation_failed("Bad Pagination Parameters: out of range")
    rows = call.connection.execute(
        "select * from auth.users where aud = %s order by created_at desc, id limit %s offset %s",
        [users.AUDIENCE, size, (page - 1) * size],
    ).fetchall()
    counted = call.connection.execute("select count(*) as total from auth.users where aud = %s", [users.AUDIENCE])
    total = (counted.fetchone() or {})["total"]
    last = -(-total // size)
    pages = [(page + 1, "next")] if last > page else []
    links = [f'</admin/users?page={number}&per_page={size}>; rel="{kind}"' for number, kind in [*pages, (last, "last")]]
    call.headers.update({"Link": ", ".join(links), "X-Total-Count": str(total)})
    return 200, {"users": [users.user_json(call.connection, row) for row in rows], "aud": users.AUDIENCE}


def admin_create_user(call: Call) -> Answer:
    """POST /admin/users."""
    _require_admin(call)
    email, phone, password = call.text("email"), call.text("phone"), call.text("password")
    if not email and not phone:
        raise validation_failed("Cannot create a user without either an email or phone")
    address = users.clean_email(email) if email else None
    number = users.clean_phone(phone) if phone else None
    if address and users.find_user_by(call.connection, "email", address):
        raise EMAIL_EXISTS
    if number and users.find_user_by(call.connection, "phone", number):
        raise PHONE_EXISTS
    if password:
        users.check_password(password)
    try:
        user_id = users.insert_user(
            call.connection,
            email=address,
            phone=number,
            password=password or None,
            metadata=call.mapping("user_metadata"),
            app_metadata=call.mapping("app_metadata"),
            user_id=_uuid(call.text("id"), "ID must conform to the uuid v4 format") if call.text("id") else None,
            role=call.text("role") or users.AUDIENCE,
        )
    except psycopg.errors.UniqueViolation as error:
        raise EMAIL_EXISTS if address else PHONE_EXISTS from error
    users.confirm_user(
        call.connection,
        user_id,
        email=bool(address and call.body.get("email_confirm")),
        phone=bool(number and call.body.get("phone_confirm")),
    )
    _ban(call, user_id)
    return 200, _user(call, user_id)


def admin_get_user(call: Call) -> Answer:
    """GET /admin/users/{user_id}."""
    return 200, users.user_json(call.connection, _named_user(call))


def admin_update_user(call: Call) -> Answer:
    """PUT /admin/users/{user_id}."""
    user = _named_user(call)
    if call.text("password"):
        users.check_password(call.text("password"))
    _change(call, user, "user_metadata")
    changes = call.mapping("app_metadata")
    if changes is not None:
        call.connection.execute(
            "update auth.users set raw_app_meta_data = %s, updated_at = now() where id = %s",
            [users.merge_metadata(users.app_metadata(call.connection, user["id"]), changes), user["id"]],
        )
    if call.text("role"):
        call.connection.execute("update auth.users set role = %s where id = %s", [call.text("role"), user["id"]])
    users.confirm_user(
        call.connection,
        user["id"],
        email=bool(call.body.get("email_confirm")),
        phone=bool(call.body.get("phone_confirm")),
    )
    _ban(call, user["id"])
    return 200, _user(call, user["id"])


def admin_delete_user(call: Call) -> Answer:
    """DELETE /admin/users/{user_id}, with `should_soft_delete` keeping an empty row."""
    user = _named_user(call)
    if call.body.get("should_soft_delete"):
        call.connection.execute(
            """
            update auth.users
            set email = encode(sha256(coalesce(email, '')::bytea), 'hex'), phone = null, encrypted_password = null,
                raw_user_meta_data = '{}', raw_app_meta_data = '{}', deleted_at = now(), updated_at = now()
            where id = %s and deleted_at is null
            """,
            [user["id"]],
        )
        call.connection.execute("delete from auth.sessions where user_id = %s", [user["id"]])
        call.connection.execute("delete from auth.identities where user_id = %s", [user["id"]])
        return 200, {}
    try:
        call.connection.execute("delete from auth.users where id = %s", [user["id"]])
    except psycopg.Error as error:
        raise AuthError(500, "unexpected_failure", "Database error deleting user") from error
    return 200, {}


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
            route("/signup", "POST", sign_up),
            route("/token", "POST", token),
            route("/user", "GET", get_user),
            route("/user", "PUT", update_user),
            route("/logout", "POST", sign_out),
            route("/admin/users", "GET", admin_list_users),
            route("/admin/users", "POST", admin_create_user),
            route("/admin/users/{user_id}", "GET", admin_get_user),
            route("/admin/users/{user_id}", "PUT", admin_update_user),
            route("/admin/users/{user_id}", "DELETE", admin_delete_user),
            *(route(f"/{path}", method, left_out) for path in LEFT_OUT for method in ("GET", "POST", "DELETE")),
        ],
        exception_handlers={404: not_found},
    )


async def _respond(request: Request, pool: Pool, issuer: Issuer, handler: Handler) -> Response:
    version = request.headers.get(API_VERSION_HEADER, "")
    headers = {"X-Supabase-Api-Version": version} if version else {}
    try:
        body = _read_body(await request.body())
        status, payload, more = await run_in_threadpool(_handle, request, body, pool, issuer, handler)
        headers |= more
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
    except ValueError as error:
        raise AuthError(400, "bad_json", f"Could not parse request body as JSON: {error}") from None
    if not isinstance(body, dict):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON: not an object")
    return body


def _open(call: Call, user_id: UUID, method: str) -> dict[str, Any]:
    return sessions.open_session(call.connection, call.issuer, user_id, method=method, client=call.client)


def _user(call: Call, user_id: UUID) -> dict[str, Any]:
    row = users.find_user(call.connection, user_id)
    assert row is not None
    return users.user_json(call.connection, row)


def _require_admin(call: Call) -> None:
    if sessions.read_claims(call.issuer, call.bearer).get("role") not in ADMIN_ROLES:
        raise AuthError(403, "not_admin", "User not allowed")


def _named_user(call: Call) -> DictRow:
    _require_admin(call)
    row = users.find_user(call.connection, _uuid(call.path["user_id"], "user_id must be an UUID", status=404))
    if row is None:
        raise AuthError(404, "user_not_found", "User not found")
    return row


def _uuid(text: str, message: str, status: int = 400) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise AuthError(status, "validation_failed", message) from None


def _change(call: Call, user: DictRow, metadata_key: str) -> None:
    """What user and admin may both change: e-mail, phone, password, and metadata under the name that each call has."""
    for column, clean, exists in (
        ("email", users.clean_email, EMAIL_EXISTS),
        ("phone", users.clean_phone, PHONE_EXISTS),
    ):
        value = clean(call.text(column)) if call.text(column) else ""
        if not value or value == user[column]:
            continue
        if users.find_user_by(call.connection, column, value):
            raise exists
        query = {
            "email": "update auth.users set email = %s, updated_at = now() where id = %s",
            "phone": "update auth.users set phone = %s, updated_at = now() where id = %s",
        }[column]
        call.connection.execute(query, [value, user["id"]])
        users.set_identity(call.connection, user["id"], column, value)
        users.set_providers(call.connection, user["id"])
    if call.text("password"):
        call.connection.execute(
            "update auth.users set encrypted_password = %s, updated_at = now() where id = %s",
            [hash_password(call.text("password")), user["id"]],
        )
    changes = call.mapping(metadata_key)
    if changes is not None:
        call.connection.execute(
            "update auth.users set raw_user_meta_data = %s, updated_at = now() where id = %s",
            [users.merge_metadata(user["raw_user_meta_data"], changes), user["id"]],
        )


def _ban(call: Call, user_id: UUID) -> None:
    duration = call.text("ban_duration")
    if duration == "none":
        call.connection.execute("update auth.users set banned_until = null where id = %s", [user_id])
    elif duration:
        call.connection.execute(
            "update auth.users set banned_until = now() + %s where id = %s",
            [users.parse_duration(duration), user_id],
        )
