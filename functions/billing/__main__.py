"""For operators: `python -m functions.billing setup` puts the plans on sale at Stripe, once an environment."""

from __future__ import annotations

import argparse
import sys

from functions.billing import catalogue


def main(arguments: list[str] | None = None) -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m functions.billing", description=__doc__)
    parser.add_argument("command", choices=["setup"])
    parser.parse_args(arguments)
    for line in catalogue.install():
        sys.stdout.write(line + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
