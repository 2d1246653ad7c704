"""What the secret key may do to users: list, create, read, change, ban, delete."""

from uuid import UUID

import psycopg
from psycopg.rows import DictRow

from infra.local.auth import sessions, users
from infra.local.auth.calls import Answer, Call, change_user, shown_user
from infra.local.auth.errors import AuthError, email_exists, phone_exists, validation_failed

ADMIN_ROLES = ("service_role", "supabase_admin")
PER_PAGE = 50
MAX_PAGE = 1_000_000_000  # of number and size, so that their product is a bigint


def list_users(call: Call) -> Answer:
    """GET /admin/users?page=&per_page=, newest first."""
    _require_admin(call)
    try:
        page, size = int(call.query.get("page") or 1), int(call.query.get("per_page") or PER_PAGE)
    except ValueError:
        raise validation_failed("Bad Pagination Parameters: not a number") from None
    if not (1 <= page <= MAX_PAGE and 1 <= size <= MAX_PAGE):
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


def create_user(call: Call) -> Answer:
    """POST /admin/users."""
    _require_admin(call)
    email, phone, password = call.text("email"), call.text("phone"), call.text("password")
    if not email and not phone:
        raise validation_failed("Cannot create a user without either an email or phone")
    address = users.clean_email(email) if email else None
    number = users.clean_phone(phone) if phone else None
    if address and users.find_user_by(call.connection, "email", address):
        raise email_exists()
    if number and users.find_user_by(call.connection, "phone", number):
        raise phone_exists()
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
        raise email_exists() if address else phone_exists() from error
    users.confirm_user(
        call.connection,
        user_id,
        email=bool(address and call.body.get("email_confirm")),
        phone=bool(number and call.body.get("phone_confirm")),
    )
    _ban(call, user_id)
    return 200, shown_user(call, user_id)


def get_user(call: Call) -> Answer:
    """GET /admin/users/{user_id}."""
    return 200, users.user_json(call.connection, _named_user(call))


def update_user(call: Call) -> Answer:
    """PUT /admin/users/{user_id}."""
    user = _named_user(call)
    if call.text("password"):
        users.check_password(call.text("password"))
    change_user(call, user, "user_metadata")
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
    return 200, shown_user(call, user["id"])


def delete_user(call: Call) -> Answer:
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


def _ban(call: Call, user_id: UUID) -> None:
    duration = call.text("ban_duration")
    if duration == "none":
        call.connection.execute("update auth.users set banned_until = null where id = %s", [user_id])
    elif duration:
        call.connection.execute(
            "update auth.users set banned_until = now() + %s where id = %s",
            [users.parse_duration(duration), user_id],
        )
