"""A populated database: two creators with rows in every table, an admin, one whose admin rights have expired."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import sql
from psycopg.types.json import Jsonb

from tests.databases import Connection, Database

Row = dict[str, Any]
NOW = datetime.now(UTC)
PAST, FUTURE = NOW - timedelta(days=2), NOW + timedelta(days=30)
KEYS = {"user_setting": "user_id", "user_ai_setting": "user_id", "cache_store": "key"}  # all others: id
# One row a user: a second one fits only where the first is gone.
ONE_A_USER = {"users": "id", "user_setting": "user_id", "user_ai_setting": "user_id", "subscription": "user_id"}
PROVISIONED = ONE_A_USER | {"user_role": "user_id"}  # made when they sign up


def key_of(table: str) -> str:
    """The primary key's column."""
    return KEYS.get(table, "id")


def insert(connection: Connection, table: str, row: Row) -> Row:
    """Insert and answer the stored row."""
    statement = sql.SQL("insert into public.{} ({}) values ({}) returning *").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(map(sql.Placeholder, row)),
    )
    values = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in row.items()}
    stored = connection.execute(statement, values).fetchone()
    assert stored is not None
    return stored


@dataclass
class World:
    """Who is there, and `rows[user][table]`: the stored row that stands for this user's rows there."""

    database: Database
    owner: UUID
    stranger: UUID
    admin: UUID
    expired_admin: UUID
    lookups: dict[str, dict[str, UUID]] = field(default_factory=dict)
    rows: dict[UUID, dict[str, Row]] = field(default_factory=dict)

    def new_row(self, table: str, user: UUID) -> Row:
        """Columns of a valid further row of this user, as the server would write it; nothing is stored."""
        return FRESH[table](self, user)

    def at(self, user: UUID, table: str) -> Any:
        """The primary key's value of the user's row."""
        return self.rows[user][table][key_of(table)]


def build_world(database: Database) -> World:
    """Sign everybody up and give both creators a row in each table."""
    world = World(
        database,
        owner=database.create_user("owner@example.com"),
        stranger=database.create_user("stranger@example.com"),
        admin=database.create_user("admin@example.com"),
        expired_admin=database.create_user("expired@example.com"),
    )
    with database.as_superuser() as superuser:
        for table in ("platform", "content_type", "subscription_tier", "subscription_status", "account_status",
                      "ai_provider", "search_engine"):  # fmt: skip
            found = superuser.execute(sql.SQL("select slug, id from public.{}").format(sql.Identifier(table)))
            world.lookups[table] = {row["slug"]: row["id"] for row in found}
        found = superuser.execute("select model_name as slug, id from public.ai_model")
        world.lookups["ai_model"] = {row["slug"]: row["id"] for row in found}
        for user in (world.admin, world.expired_admin):
            expires = PAST if user == world.expired_admin else None
            insert(superuser, "user_role", {"user_id": user, "role": "admin", "expires_at": expires})
        for user in (world.owner, world.stranger):
            world.rows[user] = {}
            for table in FRESH:
                world.rows[user][table] = _first_row(world, superuser, table, user)
    return world


def _first_row(world: World, superuser: Connection, table: str, user: UUID) -> Row:
    if table in PROVISIONED:
        found = superuser.execute(
            sql.SQL("select * from public.{} where {} = %s").format(
                sql.Identifier(table), sql.Identifier(PROVISIONED[table])
            ),
            [user],
        ).fetchone()
        assert found is not None
        return found
    return insert(superuser, table, world.new_row(table, user))


def _lookup(world: World, user: UUID) -> Row:
    return {"slug": f"a-slug-{uuid4().hex}", "display_name": "Something"}


def _about_item(world: World, user: UUID) -> Row:
    return {"content_item_id": world.rows[user]["content_item"]["id"]}


def _provider(world: World) -> Row:
    return {"provider_id": world.lookups["ai_provider"]["local"], "model_id": world.lookups["ai_model"]["builtin"]}


def _engine(world: World) -> Row:
    return {"search_engine_id": world.lookups["search_engine"]["bing"]}


# In the order in which rows can be made: parents first.
FRESH: Mapping[str, Callable[[World, UUID], Row]] = {
    "platform": _lookup,
    "content_type": _lookup,
    "subscription_tier": _lookup,
    "subscription_status": _lookup,
    "account_status": _lookup,
    "ai_provider": _lookup,
    "search_engine": _lookup,
    "ai_model": lambda world, user: {
        "provider_id": world.lookups["ai_provider"]["openai"], "model_name": uuid4().hex, "display_name": "A model"},
    "users": lambda world, user: {"id": user, "email": "again@example.com"},
    "user_setting": lambda world, user: {"user_id": user},
    "user_ai_setting": lambda world, user: {"user_id": user, "tone": "casual"},
    "user_role": lambda world, user: {"user_id": user, "role": "moderator"},
    "subscription": lambda world, user: {
        "user_id": user, "tier_id": world.lookups["subscription_tier"]["premium"],
        "status_id": world.lookups["subscription_status"]["active"]},
    "quota_usage_history": lambda world, user: {
        "user_id": user, "quota_type": "sync", "operation": "increment", "amount": 1, "current_value": 1,
        "billing_cycle_start": PAST - timedelta(days=300), "billing_cycle_end": PAST - timedelta(days=270)},
    "platform_connection": lambda world, user: {
        "user_id": user, "platform_id": world.lookups["platform"]["youtube"], "platform_user_id": uuid4().hex},
    "social_account": lambda world, user: {
        "user_id": user, "connection_id": world.rows[user]["platform_connection"]["id"],
        "platform_id": world.lookups["platform"]["youtube"], "status_id": world.lookups["account_status"]["active"],
        "account_name": "A channel", "platform_account_id": uuid4().hex},
    "content_item": lambda world, user: {
        "social_account_id": world.rows[user]["social_account"]["id"],
        "platform_id": world.lookups["platform"]["youtube"],
        "content_type_id": world.lookups["content_type"]["long_video"], "platform_content_id": uuid4().hex,
        "title": "A video", "published_at": PAST},
    "content_revision": lambda world, user: _about_item(world, user) | {
        "user_id": user, "field_name": "title", "old_value": "a", "new_value": "b"},
    "sync_run": lambda world, user: {
        "user_id": user, "social_account_id": world.rows[user]["social_account"]["id"], "status": "succeeded"},
    "ai_suggestion": lambda world, user: _about_item(world, user) | _provider(world),
    "ai_suggestion_application": lambda world, user: {
        "suggestion_id": world.rows[user]["ai_suggestion"]["id"], "applied_value": "b",
        "applied_field": "title" if "ai_suggestion_application" not in world.rows[user] else "description",
        "applied_by_user_id": user},
    "ai_usage": lambda world, user: _about_item(world, user) | _provider(world) | {
        "user_id": user, "operation_type": "analysis"},
    "trending_keyword": lambda world, user: {"keyword": uuid4().hex, "valid_from": PAST, "valid_until": FUTURE},
    "seo_connection": lambda world, user: _engine(world) | {
        "user_id": user, "site_url": f"https://{uuid4().hex}.example"},
    "seo_submission": lambda world, user: _about_item(world, user) | _engine(world) | {
        "connection_id": world.rows[user]["seo_connection"]["id"], "submitted_url": "https://creator.example/videos/1"},
    "seo_usage": lambda world, user: _about_item(world, user) | _engine(world) | {
        "user_id": user, "operation_type": "submit"},
    "notification": lambda world, user: {"user_id": user, "title": "Hello"},
    "audit_log": lambda world, user: {"user_id": user, "action": "test"},
    "cache_store": lambda world, user: {"key": uuid4().hex, "value": {"a": 1}},
}  # fmt: skip
