"""Sessions and their tokens: issue, refresh with rotation, sign out.

A refresh token is good for one use. Using it again answers its successor while that is the newest (the client may have
lost the answer), or a further one within the reuse window; later it counts as theft and ends the whole family.
https://supabase.com/docs/guides/auth/sessions
"""

import secrets
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import jwt
from psycopg.rows import DictRow

from infra.local.auth.errors import AuthError, OAuthError, bad_jwt
from infra.local.auth.keys import ACCESS_TOKEN_SECONDS, SigningKey
from infra.local.auth.users import Connection, find_user, user_json

REUSE_WINDOW_SECONDS = 10
UNVERIFIED = "invalid JWT: unable to parse or verify signature"
ALPHABET = string.ascii_lowercase + "234567"


@dataclass(frozen=True)
class Client:
    """Who is asking, for the session's row."""

    user_agent: str = ""
    address: str = ""


@dataclass(frozen=True)
class Issuer:
    """Signs access tokens for the project at `supabase_url`."""

    key: SigningKey
    supabase_url: str

    @property
    def url(self) -> str:
        return f"{self.supabase_url}/auth/v1"


def open_session(
    connection: Connection, issuer: Issuer, user_id: UUID, *, method: str, client: Client
) -> dict[str, Any]:
    """Sign the user in: a session, its first refresh token, and the answer that carries both."""
    session_id = uuid4()
    connection.execute(
        "insert into auth.sessions (id, user_id, created_at, updated_at, aal, user_agent, ip)"
        " values (%s, %s, now(), now(), 'aal1', %s, %s)",
        [session_id, user_id, client.user_agent or None, client.address or None],
    )
    connection.execute(
        "insert into auth.mfa_amr_claims (id, session_id, created_at, updated_at, authentication_method)"
        " values (%s, %s, now(), now(), %s)",
        [uuid4(), session_id, method],
    )
    connection.execute("update auth.users set last_sign_in_at = now(), updated_at = now() where id = %s", [user_id])
    refresh_token = _insert_refresh_token(connection, session_id, user_id, parent=None)
    return _answer(connection, issuer, user_id, session_id, refresh_token)


def refresh_session(connection: Connection, issuer: Issuer, refresh_token: str, client: Client) -> dict[str, Any]:
    """Exchange a refresh token. Raises AuthError; a detected theft is remembered before it is answered."""
    if not refresh_token:
        raise OAuthError(400, "invalid_request", "refresh_token required")
    theft = False
    with connection.transaction():
        token = _lock_refresh_token(connection, refresh_token)
        user = find_user(connection, token["user_id"])
        if user is None:
            raise _not_found()
        _check_not_banned(connection, user["id"], "Invalid Refresh Token: User Banned")
        successor = _successor(connection, token) if token["revoked"] else None
        if token["revoked"] and successor is None and token["is_late"]:
            theft = True
            _revoke_family(connection, token["session_id"])
        else:
            issued = successor or _rotate(connection, token)
            connection.execute(
                "update auth.sessions set refreshed_at = now() at time zone 'utc', updated_at = now(),"
                " user_agent = %s, ip = %s where id = %s",
                [client.user_agent or None, client.address or None, token["session_id"]],
            )
            answer = _answer(connection, issuer, user["id"], token["session_id"], issued)
    if theft:
        raise AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
    return answer


def close_sessions(connection: Connection, claims: Mapping[str, Any], scope: str) -> None:
    """Sign out: `local` this session, `others` all but this one, `global` all. Their refresh tokens go along."""
    user_id, session_id = claims["sub"], claims.get("session_id")
    if scope == "local":
        connection.execute("delete from auth.sessions where id = %s", [session_id])
    elif scope == "others":
        connection.execute("delete from auth.sessions where user_id = %s and id <> %s", [user_id, session_id])
    else:
        connection.execute("delete from auth.sessions where user_id = %s", [user_id])


def signed_in_user(connection: Connection, issuer: Issuer, token: str) -> tuple[DictRow, dict[str, Any]]:
    """The user behind an access token, and its claims; the session must not have ended."""
    claims = read_claims(issuer, token)
    subject = str(claims.get("sub") or "")
    if not subject:
        raise bad_jwt("invalid claim: missing sub claim")
    try:
        user = find_user(connection, UUID(subject))
    except ValueError:
        raise bad_jwt("invalid claim: sub claim must be a UUID") from None
    if user is None:
        raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
    session_id = claims.get("session_id")
    if session_id and not connection.execute("select from auth.sessions where id = %s", [session_id]).rowcount:
        raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
    return user, claims


def read_claims(issuer: Issuer, token: str) -> dict[str, Any]:
    """The claims of a token of ours. Raises AuthError."""
    if not token:
        raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    try:
        return issuer.key.verify(token)
    except jwt.ExpiredSignatureError as error:
        raise bad_jwt(f"{UNVERIFIED}, token has invalid claims: token is expired") from error
    except jwt.PyJWTError as error:
        raise bad_jwt(f"{UNVERIFIED}, {error}") from error


def _answer(
    connection: Connection, issuer: Issuer, user_id: UUID, session_id: UUID, refresh_token: str
) -> dict[str, Any]:
    user = find_user(connection, user_id)
    assert user is not None
    methods = connection.execute(
        "select authentication_method as method, extract(epoch from created_at)::bigint as timestamp"
        " from auth.mfa_amr_claims where session_id = %s order by created_at desc",
        [session_id],
    ).fetchall()
    claims = {
        "iss": issuer.url,
        "sub": str(user_id),
        "aud": user["aud"],
        "email": user["email"] or "",
        "phone": user["phone"] or "",
        "app_metadata": user["raw_app_meta_data"] or {},
        "user_metadata": user["raw_user_meta_data"] or {},
        "role": user["role"],
        "aal": "aal1",
        "amr": methods,
        "session_id": str(session_id),
        "is_anonymous": user["is_anonymous"],
    }
    return {
        "access_token": issuer.key.sign(claims, ACCESS_TOKEN_SECONDS),
        "token_type": "bearer",
        "expires_in": ACCESS_TOKEN_SECONDS,
        "expires_at": int(time.time()) + ACCESS_TOKEN_SECONDS,
        "refresh_token": refresh_token,
        "user": user_json(connection, user),
    }


def _lock_refresh_token(connection: Connection, refresh_token: str) -> DictRow:
    """The token's row, with its session locked: one refresh of a session at a time."""
    found = connection.execute(
        "select session_id from auth.refresh_tokens where token = %s", [refresh_token]
    ).fetchone()
    if found is None or found["session_id"] is None:
        raise _not_found()
    connection.execute("select from auth.sessions where id = %s for update", [found["session_id"]])
    # Read again: whoever held the lock has rotated it meanwhile.
    row = connection.execute(
        """
        select t.*, s.not_after < now() as is_expired,
            t.updated_at < now() - make_interval(secs => %s) as is_late
        from auth.refresh_tokens as t join auth.sessions as s on s.id = t.session_id
        where t.token = %s
        """,
        [REUSE_WINDOW_SECONDS, refresh_token],
    ).fetchone()
    if row is None:
        raise _not_found()
    if row["is_expired"]:
        raise AuthError(400, "session_expired", "Invalid Refresh Token: Session Expired")
    return row


def _successor(connection: Connection, token: DictRow) -> str | None:
    """The session's newest token, if `token` is its parent."""
    row = connection.execute(
        "select token, parent from auth.refresh_tokens where session_id = %s and revoked = false"
        " order by id desc limit 1",
        [token["session_id"]],
    ).fetchone()
    return str(row["token"]) if row and row["parent"] == token["token"] else None


def _rotate(connection: Connection, token: DictRow) -> str:
    connection.execute("update auth.refresh_tokens set revoked = true, updated_at = now() where id = %s", [token["id"]])
    return _insert_refresh_token(connection, token["session_id"], token["user_id"], parent=token["token"])


def _revoke_family(connection: Connection, session_id: UUID) -> None:
    connection.execute(
        "update auth.refresh_tokens set revoked = true, updated_at = now() where session_id = %s and revoked = false",
        [session_id],
    )


def _insert_refresh_token(connection: Connection, session_id: UUID, user_id: UUID | str, parent: str | None) -> str:
    token = "".join(secrets.choice(ALPHABET) for _ in range(12))
    connection.execute(
        "insert into auth.refresh_tokens"
        " (instance_id, token, user_id, revoked, created_at, updated_at, parent, session_id)"
        " values ('00000000-0000-0000-0000-000000000000', %s, %s, false, now(), now(), %s, %s)",
        [token, str(user_id), parent, session_id],
    )
    return token


def _check_not_banned(connection: Connection, user_id: UUID, message: str) -> None:
    if connection.execute("select from auth.users where id = %s and banned_until > now()", [user_id]).rowcount:
        raise AuthError(400, "user_banned", message)


def check_not_banned(connection: Connection, user_id: UUID) -> None:
    """400 while the user is banned."""
    _check_not_banned(connection, user_id, "User is banned")


def _not_found() -> AuthError:
    return AuthError(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
