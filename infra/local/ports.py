"""Ports of 127.0.0.1: finding free ones, and telling who holds a busy one."""

import random
import socket

# Below the range from which Linux (32768 on) and macOS take the near ends of outgoing connections: one from there may
# be gone between being found and being used.
FREE_RANGE = range(20_000, 32_000)


def free_port() -> int:
    """A port that nobody uses at this moment and that no outgoing connection will take."""
    for port in random.sample(FREE_RANGE, 500):
        if can_bind(port):
            return port
    raise OSError("no free port between 20000 and 32000")


def can_bind(port: int) -> bool:
    """True if a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def is_listening(port: int) -> bool:
    """True if somebody accepts connections on `port`; a busy port may just be the near end of a connection."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
