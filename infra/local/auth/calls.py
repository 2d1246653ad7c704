"""One request to Auth, and what the handlers of users and of admins share.

A handler is a plain function from a `Call` to a status and a body. It runs in a thread with a connection whose
transaction commits when it returns and rolls back when it raises.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow

from infra.local.auth import users
from infra.local.auth.errors import AuthError, email_exists, phone_exists
from infra.local.auth.passwords import hash_password
from infra.local.auth.sessions import Client, Issuer
from infra.local.auth.users import Connection


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


Answer = tuple[int, Any]
Handler = Callable[[Call], Answer]


def shown_user(call: Call, user_id: UUID) -> dict[str, Any]:
    """The user as the answer shows it."""
    row = users.find_user(call.connection, user_id)
    assert row is not None
    return users.user_json(call.connection, row)


def change_user(call: Call, user: DictRow, metadata_key: str) -> None:
    """What user and admin may both change: e-mail, phone, password, and metadata under the name that each call has."""
    for column, clean, exists in (
        ("email", users.clean_email, email_exists),
        ("phone", users.clean_phone, phone_exists),
    ):
        value = clean(call.text(column)) if call.text(column) else ""
        if not value or value == user[column]:
            continue
        if users.find_user_by(call.connection, column, value):
            raise exists()
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
