"""Rows for database tests, inserted as the owner of the tables; each function returns the new row's id."""

from __future__ import annotations

import itertools
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from tests.databases import Connection

_numbers = itertools.count(1)


def _insert(owner: Connection, table: LiteralString, values: dict[str, Any]) -> UUID:
    statement = sql.SQL("insert into {} ({}) values ({}) returning id").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(sql.Placeholder() * len(values)),
    )
    row = owner.execute(statement, list(values.values())).fetchone()
    assert row is not None
    return UUID(str(row["id"]))


def lookup(owner: Connection, table: LiteralString, slug: str) -> UUID:
    """The id of a lookup row by its slug."""
    row = owner.execute(sql.SQL("select id from {} where slug = %s").format(sql.Identifier(table)), [slug]).fetchone()
    assert row is not None, f"{table} has no {slug}"
    return UUID(str(row["id"]))


def connection(owner: Connection, user_id: UUID, platform: str = "youtube", **columns: Any) -> UUID:
    """A platform connection of a user, without a secret."""
    values = {
        "user_id": user_id,
        "platform_id": lookup(owner, "platform", platform),
        "platform_user_id": f"identity-{next(_numbers)}",
    }
    return _insert(owner, "platform_connection", values | columns)


def account(owner: Connection, user_id: UUID, platform: str = "youtube", **columns: Any) -> UUID:
    """A social account of a user, on a connection of its own unless `connection_id` is given."""
    number = next(_numbers)
    values = {
        "user_id": user_id,
        "connection_id": columns.get("connection_id") or connection(owner, user_id, platform),
        "platform_id": lookup(owner, "platform", platform),
        "status_id": lookup(owner, "account_status", "active"),
        "platform_account_id": f"account-{number}",
        "account_name": f"Channel {number}",
    }
    return _insert(owner, "social_account", values | columns)


def content(owner: Connection, account_id: UUID, title: str = "A video", **columns: Any) -> UUID:
    """A content item of an account; `platform_id` follows the account."""
    number = next(_numbers)
    values = {
        "social_account_id": account_id,
        "content_type_id": lookup(owner, "content_type", columns.pop("content_type", "long_video")),
        "platform_content_id": f"content-{number}",
        "title": title,
        "published_at": "2026-01-01T00:00:00Z",
    }
    return _insert(owner, "content_item", values | columns)


def make_public(owner: Connection, user_id: UUID) -> None:
    """Turn on the one switch that shows a profile to visitors."""
    owner.execute("update user_setting set is_profile_public = true where user_id = %s", [user_id])
