"""The runner's two processes; settings come from the environment.

python -m infra.local.runner serve --port N [--no-clock]   HTTP routes and schedules
python -m infra.local.runner work [--queue NAME ...]       queues, each with a thread of its own
"""

import logging
import os
import sys
import threading
from collections.abc import Sequence
from typing import Annotated

import typer
import uvicorn

from infra.local.problems import StackError
from infra.local.runner.clock import Clock
from infra.local.runner.gateway import HttpApi
from infra.local.runner.invoke import Invoker, call_handler
from infra.local.runner.queues import Queues
from infra.local.runner.service import Service, read_service

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    port: Annotated[int, typer.Option()],
    clock: Annotated[bool, typer.Option(help="fire schedules when they are due")] = True,
) -> None:
    """Serve the HTTP API and fire schedules."""
    service = read_service()
    queues = _queues(service)
    queues.create_when_ready()
    invoker = Invoker()
    if clock:
        Clock(service, invoker).start()
    api = HttpApi(service, invoker, queues)
    uvicorn.run(api, host="127.0.0.1", port=port, log_level="warning", access_log=False, proxy_headers=False)


@app.command()
def work(queue: Annotated[list[str] | None, typer.Option(help="only these; all by default")] = None) -> None:
    """Deliver messages to the functions, until ended."""
    service = read_service()
    queues = _queues(service)
    queues.create_when_ready()
    names: Sequence[str] = queue or list(queues.sources)
    # Daemon threads: whoever ends this process ends the handlers in it, as Lambda may end an environment any time.
    threads = [threading.Thread(target=queues.poll, args=(name, call_handler), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _queues(service: Service) -> Queues:
    endpoint_url = os.environ["AWS_ENDPOINT_URL"]
    os.environ.update(service.queue_urls(endpoint_url))
    override = os.environ.get("LOCAL_VISIBILITY_SECONDS")
    return Queues(service, endpoint_url, int(override) if override else None)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    for noisy in ("botocore", "mangum", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        app()
    except StackError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit(0)
