"""PostgREST's own settings, read from PGRST_* variables.

https://docs.postgrest.org/en/v14/references/configuration.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class ConfigError(Exception):
    """A setting is missing or wrong; the text is one sentence for whoever started the server."""


@dataclass(frozen=True)
class Config:
    """The settings that this server knows, with PostgREST's defaults."""

    db_uri: str = "postgresql://"  # the PG* variables say the rest
    db_schemas: tuple[str, ...] = ("public",)
    db_anon_role: str | None = None
    db_extra_search_path: tuple[str, ...] = ("public",)
    db_pre_request: str | None = None
    db_max_rows: int | None = None
    db_tx_end: str = "commit"
    db_aggregates_enabled: bool = False
    db_plan_enabled: bool = False
    db_config: bool = True
    db_pre_config: str | None = None
    db_channel: str = "pgrst"
    db_channel_enabled: bool = True
    db_pool: int = 10
    db_pool_acquisition_timeout_seconds: float = 10.0
    db_prepared_statements: bool = True
    db_root_spec: str | None = None
    db_hoisted_tx_settings: tuple[str, ...] = (
        "statement_timeout",
        "plan_filter.statement_cost_limit",
        "default_transaction_isolation",
    )
    jwt_secret: str | None = None
    jwt_secret_is_base64: bool = False
    jwt_aud: str | None = None
    jwt_role_claim_key: str = ".role"
    openapi_mode: str = "follow-privileges"
    openapi_security_active: bool = False
    openapi_server_proxy_uri: str | None = None
    server_host: str = "!4"
    server_port: int = 3000
    server_unix_socket: str | None = None
    server_unix_socket_mode: int = 0o660
    server_cors_allowed_origins: tuple[str, ...] | None = None
    server_timing_enabled: bool = False
    server_trace_header: str | None = None
    admin_server_host: str | None = None
    admin_server_port: int | None = None
    log_level: str = "error"
    app_settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def rolls_back(self) -> bool:
        """Whether a transaction ends in a rollback unless the request says otherwise."""
        return self.db_tx_end.startswith("rollback")

    @property
    def tx_override_allowed(self) -> bool:
        return self.db_tx_end.endswith("-allow-override")


_TX_ENDS = ("commit", "commit-allow-override", "rollback", "rollback-allow-override")
_OPENAPI_MODES = ("follow-privileges", "ignore-privileges", "disabled")
_APP_SETTINGS = "APP_SETTINGS_"
# Names that settings had before, which still count.
_FORMER_NAMES = {
    "DB_SCHEMAS": "DB_SCHEMA",
    "DB_MAX_ROWS": "MAX_ROWS",
    "DB_PRE_REQUEST": "PRE_REQUEST",
    "DB_ROOT_SPEC": "ROOT_SPEC",
    "JWT_ROLE_CLAIM_KEY": "ROLE_CLAIM_KEY",
    "JWT_SECRET_IS_BASE64": "SECRET_IS_BASE64",
}
# A step of the path to the role's claim: a name, a quoted one, an index, or the first element that meets a condition.
CLAIM_STEP = re.compile(r'\.([\w$@-]+)|\."([^"]*)"|\[(\d+)\]|\[\?\(@\s*(==|!=|\^==|==\^|\*==)\s*"([^"]*)"\)\]')
_PROXY_URI = re.compile(r"https?://[^/?#@\s]+(/[^?#\s]*)?")


def from_environment(environ: Mapping[str, str]) -> Config:
    """Read PGRST_* variables; raise ConfigError where one is missing or makes no sense."""
    given = {name.removeprefix("PGRST_"): value for name, value in environ.items() if name.startswith("PGRST_")}
    return from_settings(given)


def from_settings(given: Mapping[str, str]) -> Config:
    """Read settings named as in the environment without the prefix, e.g. DB_SCHEMAS."""
    given = {name: _from_file(name, value) for name, value in given.items()}
    given |= {name: given[former] for name, former in _FORMER_NAMES.items() if former in given and name not in given}
    reader = _Reader(given)
    defaults = Config()
    config = Config(
        db_uri=given.get("DB_URI") or defaults.db_uri,
        db_schemas=reader.list("DB_SCHEMAS", defaults.db_schemas),
        db_anon_role=given.get("DB_ANON_ROLE") or None,
        db_extra_search_path=reader.list("DB_EXTRA_SEARCH_PATH", defaults.db_extra_search_path),
        db_pre_request=given.get("DB_PRE_REQUEST") or None,
        db_max_rows=reader.integer("DB_MAX_ROWS"),
        db_tx_end=reader.one_of("DB_TX_END", _TX_ENDS, defaults.db_tx_end),
        db_aggregates_enabled=reader.boolean("DB_AGGREGATES_ENABLED", default=False),
        db_plan_enabled=reader.boolean("DB_PLAN_ENABLED", default=False),
        db_config=reader.boolean("DB_CONFIG", default=True),
        db_pre_config=given.get("DB_PRE_CONFIG") or None,
        db_channel=given.get("DB_CHANNEL") or defaults.db_channel,
        db_channel_enabled=reader.boolean("DB_CHANNEL_ENABLED", default=True),
        db_pool=reader.integer("DB_POOL") or defaults.db_pool,
        db_pool_acquisition_timeout_seconds=reader.integer("DB_POOL_ACQUISITION_TIMEOUT")
        or defaults.db_pool_acquisition_timeout_seconds,
        db_prepared_statements=reader.boolean("DB_PREPARED_STATEMENTS", default=True),
        db_root_spec=given.get("DB_ROOT_SPEC") or None,
        db_hoisted_tx_settings=reader.list("DB_HOISTED_TX_SETTINGS", defaults.db_hoisted_tx_settings),
        jwt_secret=given.get("JWT_SECRET") or None,
        jwt_secret_is_base64=reader.boolean("JWT_SECRET_IS_BASE64", default=False),
        jwt_aud=given.get("JWT_AUD") or None,
        jwt_role_claim_key=given.get("JWT_ROLE_CLAIM_KEY") or defaults.jwt_role_claim_key,
        openapi_mode=reader.one_of("OPENAPI_MODE", _OPENAPI_MODES, defaults.openapi_mode),
        openapi_security_active=reader.boolean("OPENAPI_SECURITY_ACTIVE", default=False),
        openapi_server_proxy_uri=given.get("OPENAPI_SERVER_PROXY_URI") or None,
        server_host=given.get("SERVER_HOST") or defaults.server_host,
        server_port=reader.integer("SERVER_PORT", defaults.server_port) or 0,
        server_unix_socket=given.get("SERVER_UNIX_SOCKET") or None,
        server_unix_socket_mode=reader.file_mode("SERVER_UNIX_SOCKET_MODE", defaults.server_unix_socket_mode),
        server_cors_allowed_origins=reader.list("SERVER_CORS_ALLOWED_ORIGINS", ()) or None,
        server_timing_enabled=reader.boolean("SERVER_TIMING_ENABLED", default=False),
        server_trace_header=given.get("SERVER_TRACE_HEADER") or None,
        admin_server_host=given.get("ADMIN_SERVER_HOST") or None,
        admin_server_port=reader.integer("ADMIN_SERVER_PORT"),
        log_level=reader.one_of("LOG_LEVEL", ("crit", "error", "warn", "info", "debug"), defaults.log_level),
        app_settings={
            "app.settings." + name.removeprefix(_APP_SETTINGS).lower(): value
            for name, value in given.items()
            if name.startswith(_APP_SETTINGS)
        },
    )
    if config.jwt_secret and len(config.jwt_secret) < 32:
        raise ConfigError("PGRST_JWT_SECRET must have 32 characters or more.")
    if config.admin_server_port is not None and config.admin_server_port == config.server_port != 0:
        raise ConfigError("PGRST_ADMIN_SERVER_PORT and PGRST_SERVER_PORT must differ.")
    if not re.fullmatch(f"(?:{CLAIM_STEP.pattern})+", config.jwt_role_claim_key):
        raise ConfigError(f"PGRST_JWT_ROLE_CLAIM_KEY is no path of claims: {config.jwt_role_claim_key!r}.")
    if config.openapi_server_proxy_uri and not _PROXY_URI.fullmatch(config.openapi_server_proxy_uri):
        raise ConfigError("PGRST_OPENAPI_SERVER_PROXY_URI must look like https://example.com:8443/path.")
    return config


def _from_file(name: str, value: str) -> str:
    """`@path` stands for what the file holds."""
    if name not in ("DB_URI", "JWT_SECRET") or not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text().rstrip("\n")
    except OSError as error:
        raise ConfigError(f"PGRST_{name} names a file that cannot be read: {error.strerror}.") from error


@dataclass
class _Reader:
    """Typed access to settings that are all text."""

    given: Mapping[str, str]

    def list(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        if name not in self.given:
            return default
        return tuple(item for item in (part.strip() for part in self.given[name].split(",")) if item)

    def integer(self, name: str, default: int | None = None) -> int | None:
        value = self.given.get(name, "")
        if not value:
            return default
        if not value.isdigit():
            raise ConfigError(f"PGRST_{name} must be a whole number, not {value!r}.")
        return int(value)

    def file_mode(self, name: str, default: int) -> int:
        value = self.given.get(name) or f"{default:o}"
        if not re.fullmatch("[67][0-7]{2}", value):
            raise ConfigError(f"PGRST_{name} must be an octal number from 600 to 777, not {value!r}.")
        return int(value, 8)

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self.given.get(name, "").lower()
        if value in ("true", "1", "yes", "on"):
            return True
        if value in ("false", "0", "no", "off"):
            return False
        if value:
            raise ConfigError(f"PGRST_{name} must be true or false, not {value!r}.")
        return default

    def one_of(self, name: str, choices: tuple[str, ...], default: str) -> str:
        value = self.given.get(name) or default
        if value not in choices:
            raise ConfigError(f"PGRST_{name} must be one of {', '.join(choices)}, not {value!r}.")
        return value
