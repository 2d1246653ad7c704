"""The runtime API that Lambda offers to a function, for the real client of it (`awslambdaric`) to talk to.

Docs: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PREFIX = "/2018-06-01/runtime/"
ANSWER_SECONDS = 60


@dataclass(frozen=True)
class Outcome:
    """What the client reported: `kind` is response, error or init/error."""

    kind: str
    body: Any


@dataclass
class RuntimeApi:
    """One function under the client; `invoke` hands it an event and waits for what is reported."""

    port: int = 0
    _events: queue.Queue[Any] = field(default_factory=queue.Queue)
    _outcomes: queue.Queue[Outcome] = field(default_factory=queue.Queue)

    def invoke(self, event: Any) -> Outcome:
        self._events.put(event)
        return self._outcomes.get(timeout=ANSWER_SECONDS)

    def start_failure(self) -> Outcome:
        """What is reported by a function that does not even load."""
        return self._outcomes.get(timeout=ANSWER_SECONDS)

    def next_event(self) -> Any:
        return self._events.get()

    def report(self, kind: str, body: Any) -> None:
        self._outcomes.put(Outcome(kind, body))

    def end(self) -> None:
        self._events.put(None)


@contextmanager
def running(handler: str, environment: Mapping[str, str]) -> Iterator[RuntimeApi]:
    """`handler` in a process of its own, as Lambda starts it, with nothing but `environment`."""
    api = RuntimeApi()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(api))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings = {
        **environment,
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "under-test",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/under-test",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/24/[$LATEST]0",
        "LAMBDA_TASK_ROOT": os.getcwd(),  # noqa: PTH109 - a variable's value, not a path to work with
        "_HANDLER": handler,
        "PATH": os.environ["PATH"],
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", handler],
        env=settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield api
    finally:
        child.kill()
        child.wait()
        api.end()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            event = api.next_event()
            if event is None:
                self.close_connection = True
                return
            body = json.dumps(event).encode()
            self.send_response(200)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                "Lambda-Runtime-Aws-Request-Id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + 29) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:under-test",
                "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            kind = self.path.removeprefix(PREFIX).removeprefix("invocation/").partition("/")[2]
            api.report("init/error" if "init/error" in self.path else kind, json.loads(text))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler
