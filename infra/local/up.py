"""`make up`: runs the stack in the foreground, and puts what stands in the way into one sentence."""

import sys
from pathlib import Path

from infra.local.problems import StackError

RUN_FOLDER = Path(__file__).parent / ".run"


def main(run_folder: Path = RUN_FOLDER) -> None:
    """The command, its files in `run_folder`. Exit code 1 and a sentence where the stack cannot be had."""
    try:
        from infra.local.foreground import run  # noqa: PLC0415 - a broken installation shows here

        run(run_folder)
    except StackError as problem:
        sys.exit(str(problem))
    except ImportError as missing:
        sys.exit(f"The installation is broken ({missing}): run `make clean setup`.")
    except KeyboardInterrupt:
        sys.exit("Stopped before it was ready.")


if __name__ == "__main__":
    main()
