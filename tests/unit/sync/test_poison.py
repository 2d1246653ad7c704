"""Messages that no worker can read spoil no batch."""

from __future__ import annotations

from typing import Any

import pytest

from functions.core import queues
from functions.core.errors import DatabaseUnavailableError

POISON = ["", "{not json", "[" * 100_000, "null", "[]", "5", '"x"', "\ud800", None, 7]


@pytest.mark.parametrize("body", POISON)
def test_a_message_that_cannot_be_read_is_let_go_and_the_next_is_worked_on(body: Any) -> None:
    seen: list[dict[str, Any]] = []
    event = {"Records": [{"messageId": "bad", "body": body}, {"messageId": "good", "body": '{"run_id": "1"}'}]}
    assert queues.work_through(event, None, seen.append) == {"batchItemFailures": []}
    assert seen == [{"run_id": "1"}]


@pytest.mark.parametrize("body", [*POISON, "{}", '{"run_id": null}', '{"run_id": 5}', '{"run_id": "nobody"}'])
def test_of_a_batch_of_syncs_exactly_what_names_no_run_is_reported(body: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from functions.core import settings

    monkeypatch.setattr(settings, "require", lambda *_, **__: None)
    from functions.sync import handler, worker

    worked_on: list[str] = []
    monkeypatch.setattr(worker, "work_on", lambda run_id, _: worked_on.append(run_id))
    run_id = "00000000-0000-4000-8000-000000000000"
    good = {"messageId": "good", "body": f'{{"run_id": "{run_id}"}}'}
    answer = handler.worker({"Records": [{"messageId": "bad", "body": body}, good]}, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert worked_on == [run_id]


def test_a_message_that_the_database_does_not_take_spoils_no_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    from functions.core import settings

    monkeypatch.setattr(settings, "require", lambda *_, **__: None)
    from functions.sync import handler, worker

    def work_on(run_id: str, _: worker.Time) -> None:
        if run_id.endswith("1"):
            raise DatabaseUnavailableError

    monkeypatch.setattr(worker, "work_on", work_on)
    records = [
        {"messageId": str(number), "body": f'{{"run_id": "00000000-0000-4000-8000-00000000000{number}"}}'}
        for number in range(3)
    ]
    assert handler.worker({"Records": records}, None) == {"batchItemFailures": [{"itemIdentifier": "1"}]}
