"""`python -m infra.local.data_api`: serve the data API alone, configured by PGRST_* variables, until interrupted."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys

import uvicorn
import uvloop

from infra.local.data_api.admin import Admin
from infra.local.data_api.app import DataApi
from infra.local.data_api.config import Config, ConfigError, from_environment

_LEVELS = {"crit": "CRITICAL", "error": "ERROR", "warn": "WARNING", "info": "INFO", "debug": "DEBUG"}
_HOSTS = {"!4": "0.0.0.0", "*4": "0.0.0.0", "!6": "::", "*6": "::", "*": "0.0.0.0"}


def main() -> int:
    """Run until a signal; the exit code is 1 where a setting is wrong or a port is busy."""
    try:
        config = from_environment(os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    _spare_the_collector()
    logging.basicConfig(level=_LEVELS[config.log_level], format="%(levelname)s %(name)s: %(message)s")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(config))
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        print(f"The data API cannot listen on port {config.server_port}: {error.strerror}.", file=sys.stderr)
        return 1
    return 0


def _spare_the_collector() -> None:
    """Collect garbage less often: requests leave no cycles, and looking through the schema cache for some is dear."""
    gc.set_threshold(50_000, 20, 100)


async def serve(config: Config) -> None:
    """Serve the API, and the health checks where an admin port is configured."""
    settings = {name.removeprefix("PGRST_"): value for name, value in os.environ.items() if name.startswith("PGRST_")}
    api = DataApi(config, settings)
    server = _server(api, config.server_host, config.server_port, config.server_unix_socket)
    servers = [server]
    if config.admin_server_port is not None:
        host = config.admin_server_host or config.server_host
        servers.append(_server(Admin(api), host, config.admin_server_port, None))
    await asyncio.gather(*(one.serve() for one in servers))


def _server(app: object, host: str, port: int, socket: str | None) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            host=_HOSTS.get(host, host),
            port=port,
            uds=socket,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on" if isinstance(app, DataApi) else "off",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
