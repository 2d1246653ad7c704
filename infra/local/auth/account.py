"""What users do themselves: sign up, sign in, refresh, read and change their user, sign out."""

from typing import Any
from uuid import UUID

import psycopg

from infra.local.auth import sessions, users
from infra.local.auth.calls import Answer, Call, change_user, shown_user
from infra.local.auth.errors import AuthError, user_exists, validation_failed
from infra.local.auth.passwords import hash_password, verify_password


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
        raise user_exists()
    try:
        user_id = users.insert_user(call.connection, email=address, password=password, metadata=call.mapping("data"))
    except psycopg.errors.UniqueViolation as error:  # somebody was quicker, or a trigger's own key
        if error.diag.table_name == "users" and error.diag.schema_name == "auth":
            raise user_exists() from error
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
    if user is not None:
        sessions.check_not_banned(call.connection, user["id"])
    if user is None or not matches:
        raise AuthError(400, "invalid_credentials", "Invalid login credentials")
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
    change_user(call, user, "data")
    if user["is_anonymous"] and call.text("email"):
        call.connection.execute("update auth.users set is_anonymous = false where id = %s", [user["id"]])
    if call.text("email"):
        users.confirm_user(call.connection, user["id"], email=True)
    if password:
        sessions.close_sessions(call.connection, claims, "others")
    return 200, shown_user(call, user["id"])


def sign_out(call: Call) -> Answer:
    """POST /logout?scope=global|local|others."""
    scope = call.query.get("scope") or "global"
    _, claims = sessions.signed_in_user(call.connection, call.issuer, call.bearer)
    if scope not in ("global", "local", "others"):
        raise validation_failed(f'Unsupported logout scope "{scope}"')
    sessions.close_sessions(call.connection, claims, scope)
    return 204, None


def _open(call: Call, user_id: UUID, method: str) -> dict[str, Any]:
    return sessions.open_session(call.connection, call.issuer, user_id, method=method, client=call.client)
