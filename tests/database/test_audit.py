"""The audit log: complete, without secrets, append-only, and any change of it is found."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from tests.databases import Connection, Database

TAMPERINGS = {
    "action changed": "update public.audit_log set action = 'harmless' where id = %(id)s",
    "value changed": 'update public.audit_log set new_values = \'{"role": "user"}\' where id = %(id)s',
    "actor's address changed": "update public.audit_log set ip_address = '192.0.2.99' where id = %(id)s",
    "actor changed": "update public.audit_log set user_id = (select max(id::text)::uuid from users) where id = %(id)s",
    "actor taken away": "update public.audit_log set user_id = null where id = %(id)s",
    "subject changed": "update public.audit_log set entity_id = gen_random_uuid() where id = %(id)s",
    "time changed": "update public.audit_log set created_at = created_at - interval '1 hour' where id = %(id)s",
    "entry removed": "delete from public.audit_log where id = %(id)s",
    "link changed": "update private.audit_link set hash = sha256('x') where audit_id = %(id)s",
    "link's person changed": "update private.audit_link set pseudonym = gen_random_uuid() where audit_id = %(id)s",
    "entry and link removed": (
        "with gone as (delete from private.audit_link where audit_id = %(id)s)"
        " delete from public.audit_log where id = %(id)s"
    ),
}


def grant_role(database: Database, user_id: UUID, role: str = "moderator") -> UUID:
    """One audited change; returns the id of its entry."""
    with database.as_owner() as owner:
        row = owner.execute(
            "insert into user_role (user_id, role) values (%s, %s) returning id", [user_id, role]
        ).fetchone()
        assert row is not None
        entry = owner.execute("select id from audit_log where entity_id = %s", [row["id"]]).fetchone()
        assert entry is not None
        return UUID(str(entry["id"]))


def verify(database: Database) -> dict[str, Any]:
    with database.as_service() as service:
        row = service.execute("select verify_audit_log() as answer").fetchone()
    assert row is not None
    return dict(row["answer"])


def entries(connection: Connection, entity: UUID) -> list[dict[str, Any]]:
    found = connection.execute("select * from audit_log where entity_id = %s order by created_at", [entity])
    return found.fetchall()


@pytest.fixture
def user(database: Database) -> UUID:
    return database.create_user()


def test_a_change_is_recorded_with_old_and_new_values_and_who_asked(database: Database) -> None:
    admin, user = database.create_user(), database.create_user()
    with database.as_owner() as owner:
        owner.execute("insert into user_role (user_id, role) values (%s, 'admin')", [admin])
    with database.as_user(admin) as request:
        request.execute(
            "select set_config('request.headers', %s, true)",
            ['{"x-forwarded-for": "203.0.113.9, 10.0.0.1", "user-agent": "Browser/1.0"}'],
        )
        row = request.execute(
            "insert into user_role (user_id, role) values (%s, 'moderator') returning id", [user]
        ).fetchone()
        assert row is not None
        request.execute("update user_role set expires_at = '2030-01-01Z' where id = %s", [row["id"]])
    with database.as_owner() as owner:
        created, changed = entries(owner, row["id"])
    assert (created["action"], created["user_id"], created["old_values"]) == ("user_role.insert", admin, None)
    assert created["new_values"]["role"] == "moderator"
    assert (str(created["ip_address"]), created["user_agent"]) == ("203.0.113.9", "Browser/1.0")
    assert changed["action"] == "user_role.update"
    assert changed["old_values"] == {"expires_at": None}
    assert changed["new_values"] == {"expires_at": "2030-01-01T00:00:00+00:00"}


def test_an_update_that_changes_nothing_leaves_no_entry(database: Database, user: UUID) -> None:
    with database.as_owner() as owner:
        row = owner.execute("select id from user_role where user_id = %s", [user]).fetchone()
        assert row is not None
        before = len(entries(owner, row["id"]))
        owner.execute("update user_role set role = role where id = %s", [row["id"]])
        assert len(entries(owner, row["id"])) == before == 1


@pytest.mark.parametrize(
    "statement", ["update audit_log set action = 'x'", "delete from audit_log", "truncate audit_log"]
)
@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_no_role_of_the_api_may_change_the_log(database: Database, user: UUID, role: str, statement: str) -> None:
    grant_role(database, user)
    where = "" if statement.startswith("truncate") else " where true"
    claims = {"sub": str(user)}
    with pytest.raises(psycopg.errors.InsufficientPrivilege), database.as_role(role, claims) as request:
        request.execute(statement + where)


@pytest.mark.parametrize(
    "statement",
    ["update audit_log set action = 'x' where true", "delete from audit_log where true", "truncate audit_log cascade"],
)
def test_no_function_of_the_owners_may_either(new_database: Callable[[], Database], statement: LiteralString) -> None:
    """A definer that is called by a request has the owner's rights; the guard looks at whose session it is."""
    database = new_database()
    grant_role(database, database.create_user())
    with database.as_owner() as owner:
        owner.execute(
            sql.SQL(
                "create function public.careless() returns void language plpgsql security definer"
                " set search_path = 'public' as {}"
            ).format(sql.Literal(f"begin {statement}; end"))
        )
        owner.execute("grant execute on function public.careless() to service_role")
    with database.as_service() as service, pytest.raises(psycopg.Error, match="append-only"):
        service.execute("select careless()")
    with database.as_owner() as owner:
        owner.execute(statement)  # the control: in person the owner may


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_behind_the_guard_is_found_and_named(new_database: Callable[[], Database], name: str) -> None:
    database = new_database()
    user, _ = sorted((database.create_user(), database.create_user()))
    target = grant_role(database, user)
    grant_role(database, user, "admin")
    assert verify(database)["ok"] is True
    with database.as_superuser() as superuser:
        place = superuser.execute(
            "select chain, position from private.audit_link where audit_id = %s", [target]
        ).fetchone()
        assert place is not None
        superuser.execute("alter table audit_log disable trigger user")
        superuser.execute(TAMPERINGS[name], {"id": target})
    answer = verify(database)
    assert answer["ok"] is False
    assert answer["chain"] == place["chain"]
    # Where the entry and its link are gone together, the gap is seen at the next link or at the chain's end.
    if name != "entry and link removed":
        assert answer["audit_id"] == str(target)


def test_the_earliest_of_several_faults_is_named(new_database: Callable[[], Database]) -> None:
    """Whatever chains they are in."""
    database = new_database()
    targets = [grant_role(database, database.create_user()) for _ in range(6)]
    with database.as_superuser() as superuser:
        for found in range(len(targets)):
            superuser.execute("update audit_log set action = 'x' where id = any(%s)", [targets[-1 - found :]])
            assert verify(database)["audit_id"] == str(targets[-1 - found])


def test_whom_an_entry_is_about_cannot_be_exchanged(new_database: Callable[[], Database]) -> None:
    """Where that is a person, the chain holds a pseudonym and not the id."""
    database = new_database()
    users = [database.create_user() for _ in range(2)]
    with database.as_superuser() as superuser:
        row = superuser.execute(
            "update audit_log set entity_id = %s where action = 'users.insert' and user_id = %s returning id", users
        ).fetchone()
    assert row is not None
    assert verify(database)["audit_id"] == str(row["id"])


def test_an_entry_that_was_slipped_in_is_found(new_database: Callable[[], Database]) -> None:
    database = new_database()
    database.create_user()
    with database.as_superuser() as superuser:
        superuser.execute("set session_replication_role = replica")
        row = superuser.execute("insert into audit_log (action) values ('forged') returning id").fetchone()
        assert row is not None
    answer = verify(database)
    assert (answer["ok"], answer["audit_id"], answer["reason"]) == (False, str(row["id"]), "entry without a link")


def test_a_range_checks_only_itself(new_database: Callable[[], Database]) -> None:
    database = new_database()
    user = database.create_user()
    early = grant_role(database, user)
    with database.as_superuser() as superuser:
        row = superuser.execute("select clock_timestamp() as now").fetchone()
        assert row is not None
        superuser.execute("alter table audit_log disable trigger user")
        superuser.execute("update audit_log set action = 'x' where id = %s", [early])
        superuser.execute("alter table audit_log enable trigger user")
    late = grant_role(database, user, "admin")
    with database.as_service() as service:
        halves = service.execute(
            """
            select verify_audit_log("to" => %(at)s::timestamptz) ->> 'audit_id' as early,
                   verify_audit_log("from" => %(at)s::timestamptz) as late
            """,
            {"at": row["now"]},
        ).fetchone()
    assert halves is not None
    assert halves["early"] == str(early)
    assert halves["late"]["ok"] is True
    assert halves["late"]["checked"] >= 1
    assert late != early


def test_erasing_a_user_keeps_the_chain_whole_and_nothing_personal(new_database: Callable[[], Database]) -> None:
    database = new_database()
    canary = f"{uuid4().hex}@example.com"
    user, admin = database.create_user(canary), database.create_user()
    grant_role(database, user)
    with database.as_owner() as owner:
        owner.execute("insert into user_role (user_id, role) values (%s, 'admin')", [admin])
    with database.as_user(admin) as request:
        request.execute("update user_role set expires_at = now() where user_id = %s", [user])
        request.execute("delete from user_role where user_id = %s and role = 'moderator'", [user])
    with database.as_user(user) as request:
        request.execute("update user_setting set is_profile_public = true where user_id = %s", [user])
    with database.as_superuser() as superuser:
        before = superuser.execute("select count(*) as n from audit_log where user_id = %s", [user]).fetchone()
        assert before is not None
        assert before["n"] >= 2
    database.delete_user(user)
    assert verify(database)["ok"] is True
    with database.as_superuser() as superuser:
        rows = superuser.execute("select * from audit_log").fetchall()
        assert len(rows) > before["n"]
        # Neither the address nor the id, not even where an admin's entries name the person; those stay the admin's.
        assert not [row for row in rows if canary in str(row) or str(user) in str(row)]
        assert [row["action"] for row in rows if row["user_id"] == admin].count("user_role.delete") == 1
        mapping = superuser.execute(
            "select count(*) as n from private.audit_pseudonym where user_id = %s", [user]
        ).fetchone()
        assert mapping == {"n": 0}
        links = superuser.execute(
            "select count(*) as n from private.audit_link where pseudonym is not null and salt is null"
        ).fetchone()
        assert links == {"n": before["n"] + 1}


@pytest.mark.parametrize("values", ["new_values", "'{\"erased\": true}'"])
def test_a_false_erasure_is_found(new_database: Callable[[], Database], values: LiteralString) -> None:
    """Of somebody who has not been deleted, even if it looks like a true one."""
    database = new_database()
    database.delete_user(database.create_user())  # a true one of somebody else
    user = database.create_user()
    target = grant_role(database, user)
    with database.as_superuser() as superuser:
        superuser.execute("update private.audit_link set salt = null where audit_id = %s", [target])
        superuser.execute(
            sql.SQL("update audit_log set new_values = {} where id = %s").format(sql.SQL(values)), [target]
        )
    assert verify(database)["audit_id"] == str(target)


def test_archived_entries_verify_and_leave_the_log(new_database: Callable[[], Database]) -> None:
    database = new_database()
    user = database.create_user()
    for role in ("moderator", "admin"):
        grant_role(database, user, role)
    checked = verify(database)["checked"]
    with database.as_owner() as owner:
        row = owner.execute("select private.archive_audit_log('-1 second', 3) as moved").fetchone()
        assert row == {"moved": 3}
        left = owner.execute("select count(*) as n from audit_log").fetchone()
        archived = owner.execute("select id from private.audit_archive limit 1").fetchone()
        assert left is not None
        assert archived is not None
        assert left["n"] == checked - 3
    assert verify(database) == {"ok": True, "checked": checked}
    with database.as_superuser() as superuser:
        superuser.execute("update private.audit_archive set action = 'x' where id = %s", [archived["id"]])
    assert verify(database)["audit_id"] == str(archived["id"])


def test_writers_do_not_wait_for_each_other_before_they_commit(database: Database) -> None:
    """Two transactions with open audit entries: the second one commits while the first still stands."""
    users = [database.create_user() for _ in range(20)]
    with database.connect(autocommit=False) as first:
        first.execute("insert into user_role (user_id, role) values (%s, 'moderator')", [users[0]])
        for user in users[1:]:
            grant_role(database, user)  # 19 transactions over 16 chains: some share the first one's chain
        first.commit()
    assert verify(database)["ok"] is True


def test_many_writers_at_once_make_whole_chains(new_database: Callable[[], Database]) -> None:
    database = new_database()
    users = [database.create_user() for _ in range(8)]
    start = threading.Barrier(len(users))

    def write(user: UUID) -> None:
        with database.connect() as connection:
            start.wait()
            for _ in range(25):
                connection.execute(
                    "update user_setting set is_profile_public = not is_profile_public where user_id = %s", [user]
                )

    threads = [threading.Thread(target=write, args=[user]) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answer = verify(database)
    assert answer["ok"] is True
    with database.as_owner() as owner:
        row = owner.execute("select count(*) as n from audit_log where action = 'user_setting.update'").fetchone()
    assert row == {"n": 8 * 25}
