"""Fires scheduled functions: rate(...) and cron(...) expressions of EventBridge, in UTC.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

import logging
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from infra.local.runner.events import schedule_event
from infra.local.runner.invoke import Invoker
from infra.local.runner.service import Function, Schedule, Service

LOG = logging.getLogger("streamvibe.runner")
UNITS = {"minute": 60, "hour": 3600, "day": 86400}
DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
SEARCH_MINUTES = 366 * 24 * 60


def next_time(expression: str, after: datetime) -> datetime:
    """The first moment later than `after` at which `expression` fires. Raises ValueError for a malformed one."""
    rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    if rate:
        return after + timedelta(seconds=int(rate[1]) * UNITS[rate[2]])
    cron = re.fullmatch(r"cron\((.+)\)", expression)
    fields = cron[1].split() if cron else []
    if len(fields) != 6:
        raise ValueError(f"{expression!r} is neither rate(N unit) nor cron(six fields)")
    fits = _cron_matcher(fields)
    moment = after.replace(second=0, microsecond=0)
    for _ in range(SEARCH_MINUTES):
        moment += timedelta(minutes=1)
        if fits(moment):
            return moment
    raise ValueError(f"{expression!r} does not fire within a year")


def _cron_matcher(fields: list[str]) -> Callable[[datetime], bool]:
    minute, hour, day, month, weekday, year = fields
    sets = (_values(minute, 0, 59), _values(hour, 0, 23), _values(day, 1, 31), _values(month, 1, 12))
    weekdays, years = _values(weekday, 1, 7), _values(year, 1970, 2199)

    def fits(moment: datetime) -> bool:
        parts = (moment.minute, moment.hour, moment.day, moment.month)
        return (
            all(part in values for part, values in zip(parts, sets, strict=True))
            and moment.isoweekday() % 7 + 1 in weekdays
            and moment.year in years
        )

    return fits


def _values(field: str, low: int, high: int) -> set[int]:
    """`*`, `?`, numbers, day names, lists, ranges and steps; not L, W and #."""
    values: set[int] = set()
    for part in field.upper().split(","):
        span, _, step = part.partition("/")
        start, _, end = span.partition("-")
        if start in ("*", "?"):
            first, last = low, high
        else:
            first = DAYS[start] if start in DAYS else int(start)
            last = (DAYS[end] if end in DAYS else int(end)) if end else (high if step else first)
        values.update(range(first, last + 1, int(step) if step else 1))
    return values


class Clock:
    """A thread that calls each scheduled function when it is due."""

    def __init__(self, service: Service, invoker: Invoker) -> None:
        now = datetime.now(UTC)
        self._due = {
            (function.name, schedule.expression): (next_time(schedule.expression, now), function, schedule)
            for function in service.functions.values()
            for schedule in function.schedules
        }
        self._invoker = invoker
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while self._due:
            key, (moment, function, schedule) = min(self._due.items(), key=lambda item: item[1][0])
            wait = (moment - datetime.now(UTC)).total_seconds()
            if self._stopped.wait(max(wait, 0)):
                return
            self._due[key] = (next_time(schedule.expression, moment), function, schedule)
            self._fire(function, schedule)

    def _fire(self, function: Function, schedule: Schedule) -> None:
        event = dict(schedule.payload) if schedule.payload is not None else schedule_event(function.name)
        LOG.info("schedule: %s", function.name)
        self._invoker.start(function, event)
