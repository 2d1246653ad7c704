"""`make demo`: bring up a stack, walk the journey, take everything down again."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack

from rich.console import Console

from infra.local.demo import analysis, platforms, submission
from infra.local.demo.creator import Creator, JourneyError
from infra.local.demo.journey import Journey
from infra.local.problems import StackError
from infra.local.stack import Stack

console = Console()


def main() -> None:
    """Run the demo. Raises JourneyError or StackError with one sentence if it cannot go on."""
    began = time.monotonic()
    with ExitStack() as running:
        with console.status("Starting the local stack ..."):
            environment = running.enter_context(Stack.temporary(clock=True)).env
        console.print(f"Local stack ready after {time.monotonic() - began:.1f} s")
        creator = running.enter_context(Creator(environment, "Maya"))
        stranger = running.enter_context(Creator(environment, "Stranger"))
        journey = Journey(creator, stranger, console)
        journey.sign_up()
        channel = journey.connect("youtube")
        items = journey.show_content(channel, journey.sync(channel))
        journey.edit(items[0])
        journey.search(items[1])
        analysis.analyse(journey, items[1])
        submission.submit(journey, items[1], environment)
        journey.upgrade(journey.run_out_of_analyses(channel))
        platforms.connect_the_rest(journey)
        journey.quota()
    console.print(f"Done in {time.monotonic() - began:.1f} s; nothing is left running.")


if __name__ == "__main__":
    try:
        main()
    except (JourneyError, StackError) as problem:
        sys.exit(str(problem))
