"""Recipes: what is worked out once for all requests of the same shape.

Reads that differ in the operands of plain filters alone (`id=eq.5`, `id=eq.6`) share the parsed request, the plan and
the statement; their operands are filled in when it runs. Everything else is worked out for each request.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.local.data_api import errors
from infra.local.data_api.plan import Plan, plan_request
from infra.local.data_api.query import split_operands, whole_shape
from infra.local.data_api.request import RawRequest, Request, understand
from infra.local.data_api.sql import Statement, explain_count_statement, main_statement

if TYPE_CHECKING:
    from collections.abc import Hashable

    from infra.local.data_api.query import Shape
    from infra.local.data_api.state import Loaded
    from infra.local.data_api.timing import Stopwatch

_KEPT = 1000
_SHAPING_HEADERS = ("accept", "accept-profile", "prefer", "range")


@dataclass(slots=True)
class Recipe:
    """How to answer; without a plan for what needs no statement. `is_kept` once it has served before."""

    request: Request
    plan: Plan | None = None
    statements: list[Statement] = field(default_factory=list)
    is_kept: bool = False


class RecipeBook:
    """The recipes for one state of the schema cache, the least recently used forgotten first."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._recipes: OrderedDict[Hashable, Recipe] = OrderedDict()

    def find(self, raw: RawRequest, watch: Stopwatch) -> tuple[Recipe, list[str]]:
        """The recipe for a request and the operands to fill in; raise ApiError where the request is wrong."""
        try:
            return self._find(raw, watch)
        except RecursionError:
            raise errors.bad_query("The query string is nested too deeply", "nothing sensible needs that") from None

    def _find(self, raw: RawRequest, watch: Stopwatch) -> tuple[Recipe, list[str]]:
        pairs = raw.pairs
        if raw.method not in ("GET", "HEAD") or raw.path == "/" or raw.path.startswith("/rpc/"):
            return self._work_out(raw, whole_shape(pairs), watch), []
        shape, operands = split_operands(pairs)
        key = (raw.method, raw.path, shape, *(raw.headers.get(name) for name in _SHAPING_HEADERS))
        recipe = self._recipes.get(key)
        if recipe is not None:
            self._recipes.move_to_end(key)
            recipe.is_kept = True
            watch.lap("parse")
            watch.lap("plan")
            return recipe, operands
        recipe = self._work_out(raw, shape, watch)
        self._recipes[key] = recipe
        if len(self._recipes) > _KEPT:
            self._recipes.popitem(last=False)
        return recipe, operands

    def _work_out(self, raw: RawRequest, shape: Shape, watch: Stopwatch) -> Recipe:
        request = understand(raw, shape, self._loaded.config, self._loaded.cache.timezones)
        watch.lap("parse")
        recipe = self._plan(request)
        watch.lap("plan")
        return recipe

    def _plan(self, request: Request) -> Recipe:
        if request.action in ("root-info", "relation-info", "inspect"):
            return Recipe(request)
        plan = plan_request(request, self._loaded.config, self._loaded.cache)
        if request.action == "call-info":
            return Recipe(request, plan)
        statements = [main_statement(plan, request, self._loaded.config.db_max_rows)]
        if request.action == "read" and request.preferences.count in ("planned", "estimated"):
            statements.append(explain_count_statement(plan))
        return Recipe(request, plan, statements)
