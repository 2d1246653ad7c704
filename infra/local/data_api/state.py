"""What is loaded from the database before requests are served: settings, roles, the schema cache."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from infra.local.data_api import catalog
from infra.local.data_api.config import Config, from_settings
from infra.local.data_api.schema_cache import SchemaCache, load_schema_cache

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Loaded:
    """A consistent set of what a request needs."""

    config: Config
    cache: SchemaCache
    roles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def load(uri: str, settings: Mapping[str, str]) -> Loaded:
    """Read everything on a connection of its own; raise psycopg.Error. Blocks."""
    with psycopg.connect(uri, prepare_threshold=None, connect_timeout=10) as connection:
        config = from_settings(settings)
        if config.db_config:
            config = from_settings({**settings, **_from_database(connection, config)})
        return Loaded(config, _load_cache(connection, config), _role_settings(connection))


def _fetch(connection: psycopg.Connection, sql: str, params: Sequence[Any] = ()) -> Any:
    # The catalog's queries use $1 as Postgres does, so they go through a cursor that does not rewrite them.
    with psycopg.RawCursor(connection) as cursor:
        row = cursor.execute(sql.encode(), params).fetchone()
    return row[0] if row else None


def _from_database(connection: psycopg.Connection, config: Config) -> dict[str, str]:
    """Settings from the login role and from the pre-config function, named as in the environment."""
    if config.db_pre_config:
        connection.execute(f"select {config.db_pre_config}()".encode())
    found = _fetch(connection, catalog.DATABASE_CONFIG) or {}
    return {
        name.removeprefix("pgrst.").replace(".", "_").replace("-", "_").upper(): value for name, value in found.items()
    }


def _role_settings(connection: psycopg.Connection) -> dict[str, dict[str, str]]:
    roles: dict[str, dict[str, str]] = {}
    for role, name, value in _fetch(connection, catalog.ROLE_SETTINGS):
        roles.setdefault(role, {})[name] = value
    return roles


def _load_cache(connection: psycopg.Connection, config: Config) -> SchemaCache:
    connection.execute("set local search_path to ''")
    _fetch(connection, catalog.CHECK_SCHEMAS, [[*config.db_schemas, *config.db_extra_search_path]])
    return load_schema_cache(
        lambda sql, params: _fetch(connection, sql, params), config.db_schemas, config.db_extra_search_path
    )
