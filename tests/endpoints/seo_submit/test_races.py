"""Everything at once, by one user: connecting, submitting, disconnecting, polling. The books are right in the end."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable

import psycopg

from functions.core.errors import ConflictError, InvalidRequestError, NotFoundError, StreamVibeError
from functions.seo_submit import engines, service
from tests.endpoints.seo_submit.conftest import SITE, Newsroom

ROUNDS = 60 if os.environ.get("STREAMVIBE_PROFILE") == "soak" else 8
THREADS = 4
ENGINES = ("indexnow", "bing", "yandex")


def test_the_books_are_right_whatever_happens_at_once(newsroom: Newsroom) -> None:
    creator = newsroom.creator(*ENGINES, tier="premium")
    newsroom.fault("indexnow", status=403, times=ROUNDS // 2)
    newsroom.fault("bing", status=429, times=ROUNDS // 2)
    newsroom.fault("yandex", status=503, times=3)
    unexpected: list[str] = []

    def submit(dice: random.Random) -> None:
        service.submit(
            str(creator.id), str(creator.item), f"{SITE}videos/{dice.randrange(12)}", dice.sample(ENGINES, 2)
        )

    def reconnect(dice: random.Random) -> None:
        engine = dice.choice(ENGINES)
        with newsroom.database.as_user(creator.id) as session:
            session.execute(
                """
                select disconnect_search_engine(c.id) from seo_connection c join search_engine e
                on e.id = c.search_engine_id where e.slug = %s
                """,
                [engine],
            )
        newsroom.connect(creator.id, engine)

    def poll(dice: random.Random) -> None:
        newsroom.make_due(creator)
        for engine in dice.sample(ENGINES, 2):
            engines.run(engine, seconds_left=lambda: 60)

    def reap(dice: random.Random) -> None:
        newsroom.execute("select reap_quota(interval '0')")

    actions: list[Callable[[random.Random], None]] = [submit, submit, submit, reconnect, poll, poll, reap]

    def work(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(ROUNDS):
            action = dice.choice(actions)
            try:
                action(dice)
            except (ConflictError, NotFoundError, InvalidRequestError):
                pass  # the connection went a moment before
            except (StreamVibeError, psycopg.Error) as error:
                if getattr(error, "sqlstate", None) == "PT404":
                    continue  # two of them have disconnected it
                unexpected.append(f"{action.__name__}: {type(error).__name__} {error}")

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert unexpected == []
    newsroom.clear_faults()
    for _ in range(12):
        newsroom.execute("update private.engine_health set open_until = now() where open_until is not null")
        poll(random.Random(0))
        for engine in ENGINES:
            engines.run(engine, seconds_left=lambda: 60)
    accepted = newsroom.row(
        "select count(*) as count from seo_submission where user_id = %s and submitted_at is not null", creator.id
    )["count"]
    assert accepted > 0
    assert newsroom.unsettled(creator) == 0
    assert newsroom.used(creator) == accepted
    usage = newsroom.row("select coalesce(sum(urls_count), 0) as sum from seo_usage where user_id = %s", creator.id)
    assert usage["sum"] == accepted
