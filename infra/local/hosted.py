"""A Supabase that is there already, hosted or of `npx supabase start`, in place of the local stack's own."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg

from infra.local.problems import StackError

VARIABLES = ("SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEY", "DATABASE_URL")
OURS = "%@example.com"  # the addresses of the accounts that tests and the demo make
PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class HostedProject:
    """Its address, keys and connection string (role `postgres`); it is used like a `ProjectDatabase`."""

    url: str
    publishable_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    database_url: str = field(repr=False)
    legacy_jwt_secret: str = field(default="", repr=False)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "HostedProject | None":
        """The one that SUPABASE_URL, both keys and DATABASE_URL name; None unless all four are given."""
        if not all(environment.get(name) for name in VARIABLES):
            return None
        url, publishable_key, secret_key, database_url = (environment[name] for name in VARIABLES)
        legacy = environment.get("SUPABASE_JWT_SECRET", "")
        return cls(url.rstrip("/"), publishable_key, secret_key, database_url, legacy)

    def settings(self) -> dict[str, str]:
        """What the functions are told of it."""
        keys = f"{self.url}/auth/v1/.well-known/jwks.json"
        legacy = {"SUPABASE_JWT_SECRET": self.legacy_jwt_secret} if self.legacy_jwt_secret else {}
        return {
            "SUPABASE_URL": self.url,
            "SUPABASE_PUBLISHABLE_KEY": self.publishable_key,
            "SUPABASE_SECRET_KEY": self.secret_key,
            "SUPABASE_JWKS_URL": keys,
            **legacy,
        }

    def start(self) -> None:
        """Look that it can be used, and that nobody lives there. StackError, in one sentence, if not."""
        try:
            with psycopg.connect(self.database_url, connect_timeout=PATIENCE_SECONDS, autocommit=True) as connection:
                applied = connection.execute("select to_regclass('public.social_account') is not null").fetchone()
                if applied != (True,):
                    raise StackError("The project that SUPABASE_URL names has no tables yet: run `make deploy-db`.")
                others = connection.execute("select count(*) from auth.users where email not like %s", [OURS])
                people = others.fetchone()
        except psycopg.OperationalError:
            # The driver's message quotes parts of the connection string.
            raise StackError("No database answers at DATABASE_URL.") from None
        if people is None or people[0]:
            raise StackError(
                f"{people[0] if people else 0} people have accounts at {self.url}: what runs here makes and deletes "
                "accounts, so give it a project of its own."
            )

    def revive(self) -> bool:
        """Nothing of it is ours to start again."""
        return False

    def stop(self) -> None:
        """It stays."""

    def dsn(self, role: str | None = None) -> str:
        """The one connection string that there is; as another role than `postgres` nobody connects from here."""
        if role not in (None, "postgres"):
            raise StackError(f"There is no way into a hosted project as {role}.")
        return self.database_url
