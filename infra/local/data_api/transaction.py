"""One request's transaction: settings, pre-request function, main statement, checks, end.

https://docs.postgrest.org/en/v14/references/transactions.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from infra.local.data_api import errors
from infra.local.data_api.database import Command, ConnectionLostError, StatementError
from infra.local.data_api.plan import Delete, Update
from infra.local.data_api.schema_cache import Name
from infra.local.data_api.sql import qualified, quote, quote_literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.pq.abc import PGresult

    from infra.local.data_api.config import Config
    from infra.local.data_api.database import Connection, Pool
    from infra.local.data_api.plan import Plan
    from infra.local.data_api.recipes import Recipe
    from infra.local.data_api.request import RawRequest, Request
    from infra.local.data_api.sql import Statement
    from infra.local.data_api.tokens import Identity

_COMMIT = Command("commit", scope="")
_ROLLBACK = Command("rollback")
# Deferred constraints must show in the answer also where nothing is to last.
_CHECK_CONSTRAINTS = Command("set constraints all immediate")
_BYTEA = 17
_ISOLATION = "default_transaction_isolation"
_NONE: Mapping[str, str] = {}


@dataclass(slots=True)
class ResultSet:
    """What the main statement gave back."""

    total: int | None = None
    page_total: int = 0
    location: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    headers: str | None = None
    status: str | None = None
    inserted: int | None = None


class Executor:
    """Runs plans on the pool. `roles` are the settings of the roles that can be impersonated."""

    def __init__(self, pool: Pool, config: Config, roles: Mapping[str, Mapping[str, str]]) -> None:
        self._pool = pool
        self._config = config
        self._roles = roles

    async def run(self, recipe: Recipe, raw: RawRequest, operands: list[str], identity: Identity) -> ResultSet:
        """Execute a recipe's plan; raise ApiError for what the database or a check refuses."""
        request, plan = recipe.request, recipe.plan
        assert plan is not None
        scope = identity.role if recipe.is_kept else None
        statements = [_command(statement, operands, scope) for statement in recipe.statements]
        opening = [self._begin(plan, identity), *self._settings(request, raw, identity, plan)]
        connection = await self._pool.acquire()
        try:
            if not _must_check(plan, request):
                commands = [*opening, *statements, *self._ending(request)]
                results = await self._run(connection, commands, identity)
                return self._read(plan, request, results[len(opening) :])
            results = await self._run(connection, [*opening, *statements], identity)
            result_set = self._read(plan, request, results[len(opening) :])
            try:
                _check(plan, request, result_set)
            except errors.ApiError:
                await self._run(connection, [_ROLLBACK], identity)
                raise
            await self._run(connection, self._ending(request), identity)
            return result_set
        finally:
            self._pool.release(connection)

    async def fetch(
        self, request: Request, raw: RawRequest, identity: Identity, statements: Sequence[Statement]
    ) -> list[bytes | None]:
        """The first column of the first row of each statement, read as this identity."""
        opening = [Command("begin read only"), *self._settings(request, raw, identity, None)]
        commands = [_command(statement, [], None) for statement in statements]
        connection = await self._pool.acquire()
        try:
            results = await self._run(connection, [*opening, *commands, _COMMIT], identity)
        finally:
            self._pool.release(connection)
        return [result.get_value(0, 0) for result in results[len(opening) : -1]]

    def _begin(self, plan: Plan, identity: Identity) -> Command:
        of_call = plan.call.routine.isolation_level if plan.call else None
        level = of_call or self._roles.get(identity.role, _NONE).get(_ISOLATION, "").lower()
        level = level if level in ("serializable", "repeatable read") else "read committed"
        mode = "read only" if plan.reads_only else "read write"
        return Command(f"begin isolation level {level} {mode}", scope="")

    def _settings(self, request: Request, raw: RawRequest, identity: Identity, plan: Plan | None) -> list[Command]:
        """The settings of the transaction, and the pre-request function."""
        headers = dict(raw.headers)
        cookies = headers.pop("cookie", None)
        # The role's settings come before the role, so that what the login role may set needs no other grant.
        pairs = [("search_path", self._search_path(request.schema))]
        pairs += [(k, v) for k, v in self._roles.get(identity.role, _NONE).items() if k != _ISOLATION]
        pairs += [
            ("role", identity.role),
            ("request.jwt.claims", identity.claims),
            ("request.method", raw.method),
            ("request.path", raw.path),
            ("request.headers", _to_json(headers)),
            ("request.cookies", _to_json(_cookies(cookies)) if cookies else "{}"),
        ]
        if request.preferences.timezone is not None:
            pairs.append(("timezone", request.preferences.timezone))
        if plan and plan.call:
            hoisted = self._config.db_hoisted_tx_settings
            pairs += [(k, v) for k, v in plan.call.routine.settings if k in hoisted and k != _ISOLATION]
        pairs += self._config.app_settings.items()
        text = _set_all(tuple([name for name, _ in pairs]))
        settings = Command(text, [value.encode() for _, value in pairs], scope="")
        if not self._config.db_pre_request:
            return [settings]
        schema, _, function = self._config.db_pre_request.rpartition(".")
        return [settings, Command(f"select {qualified(Name(schema, function))}()")]

    def _search_path(self, schema: str) -> str:
        return ", ".join(quote(name) for name in (schema, *self._config.db_extra_search_path))

    def _ending(self, request: Request) -> list[Command]:
        tx = request.preferences.tx
        if tx == "rollback" or (tx is None and self._config.rolls_back):
            return [_CHECK_CONSTRAINTS, _ROLLBACK]
        return [_COMMIT]

    async def _run(self, connection: Connection, commands: Sequence[Command], identity: Identity) -> list[PGresult]:
        try:
            return await connection.run(commands)
        except StatementError as error:
            if connection.in_transaction:
                await connection.run([_ROLLBACK])
            raise errors.from_postgres(
                error.sqlstate, error.message, error.details, error.hint, signed_in=identity.signed_in
            ) from None
        except ConnectionLostError as error:
            raise errors.client_error(str(error) or None) from None

    def _read(self, plan: Plan, request: Request, results: list[PGresult]) -> ResultSet:
        result_set = _read_row(plan, results[0])
        count = request.preferences.count
        if plan.mutation is not None or plan.call is not None or count not in ("planned", "estimated"):
            return result_set
        guess = json.loads(results[1].get_value(0, 0) or b"[]")[0]["Plan"]["Plan Rows"]
        if count == "planned" or result_set.total is None:
            return replace(result_set, total=guess)
        limit = self._config.db_max_rows
        if limit is None or result_set.total > limit:
            return replace(result_set, total=max(result_set.total, guess))
        return result_set


@lru_cache(maxsize=256)
def _set_all(names: tuple[str, ...]) -> str:
    """A select that sets all of these to its parameters, for the transaction."""
    calls = [f"set_config({quote_literal(name)}, ${position}, true)" for position, name in enumerate(names, 1)]
    return f"select {', '.join(calls)}"


def _command(statement: Statement, operands: list[str], scope: str | None) -> Command:
    return Command(statement.text, statement.filled(operands), statement.types, statement.formats, scope)


def _must_check(plan: Plan, request: Request) -> bool:
    """Whether the answer decides between commit and rollback."""
    if request.action == "upsert" or plan.representation.media_type.is_singular:
        return True
    return request.preferences.is_strict and request.preferences.max_affected is not None


def _check(plan: Plan, request: Request, result_set: ResultSet) -> None:
    rows = result_set.page_total
    if request.action == "upsert":
        if rows != 1:
            raise errors.put_mismatch()
        return
    if plan.representation.media_type.is_singular and rows != 1:
        raise errors.not_singular(rows)
    limit = request.preferences.max_affected
    is_limited = plan.call is not None or isinstance(plan.mutation, Update | Delete)
    if is_limited and request.preferences.is_strict and limit is not None and rows > limit:
        raise errors.too_many_affected(rows)


def _read_row(plan: Plan, result: PGresult) -> ResultSet:
    if plan.representation.media_type.is_plan:
        lines = [result.get_value(row, 0) or b"" for row in range(result.ntuples)]
        return ResultSet(body=b"".join(line + b"\n" for line in lines))
    if result.ntuples == 0:
        return ResultSet(total=0 if plan.call else None)
    total, page_total, location, body, headers, status, inserted = (result.get_value(0, column) for column in range(7))
    return ResultSet(
        total=int(total) if total is not None else None,
        page_total=int(page_total or 0),
        location=_pairs(location) if location and location != b"[]" else (),
        body=_decoded(body or b"", result.ftype(3)),
        headers=headers.decode() if headers is not None else None,
        status=status.decode() if status is not None else None,
        inserted=int(inserted) if inserted is not None else None,
    )


def _pairs(array: bytes) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in json.loads(array))


def _decoded(body: bytes, type_: int) -> bytes:
    """A body that is bytea comes as `\\x` and hex digits."""
    return bytes.fromhex(body[2:].decode()) if type_ == _BYTEA and body.startswith(b"\\x") else body


def _cookies(header: str) -> dict[str, str]:
    pairs = (item.strip().partition("=") for item in header.split(";"))
    return {name: value for name, _, value in pairs if name}


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
