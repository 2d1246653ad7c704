"""A Postgres server of our own, or one that runs already, as a place where databases like a hosted project's are made.

`EmbeddedServer.start(folder)` runs one in the foreground of this process' lifetime: it ends when `stop()` is called or
when this process is gone, however it went. `Server.at(url)` uses a running one (`DATABASE_URL`), given a superuser.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from infra.local import leash
from infra.local.ports import free_port
from infra.local.postgres.binaries import Account, open_data_folder, require_programs, server_account, wheel_binaries
from infra.local.postgres.bootstrap import Generation, bootstrap_database, bootstrap_roles
from infra.local.problems import StackError

SUPERUSER = "supabase_admin"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
START_SECONDS = 30.0
STILL_IN_USE = "is still in use"  # what Postgres says of its predecessor's shared memory
STOP_SECONDS = 10.0
Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Server:
    """Where a server listens and who its superuser is. Roles made by the bootstrap have the password `postgres`."""

    host: str
    port: int
    superuser: str = SUPERUSER
    superuser_password: str = ""
    maintenance_database: str = "template1"

    @classmethod
    def at(cls, url: str) -> "Server":
        """The running server behind `url`, which names a superuser. StackError if it cannot be used."""
        try:
            parts = conninfo_to_dict(url)
        except psycopg.Error as error:
            raise StackError("DATABASE_URL is not a Postgres URL (postgresql://user:password@host:port/db).") from error
        server = cls(
            host=str(parts.get("host") or "127.0.0.1"),
            port=int(parts.get("port") or 5432),
            superuser=str(parts.get("user") or "postgres"),
            superuser_password=str(parts.get("password") or ""),
            maintenance_database=str(parts.get("dbname") or "postgres"),
        )
        if server.host not in LOOPBACK and not server.host.startswith("/"):
            raise StackError(
                f"DATABASE_URL points to {server.host}; the local stack sets up roles, and on this machine only."
            )
        try:
            with server.connect(server.maintenance_database) as connection:
                version = connection.info.server_version
        except psycopg.OperationalError as error:
            reason = str(error).strip().splitlines()[0]
            raise StackError(f"No Postgres answers at DATABASE_URL ({server.host}:{server.port}): {reason}") from error
        if version < 150000:
            raise StackError(f"The server at DATABASE_URL is version {version // 10000}; StreamVibe needs 15 or newer.")
        return server

    def dsn(self, database: str, role: str | None = None) -> str:
        """A `postgresql://` URL for `role` (default: the superuser)."""
        user = role or self.superuser
        password = self.superuser_password if user == self.superuser else "postgres"
        secret = f":{quote(password, safe='')}" if password else ""
        host = quote(self.host, safe="") if "/" in self.host else self.host
        return f"postgresql://{quote(user, safe='')}{secret}@{host}:{self.port}/{quote(database, safe='')}"

    @contextmanager
    def connect(self, database: str, role: str | None = None) -> Iterator[Connection]:
        """An autocommit connection, closed at the end."""
        with contextlib.closing(psycopg.connect(self.dsn(database, role), autocommit=True)) as connection:
            yield connection

    def has_database(self, name: str) -> bool:
        with self.connect(self.maintenance_database) as connection:
            return connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone() is not None

    def create_database(self, name: str, generation: Generation = "current") -> None:
        """Make `name` and everything that a hosted project has before its first migration."""
        self.clone_database(name, "template0")
        with self.connect(name) as connection:
            bootstrap_roles(connection)
            bootstrap_database(connection, generation)

    def clone_database(self, name: str, template: str) -> None:
        """Copy `template`, to which nobody may be connected, with all its rows and grants (about 0.1 s)."""
        with self.connect(self.maintenance_database) as connection:
            connection.execute(
                sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template))
            )
            if connection.execute("select 1 from pg_roles where rolname = 'postgres'").fetchone():
                connection.execute(sql.SQL("alter database {} owner to postgres").format(sql.Identifier(name)))

    def rename_database(self, name: str, new_name: str) -> None:
        with self.connect(self.maintenance_database) as connection:
            connection.execute(
                sql.SQL("alter database {} rename to {}").format(sql.Identifier(name), sql.Identifier(new_name))
            )

    def drop_database(self, name: str) -> None:
        """Drop `name` if it is there, ending its connections."""
        with self.connect(self.maintenance_database) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


@dataclass(frozen=True)
class EmbeddedServer(Server):
    """A server that this process started. Use as a context manager, or call `stop()`."""

    process: "subprocess.Popen[bytes] | None" = None
    folder: Path = Path()

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        port: int = 0,
        binaries: Path | None = None,
        extra: tuple[str, ...] = (),
    ) -> "EmbeddedServer":
        """Start a server on `folder`/data (made if absent) at 127.0.0.1:`port` (0: a free one); wait until it answers.

        Commits survive the end of any process, not a crash of the machine (fsync is off). `extra` are further
        settings, as "name=value". StackError when the server does not come up.
        """
        programs = binaries or wheel_binaries()
        if binaries:
            require_programs(binaries, "install it or leave it out")
        account = server_account()
        data = open_data_folder(folder.absolute() / "data")
        if not (data / "PG_VERSION").exists():
            _initialise(programs, data, account)
        chosen = port or free_port()
        deadline = time.monotonic() + START_SECONDS
        while True:
            process = _launch(programs, data, port=chosen, account=account, extra=extra)
            leash.shared().hold(process.pid, signal.SIGINT)
            server = cls(host="127.0.0.1", port=chosen, process=process, folder=data)
            try:
                server._wait(deadline)
            except BaseException as error:
                server.stop()
                # The sessions of a server that was killed take a moment to notice it.
                if isinstance(error, StackError) and STILL_IN_USE in str(error) and time.monotonic() < deadline:
                    time.sleep(0.1)
                    continue
                raise
            return server

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Fast shutdown: roll back what is open, write a checkpoint, leave."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(STOP_SECONDS)
        leash.shared().release(self.process.pid)

    def remove(self) -> None:
        """Stop and delete the data folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait(self, deadline: float) -> None:
        while True:
            try:
                with self.connect(self.maintenance_database):
                    return
            except psycopg.OperationalError as error:
                if (self.process is not None and self.process.poll() is not None) or time.monotonic() > deadline:
                    raise StackError(
                        f"Postgres does not start on port {self.port}: {_last_log_line(self.folder)}"
                    ) from error
            time.sleep(0.02)


def _initialise(programs: Path, data: Path, account: Account | None) -> None:
    data.parent.mkdir(parents=True, exist_ok=True)
    # Made beside its place, then renamed: an initdb that was killed must not look like a data folder.
    staged = data.with_name(f"{data.name}.new")
    shutil.rmtree(staged, ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)
    staged.mkdir(mode=0o700)
    if account is not None:
        os.chown(staged, account.uid, account.gid)
    # PostgreSQL's own Unicode tables where they exist (17 on), so that no locale of the system is needed.
    locale = (
        ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        if _major(programs) >= 17
        else ["--locale=C.UTF-8"]
    )
    result = subprocess.run(
        [str(programs / "initdb"), "-D", str(staged), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8",
         "--no-sync", "--no-instructions", *locale],
        check=False, capture_output=True, text=True, cwd="/", env=_environment(), **_run_as(account),
    )  # fmt: skip
    if result.returncode != 0:
        raise StackError(f"Postgres cannot create its data folder {data}: {result.stderr.strip().splitlines()[-1:]}")
    staged.rename(data)


def _launch(
    programs: Path, data: Path, *, port: int, account: Account | None, extra: tuple[str, ...]
) -> "subprocess.Popen[bytes]":
    settings = [
        f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200",
        "shared_buffers=128MB", "timezone=UTC", "log_timezone=UTC", "jit=off", "log_min_messages=warning",
        "log_min_error_statement=panic", "fsync=off", "full_page_writes=off", *extra,
    ]  # fmt: skip
    arguments = [argument for setting in settings for argument in ("-c", setting)]
    with (data.parent / f"{data.name}.log").open("ab") as log:
        return subprocess.Popen(
            [str(programs / "postgres"), "-D", str(data), *arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=_environment(),
            start_new_session=True, **_run_as(account),
        )  # fmt: skip


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}


def _run_as(account: Account | None) -> dict[str, Any]:
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def _major(programs: Path) -> int:
    answer = subprocess.run(
        [str(programs / "postgres"), "--version"], check=True, capture_output=True, text=True, cwd="/"
    )
    return int(answer.stdout.split()[2].split(".")[0])


def _last_log_line(data: Path) -> str:
    lines = (data.parent / f"{data.name}.log").read_text(errors="replace").strip().splitlines()
    fatal = [line for line in lines if "FATAL" in line]
    return (fatal or lines or ["it wrote nothing"])[-1]
