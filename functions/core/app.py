"""The HTTP face of all endpoints: FastAPI under Mangum, problem documents, request ids, headers.

Routes are `async def` although they call blocking code: a Lambda environment serves one request at a time, so nothing
waits behind it, and the thread pool that plain `def` routes would use costs more than all of the rest.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from mangum import Mangum
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.core import answers, auth
from functions.core.errors import InvalidRequestError, PayloadTooLargeError, StreamVibeError
from functions.core.observability import begin, logger

LambdaHandler = Callable[[dict[str, Any], Any], dict[str, Any]]

_ADDED_HEADERS = tuple((name.lower().encode(), value.encode()) for name, value in answers.SECURITY_HEADERS.items())
# What API Gateway gets as text; everything else is sent to it in base64.
TEXT_MEDIA_TYPES = ["text/", "application/json", answers.PROBLEM_MEDIA_TYPE]
IDEMPOTENCY_KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"
# Bodies here are a handful of short fields. Looked at before anything is decoded.
MAX_BODY_BYTES = 256 * 1024


def problem(
    status: int, code: str, title: str, detail: str, *, request_id: str, extra: dict[str, Any] | None = None
) -> Response:
    """A problem document as an answer; see `answers.problem`."""
    document = answers.problem(status, code, title, detail, request_id=request_id, extra=extra)
    return Response(document, status, media_type=answers.PROBLEM_MEDIA_TYPE)


def request_id(scope: Scope) -> str:
    """The gateway's id of this request."""
    return answers.request_id(scope.get("aws.event") or {}, scope.get("aws.context"))


class _Envelope:
    """Adds the request id and the security headers, and turns what nobody expected into a plain 500.

    Plain ASGI on purpose: Starlette's middleware class costs a task group for each request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity = request_id(scope)
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                present = {name for name, _ in message["headers"]}
                added = [
                    (b"x-request-id", identity.encode()),
                    *(pair for pair in _ADDED_HEADERS if pair[0] not in present),
                ]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:
            # The traceback may quote values of the request; the type and the place are enough to find the fault.
            logger.error("unexpected error", extra={"error_type": type(error).__name__, "at": _innermost_frame(error)})
            if started:
                raise
            answer = problem(
                500, StreamVibeError.code, StreamVibeError.title, StreamVibeError.title, request_id=identity
            )
            await answer(scope, receive, send_with_headers)


def _innermost_frame(error: BaseException) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_qualname}:{traceback.tb_lineno}" if traceback else "unknown"


async def _on_our_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StreamVibeError)
    if error.status >= 500:
        logger.error(error.detail, extra={"code": error.problem_code, "sqlstate": getattr(error, "sqlstate", None)})
    else:
        # The detail may quote what was sent; the code says why.
        logger.info("request refused", extra={"status": error.status, "code": error.problem_code})
    answer = problem(
        error.status,
        error.problem_code,
        error.title,
        error.detail,
        request_id=request_id(request.scope),
        extra=error.extra,
    )
    answer.headers.update(error.headers)
    return answer


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Pydantic's `input` and `ctx` echo what was sent; only the place and the reason are repeated.
    problems = [
        {"field": ".".join(str(part) for part in one["loc"]), "message": one["msg"]} for one in error.errors()[:20]
    ]
    refused = InvalidRequestError("The request is not valid; `errors` says what to change.", errors=problems)
    return await _on_our_error(request, refused)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # FastAPI's for a body that is no UTF-8, too deep, or otherwise beyond its parser
        return await _on_our_error(request, InvalidRequestError("The body is not JSON."))
    codes = {404: "not_found", 405: "method_not_allowed"}
    code = codes.get(error.status_code, "invalid_request")
    answer = problem(
        error.status_code, code, str(error.detail), str(error.detail), request_id=request_id(request.scope)
    )
    answer.headers.update(error.headers or {})
    return answer


class _Route(APIRoute):
    """Asks who is calling before the body is read: what a stranger sent is not worth a word."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if not any(needed.call is _signed_in for needed in self.dependant.dependencies):
            return handle

        async def handle_signed_in(request: Request) -> Response:
            request.state.user = auth.bearer(request.headers.get("authorization"))
            return await handle(request)

        return handle_signed_in


def create_app(title: str) -> FastAPI:
    """An app whose errors are problem documents. Interactive docs are served by the local stack, not by functions."""
    app = FastAPI(
        title=title,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        strict_content_type=False,  # its use is against forged requests, which bear no token of ours
    )
    app.router.route_class = _Route
    app.add_exception_handler(StreamVibeError, _on_our_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_middleware(_Envelope)
    return app


def lambda_handler(app: FastAPI) -> LambdaHandler:
    """The Lambda entry point of `app` for API Gateway HTTP API events (payload format 2.0)."""
    adapter = Mangum(app, lifespan="off", text_mime_types=TEXT_MEDIA_TYPES)

    def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
        identity = begin(context, event)
        if len(event.get("body") or "") > MAX_BODY_BYTES * (4 / 3 if event.get("isBase64Encoded") else 1):
            return answers.problem_answer(PayloadTooLargeError(), identity)
        # Mangum insists on it; whoever calls by hand need not make one up.
        event.get("requestContext", {}).get("http", {}).setdefault("sourceIp", "")
        _ensure_event_loop()
        return adapter(event, context)

    return handle


class _Loop:
    """An event loop that is closed when its thread ends: an open one would be a leak, and a warning."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def __del__(self) -> None:
        if not self.loop.is_running():
            self.loop.close()


_kept = threading.local()


def _ensure_event_loop() -> None:
    """Mangum runs the app on the thread's event loop, which Python no longer makes by itself. It is kept for good."""
    kept: _Loop | None = getattr(_kept, "holder", None)
    try:
        loop = asyncio.get_event_loop()
    except (RuntimeError, DeprecationWarning):
        loop = asyncio.new_event_loop() if kept is None or kept.loop.is_closed() else kept.loop
        asyncio.set_event_loop(loop)
    if kept is None or kept.loop is not loop:
        _kept.holder = _Loop(loop)


async def _signed_in(request: Request, authorization: Annotated[str | None, Header()] = None) -> auth.User:
    user: auth.User = getattr(request.state, "user", None) or auth.bearer(authorization)
    logger.thread_safe_append_keys(user_id=user.id)
    return user


SignedIn = Annotated[auth.User, Depends(_signed_in)]
"""Parameter type of routes that need a signed-in user."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=IDEMPOTENCY_KEY_PATTERN,
        description="Makes the call safe to repeat: same key, same answer.",
    ),
]
"""Parameter type of routes that cost quota."""

__all__ = ["IdempotencyKey", "SignedIn", "create_app", "lambda_handler", "problem"]
