"""Calls a handler as Lambda does: with a context, within its time, its errors turned into Lambda's error object.

Handlers run in threads of this process. On Lambda each call has an environment of its own; here up to THREADS run
side by side, so they share module state, and a call that runs out of time is given up on, not killed.
"""

import asyncio
import importlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from infra.local.runner.events import ACCOUNT, REGION
from infra.local.runner.service import Function

THREADS = 16
LOG = logging.getLogger("streamvibe.runner")
Handler = Callable[[Any, Any], Any]


@dataclass
class LambdaContext:
    """https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

    function_name: str
    deadline: float
    memory_limit_in_mb: str = "1024"
    function_version: str = "$LATEST"
    aws_request_id: str = field(default_factory=lambda: str(uuid4()))
    identity: None = None
    client_context: None = None

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.function_name}"

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/{self.function_name}"

    @property
    def log_stream_name(self) -> str:
        return "local"

    def get_remaining_time_in_millis(self) -> int:
        """What is left until the function's time limit, never below 0."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))


class FunctionError(Exception):
    """The handler failed: it raised, could not be imported, or ran out of time."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}")
        self.payload = {"errorType": error_type, "errorMessage": message}


class OutOfTimeError(FunctionError):
    """The function's own time limit passed."""

    def __init__(self, seconds: float) -> None:
        super().__init__("Sandbox.Timedout", f"Task timed out after {seconds:.2f} seconds")


class Invoker:
    """Runs handlers, at most `threads` at a time."""

    def __init__(self, threads: int = THREADS) -> None:
        self._loops: list[asyncio.AbstractEventLoop] = []
        self._pool = ThreadPoolExecutor(threads, "lambda", initializer=self._give_event_loop)

    def start(self, function: Function, event: Any) -> "Future[Any]":
        """Begin a call; the future gives the handler's result or raises FunctionError. It does not watch the time."""
        return self._pool.submit(call_handler, function, event)

    def run(self, function: Function, event: Any) -> Any:
        """Call and wait, within the function's time limit. Raises FunctionError."""
        future = self.start(function, event)
        try:
            return future.result(function.timeout_seconds)
        except TimeoutError:
            raise OutOfTimeError(function.timeout_seconds) from None

    def close(self) -> None:
        """Let calls that have begun go on, start no new one."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for loop in self._loops:
            if not loop.is_running():
                loop.close()

    def _give_event_loop(self) -> None:
        # ASGI adapters ask for the thread's loop, which only the main thread has by itself.
        loop = asyncio.new_event_loop()
        self._loops.append(loop)
        asyncio.set_event_loop(loop)


def call_handler(function: Function, event: Any) -> Any:
    """Call the handler in this thread. Raises FunctionError."""
    context = LambdaContext(function.name, time.monotonic() + function.timeout_seconds)
    try:
        return load_handler(function)(event, context)
    except Exception as error:
        LOG.exception("%s failed (%s)", function.name, context.aws_request_id)
        raise FunctionError(type(error).__name__, str(error)) from error


def load_handler(function: Function) -> Handler:
    """Import what `handler:` names. Modules stay loaded, as in a warm Lambda."""
    module, _, name = function.handler.rpartition(".")
    handler: Handler = getattr(importlib.import_module(module), name)
    return handler
