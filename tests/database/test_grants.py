"""Grants in SQL: states that burn, tokens under leases and versions, accounts within the plan. Races are real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.database.waiting import blocked_sessions, wait_until
from tests.databases import Connection, Database

HASH = "0" * 64


@pytest.fixture(scope="module")
def owner(database: Database) -> Iterator[Connection]:
    with database.as_superuser() as connection:
        yield connection


def value(connection: Connection, query: str, *params: Any) -> Any:
    row = connection.execute(query.encode(), params).fetchone()
    return next(iter(row.values())) if row else None


def serve(database: Database, query: str, *params: Any) -> Any:
    with database.as_service() as service:
        return value(service, query, *params)


def begin(database: Database, user: UUID, platform: str = "youtube") -> str:
    state = uuid4().hex * 2
    serve(database, "select begin_oauth(%s, %s, %s)", user, platform, state)
    return state


def take(database: Database, user: UUID, state: str, platform: str = "youtube") -> dict[str, Any]:
    answer: dict[str, Any] = serve(database, "select take_oauth_state(%s, %s, %s)", user, platform, state)
    return answer


def connect(
    database: Database, user: UUID, identity: str = "me", platform: str = "tiktok", **token: Any
) -> dict[str, Any]:
    full = {"access_token": "secret-1", "refresh_token": "r1", "lifetime_seconds": 7200, "scopes": ["x"], **token}
    profile = {
        "platform_user_id": identity,
        "accounts": [{"platform_account_id": f"{identity}-account", "account_name": identity}],
    }
    answer: dict[str, Any] = serve(
        database,
        "select complete_connection(%s, %s, %s::jsonb, %s::jsonb)",
        user,
        platform,
        json.dumps(full),
        json.dumps(profile),
    )
    return answer


def use(database: Database, connection_id: str, ahead: int = 600, rejected: int | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = serve(database, "select begin_token_refresh(%s, %s, %s)", connection_id, ahead, rejected)
    return answer


def finish(database: Database, connection_id: str, lease: str, version: int, token: dict[str, Any] | None) -> bool:
    sent = json.dumps(token) if token else None
    return bool(
        serve(database, "select finish_token_refresh(%s, %s, %s, %s::jsonb)", connection_id, lease, version, sent)
    )


def stored(owner: Connection, connection_id: str) -> dict[str, Any]:
    secret: dict[str, Any] = value(
        owner,
        """select s.decrypted_secret::jsonb from vault.decrypted_secrets as s
           join platform_connection as c on c.vault_secret_name = s.name where c.id = %s""",
        connection_id,
    )
    return secret


def expire(owner: Connection, connection_id: str) -> None:
    owner.execute("update platform_connection set token_expires_at = now() where id = %s", [connection_id])


def test_a_state_is_taken_once(database: Database) -> None:
    user = database.create_user()
    state = begin(database, user)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: take(database, user, state)["accepted"], range(10)))
    assert sorted(answers) == [False] * 9 + [True]


@pytest.mark.parametrize("reason", ["wrong_user", "wrong_platform", "expired"])
def test_a_refusal_burns_the_state(database: Database, owner: Connection, reason: str) -> None:
    user, stranger = database.create_user(), database.create_user()
    state = begin(database, user)
    if reason == "expired":
        owner.execute(
            "update private.oauth_state set created_at = now() - interval '10 minutes' where state_hash = %s", [state]
        )
    who = stranger if reason == "wrong_user" else user
    platform = "twitter" if reason == "wrong_platform" else "youtube"
    assert take(database, who, state, platform) == {"accepted": False, "reason": reason}
    assert take(database, user, state) == {"accepted": False, "reason": "unknown"}


def test_a_user_has_only_so_many_states_and_old_ones_are_purged(database: Database, owner: Connection) -> None:
    user = database.create_user()
    states = [begin(database, user) for _ in range(25)]
    assert value(owner, "select count(*) from private.oauth_state where user_id = %s", user) == 20
    assert take(database, user, states[0])["accepted"] is False
    assert take(database, user, states[-1])["accepted"] is True
    owner.execute("update private.oauth_state set created_at = now() - interval '1 hour' where user_id = %s", [user])
    assert serve(database, "select purge_oauth_states()") >= 19


def test_only_hashes_are_kept(database: Database) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        serve(database, "select begin_oauth(%s, 'youtube', 'the state itself')", database.create_user())


def test_reconnecting_keeps_the_rows_and_the_refresh_token(database: Database, owner: Connection) -> None:
    user = database.create_user()
    first = connect(database, user)
    again = connect(database, user, access_token="a2", refresh_token="")
    assert again["connection"]["id"] == first["connection"]["id"]
    assert [a["id"] for a in again["accounts"]] == [a["id"] for a in first["accounts"]]
    secret = stored(owner, first["connection"]["id"])
    assert (secret["access_token"], secret["refresh_token"]) == ("a2", "r1")
    assert (
        value(
            owner,
            """select count(*) from vault.secrets
               where name in (select vault_secret_name from platform_connection where user_id = %s)""",
            user,
        )
        == 1
    )
    assert "vault_secret_name" not in first["connection"]
    assert "secret-1" not in json.dumps(first)


def test_the_plan_holds_in_a_race(database: Database, owner: Connection) -> None:
    user = database.create_user()

    def attempt(number: int) -> bool:
        try:
            connect(database, user, f"identity-{number}")
        except psycopg.Error as error:
            return error.sqlstate != "PT402"
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 2
    assert value(owner, "select count(*) from social_account where user_id = %s", user) == 2
    assert value(owner, "select count(*) from platform_connection where user_id = %s", user) == 2
    connect(
        database,
        user,
        value(owner, "select platform_user_id from platform_connection where user_id = %s limit 1", user),
    )


def test_one_caller_gets_the_lease(database: Database, owner: Connection) -> None:
    connection_id = connect(database, database.create_user())["connection"]["id"]
    assert use(database, connection_id)["status"] == "usable"
    expire(owner, connection_id)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: use(database, connection_id), range(10)))
    assert sorted(answer["status"] for answer in answers) == ["busy"] * 9 + ["refresh"]
    assert all("token" not in answer for answer in answers if answer["status"] == "busy")
    lease = next(answer for answer in answers if answer["status"] == "refresh")
    assert finish(
        database,
        connection_id,
        lease["lease"],
        lease["version"],
        {"access_token": "a2", "refresh_token": "r2", "lifetime_seconds": 7200},
    )
    after = use(database, connection_id)
    assert (after["status"], after["version"], after["token"]["refresh_token"]) == (
        "usable",
        lease["version"] + 1,
        "r2",
    )


def test_a_token_that_ends_soon_serves_while_another_renews_it(database: Database, owner: Connection) -> None:
    connection_id = connect(database, database.create_user())["connection"]["id"]
    owner.execute(
        "update platform_connection set token_expires_at = now() + interval '1 minute' where id = %s", [connection_id]
    )
    assert use(database, connection_id)["status"] == "refresh"
    assert use(database, connection_id)["status"] == "usable"


def test_a_lease_that_ran_out_is_taken_over_and_its_late_token_is_not_lost(
    database: Database, owner: Connection
) -> None:
    connection_id = connect(database, database.create_user())["connection"]["id"]
    expire(owner, connection_id)
    late = use(database, connection_id)
    owner.execute("update platform_connection set refresh_lease_until = now() where id = %s", [connection_id])
    second = use(database, connection_id)
    assert second["status"] == "refresh"
    # Nobody has stored a newer one: what the late one was given is kept, and the other's comes too late.
    assert finish(
        database, connection_id, late["lease"], late["version"], {"access_token": "late", "refresh_token": "r2"}
    )
    assert not finish(database, connection_id, second["lease"], second["version"], {"access_token": "second"})
    assert stored(owner, connection_id)["access_token"] == "late"


def test_a_failed_refresh_gives_the_lease_back_after_a_pause(database: Database, owner: Connection) -> None:
    connection_id = connect(database, database.create_user())["connection"]["id"]
    expire(owner, connection_id)
    lease = use(database, connection_id)
    assert finish(database, connection_id, lease["lease"], lease["version"], None)
    assert use(database, connection_id)["status"] == "busy"
    owner.execute("update private.token_state set retry_at = now() where connection_id = %s", [connection_id])
    assert use(database, connection_id)["status"] == "refresh"


def test_a_rejected_token_counts_as_expired_if_it_is_the_newest(database: Database) -> None:
    connection_id = connect(database, database.create_user())["connection"]["id"]
    version = use(database, connection_id)["version"]
    assert use(database, connection_id, rejected=version - 1)["status"] == "usable"
    assert use(database, connection_id, rejected=version)["status"] == "refresh"


def test_what_cannot_be_renewed_is_dead_when_it_has_ended(database: Database, owner: Connection) -> None:
    connection_id = connect(database, database.create_user(), refresh_token=None)["connection"]["id"]
    owner.execute(
        "update platform_connection set token_expires_at = now() + interval '1 minute' where id = %s", [connection_id]
    )
    assert use(database, connection_id)["status"] == "usable"
    expire(owner, connection_id)
    assert use(database, connection_id)["status"] == "dead"


def test_only_the_newest_token_can_say_that_the_grant_is_dead(database: Database, owner: Connection) -> None:
    user = database.create_user()
    connection_id = connect(database, user)["connection"]["id"]
    version = use(database, connection_id)["version"]
    connect(database, user, access_token="a2")
    assert serve(database, "select mark_grant_dead(%s, %s, 'grant_revoked')", connection_id, version) is False
    with ThreadPoolExecutor(5) as pool:
        answers = list(
            pool.map(
                lambda _: serve(
                    database, "select mark_grant_dead(%s, %s, 'grant_revoked')", connection_id, version + 1
                ),
                range(5),
            )
        )
    assert sorted(answers) == [False] * 4 + [True]
    assert (
        value(owner, "select count(*) from notification where user_id = %s and type = 'connection_problem'", user) == 1
    )
    assert use(database, connection_id) == {"status": "gone"}


@pytest.mark.parametrize("how", ["disconnect", "delete the user", "delete the row"])
def test_the_secret_goes_by_whatever_path(database: Database, owner: Connection, how: str) -> None:
    user = database.create_user()
    connection_id = connect(database, user)["connection"]["id"]
    name = value(owner, "select vault_secret_name from platform_connection where id = %s", connection_id)
    if how == "disconnect":
        ended = serve(database, "select disconnect(%s, %s)", user, connection_id)
        assert ended["token"]["access_token"] == "secret-1"
        assert serve(database, "select finish_revocation(%s)", ended["revocation_id"]) is True
    elif how == "delete the user":
        serve(database, "select disconnect(%s, %s)", user, connection_id)  # a revocation waits
        database.delete_user(user)
    else:
        owner.execute("delete from platform_connection where id = %s", [connection_id])
    assert value(owner, "select count(*) from vault.secrets where name = %s", name) == 0
    assert value(owner, "select count(*) from vault.secrets where name like 'revocation:%%'") == 0


@pytest.mark.parametrize("other", ["start", "connect"])
def test_a_disconnect_queues_behind_who_holds_the_subscription(
    database: Database, owner: Connection, other: str
) -> None:
    """Who starts a sync, or connects again, holds the subscription and then wants what a disconnect deletes."""
    user = database.create_user()
    made = connect(database, user)
    account = made["accounts"][0]["id"]

    def act() -> Any:
        if other == "connect":
            return connect(database, user)
        return serve(database, "select start_sync_run(%s, %s)", user, account)

    with database.as_superuser() as holder, ThreadPoolExecutor(2) as pool:
        with holder.transaction():
            holder.execute("select 1 from subscription where user_id = %s for update", [user])
            first = pool.submit(act)
            wait_until(lambda: blocked_sessions(database) == 1)
            second = pool.submit(serve, database, "select disconnect(%s, %s)", user, made["connection"]["id"])
            wait_until(lambda: blocked_sessions(database) == 2)
        assert first.result()
        assert second.result()["token"]["access_token"] == "secret-1"
    assert value(owner, "select count(*) from platform_connection where user_id = %s", user) == 0


def test_nobody_but_the_service_calls_any_of_it(database: Database) -> None:
    user = database.create_user()
    for query in (
        f"select begin_oauth('{user}', 'youtube', '{HASH}')",
        f"select take_oauth_state('{user}', 'youtube', '{HASH}')",
        f"select begin_token_refresh('{uuid4()}')",
        f"select disconnect('{user}', '{uuid4()}')",
        "select claim_revocations()",
    ):
        for who in (database.as_user(user), database.as_anon()):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), who as session:
                session.execute(query.encode())
