"""`python -m infra.local.data_api`: serve the data API alone, configured by PGRST_* variables, until interrupted."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from pathlib import Path

import uvloop

from infra.local.data_api.admin import Admin
from infra.local.data_api.app import DataApi
from infra.local.data_api.config import Config, ConfigError, from_environment
from infra.local.data_api.server import HttpServer, until_interrupted

_LEVELS = {"crit": "CRITICAL", "error": "ERROR", "warn": "WARNING", "info": "INFO", "debug": "DEBUG"}
_HOSTS: dict[str, str | None] = {"!4": "0.0.0.0", "*4": "0.0.0.0", "!6": "::", "*6": "::", "*": None}

log = logging.getLogger("data_api")


def main() -> int:
    """Run until a signal; the exit code is 1 where a setting is wrong or a port is busy."""
    try:
        config = from_environment(os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    logging.basicConfig(level=_LEVELS[config.log_level], format="%(levelname)s %(name)s: %(message)s")
    _spare_the_collector()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(config))
    except OSError as error:
        print(f"The data API cannot listen: {error.strerror or error}.", file=sys.stderr)
        return 1
    return 0


def _spare_the_collector() -> None:
    """Collect garbage less often: requests leave no cycles, and looking through the schema cache for some is dear."""
    gc.set_threshold(50_000, 20, 100)


async def serve(config: Config) -> None:
    """Serve the API, and the health checks where an admin port is configured."""
    settings = {name.removeprefix("PGRST_"): value for name, value in os.environ.items() if name.startswith("PGRST_")}
    api = DataApi(config, settings)
    servers = []
    try:
        if config.admin_server_port is not None:
            admin = HttpServer(Admin(api).answer)
            servers.append(admin)
            await admin.listen(_host(config.admin_server_host or config.server_host), config.admin_server_port)
        server = HttpServer(api.answer)
        servers.append(server)
        port = await server.listen(_host(config.server_host), config.server_port, config.server_unix_socket)
        _open_socket_file(config)
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            asyncio.get_running_loop().add_signal_handler(number, api.note_change)
        await api.start()
        log.info("Listening on port %d", port)
        await until_interrupted()
    finally:
        await asyncio.gather(*(server.close() for server in servers))
        await api.stop()


def _open_socket_file(config: Config) -> None:
    """Let those connect to the Unix socket that shall."""
    if config.server_unix_socket:
        Path(config.server_unix_socket).chmod(config.server_unix_socket_mode)


def _host(name: str) -> str | None:
    return _HOSTS.get(name, name)


if __name__ == "__main__":
    sys.exit(main())
