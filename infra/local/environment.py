"""Where the stack's parts listen and what the functions are told: ports, settings, the env file."""

import json
import os
import secrets
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.local.auth.keys import SigningKey
from infra.local.ports import can_bind, free_port, is_listening
from infra.local.problems import StackError
from infra.local.runner.service import Service
from infra.local.upstream import seed
from infra.local.upstream.origins import origins

DEFAULT_PORT_BASE = 54320
SENDER = "StreamVibe <hello@streamvibe.example>"
SILENT_SECONDS = 3.0
CONNECTION_PATIENCE_SECONDS = 70.0  # a little more than TIME_WAIT lasts
# What a child process inherits; everything else of the caller's environment stays out, above all other accounts' keys.
INHERITED = (
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TZ",
    "SSL_CERT_FILE",
    "VIRTUAL_ENV",
    "COVERAGE_PROCESS_START",
)


@dataclass(frozen=True)
class Ports:
    """One port for each part, all on 127.0.0.1."""

    postgres: int
    gateway: int
    functions: int
    upstream: int
    aws: int
    app: int
    data_api: int

    @classmethod
    def from_base(cls, base: int) -> "Ports":
        """The stack's fixed places: `base` + 0 to 6."""
        return cls(*(base + offset for offset in range(7)))

    @classmethod
    def free(cls) -> "Ports":
        """Seven ports that nobody uses now."""
        chosen: set[int] = set()
        while len(chosen) < 7:
            chosen.add(free_port())
        return cls(*chosen)

    def check_free(
        self, remedy: str, say: Callable[[str], None] = lambda _: None, listener_patience_seconds: float = 0.0
    ) -> None:
        """StackError naming the first port that is taken, if it does not get free while one may hope that it will.

        A listener has `listener_patience_seconds`. A port without one is the near end of somebody's connection, which
        the system keeps for a minute after it is closed: worth waiting for, and `say` is told so.
        """
        began = time.monotonic()
        told = False
        while (busy := next(self._busy(), None)) is not None:
            name, port = busy
            waited = time.monotonic() - began
            if waited > (listener_patience_seconds if is_listening(port) else CONNECTION_PATIENCE_SECONDS):
                raise StackError(f"Port {port} ({name}) is used by another program: {remedy}.")
            if waited > SILENT_SECONDS and not told and not is_listening(port):
                say(f"Port {port} is held by a connection that has just ended; waiting until it is free ...")
                told = True
            time.sleep(0.1)

    def _busy(self) -> Iterator[tuple[str, int]]:
        for name, port in asdict(self).items():
            if not can_bind(port):
                yield name.replace("_", " "), port


def port_base() -> int:
    """PORT_BASE, or its default. StackError if it is no port number that leaves room for seven."""
    text = os.environ.get("PORT_BASE") or str(DEFAULT_PORT_BASE)
    if not text.isdigit() or not 1024 <= int(text) <= 65528:
        raise StackError(f"PORT_BASE is {text!r}; it must be a number from 1024 to 65528.")
    return int(text)


@dataclass(frozen=True)
class Secrets:
    """What a project's owner would keep: made once for each stack, kept in its folder."""

    publishable_key: str
    secret_key: str
    stripe_secret_key: str
    stripe_webhook_secret: str

    @classmethod
    def load(cls, path: Path) -> "Secrets":
        """Those in `path`, made if absent."""
        if not path.exists():
            made = cls(
                publishable_key=f"sb_publishable_{secrets.token_urlsafe(24)}",
                secret_key=f"sb_secret_{secrets.token_urlsafe(24)}",
                stripe_secret_key=f"sk_test_{secrets.token_hex(24)}",
                stripe_webhook_secret=f"whsec_{secrets.token_hex(24)}",
            )
            write_private(path, json.dumps(asdict(made)))
        return cls(**json.loads(path.read_text()))


def settings(ports: Ports, keys: Secrets, service: Service) -> dict[str, str]:
    """Every environment variable that the functions and the stack's users need."""
    supabase, upstream = url(ports.gateway), url(ports.upstream)
    aws = url(ports.aws)
    apps = seed.APPS
    return {
        "SUPABASE_URL": supabase,
        "SUPABASE_PUBLISHABLE_KEY": keys.publishable_key,
        "SUPABASE_SECRET_KEY": keys.secret_key,
        "SUPABASE_JWKS_URL": f"{supabase}/auth/v1/.well-known/jwks.json",
        "FUNCTIONS_URL": url(ports.functions),
        "APP_URL": url(ports.app),
        "UPSTREAM_URL": upstream,
        "UPSTREAM_OVERRIDES": json.dumps(origins(upstream)),
        "AWS_ENDPOINT_URL": aws,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
        **service.queue_urls(aws),
        "EMAIL_FROM": SENDER,
        "STRIPE_SECRET_KEY": keys.stripe_secret_key,
        "STRIPE_WEBHOOK_SECRET": keys.stripe_webhook_secret,
        "GOOGLE_CLIENT_ID": apps["youtube"].client_id,
        "GOOGLE_CLIENT_SECRET": apps["youtube"].client_secret,
        "INSTAGRAM_CLIENT_ID": apps["instagram"].client_id,
        "INSTAGRAM_CLIENT_SECRET": apps["instagram"].client_secret,
        "TIKTOK_CLIENT_KEY": apps["tiktok"].client_id,
        "TIKTOK_CLIENT_SECRET": apps["tiktok"].client_secret,
        "FACEBOOK_CLIENT_ID": apps["facebook"].client_id,
        "FACEBOOK_CLIENT_SECRET": apps["facebook"].client_secret,
        "TWITTER_CLIENT_ID": apps["twitter"].client_id,
        "TWITTER_CLIENT_SECRET": apps["twitter"].client_secret,
        **seed.AI_KEYS,
        "POWERTOOLS_SERVICE_NAME": "streamvibe",
        "POWERTOOLS_TRACE_DISABLED": "true",
        "POWERTOOLS_METRICS_DISABLED": "true",
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "INFO"),
    }


def data_api_settings(ports: Ports, key: SigningKey, database_url: str) -> dict[str, str]:
    """PostgREST's variables, with the values that hosted projects have."""
    return {
        "PGRST_DB_URI": database_url,
        "PGRST_DB_SCHEMAS": "public",
        "PGRST_DB_EXTRA_SEARCH_PATH": "public,extensions",
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_DB_MAX_ROWS": "1000",
        "PGRST_JWT_SECRET": json.dumps(key.jwks()),
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(ports.data_api),
        "PGRST_LOG_LEVEL": "warn",
    }


def inherited() -> dict[str, str]:
    """What children take over from this process' environment."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


def write_env_file(path: Path, values: Mapping[str, str]) -> None:
    """Lines KEY=VALUE that a shell can source; the file appears complete or not at all."""
    write_private(path, "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()))


def write_private(path: Path, text: str) -> None:
    """Put `text` in place at once, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    staged.replace(path)


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
