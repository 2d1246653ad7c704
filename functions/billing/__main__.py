"""For operators, once an environment: put the plans on sale at Stripe, and have it deliver events."""

from __future__ import annotations

import argparse
import sys

from functions.billing import catalogue, endpoint
from functions.core.errors import StreamVibeError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 1 with a sentence if it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m functions.billing", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("setup", help="make or find products, prices and meters, and sell them")
    commands.add_parser("webhook", help="make the webhook endpoint and print its signing secret")
    options = parser.parse_args(arguments)
    try:
        lines = catalogue.install() if options.command == "setup" else [endpoint.register()]
    except StreamVibeError as error:
        sys.stderr.write(error.detail + "\n")
        return 1
    for line in lines:
        sys.stdout.write(line + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
