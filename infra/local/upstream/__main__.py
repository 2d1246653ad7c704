"""`python -m infra.local.upstream --port N` serves every simulator at http://127.0.0.1:N until it is
interrupted.
"""

from __future__ import annotations

import argparse
import sys

from infra.local.upstream.app import Simulators
from infra.local.upstream.server import listen, make_server


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.local.upstream", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=54323)
    options = parser.parse_args()
    try:
        listener = listen(options.host, options.port)
    except OSError as error:
        print(
            f"upstream simulators: cannot listen on {options.host}:{options.port}: {error.strerror}",
            file=sys.stderr,
        )
        return 1
    host, port = listener.getsockname()
    print(f"upstream simulators at http://{host}:{port}", flush=True)
    make_server(Simulators()).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
