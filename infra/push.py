"""`make deploy-db`: apply sql/ to the database that DATABASE_URL names, with the official CLI (`supabase db push`).

https://supabase.com/docs/reference/cli/supabase-db-push. Arguments of a process can be read by everybody on the machine
and end up in its logs, so the CLI gets the connection string without its password, and the password as PGPASSWORD.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

ROOT = Path(__file__).parents[1]
PACKAGE = "supabase@3.1.0"


class PushError(Exception):
    """What stands in the way, in one sentence without secrets."""


def without_password(url: str) -> tuple[str, str]:
    """A connection string as one without its password, and the password (empty if there is none)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise PushError("DATABASE_URL is not a connection string; percent-encode its password.") from None
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or "#" in url:
        raise PushError("DATABASE_URL is no URL like postgresql://user:password@host:5432/postgres.")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    password = query.pop("password", None) or unquote(parts.password or "")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    user = f"{quote(unquote(parts.username), safe='')}@" if parts.username else ""
    address = f"{user}{host}" + (f":{port}" if port else "")
    return urlunsplit((parts.scheme, address, parts.path, urlencode(query), "")), password


def push(environment: Mapping[str, str]) -> int:
    """Run the CLI in this terminal, where it asks first (SUPABASE_YES=1 answers); its exit code."""
    url = environment.get("DATABASE_URL")
    if not url:
        raise PushError("DATABASE_URL is missing: the session pooler's string from the project's Connect page.")
    address, password = without_password(url)
    npx = shutil.which("npx", path=environment.get("PATH"))
    if npx is None:
        raise PushError("make deploy-db needs Node 20.19 or newer with npm (https://nodejs.org).")
    # The whole string is not for the CLI's children either.
    variables = {name: value for name, value in environment.items() if name != "DATABASE_URL"}
    if password:
        variables["PGPASSWORD"] = password
    command = [npx, "--yes", PACKAGE, "db", "push", "--workdir", "infra", f"--remote={address}"]
    return subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(push(os.environ))
    except PushError as problem:
        sys.exit(str(problem))
