"""The HTTP API: routes requests to handlers and turns their results into answers, with API Gateway's limits and errors.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html

What the gateway refuses by itself is `{"message"}` on AWS. Here it is also a problem document with the request's id, so
that every answer at FUNCTIONS_URL reads alike.

`/_local/*` is not of AWS; tests and the demo use it:

    POST /_local/invoke/{function}       body: an event (default: the scheduled one)  -> the handler's result
    POST /_local/queues/{queue}/drain    deliver until nothing is visible             -> {batches, delivered, failed}
    GET  /_local/docs                    the routes, as a page for people
    GET  /_local/queues                  messages visible, in flight and dead         -> {queue: {...}}
"""

import asyncio
import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import Receive, Scope, Send

from functions.core import answers
from infra.local.runner.events import HttpRequest, http_event, schedule_event
from infra.local.runner.invoke import FunctionError, Invoker, OutOfTimeError
from infra.local.runner.queues import Queues
from infra.local.runner.reference import page
from infra.local.runner.service import Cors, Function, HttpRoute, Service

INTEGRATION_TIMEOUT_SECONDS = 30.0
REQUEST_LIMIT_BYTES = 10 * 1024 * 1024
LAMBDA_PAYLOAD_LIMIT_BYTES = 6 * 1024 * 1024
HEADERS_LIMIT_BYTES = 10_240
PAGE_HEADERS = (
    ("content-type", "text/html; charset=utf-8"),
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
)


@dataclass(frozen=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def refusal(cls, status: int, text: str, request_id: str) -> "Answer":
        """An answer of the gateway itself."""
        code = re.sub(r"[^a-z]+", "_", text.lower())
        document = answers.problem(status, code, text, text, request_id=request_id, extra={"message": text})
        headers = (("content-type", answers.PROBLEM_MEDIA_TYPE), ("x-request-id", request_id))
        return cls(status, headers, document.encode())

    @classmethod
    def json(cls, status: int, value: Any, *headers: tuple[str, str]) -> "Answer":
        return cls(status, (("content-type", "application/json"), *headers), json.dumps(value).encode())


class HttpApi:
    """An ASGI application over the functions of a service."""

    def __init__(self, service: Service, invoker: Invoker, queues: Queues | None = None) -> None:
        self.service = service
        self.invoker = invoker
        self.queues = queues
        found = [(route, function) for function in service.functions.values() for route in function.routes]
        # The most specific first: literal segments before parameters before greedy ones, a method before ANY.
        self.routes = sorted(found, key=lambda pair: _rank(pair[0]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        if scope["type"] != "http":
            return None
        request = await _read(scope, receive)
        answer = await self._answer(request)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
        if not any(name == b"content-length" for name, _ in headers) and answer.status != 204:
            headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        return await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})

    async def _answer(self, request: HttpRequest) -> Answer:
        if (request.method, request.path) == ("GET", "/_local/docs"):
            return Answer(200, PAGE_HEADERS, page().encode())
        if request.path.startswith("/_local/"):
            return await asyncio.to_thread(self._local, request)
        origin = request.header("origin")
        if self.service.cors and origin and request.method == "OPTIONS":
            allowed = _cors_headers(self.service.cors, origin, preflight=True)
            named = (("x-request-id", request.request_id), ("apigw-requestid", request.request_id))
            return Answer(204, (*allowed, *named), b"")
        answer = await self._routed(request)
        headers = [*answer.headers, ("apigw-requestid", request.request_id)]
        if self.service.cors and origin:
            headers = [pair for pair in headers if not pair[0].startswith("access-control-")]
            headers.extend(_cors_headers(self.service.cors, origin, preflight=False))
        return Answer(answer.status, tuple(headers), answer.body)

    async def _routed(self, request: HttpRequest) -> Answer:
        if sum(len(name) + len(value) for name, value in request.headers) > HEADERS_LIMIT_BYTES:
            return Answer.refusal(431, "Request Header Fields Too Large", request.request_id)
        if len(request.body) > REQUEST_LIMIT_BYTES:
            return Answer.refusal(413, "Request Entity Too Large", request.request_id)
        matched = self._match(request)
        if matched is None:
            return Answer.refusal(404, "Not Found", request.request_id)
        function, route, parameters = matched
        return await self._invoke(function, http_event(request, route.key, parameters))

    def _match(self, request: HttpRequest) -> tuple[Function, HttpRoute, dict[str, str]] | None:
        for route, function in self.routes:
            if route.method not in ("ANY", request.method):
                continue
            parameters = match_path(route.path, request.path)
            if parameters is not None:
                return function, route, parameters
        return None

    async def _invoke(self, function: Function, event: dict[str, Any]) -> Answer:
        identity = event["requestContext"]["requestId"]
        if len(json.dumps(event)) > LAMBDA_PAYLOAD_LIMIT_BYTES:
            return Answer.refusal(413, "Request Too Long", identity)
        limit = min(function.timeout_seconds, INTEGRATION_TIMEOUT_SECONDS)
        try:
            result = await asyncio.wait_for(asyncio.wrap_future(self.invoker.start(function, event)), limit)
            return read_result(result)
        except TimeoutError:
            is_gateways = function.timeout_seconds >= INTEGRATION_TIMEOUT_SECONDS
            status, text = (503, "Service Unavailable") if is_gateways else (500, _FAULT)
            return Answer.refusal(status, text, identity)
        except (FunctionError, AttributeError, TypeError, ValueError):
            return Answer.refusal(500, _FAULT, identity)

    def _local(self, request: HttpRequest) -> Answer:
        match [part for part in request.path.split("/") if part], request.method:
            case ["_local", "invoke", name], "POST" if name in self.service.functions:
                return self._invoke_by_hand(self.service.functions[name], request)
            case ["_local", "queues"], "GET" if self.queues:
                return Answer.json(200, self.queues.depths())
            case ["_local", "queues", name, "drain"], "POST" if self.queues and name in self.queues.sources:
                return Answer.json(200, self.queues.drain(name, self.invoker).__dict__)
        return Answer.refusal(404, "Not Found", request.request_id)

    def _invoke_by_hand(self, function: Function, request: HttpRequest) -> Answer:
        try:
            event = json.loads(request.body) if request.body.strip() else schedule_event(function.name)
            return Answer.json(200, self.invoker.run(function, event))
        except ValueError:
            return Answer.refusal(400, "The event is not JSON", request.request_id)
        except OutOfTimeError as error:
            return Answer.json(504, error.payload)
        except FunctionError as error:
            return Answer.json(500, error.payload, ("x-amz-function-error", "Unhandled"))


_FAULT = "Internal Server Error"


def match_path(pattern: str, path: str) -> dict[str, str] | None:
    """The path parameters (decoded) if `path` (encoded) fits `pattern`, else None."""
    if pattern == "$default":
        return {}
    expression = re.sub(r"\\\{(\w+)\\\+\\\}", r"(?P<\1>.+)", re.escape(pattern))
    expression = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", expression)
    found = re.fullmatch(expression, path)
    return None if found is None else {name: unquote(value) for name, value in found.groupdict().items()}


def read_result(result: Any) -> Answer:
    """A handler's result in payload format 2.0: with `statusCode`, or any JSON value as a 200."""
    if not isinstance(result, dict) or "statusCode" not in result:
        return Answer.json(200, result)
    body = result.get("body") or ""
    raw = base64.b64decode(body) if result.get("isBase64Encoded") else str(body).encode()
    if len(raw) > LAMBDA_PAYLOAD_LIMIT_BYTES:
        raise ValueError("the answer is larger than Lambda allows")
    headers = [(str(name).lower(), str(value)) for name, value in (result.get("headers") or {}).items()]
    headers = [pair for pair in headers if pair[0] != "content-length"]
    headers.extend(("set-cookie", str(cookie)) for cookie in result.get("cookies") or [])
    if raw and not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain; charset=utf-8"))
    return Answer(int(result["statusCode"]), tuple(headers), raw)


def _rank(route: HttpRoute) -> tuple[Any, ...]:
    def weight(segment: str) -> int:
        return 2 if segment.endswith("+}") else 1 if segment.startswith("{") else 0

    return (route.path == "$default", [weight(part) for part in route.path.split("/")], route.method == "ANY")


def _cors_headers(cors: Cors, origin: str, *, preflight: bool) -> tuple[tuple[str, str], ...]:
    if cors.origins is not None and origin not in cors.origins:
        return ()
    headers = [("access-control-allow-origin", "*" if cors.origins is None and not cors.credentials else origin)]
    if cors.credentials:
        headers.append(("access-control-allow-credentials", "true"))
    if preflight:
        headers.append(("access-control-allow-methods", ",".join(cors.methods)))
        headers.append(("access-control-allow-headers", ",".join(cors.headers).lower()))
        if cors.max_age_seconds is not None:
            headers.append(("access-control-max-age", str(cors.max_age_seconds)))
    elif cors.exposed:
        headers.append(("access-control-expose-headers", ",".join(cors.exposed)))
    return tuple(headers)


async def _read(scope: Mapping[str, Any], receive: Receive) -> HttpRequest:
    body, size = [], 0
    while True:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= REQUEST_LIMIT_BYTES + 1:
            body.append(chunk)
        if not message.get("more_body"):
            break
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    host = next((value for name, value in headers if name == "host"), "localhost")
    return HttpRequest(
        method=scope["method"],
        path=scope["raw_path"].decode("ascii", "replace"),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=b"".join(body) if size <= REQUEST_LIMIT_BYTES else b"\0" * (REQUEST_LIMIT_BYTES + 1),
        source_ip=scope["client"][0] if scope.get("client") else "127.0.0.1",
        host=host,
    )


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
