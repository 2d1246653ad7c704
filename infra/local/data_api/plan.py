"""The plan of a whole request: what is read, what is written or called, and what media type comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from infra.local.data_api import errors, fuzzy
from infra.local.data_api.grammar import Compare
from infra.local.data_api.media import JSON, MediaType, parse_media_type
from infra.local.data_api.read_plan import (
    ConditionTree,
    FieldRef,
    ReadNode,
    Resolver,
    filter_columns,
    needed_columns,
    plan_read,
)
from infra.local.data_api.schema_cache import Name

if TYPE_CHECKING:
    from infra.local.data_api.config import Config
    from infra.local.data_api.request import Request
    from infra.local.data_api.schema_cache import Handler, Param, Routine, SchemaCache


@dataclass(frozen=True, slots=True)
class Insert:
    """`conflict` names the columns that make two rows the same; `conditions` are PUT's, checked against the body."""

    table: Name
    columns: list[FieldRef]
    body: bytes
    resolution: str | None
    conflict: list[str]
    conditions: list[ConditionTree]
    returning: list[str]
    primary_key: list[str]
    applies_defaults: bool


@dataclass(frozen=True, slots=True)
class Update:
    """Rows that meet `conditions` get the body's values."""

    table: Name
    columns: list[FieldRef]
    body: bytes
    conditions: list[ConditionTree]
    returning: list[str]
    applies_defaults: bool


@dataclass(frozen=True, slots=True)
class Delete:
    """Rows that meet `conditions` go."""

    table: Name
    conditions: list[ConditionTree]
    returning: list[str]


Mutation = Insert | Update | Delete


@dataclass(frozen=True, slots=True)
class Call:
    """A function's call: arguments by name from a query string or form, or out of a JSON body, or the body whole."""

    routine: Routine
    params: list[Param]
    arguments: dict[str, str | list[str]] | None
    body: bytes | None
    whole_body: bool
    returning: list[str]


# How rows become a body: "none" for answers without one, a builtin, or a function of the database.
Format = Literal["none", "json", "object", "csv", "geojson", "custom"]


@dataclass(frozen=True, slots=True)
class Representation:
    """The answer's media type and how it is made."""

    media_type: MediaType
    format: Format
    strip_nulls: bool = False
    handler: Handler | None = None


@dataclass(slots=True)
class Plan:
    """All that the statement is built from."""

    read: ReadNode
    representation: Representation
    mutation: Mutation | None = None
    call: Call | None = None
    reads_only: bool = True


def plan_request(request: Request, config: Config, cache: SchemaCache) -> Plan:
    """Check the request against the schema cache and plan it."""
    if request.action in ("call", "call-info"):
        return _plan_call(request, config, cache)
    if request.target not in cache.tables:
        raise no_table(request.target, cache)
    read = plan_read(request.target, request, config, cache)
    mutation = _plan_mutation(request, cache, read) if request.is_mutation else None
    if mutation is not None:
        _check_preferences(request)
    representation = negotiate(request, config, cache, request.target, read)
    _check_preferences(request)
    return Plan(read, representation, mutation, reads_only=mutation is None)


def no_table(name: Name, cache: SchemaCache) -> errors.ApiError:
    names = [other.name for other in cache.tables if other.schema == name.schema]
    close = fuzzy.nearest(names, name.name, least=0.75)
    hint = f"Perhaps you meant the table '{name.schema}.{close}'" if close else None
    return errors.no_table(name.schema, name.name, hint)


def _check_preferences(request: Request) -> None:
    if request.preferences.invalid and request.preferences.is_strict:
        raise errors.bad_preferences(request.preferences.invalid)


# --- mutations ------------------------------------------------------------------------------------------------------


def _plan_mutation(request: Request, cache: SchemaCache, read: ReadNode) -> Mutation:
    table = cache.tables[request.target]
    query, preferences = request.query, request.preferences
    resolver = Resolver(cache)
    conditions: list[ConditionTree] = [
        resolver.condition(request.target, item) for path, item in query.filters if not path
    ]
    conditions += [resolver.conditions(request.target, tree) for path, tree in query.logic if not path]
    returns = preferences.returned in ("representation", "headers-only")
    returning = needed_columns(read, table.primary_key) if returns else []
    if request.action == "delete":
        return Delete(request.target, conditions, returning)
    body = request.payload.raw if request.payload else b""
    if request.action == "upsert" and not _filters_by_primary_key(request, table.primary_key):
        raise errors.bad_put_filters()
    columns = [_column(resolver, cache, request.target, name) for name in sorted(request.columns)]
    applies_defaults = preferences.missing == "default"
    if request.action == "update":
        return Update(request.target, columns, body, conditions, returning, applies_defaults)
    if request.action == "upsert":
        return Insert(
            request.target,
            columns,
            body,
            "merge-duplicates",
            table.primary_key,
            conditions,
            returning,
            [],
            applies_defaults=False,
        )
    conflict = list(query.on_conflict) if query.on_conflict is not None else table.primary_key
    return Insert(
        request.target,
        columns,
        body,
        preferences.resolution,
        conflict,
        [],
        returning,
        table.primary_key,
        applies_defaults,
    )


def _filters_by_primary_key(request: Request, primary_key: list[str]) -> bool:
    """PUT names one row: every primary key column by `eq`, and nothing else."""
    query = request.query
    return (
        bool(primary_key)
        and not query.logic
        and query.filter_keys == set(primary_key)
        and all(
            isinstance(item.operation, Compare)
            and (item.operation.operator, item.operation.quantifier, item.negated) == ("eq", None, False)
            for path, item in query.filters
            if not path
        )
    )


def _column(resolver: Resolver, cache: SchemaCache, table: Name, name: str) -> FieldRef:
    column = cache.tables[table].columns.get(name)
    if column is None:
        raise errors.no_column(table.name, name)
    ref = resolver.column(column)
    return resolver.transformed(ref, "json", ref.type)


# --- calls ----------------------------------------------------------------------------------------------------------


def _plan_call(request: Request, config: Config, cache: SchemaCache) -> Plan:
    by_post = request.is_call_by_post
    given = request.query.params
    keys = request.columns if by_post else frozenset(name for name, _ in given)
    routine = find_routine(request, keys, cache)
    result = Name(routine.schema, routine.table_name or routine.name)
    read = plan_read(result, request, config, cache)
    body: bytes | None = None
    arguments = None
    if not by_post:
        arguments = _arguments(routine, given)
    elif request.payload and request.payload.form is not None:
        arguments = _arguments(routine, request.payload.form)
    elif request.payload:
        body = request.payload.raw
    whole_body = len(routine.params) == 1 and not routine.params[0].name
    params = routine.params if whole_body else [p for p in routine.params if p.name in keys]
    returning = needed_columns(read, [])
    if returning and returning != ["*"]:
        returning = sorted({*returning, *filter_columns(read)})
    call = Call(routine, params, arguments, body, whole_body, returning)
    representation = negotiate(request, config, cache, result, read)
    _check_preferences(request)
    if request.preferences.is_strict and request.preferences.max_affected is not None and not routine.returns_set:
        raise errors.max_affected_on_single()
    return Plan(read, representation, call=call, reads_only=not (by_post and routine.may_write))


def _arguments(routine: Routine, given: list[tuple[str, str]]) -> dict[str, str | list[str]]:
    """Arguments by name; of a variadic one all values count, of others the last."""
    variadic = {param.name for param in routine.params if param.variadic}
    arguments: dict[str, str | list[str]] = {}
    for name, value in given:
        if name in variadic:
            values = arguments.setdefault(name, [])
            assert isinstance(values, list)
            values.append(value)
        else:
            arguments[name] = value
    return arguments


_WHOLE_BODY_TYPES = {
    "application/json": ("json", "jsonb"),
    "text/plain": ("text",),
    "text/xml": ("xml",),
    "application/octet-stream": ("bytea",),
}
_RAW_BODY_TYPES = ("text/plain", "text/xml", "application/octet-stream")


def find_routine(request: Request, keys: frozenset[str], cache: SchemaCache) -> Routine:
    """The overload whose parameters these arguments fit; PGRST202 if there is none, PGRST203 if there are several."""
    overloads = cache.routines.get(request.target, [])
    by_post, content_type = request.is_call_by_post, request.content_type.name
    named, unnamed = [], []
    for routine in overloads:
        if _fits(routine, keys, raw_body=by_post and content_type in _RAW_BODY_TYPES):
            named.append(routine)
        elif by_post and _takes_whole_body(routine, content_type):
            unnamed.append(routine)
    found = named or unnamed
    if len(found) == 1:
        return found[0]
    if found:
        raise errors.ambiguous_function(
            f"{r.schema}.{r.name}({', '.join(f'{p.name} => {p.type}' for p in r.params)})" for r in found
        )
    raise _no_routine(request, sorted(keys), cache, overloads)


def _fits(routine: Routine, keys: frozenset[str], *, raw_body: bool) -> bool:
    if not routine.params:
        return not keys and not raw_body
    required = {param.name for param in routine.params if param.required}
    return required <= keys <= {param.name for param in routine.params}


def _takes_whole_body(routine: Routine, content_type: str) -> bool:
    if len(routine.params) != 1 or routine.params[0].name:
        return False
    return routine.params[0].type in _WHOLE_BODY_TYPES.get(content_type, ())


def _no_routine(request: Request, keys: list[str], cache: SchemaCache, overloads: list[Routine]) -> errors.ApiError:
    name = f"{request.target.schema}.{request.target.name}"
    by_post, content_type = request.is_call_by_post, request.content_type.name
    only_raw = by_post and content_type in _RAW_BODY_TYPES
    listed = ", ".join(keys)
    shown = "" if only_raw else f"({listed})" if keys else " without parameters"
    if only_raw:
        wanted = f" with a single unnamed {_WHOLE_BODY_TYPES[content_type][0]} parameter"
    else:
        wanted = f" with parameter{'s' if len(keys) > 1 else ''} {listed}" if keys else " without parameters"
        if by_post and content_type == JSON.name:
            wanted += " or with a single unnamed json/jsonb parameter"
    return errors.no_function(
        f"Could not find the function {name}{shown} in the schema cache",
        f"Searched for the function {name}{wanted}, but no matches were found in the schema cache.",
        None if only_raw else _routine_suggestion(request.target, keys, cache, overloads),
    )


def _routine_suggestion(target: Name, keys: list[str], cache: SchemaCache, overloads: list[Routine]) -> str | None:
    """A function, or a signature of this one, that is spelt alike."""
    if overloads:
        signatures = [f"({', '.join(sorted(p.name for p in routine.params))})" for routine in overloads]
        signature = fuzzy.nearest(signatures, f"({', '.join(sorted(keys))})")
        close = f"{target.name}{signature}" if signature else None
    else:
        names = [name.name for name in cache.routines if name.schema == target.schema]
        close = fuzzy.nearest(names, target.name, least=0.75)
    return f"Perhaps you meant to call the function {target.schema}.{close}" if close else None


# --- the media type -------------------------------------------------------------------------------------------------

_BUILTIN: dict[str, tuple[Format, MediaType]] = {
    "*/*": ("json", JSON),
    "application/json": ("json", JSON),
    "text/csv": ("csv", MediaType("text/csv")),
    "application/geo+json": ("geojson", MediaType("application/geo+json")),
}


def negotiate(request: Request, config: Config, cache: SchemaCache, identifier: Name, read: ReadNode) -> Representation:
    """The first accepted media type that can be made; vendored ones are always made by the server itself."""
    for accepted in request.accepts:
        made = _representation(accepted, config, cache, identifier, default_select=read.has_default_select)
        if made is None:
            continue
        if request.headers_only or (request.is_mutation and request.preferences.returned != "representation"):
            return Representation(made.media_type, "none", made.strip_nulls)
        return made
    raise errors.no_media_type(accepted.mime for accepted in request.accepts)


def _representation(  # noqa: PLR0911
    accepted: MediaType, config: Config, cache: SchemaCache, identifier: Name, *, default_select: bool
) -> Representation | None:
    if accepted.is_singular:
        return Representation(accepted, "object", accepted.strip_nulls)
    if accepted.name == "application/vnd.pgrst.array+json":
        return Representation(accepted, "json", strip_nulls=True)
    if accepted.plan_for is not None:
        if not config.db_plan_enabled:
            return None
        made = _representation(accepted.plan_for, config, cache, identifier, default_select=default_select)
        return made and Representation(accepted, made.format, made.strip_nulls, made.handler)
    for target, name in ((identifier, "*/*"), (identifier, accepted.name), (None, accepted.name)):
        handler = cache.handlers.get((target, name))
        if handler is not None and (target is None or default_select):
            return Representation(parse_media_type(handler.produced), "custom", handler=handler)
    if accepted.name in _BUILTIN:
        format_, media_type = _BUILTIN[accepted.name]
        return Representation(media_type, format_)
    return None
