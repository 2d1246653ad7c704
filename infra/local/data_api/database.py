"""Connections and transactions: each request is one transaction, sent in one round trip where nothing must be checked.

psycopg's libpq layer is used directly, in pipeline mode: `begin`, the settings, the statement and `commit` travel
together, with parameters bound by the extended protocol and no statement ever prepared on the server, so that nothing
planned for one role serves another.
https://www.psycopg.org/psycopg3/docs/api/pq.html
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import pq

from infra.local.data_api import errors
from infra.local.data_api.sql import Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.pq.abc import PGresult

_OK = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


class StatementError(Exception):
    """A statement failed; the fields are Postgres's."""

    def __init__(self, sqlstate: str, message: str, details: str | None, hint: str | None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.details = details
        self.hint = hint


class ConnectionLostError(Exception):
    """The connection broke; `sent` tells whether the server may have seen the statements."""


@dataclass(frozen=True, slots=True)
class Command:
    """Text without parameters, such as `begin`."""

    text: str
    values: Sequence[bytes | None] = ()
    types: Sequence[int] = ()
    formats: Sequence[int] = ()


class Connection:
    """One connection in pipeline mode, driven by the event loop."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._owner = connection
        self._pg = connection.pgconn
        self._pg.nonblocking = 1
        self._pg.enter_pipeline_mode()
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[list[PGresult]] | None = None
        self._results: list[PGresult] = []
        self.is_broken = False
        self._socket = self._pg.socket
        self._loop.add_reader(self._socket, self._read)

    async def run(self, commands: Sequence[Command | Statement]) -> list[PGresult]:
        """Send all commands at once; return their results up to the first failure, which raises StatementError."""
        self._results = []
        self._waiter = self._loop.create_future()
        try:
            for command in commands:
                self._pg.send_query_params(
                    command.text.encode(), command.values, command.types or None, command.formats or None
                )
            self._pg.pipeline_sync()
            self._write()
        except psycopg.Error as error:
            self._break(str(error))
        results = await self._waiter
        for result in results:
            if result.status not in _OK:
                raise _error_of(result)
        return results

    def _write(self) -> None:
        if self._pg.flush():
            self._loop.add_writer(self._socket, self._write_more)

    def _write_more(self) -> None:
        try:
            done = self._pg.flush() == 0
        except psycopg.Error as error:
            self._break(str(error))
            return
        if done:
            self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        try:
            self._pg.consume_input()
            while not self._pg.is_busy():
                result = self._pg.get_result()
                if result is None:  # the end of one command's results, or nothing is under way
                    if self._waiter is None or not self._expects_more():
                        return
                    continue
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    self._finish()
                    return
                self._results.append(result)
        except psycopg.Error as error:
            self._break(str(error))

    def _expects_more(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _finish(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter and not waiter.done():
            waiter.set_result(self._results)

    def _break(self, message: str) -> None:
        self.is_broken = True
        self.close()
        waiter, self._waiter = self._waiter, None
        if waiter and not waiter.done():
            waiter.set_exception(ConnectionLostError(message.strip()))

    @property
    def in_transaction(self) -> bool:
        return self._pg.transaction_status != pq.TransactionStatus.IDLE

    def close(self) -> None:
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

    def __init__(self, uri: str, size: int, timeout_seconds: float) -> None:
        self._uri = uri
        self._timeout_seconds = timeout_seconds
        self._free: list[Connection] = []
        self._slots = asyncio.Semaphore(size)

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
        try:
            return Connection(await asyncio.to_thread(connect, self._uri))
        except psycopg.Error as error:
            self._slots.release()
            raise errors.no_connection(str(error).strip()) from None
        except BaseException:
            self._slots.release()
            raise

    def release(self, connection: Connection) -> None:
        if connection.in_transaction:  # never hand a role or a half-done transaction on
            connection.close()
        if not connection.is_broken:
            self._free.append(connection)
        self._slots.release()

    def close(self) -> None:
        while self._free:
            self._free.pop().close()


def connect(uri: str) -> psycopg.Connection:
    """A connection that never prepares statements; blocks."""
    return psycopg.connect(
        uri,
        autocommit=True,
        prepare_threshold=None,
        application_name="streamvibe-data-api",
        connect_timeout=10,
    )
