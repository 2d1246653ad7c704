"""Operators' commands for the work queues.

python -m functions.sync redrive [--queue sync|analyze|seo] [--limit 1000]   give dead messages another chance
python -m functions.sync dispatch                                           send what is due now
"""

from __future__ import annotations

import argparse
import sys
import time

from functions.core import queues, settings
from functions.core.errors import StreamVibeError
from functions.sync import service

QUEUES = {
    "sync": settings.SYNC_QUEUE_URL,
    "analyze": settings.ANALYZE_QUEUE_URL,
    "seo": settings.SEO_QUEUE_URL,
}


def main(arguments: list[str]) -> str:
    """Run a command; what to print."""
    parser = argparse.ArgumentParser(prog="python -m functions.sync", description="Operate the work queues.")
    commands = parser.add_subparsers(dest="command", required=True)
    redrive = commands.add_parser("redrive", help="move dead messages back to their queue")
    redrive.add_argument("--queue", choices=QUEUES, default="sync")
    redrive.add_argument("--limit", type=int, default=1000, help="at most so many messages (default: 1000)")
    dispatch = commands.add_parser("dispatch", help="send due runs to the queue, as the schedule does")
    dispatch.add_argument("--seconds", type=float, default=60.0, help="stop after so long (default: 60)")
    chosen = parser.parse_args(arguments)
    if chosen.command == "redrive":
        return f"{queues.redrive(QUEUES[chosen.queue].value(), chosen.limit)} messages moved back to {chosen.queue}"
    return f"{service.dispatch(time.monotonic() + chosen.seconds)} runs sent"


if __name__ == "__main__":
    try:
        sys.stdout.write(main(sys.argv[1:]) + "\n")
    except StreamVibeError as error:
        sys.exit(error.detail)
