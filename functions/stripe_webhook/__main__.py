"""For operators: what has failed, and another try. See the package's docstring for the commands."""

from __future__ import annotations

import argparse
import json
import sys

from functions.connectors import stripe
from functions.core.errors import StreamVibeError
from functions.database import billing
from functions.stripe_webhook import service
from functions.stripe_webhook.service import Event

BATCH = 50


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if all went well, 1 if an event failed again."""
    parser = argparse.ArgumentParser(prog="python -m functions.stripe_webhook", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    shown = commands.add_parser("list", help="events that have had no effect yet")
    shown.add_argument("--dead", action="store_true", help="only those that are no longer tried by themselves")
    replayed = commands.add_parser("replay", help="take events up again")
    replayed.add_argument("event_id", nargs="?", help="one event, from the inbox or from Stripe")
    replayed.add_argument("--failed", action="store_true", help="all events without effect, dead ones too")
    options = parser.parse_args(arguments)
    if options.command == "list":
        for row in billing.list_events(only_dead=options.dead):
            _say(json.dumps(row))
        return 0
    if options.failed == (options.event_id is not None):
        parser.error("name one event, or say --failed")
    return replay_failed() if options.failed else _replay(find(options.event_id))


def find(event_id: str) -> Event:
    """An event of the inbox, done or not, or else as Stripe keeps it."""
    rows = billing.list_events(event_id=event_id)
    return service.kept(rows[0]) if rows else service.read(stripe.read_event(event_id))


def replay_failed() -> int:
    """Every event without effect, once."""
    failures, seen = 0, set[str]()
    while rows := [row for row in billing.claim_events(BATCH, now_please=True) if row["id"] not in seen]:
        for row in rows:
            seen.add(row["id"])
            failures += _replay(service.kept(row))
    return 1 if failures else 0


def _replay(event: Event) -> int:
    if event.kind is None:
        _say(f"{event.id} {event.type}: ignored")
        return 0
    try:
        _say(f"{event.id} {event.type}: {service.handle(event, again=True)}")
    except StreamVibeError as error:
        _say(f"{event.id} {event.type}: failed, {error.detail}")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StreamVibeError as error:
        sys.exit(error.detail)
