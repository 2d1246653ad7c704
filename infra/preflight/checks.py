"""The checks. Each looks at one thing and yields findings; none changes anything."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg

from functions.core import settings
from functions.core.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
PLATFORMS = ("youtube", "instagram", "tiktok", "facebook", "twitter")
OLDEST_POSTGRES = 15
TIMEOUT_SECONDS = 10


class Level(enum.StrEnum):
    """How bad a finding is: a deployment with a FAIL does not work."""

    OK = "ok"
    NOTE = "note"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation; `advice` says what to do and is empty where nothing is to be done."""

    level: Level
    subject: str
    text: str
    advice: str = ""


Environment = Mapping[str, str]
Check = Callable[[Environment], Iterator[Finding]]


def check_settings(environment: Environment) -> Iterator[Finding]:
    """Every setting that has no default is there, and every given one can be parsed."""
    wrong = 0
    for setting in settings.all_settings():
        try:
            setting.value()
        except ConfigurationError as error:
            wrong += 1
            yield Finding(Level.FAIL, "settings", error.detail, _how_to_set(setting.name, environment))
    if not wrong:
        yield Finding(Level.OK, "settings", "every required setting is given")


def _how_to_set(name: str, environment: Environment) -> str:
    store, _, parameter = environment.get(name, "").partition(":")
    if store != "ssm":
        return f"Set {name}; see docs/configuration.md."
    return f"aws ssm put-parameter --type SecureString --name {parameter} --value '...' (none where you have none)"


def check_database(environment: Environment) -> Iterator[Finding]:
    """Postgres is new enough, the role is the hosted one, extensions and Vault are at hand, sql/ is applied."""
    url = environment.get("DATABASE_URL")
    if not url:
        yield Finding(
            Level.FAIL,
            "database",
            "DATABASE_URL is not set",
            "Copy the session pooler's connection string from the project's Connect page (role postgres).",
        )
        return
    try:
        with psycopg.connect(url, connect_timeout=TIMEOUT_SECONDS, autocommit=True) as connection:
            yield from _version_and_role(connection)
            yield from _extensions(connection)
            yield from _grants_generation(connection)
            yield from _migrations(connection)
    except psycopg.OperationalError:
        # The driver's message quotes the connection string's parts.
        yield Finding(Level.FAIL, "database", "no connection", "Check host, port and password in DATABASE_URL.")


def _version_and_role(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[Finding]:
    major = connection.info.server_version // 10000
    if major < OLDEST_POSTGRES:
        yield Finding(Level.FAIL, "database", f"Postgres {major}", "Upgrade the project to Postgres 15 or newer.")
    else:
        yield Finding(Level.OK, "database", f"Postgres {major}")
    row = connection.execute("select current_user, rolsuper from pg_roles where rolname = current_user").fetchone()
    assert row is not None
    if row[0] != "postgres" or row[1]:
        advice = "Use the project's own role `postgres`: what sql/ creates must belong to it."
        yield Finding(Level.WARN, "database", f"connected as {row[0]}", advice)


def _extensions(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[Finding]:
    available = {
        row[0]
        for row in connection.execute(
            "select name from pg_available_extensions where name in ('pg_trgm', 'unaccent')"
        ).fetchall()
    }
    for name in sorted({"pg_trgm", "unaccent"} - available):
        yield Finding(Level.FAIL, "extensions", f"{name} is not available", f"Install {name} on the server.")
    row = connection.execute(
        "select to_regprocedure('vault.create_secret(text, text, text, uuid)') is not null"
    ).fetchone()
    if row is None or not row[0]:
        advice = "Enable Vault: dashboard, Database, Extensions, supabase_vault."
        yield Finding(Level.FAIL, "vault", "vault.create_secret is missing", advice)
    else:
        yield Finding(Level.OK, "vault", "vault.create_secret is there")


def _grants_generation(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[Finding]:
    row = connection.execute(
        """
        select exists (
            select from pg_default_acl as d, aclexplode(d.defaclacl) as g
            where d.defaclnamespace = 'public'::regnamespace and d.defaclobjtype = 'r'
              and g.grantee = 'anon'::regrole and g.privilege_type = 'SELECT'
        )
        """
    ).fetchone()
    older = row is not None and bool(row[0])
    text = "new tables in public get all grants (older project)" if older else "new tables in public get no grants"
    yield Finding(Level.NOTE, "grants", f"{text}; sql/ grants by itself, both work")


def _migrations(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[Finding]:
    files = {path.name.split("_")[0]: path.name for path in sorted((ROOT / "sql").glob("*.sql"))}
    ledger = connection.execute("select to_regclass('supabase_migrations.schema_migrations') is not null").fetchone()
    applied: set[str] = set()
    if ledger is not None and ledger[0]:
        applied = {
            str(row[0]) for row in connection.execute("select version from supabase_migrations.schema_migrations")
        }
    missing = [name for version, name in files.items() if version not in applied]
    if missing:
        text = f"{len(missing)} of {len(files)} files of sql/ are not applied, first {missing[0]}"
        yield Finding(Level.FAIL, "sql", text, "Run `make deploy-db`.")
    else:
        yield Finding(Level.OK, "sql", f"all {len(files)} files are applied")


def check_keys(environment: Environment) -> Iterator[Finding]:
    """Both API keys open the data API, each as what it is, and access tokens can be verified."""
    origin = environment.get("SUPABASE_URL", "").rstrip("/")
    if not origin:
        return  # check_settings has said so
    with httpx.Client(timeout=TIMEOUT_SECONDS) as client:
        for name in ("SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEY"):
            yield from _key(client, origin, name, environment.get(name, ""))
        yield from _signing_keys(
            client, environment.get("SUPABASE_JWKS_URL") or f"{origin}/auth/v1/.well-known/jwks.json"
        )


def _key(client: httpx.Client, origin: str, name: str, key: str) -> Iterator[Finding]:
    if not key or key.startswith(settings.STORES):
        return
    if name == "SUPABASE_SECRET_KEY" and key.startswith("sb_publishable_"):
        advice = "Use a secret key (sb_secret_...) from the project's API keys page."
        yield Finding(Level.FAIL, "keys", f"{name} holds a publishable key", advice)
        return
    try:
        answer = client.get(
            f"{origin}/rest/v1/platform", params={"select": "slug", "limit": "1"}, headers={"apikey": key}
        )
    except httpx.HTTPError:
        yield Finding(
            Level.FAIL, "keys", f"{origin} does not answer", "Check SUPABASE_URL, and that the project is not paused."
        )
        return
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        yield Finding(Level.FAIL, "keys", f"{name} is refused", "Copy it again from the project's API keys page.")
    elif answer.is_success:
        yield Finding(Level.OK, "keys", f"{name} is accepted")
    else:
        advice = "Run `make deploy-db`, then look at the project's API logs."
        yield Finding(Level.WARN, "keys", f"{name} is accepted, but platform is not readable", advice)


def _signing_keys(client: httpx.Client, url: str) -> Iterator[Finding]:
    try:
        keys = client.get(url).raise_for_status().json().get("keys", [])
    except (httpx.HTTPError, ValueError):
        yield Finding(Level.FAIL, "signing keys", f"{url} gives no key set", "Check SUPABASE_URL or SUPABASE_JWKS_URL.")
        return
    if any(key.get("alg") in {"ES256", "RS256"} for key in keys):
        yield Finding(Level.OK, "signing keys", "access tokens are signed with a public key pair")
    else:
        advice = "Migrate the project to JWT signing keys, or set SUPABASE_JWT_SECRET until then."
        yield Finding(Level.WARN, "signing keys", "the project still signs with its legacy secret", advice)


def check_addresses(environment: Environment) -> Iterator[Finding]:
    """Public addresses are https, and what to register with the platforms and with Stripe."""
    functions_url = environment.get("FUNCTIONS_URL", "").rstrip("/")
    for name in ("FUNCTIONS_URL", "APP_URL"):
        address = environment.get(name, "")
        if address and not address.startswith("https://"):
            advice = f"Platforms accept only https: set {name} to the public address."
            yield Finding(Level.WARN, "addresses", f"{name} is not https", advice)
    if functions_url:
        for platform in PLATFORMS:
            yield Finding(Level.NOTE, "redirect URI", f"{platform}: {functions_url}/oauth/{platform}/callback")
        yield Finding(Level.NOTE, "webhook", f"Stripe: {functions_url}/stripe/webhook")


def check_stripe(environment: Environment) -> Iterator[Finding]:
    """The webhook's secret looks like one, and the API key fits the stage."""
    secrets = environment.get("STRIPE_WEBHOOK_SECRET", "")
    if (
        secrets
        and not secrets.startswith(settings.STORES)
        and not all(one.startswith("whsec_") for one in secrets.replace(",", " ").split())
    ):
        advice = "Copy the signing secret (whsec_...) from the endpoint's page in Stripe."
        yield Finding(Level.FAIL, "stripe", "STRIPE_WEBHOOK_SECRET is no signing secret", advice)
    key = environment.get("STRIPE_SECRET_KEY", "")
    if key.startswith("pk_"):
        yield Finding(
            Level.FAIL, "stripe", "STRIPE_SECRET_KEY is a publishable key", "Use the secret or a restricted key."
        )
    elif key.startswith(("sk_test_", "rk_test_")):
        yield Finding(Level.NOTE, "stripe", "test mode: no money moves, live events are refused")


ALL: tuple[Check, ...] = (check_settings, check_database, check_keys, check_addresses, check_stripe)
