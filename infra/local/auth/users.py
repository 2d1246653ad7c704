"""Rows of auth.users and auth.identities, and the JSON form of a user.

Writes come in the same steps as in Auth (insert, then confirm), because triggers on auth.users see them.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.local.auth.errors import AuthError, validation_failed, weak_password
from infra.local.auth.passwords import hash_password

Connection = psycopg.Connection[DictRow]
Metadata = dict[str, Any]

AUDIENCE = "authenticated"
PASSWORD_MIN, PASSWORD_MAX = 6, 72
EMAIL = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
)
PHONE = re.compile(r"[1-9][0-9]{1,14}")
DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|ms|s|m|h))+")
DURATION_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def clean_email(email: str) -> str:
    """Lower case, or 400 for what is no address."""
    lowered = email.strip().lower()
    if not EMAIL.fullmatch(lowered) or len(lowered) > 255:
        raise validation_failed("Unable to validate email address: invalid format")
    return lowered


def clean_phone(phone: str) -> str:
    """Digits only, or 400."""
    digits = phone.replace(" ", "").removeprefix("+")
    if not PHONE.fullmatch(digits):
        raise validation_failed("Invalid phone number format (E.164 required)")
    return digits


def check_password(password: str) -> None:
    """422 for one that is too short, 400 for one that is too long."""
    if len(password) < PASSWORD_MIN:
        raise weak_password(PASSWORD_MIN)
    if len(password.encode()) > PASSWORD_MAX:
        raise validation_failed(f"Password cannot be longer than {PASSWORD_MAX} characters")


def find_user(connection: Connection, user_id: UUID | str) -> DictRow | None:
    return connection.execute("select * from auth.users where id = %s", [user_id]).fetchone()


def find_user_by(connection: Connection, column: str, value: str) -> DictRow | None:
    """`column` is email or phone; sign-in by SSO is another matter and is not found."""
    query = {
        "email": "select * from auth.users where lower(email) = %s and is_sso_user = false",
        "phone": "select * from auth.users where phone = %s and is_sso_user = false",
    }[column]
    return connection.execute(query, [value]).fetchone()


def insert_user(
    connection: Connection,
    *,
    email: str | None = None,
    phone: str | None = None,
    password: str | None = None,
    metadata: Metadata | None = None,
    app_metadata: Metadata | None = None,
    anonymous: bool = False,
    user_id: UUID | None = None,
    role: str = AUDIENCE,
    audience: str = AUDIENCE,
) -> UUID:
    """A new, unconfirmed user with an identity for each of e-mail and phone. 500 if a trigger refuses it."""
    new_id = user_id or uuid4()
    providers = [name for name, value in (("email", email), ("phone", phone)) if value]
    standard: Metadata = {"provider": providers[0], "providers": providers} if providers else {}
    own = {} if anonymous else {"sub": str(new_id), "email_verified": False, "phone_verified": False}
    own |= {name: value for name, value in (("email", email), ("phone", phone)) if value}
    try:
        connection.execute(
            """
            insert into auth.users
                (instance_id, id, aud, role, email, phone, encrypted_password, raw_app_meta_data, raw_user_meta_data,
                 is_anonymous, created_at, updated_at, confirmation_token, recovery_token, email_change_token_new,
                 email_change)
            values ('00000000-0000-0000-0000-000000000000', %s, %s, %s, %s, %s, %s, %s, %s, %s,
                    now(), now(), '', '', '', '')
            """,
            [
                new_id,
                audience,
                role,
                email,
                phone,
                hash_password(password) if password else "",
                Jsonb(standard | (app_metadata or {})),
                Jsonb((metadata or {}) | own),
                anonymous,
            ],
        )
    except psycopg.errors.UniqueViolation:
        raise
    except psycopg.Error as error:
        raise AuthError(500, "unexpected_failure", "Database error saving new user") from error
    for provider, value in (("email", email), ("phone", phone)):
        if value:
            set_identity(connection, new_id, provider, value)
    return new_id


def set_identity(connection: Connection, user_id: UUID | str, provider: str, value: str) -> None:
    """The user's identity at `provider` (email or phone), made or moved to `value`."""
    data = {"sub": str(user_id), provider: value, "email_verified": False, "phone_verified": False}
    connection.execute(
        """
        insert into auth.identities
            (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
        values (%(id)s::text, %(id)s::text::uuid, %(data)s, %(provider)s, now(), now(), now())
        on conflict (provider_id, provider) do update
        set identity_data = auth.identities.identity_data || excluded.identity_data, updated_at = now()
        """,
        {"id": str(user_id), "data": Jsonb(data), "provider": provider},
    )


def set_providers(connection: Connection, user_id: UUID | str) -> None:
    """Let app_metadata name the providers that the user has identities of now."""
    connection.execute(
        """
        update auth.users as u
        set raw_app_meta_data = coalesce(u.raw_app_meta_data, '{}')
            || jsonb_build_object('provider', p.names ->> 0, 'providers', p.names)
        from (
            select jsonb_agg(i.provider order by i.created_at, i.provider) as names
            from auth.identities as i where i.user_id = %(id)s::uuid
        ) as p
        where u.id = %(id)s::uuid and p.names is not null
        """,
        {"id": str(user_id)},
    )


def app_metadata(connection: Connection, user_id: UUID | str) -> Metadata:
    """What is stored now."""
    row = find_user(connection, user_id)
    return dict(row["raw_app_meta_data"] or {}) if row else {}


def confirm_user(connection: Connection, user_id: UUID | str, *, email: bool = False, phone: bool = False) -> None:
    """Mark the address or number as the user's own."""
    if email:
        connection.execute(
            """
            update auth.users
            set email_confirmed_at = now(), confirmation_token = '', updated_at = now(),
                raw_user_meta_data = coalesce(raw_user_meta_data, '{}') || '{"email_verified": true}'
            where id = %s
            """,
            [user_id],
        )
    if phone:
        connection.execute(
            "update auth.users set phone_confirmed_at = now(), updated_at = now() where id = %s", [user_id]
        )


def merge_metadata(stored: Metadata | None, changes: Mapping[str, Any]) -> Jsonb:
    """Keys that are given are set, null ones are removed, the others stay."""
    merged = {**(stored or {}), **changes}
    return Jsonb({key: value for key, value in merged.items() if value is not None or key not in changes})


def parse_duration(text: str) -> timedelta:
    """Go's notation, such as 1h30m. 400 for anything else."""
    if not DURATION.fullmatch(text):
        raise validation_failed(f'invalid format for ban duration: time: invalid duration "{text}"')
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)", text)
    return timedelta(seconds=sum(float(amount) * DURATION_SECONDS[unit] for amount, unit in parts))


def user_json(connection: Connection, row: DictRow) -> dict[str, Any]:
    """The user as every answer shows it. Times that are not set are left out."""
    identities = connection.execute(
        "select * from auth.identities where user_id = %s order by created_at", [row["id"]]
    ).fetchall()
    times = (
        "email_confirmed_at", "invited_at", "phone_confirmed_at", "confirmation_sent_at", "confirmed_at",
        "recovery_sent_at", "email_change_sent_at", "last_sign_in_at", "banned_until", "deleted_at",
    )  # fmt: skip
    return {
        "id": str(row["id"]),
        "aud": row["aud"],
        "role": row["role"],
        "email": row["email"] or "",
        "phone": row["phone"] or "",
        **{name: _time(row[name]) for name in times if row[name] is not None},
        "app_metadata": row["raw_app_meta_data"] or {},
        "user_metadata": row["raw_user_meta_data"] or {},
        "identities": [_identity_json(identity) for identity in identities],
        "created_at": _time(row["created_at"]),
        "updated_at": _time(row["updated_at"]),
        "is_anonymous": row["is_anonymous"],
    }


def _identity_json(row: DictRow) -> dict[str, Any]:
    return {
        "identity_id": str(row["id"]),
        "id": row["provider_id"],
        "user_id": str(row["user_id"]),
        "identity_data": row["identity_data"],
        "provider": row["provider"],
        "last_sign_in_at": _time(row["last_sign_in_at"]),
        "created_at": _time(row["created_at"]),
        "updated_at": _time(row["updated_at"]),
        **({"email": row["email"]} if row["email"] else {}),
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
