"""Connections and transactions: each request is one transaction, sent in one round trip where nothing must be checked.

psycopg's libpq layer is used directly, in pipeline mode: `begin`, the settings, the statement and `commit` travel
together, their parameters bound by the extended protocol. A statement that comes again and again is prepared on the
connection under its text and the role that it runs as, so that nothing planned for one role serves another.
https://www.psycopg.org/psycopg3/docs/api/pq.html
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg import pq

from infra.local.data_api import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.pq.abc import PGresult

_OK = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
_MOST_PREPARED = 500  # statements on one connection, before it is replaced


class StatementError(Exception):
    """A statement failed; the fields are Postgres's."""

    def __init__(self, sqlstate: str, message: str, details: str | None, hint: str | None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.details = details
        self.hint = hint


class ConnectionLostError(Exception):
    """The connection broke."""


class Command(NamedTuple):
    """SQL with its values; `scope` is the role for which it may be prepared, empty for the login role."""

    text: str
    values: Sequence[bytes | None] | None = None
    types: Sequence[int] | None = None
    formats: Sequence[int] | None = None
    scope: str | None = None


class Connection:
    """One connection in pipeline mode, driven by the event loop."""

    def __init__(self, connection: psycopg.Connection, generation: int, *, prepares: bool) -> None:
        self._owner = connection
        self._pg = connection.pgconn
        self._pg.nonblocking = 1
        self._pg.enter_pipeline_mode()
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[list[PGresult]] | None = None
        self._results: list[PGresult] = []
        self._prepares = prepares
        self._prepared: dict[tuple[str, str], bytes] = {}
        self._prepared_count = 0
        self.generation = generation
        self.is_broken = False
        self._socket = self._pg.socket
        self._loop.add_reader(self._socket, self._read)

    async def run(self, commands: Sequence[Command]) -> list[PGresult]:
        """Send all commands at once and return their results; the first failure raises StatementError."""
        self._results = []
        self._waiter = self._loop.create_future()
        preparing: set[int] = set()  # positions of results that tell of a preparation
        try:
            for position, command in enumerate(commands):
                if self._send(command):
                    preparing.add(position + len(preparing))
            self._pg.pipeline_sync()
            self._write()
        except psycopg.Error as error:
            self._break(str(error))
        results = await self._waiter
        for result in results:
            if result.status not in _OK:
                self._forget(commands)
                raise _error_of(result)
        if preparing:
            return [result for position, result in enumerate(results) if position not in preparing]
        return results

    def _send(self, command: Command) -> bool:
        """Queue a command; tell whether its preparation was queued before it."""
        text, values, types, formats, scope = command
        if scope is None or not self._prepares:
            self._pg.send_query_params(text.encode(), values, types, formats)
            return False
        name = self._prepared.get((scope, text))
        is_new = name is None
        if name is None:
            self._prepared_count += 1
            name = self._prepared[scope, text] = b"s%d" % self._prepared_count
            self._pg.send_prepare(name, text.encode(), types)
        self._pg.send_query_prepared(name, values, formats)
        return is_new

    def _forget(self, commands: Sequence[Command]) -> None:
        """After a failure, prepare anew: perhaps it came too late, or what was prepared does not fit any more."""
        for command in commands:
            if command.scope is not None:
                self._prepared.pop((command.scope, command.text), None)

    def _write(self) -> None:
        if self._pg.flush():
            self._loop.add_writer(self._socket, self._write_more)

    def _write_more(self) -> None:
        try:
            is_done = self._pg.flush() == 0
        except psycopg.Error as error:
            self._break(str(error))
            return
        if is_done:
            self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        try:
            self._pg.consume_input()
            while self._waiter is not None and not self._pg.is_busy():
                result = self._pg.get_result()
                if result is None:  # the end of one command's results
                    continue
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    self._finish()
                else:
                    self._results.append(result)
        except psycopg.Error as error:
            self._break(str(error))

    def _finish(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter and not waiter.done():
            waiter.set_result(self._results)

    def _break(self, message: str) -> None:
        self.close()
        waiter, self._waiter = self._waiter, None
        if waiter and not waiter.done():
            waiter.set_exception(ConnectionLostError(message.strip()))

    @property
    def in_transaction(self) -> bool:
        return self._pg.transaction_status != pq.TransactionStatus.IDLE

    @property
    def is_worn(self) -> bool:
        return self._prepared_count > _MOST_PREPARED

    def close(self) -> None:
        if not self.is_broken:
            self.is_broken = True
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._owner.close()


def _error_of(result: PGresult) -> StatementError:
    def text(name: pq.DiagnosticField) -> str | None:
        value = result.error_field(name)
        return None if value is None else value.decode("utf-8", "replace")

    return StatementError(
        text(pq.DiagnosticField.SQLSTATE) or "XX000",
        text(pq.DiagnosticField.MESSAGE_PRIMARY) or "",
        text(pq.DiagnosticField.MESSAGE_DETAIL),
        text(pq.DiagnosticField.MESSAGE_HINT),
    )


class Pool:
    """Up to `size` connections, the most recently used first; waiting for one is bounded."""

    def __init__(self, uri: str, size: int, timeout_seconds: float, *, prepares: bool) -> None:
        self._uri = uri
        self._prepares = prepares
        self._timeout_seconds = timeout_seconds
        self._free: list[Connection] = []
        self._slots = asyncio.Semaphore(size)
        self._generation = 0

    async def acquire(self) -> Connection:
        """A live connection; raise ApiError PGRST003 after the timeout, PGRST000 where the database is away."""
        if self._slots.locked():
            try:
                await asyncio.wait_for(self._slots.acquire(), self._timeout_seconds)
            except TimeoutError:
                raise errors.pool_timeout() from None
        else:
            await self._slots.acquire()
        while self._free:
            connection = self._free.pop()
            if not connection.is_broken:
                return connection
        generation = self._generation
        try:
            return Connection(await asyncio.to_thread(connect, self._uri), generation, prepares=self._prepares)
        except psycopg.Error as error:
            self._slots.release()
            raise errors.no_connection(str(error).strip()) from None
        except BaseException:
            self._slots.release()
            raise

    def release(self, connection: Connection) -> None:
        """Take a connection back, unless it is in the middle of something, worn or from before a reload."""
        if connection.in_transaction or connection.is_worn or connection.generation != self._generation:
            connection.close()
        if not connection.is_broken:
            self._free.append(connection)
        self._slots.release()

    def renew(self) -> None:
        """Replace all connections, because what is prepared on them may be out of date."""
        self._generation += 1
        self.close()

    def close(self) -> None:
        while self._free:
            self._free.pop().close()


def connect(uri: str) -> psycopg.Connection:
    """A connection that prepares nothing by itself; blocks."""
    return psycopg.connect(
        uri, autocommit=True, prepare_threshold=None, application_name="streamvibe-data-api", connect_timeout=10
    )
