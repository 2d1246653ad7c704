"""The database of one stack: like a hosted project's, on a server of its own or an existing one, sql/ applied."""

from dataclasses import dataclass, field
from pathlib import Path

from infra.local.postgres.bootstrap import Generation, bootstrap_database, bootstrap_roles, is_bootstrapped
from infra.local.postgres.migrations import EditedError, apply_sql
from infra.local.postgres.server import EmbeddedServer, Server

NAME = "postgres"  # as on hosted projects


@dataclass
class ProjectDatabase:
    """`start` it, and `stop` it. `notes` tell a person what happened to its rows."""

    folder: Path
    port: int
    generation: Generation
    existing_url: str | None = None
    notes: list[str] = field(default_factory=list)
    server: Server = field(init=False)
    name: str = field(default=NAME, init=False)

    def start(self) -> None:
        """Return when sql/ is applied. StackError if that cannot be."""
        if self.existing_url:
            self.server = Server.at(self.existing_url)
            self.name = self.server.maintenance_database
            self._adopt()
        else:
            self._start_server()
            self._build(only_if_missing=True)
        try:
            apply_sql(self.dsn("postgres"))
        except EditedError as edited:
            if self.existing_url:
                raise
            names = ", ".join(edited.names)
            self.notes.append(f"{names} changed: the local database was built anew, its rows are gone.")
            self._build()
            apply_sql(self.dsn("postgres"))

    def revive(self) -> bool:
        """Start our server again if it has ended, and say so. What was committed is there; clients connect anew."""
        if not isinstance(self.server, EmbeddedServer) or self.server.is_running:
            return False
        self._start_server()
        return True

    def stop(self) -> None:
        """End our server; one that was there before stays."""
        server = getattr(self, "server", None)
        if isinstance(server, EmbeddedServer):
            server.stop()

    def dsn(self, role: str | None = None) -> str:
        """A URL for `role`, by default the superuser."""
        return self.server.dsn(self.name, role)

    def _start_server(self) -> None:
        self.server = EmbeddedServer.start(self.folder, port=self.port)

    def _build(self, *, only_if_missing: bool = False) -> None:
        """Make the database, replacing the one that is there."""
        if only_if_missing:
            with self.server.connect(self.name) as connection:
                if is_bootstrapped(connection):
                    return
        # Under another name until it is complete: a start that was killed half way must not leave half a database.
        staged = f"{self.name}_new"
        self.server.drop_database(staged)
        self.server.create_database(staged, self.generation)
        self.server.drop_database(self.name)
        self.server.rename_database(staged, self.name)

    def _adopt(self) -> None:
        with self.server.connect(self.name) as connection:
            bootstrap_roles(connection)
            if not is_bootstrapped(connection):
                bootstrap_database(connection, self.generation)
