"""The application: answers requests, and keeps what it needs from the database up to date."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import psycopg

from infra.local.data_api import errors
from infra.local.data_api.config import ConfigError
from infra.local.data_api.cors import cors_headers, preflight
from infra.local.data_api.database import Pool
from infra.local.data_api.openapi import respond_root
from infra.local.data_api.plan import no_table
from infra.local.data_api.recipes import RecipeBook
from infra.local.data_api.request import RawRequest, Request
from infra.local.data_api.response import (
    Response,
    allowed_methods,
    respond,
    respond_error,
    respond_options,
)
from infra.local.data_api.state import Loaded, load
from infra.local.data_api.timing import Stopwatch
from infra.local.data_api.tokens import Authenticator
from infra.local.data_api.transaction import Executor

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from infra.local.data_api.config import Config

log = logging.getLogger("data_api")

_RETRY_SECONDS = 1.0
_MAX_RETRY_SECONDS = 32.0
_LOAD_ERRORS = (psycopg.Error, OSError, ConfigError)


class DataApi:
    """Serves one database."""

    def __init__(self, config: Config, settings: dict[str, str]) -> None:
        self._settings = settings
        self.config = config
        self.loaded: Loaded | None = None
        self._pool: Pool | None = None
        self._executor: Executor | None = None
        self._recipes: RecipeBook | None = None
        self._authenticator = Authenticator(config)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stale = asyncio.Event()
        self._is_settled = asyncio.Event()  # neither stale nor being loaded
        self._retry_in = 0.0
        self.is_listening = not config.db_channel_enabled
        self.reloads = 0

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the schema cache, retrying in the background where the database is away, and listen for changes."""
        config = self.config
        self._pool = Pool(
            config.db_uri,
            config.db_pool,
            config.db_pool_acquisition_timeout_seconds,
            prepares=config.db_prepared_statements,
        )
        self._spawn(self._keep_fresh())
        self.note_change()
        await self._is_settled.wait()
        if self.config.db_channel_enabled:
            self._spawn(self._listen())

    @property
    def is_ready(self) -> bool:
        return self.loaded is not None and self.is_listening

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._pool:
            self._pool.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def note_change(self) -> None:
        """Something in the database is new: reload; requests wait for it, those under way keep what they began with."""
        self._is_settled.clear()
        self._is_stale.set()

    async def _keep_fresh(self) -> None:
        """Reload after changes, however many at once, and again until it works."""
        while True:
            await self._is_stale.wait()
            self._is_stale.clear()
            try:
                await self._reload()
                self._retry_in = 0.0
            except _LOAD_ERRORS as error:
                _complain(error)
                self._back_off()
            except Exception:
                log.exception("The schema cache could not be loaded, retrying")
                self._back_off()
            if not self._is_stale.is_set():
                self._is_settled.set()
            if self._retry_in:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._is_stale.wait(), self._retry_in)
                self.note_change()

    def _back_off(self) -> None:
        self._retry_in = min(self._retry_in * 2 or _RETRY_SECONDS, _MAX_RETRY_SECONDS)

    async def _reload(self) -> None:
        """Read settings, roles and catalog anew."""
        loaded = await asyncio.to_thread(load, self.config.db_uri, self._settings)
        assert self._pool is not None
        self.loaded = loaded
        self._authenticator = Authenticator(loaded.config)
        self._executor = Executor(self._pool, loaded.config, loaded.roles)
        self._recipes = RecipeBook(loaded)
        self._pool.renew()
        self.reloads += 1
        log.info("Schema cache loaded: %d relations, %d functions", *self._sizes(loaded))

    @staticmethod
    def _sizes(loaded: Loaded) -> tuple[int, int]:
        return len(loaded.cache.tables), len(loaded.cache.routines)

    async def _listen(self) -> None:
        """Reload on NOTIFY pgrst; after a lost connection everything may have changed, so reload then too."""
        wait = _RETRY_SECONDS
        was_lost = False
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(self.config.db_uri, autocommit=True)
                async with connection:
                    channel = self.config.db_channel.replace('"', '""')
                    await connection.execute(f'listen "{channel}"'.encode())
                    self.is_listening = True
                    if was_lost:
                        self.note_change()
                    wait = _RETRY_SECONDS
                    async for notice in connection.notifies():
                        if notice.payload in ("", "reload schema", "reload config"):
                            self.note_change()
            except (psycopg.Error, OSError) as error:
                log.warning("The listener lost its connection, retrying: %s", error)
            self.is_listening, was_lost = False, True
            await asyncio.sleep(wait)
            wait = min(wait * 2, _MAX_RETRY_SECONDS)

    # --- requests ----------------------------------------------------------------------------------------------------

    async def answer(self, raw: RawRequest) -> Response:
        """The answer to any request; never raises."""
        config = self.loaded.config if self.loaded else self.config
        preflighted = preflight(raw, config)
        if preflighted is not None:
            return preflighted
        watch = Stopwatch()
        try:
            response = await self._answer(raw, watch)
            if config.server_timing_enabled:
                watch.lap("response")
                response.headers.append(watch.header())
        except errors.ApiError as error:
            response = respond_error(error)
        except Exception:
            log.exception("A request failed: %s %s", raw.method, raw.path)
            response = respond_error(errors.internal())
        if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers.append(("Retry-After", f"{self._retry_in:.0f}"))
        response.headers += cors_headers(raw, config)
        if config.server_trace_header:
            response.headers += _traced(raw, config.server_trace_header)
        return response

    async def _answer(self, raw: RawRequest, watch: Stopwatch) -> Response:
        if not self._is_settled.is_set():
            await self._is_settled.wait()
        loaded, executor, recipes = self.loaded, self._executor, self._recipes
        if loaded is None or executor is None or recipes is None:
            raise errors.no_schema_cache()
        identity = self._authenticator.identify(raw.headers.get("authorization"))
        watch.lap("jwt")
        recipe, operands = recipes.find(raw, watch)
        request, plan = recipe.request, recipe.plan
        match request.action:
            case "root-info":
                return respond_options("OPTIONS,GET,HEAD")
            case "relation-info":
                return _relation_info(request, loaded)
            case "inspect":
                root = await respond_root(request, raw, identity, loaded, executor)
                watch.lap("transaction")
                return root
        assert plan is not None
        if request.action == "call-info":
            writes = plan.call is not None and plan.call.routine.may_write
            return respond_options("OPTIONS,POST" if writes else "OPTIONS,GET,HEAD,POST")
        result_set = await executor.run(recipe, raw, operands, identity)
        watch.lap("transaction")
        return respond(plan, request, raw, result_set)


def _traced(raw: RawRequest, name: str) -> list[tuple[str, str]]:
    """The header that ties an answer to its request, given back as it came."""
    value = raw.headers.get(name.lower())
    return [] if value is None else [(name, value)]


def _relation_info(request: Request, loaded: Loaded) -> Response:
    table = loaded.cache.tables.get(request.target)
    if table is None:
        raise no_table(request.target, loaded.cache)
    return respond_options(allowed_methods(table))


def _complain(error: Exception) -> None:
    log.error("The schema cache could not be loaded, retrying: %s", error)
