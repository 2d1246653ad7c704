"""Every error that the data API answers, with PostgREST's codes, texts and HTTP statuses.

https://docs.postgrest.org/en/v14/references/errors.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Header = tuple[str, str]


class ApiError(Exception):
    """An answer that is an error: HTTP status and the four members of PostgREST's error body."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Any = None,
        hint: str | None = None,
        headers: Sequence[Header] = (),
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.hint = hint
        self.headers = list(headers)
        self.reason = reason

    def body(self) -> bytes:
        """The JSON body."""
        members = {"code": self.code, "details": self.details, "hint": self.hint, "message": self.message}
        return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


# --- the request (PGRST1xx) -----------------------------------------------------------------------------------------


def bad_query(message: str, details: str) -> ApiError:
    return ApiError(400, "PGRST100", message, details=details)


def method_not_for_rpc(method: str) -> ApiError:
    return ApiError(405, "PGRST101", f"Cannot use the {method} method on RPC")


def bad_body(message: str) -> ApiError:
    return ApiError(400, "PGRST102", message)


def bad_range(details: str) -> ApiError:
    return ApiError(416, "PGRST103", "Requested range not satisfiable", details=details)


def range_out_of_bounds(offset: int, total: int) -> ApiError:
    return bad_range(f"An offset of {offset} was requested, but there are only {total} rows.")


def bad_put_filters() -> ApiError:
    message = "Filters must include all and only primary key columns with 'eq' operators"
    return ApiError(405, "PGRST105", message)


def unknown_schema(schema: str, exposed: Iterable[str]) -> ApiError:
    hint = f"Only the following schemas are exposed: {', '.join(exposed)}"
    return ApiError(406, "PGRST106", f"Invalid schema: {schema}", hint=hint)


def no_media_type(accepts: Iterable[str]) -> ApiError:
    return ApiError(406, "PGRST107", f"None of these media types are available: {', '.join(accepts)}")


def not_embedded(resource: str) -> ApiError:
    return ApiError(
        400,
        "PGRST108",
        f"'{resource}' is not an embedded resource in this request",
        hint=f"Verify that '{resource}' is included in the 'select' query parameter.",
    )


def bad_response_headers() -> ApiError:
    message = "response.headers guc must be a JSON array composed of objects with a single key and a string value"
    return ApiError(500, "PGRST111", message)


def bad_response_status() -> ApiError:
    return ApiError(500, "PGRST112", "response.status guc must be a valid status code")


def put_with_limit() -> ApiError:
    return ApiError(400, "PGRST114", "limit/offset querystring parameters are not allowed for PUT")


def put_mismatch() -> ApiError:
    return ApiError(400, "PGRST115", "Payload values do not match URL in primary key column(s)")


def not_singular(rows: int) -> ApiError:
    message = "Cannot coerce the result to a single JSON object"
    return ApiError(406, "PGRST116", message, details=f"The result contains {rows} rows")


def unsupported_method(method: str) -> ApiError:
    return ApiError(405, "PGRST117", f"Unsupported HTTP method: {method}")


def order_not_to_one(origin: str, target: str) -> ApiError:
    return ApiError(
        400,
        "PGRST118",
        f"A related order on '{target}' is not possible",
        details=f"'{origin}' and '{target}' do not form a many-to-one or one-to-one relationship",
    )


def bad_raise(details: str, hint: str) -> ApiError:
    message = "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error"
    return ApiError(500, "PGRST121", message, details=details, hint=hint)


def bad_preferences(preferences: Iterable[str]) -> ApiError:
    return ApiError(
        400,
        "PGRST122",
        "Invalid preferences given with handling=strict",
        details=f"Invalid preferences: {', '.join(preferences)}",
    )


def aggregates_off() -> ApiError:
    return ApiError(400, "PGRST123", "Use of aggregate functions is not allowed")


def too_many_affected(rows: int) -> ApiError:
    message = "Query result exceeds max-affected preference constraint"
    return ApiError(400, "PGRST124", message, details=f"The query affects {rows} rows")


def bad_path() -> ApiError:
    return ApiError(404, "PGRST125", "Invalid path specified in request URL")


def openapi_off() -> ApiError:
    return ApiError(404, "PGRST126", "Root endpoint metadata is disabled")


def not_implemented(details: str) -> ApiError:
    return ApiError(400, "PGRST127", "Feature not implemented", details=details)


def max_affected_on_single() -> ApiError:
    message = "Function must return SETOF or TABLE when max-affected preference is used with handling=strict"
    return ApiError(400, "PGRST128", message)


# --- the schema cache (PGRST2xx) ------------------------------------------------------------------------------------


def no_relationship(parent: str, child: str, using: str | None, schema: str, hint: str | None) -> ApiError:
    by_hint = f" using the hint '{using}'" if using is not None else ""
    return ApiError(
        400,
        "PGRST200",
        f"Could not find a relationship between '{parent}' and '{child}' in the schema cache",
        details=f"Searched for a foreign key relationship between '{parent}' and '{child}'{by_hint}"
        f" in the schema '{schema}', but no matches were found.",
        hint=hint,
    )


def ambiguous_relationship(parent: str, child: str, found: list[dict[str, str]], choices: list[str]) -> ApiError:
    return ApiError(
        300,
        "PGRST201",
        f"Could not embed because more than one relationship was found for '{parent}' and '{child}'",
        details=found,
        hint=f"Try changing '{child}' to one of the following: {', '.join(choices)}."
        " Find the desired relationship in the 'details' key.",
    )


def no_function(message: str, details: str, hint: str | None) -> ApiError:
    return ApiError(404, "PGRST202", message, details=details, hint=hint)


def ambiguous_function(signatures: Iterable[str]) -> ApiError:
    return ApiError(
        300,
        "PGRST203",
        f"Could not choose the best candidate function between: {', '.join(signatures)}",
        hint="Try renaming the parameters or the function itself in the database"
        " so function overloading can be resolved",
    )


def no_column(table: str, column: str) -> ApiError:
    return ApiError(400, "PGRST204", f"Could not find the '{column}' column of '{table}' in the schema cache")


def no_table(schema: str, table: str, hint: str | None) -> ApiError:
    message = f"Could not find the table '{schema}.{table}' in the schema cache"
    return ApiError(404, "PGRST205", message, hint=hint)


# --- the token (PGRST3xx) -------------------------------------------------------------------------------------------


def no_jwt_secret() -> ApiError:
    return ApiError(500, "PGRST300", "Server lacks JWT secret")


def _invalid_token(message: str) -> list[Header]:
    return [("WWW-Authenticate", f'Bearer error="invalid_token", error_description="{message}"')]


def bad_token(message: str, details: str | None = None) -> ApiError:
    return ApiError(401, "PGRST301", message, details=details, headers=_invalid_token(message))


def token_required() -> ApiError:
    return ApiError(401, "PGRST302", "Anonymous access is disabled", headers=[("WWW-Authenticate", "Bearer")])


def bad_claims(message: str) -> ApiError:
    return ApiError(401, "PGRST303", message, headers=_invalid_token(message))


# --- the connection (PGRST0xx) --------------------------------------------------------------------------------------


def no_connection(details: str | None) -> ApiError:
    return ApiError(503, "PGRST000", "Database connection error", details=details)


def client_error(details: str | None) -> ApiError:
    return ApiError(503, "PGRST001", "Database client error. Retrying the connection.", details=details)


def no_schema_cache() -> ApiError:
    message = "Could not query the database for the schema cache. Retrying."
    return ApiError(503, "PGRST002", message)


def pool_timeout() -> ApiError:
    return ApiError(504, "PGRST003", "Timed out acquiring connection from connection pool.")


def internal() -> ApiError:
    return ApiError(500, "PGRSTX00", "The data API failed to answer this request.")


# --- the database ---------------------------------------------------------------------------------------------------

# SQLSTATE, or its longest listed prefix -> HTTP status.
_STATUS_OF_SQLSTATE = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "23503": 409,
    "23505": 409,
    "25006": 405,
    "25": 500,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "53400": 500,
    "53": 503,
    "54": 500,
    "55": 500,
    "57P01": 503,
    "57": 500,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "P0001": 400,
    "P0": 500,
    "XX": 500,
    "42P01": 404,
    "42P17": 500,
}


def _status_of(sqlstate: str, message: str, *, signed_in: bool) -> int:
    if sqlstate == "42501":
        return 403 if signed_in else 401
    if sqlstate == "42883":
        return 406 if message.startswith("function xmlagg(") else 404
    if sqlstate == "21000":  # safeupdate's refusal is the client's fault, a subquery with two rows the server's
        return 400 if message.endswith("requires a WHERE clause") else 500
    if sqlstate == "22023":  # the role of the token does not exist
        return 401 if message.startswith("role") and message.endswith("does not exist") else 400
    return _STATUS_OF_SQLSTATE.get(sqlstate, _STATUS_OF_SQLSTATE.get(sqlstate[:2], 400))


def from_postgres(sqlstate: str, message: str, details: str | None, hint: str | None, *, signed_in: bool) -> ApiError:
    """The answer to a failed statement; `PTnnn` and `PGRST` let the database choose the status itself."""
    if sqlstate == "PGRST":
        return _from_raise_pgrst(message, details)
    if sqlstate.startswith("PT"):
        number = sqlstate[2:]
        status, reason = (int(number), message) if number.isdigit() else (500, None)
        error = ApiError(status, sqlstate, message, details=details, hint=hint, reason=reason)
    else:
        status = _status_of(sqlstate, message, signed_in=signed_in)
        error = ApiError(status, sqlstate, message, details=details, hint=hint)
    if status == 401:
        error.headers.append(("WWW-Authenticate", "Bearer"))
    return error


def _from_raise_pgrst(message: str, details: str | None) -> ApiError:
    """`raise sqlstate 'PGRST' using message = '{code, message, ...}', detail = '{status, headers, ...}'`."""
    about_message = (
        "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details', 'hint'."
    )
    about_detail = (
        "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'."
    )
    texts = _object_with(message, required={"code": str, "message": str}, optional=("details", "hint"))
    if texts is None:
        return bad_raise(f"Invalid JSON value for MESSAGE: '{message}'", about_message)
    if details is None:
        return bad_raise("DETAIL is missing in the RAISE statement", about_detail)
    control = _object_with(details, required={"status": int, "headers": dict}, optional=("status_text",))
    if control is None or not all(isinstance(value, str) for value in control["headers"].values()):
        return bad_raise(f"Invalid JSON value for DETAIL: '{details}'", about_detail)
    return ApiError(
        control["status"],
        texts["code"],
        texts["message"],
        details=texts.get("details"),
        hint=texts.get("hint"),
        headers=list(control["headers"].items()),
        reason=control.get("status_text"),
    )


def _object_with(text: str, *, required: dict[str, type], optional: tuple[str, ...]) -> dict[str, Any] | None:
    """The JSON object in `text` if it has the required members of these types and text for the optional ones."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    if not all(isinstance(value.get(name), kind) for name, kind in required.items()):
        return None
    if not all(value.get(name) is None or isinstance(value[name], str) for name in optional):
        return None
    return value
