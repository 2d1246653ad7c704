"""No row points into another user's tree, no client writes what the server owns, and what is repeated stays true."""

import contextlib
import itertools
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from tests.database.waiting import blocked_sessions, wait_until
from tests.database.world import FRESH, World, build_world, insert, key_of
from tests.databases import Connection, Database

WRITABLE: dict[str, dict[str, list[str]]] = tomllib.loads(
    (Path(__file__).parents[1] / "client_writable.toml").read_text()
)
# The columns by which rows hang together inside one user's tree: column -> where it points.
TREE = {
    "user_id": None,
    "applied_by_user_id": None,
    "connection_id": None,
    "social_account_id": "social_account",
    "content_item_id": "content_item",
    "suggestion_id": "ai_suggestion",
}
MIXED = [
    (table, column)
    for table, column in itertools.product(FRESH, TREE)
    if column in {
        "content_revision": ("user_id", "content_item_id"),
        "ai_suggestion": ("user_id",),
        "ai_suggestion_application": ("user_id", "applied_by_user_id"),
        "ai_usage": ("user_id", "content_item_id"),
        "seo_usage": ("user_id", "content_item_id"),
        "seo_submission": ("user_id", "connection_id", "content_item_id"),
        "social_account": ("user_id", "connection_id"),
        "sync_run": ("user_id", "social_account_id"),
    }.get(table, ())
]  # fmt: skip


@pytest.fixture(scope="module")
def world(database: Database) -> World:
    return build_world(database)


@pytest.fixture
def owner(world: World) -> Iterator[Connection]:
    """The tables' owner, whom neither grants nor policies bind: what is refused here, no function can do by mistake."""
    with world.database.as_owner() as connection, connection.transaction(force_rollback=True):
        yield connection


def foreign_value(world: World, table: str, column: str) -> Any:
    """The stranger's counterpart of what an owner's row holds in this column."""
    if column in ("user_id", "applied_by_user_id"):
        return world.stranger
    if column == "connection_id":
        return world.at(world.stranger, "seo_connection" if table == "seo_submission" else "platform_connection")
    target = TREE[column]
    assert target is not None
    return world.at(world.stranger, target)


@pytest.mark.parametrize(("table", "column"), MIXED)
def test_no_new_row_mixes_two_users(world: World, owner: Connection, table: str, column: str) -> None:
    row = world.new_row(table, world.owner)
    with owner.transaction(force_rollback=True):
        insert(owner, table, row)  # it is this one column that is refused
    with pytest.raises(psycopg.errors.IntegrityError), owner.transaction():
        insert(owner, table, row | {column: foreign_value(world, table, column)})


@pytest.mark.parametrize(("table", "column"), MIXED)
def test_no_stored_row_moves_to_another_user(world: World, owner: Connection, table: str, column: str) -> None:
    with pytest.raises(psycopg.errors.IntegrityError), owner.transaction():
        owner.execute(
            sql.SQL("update public.{} set {} = %s where {} = %s").format(
                sql.Identifier(table), sql.Identifier(column), sql.Identifier(key_of(table))
            ),
            [foreign_value(world, table, column), world.at(world.owner, table)],
        )


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("platform_connection", "user_id"),
        ("platform_connection", "platform_id"),
        ("social_account", "platform_id"),
        ("seo_connection", "user_id"),
        ("subscription", "user_id"),
        ("content_item", "social_account_id"),
    ],
)
def test_parents_never_move(world: World, owner: Connection, table: str, column: str) -> None:
    value = world.lookups["platform"]["tiktok"] if column == "platform_id" else foreign_value(world, table, column)
    with pytest.raises(psycopg.errors.CheckViolation, match="never changes"), owner.transaction():
        owner.execute(
            sql.SQL("update public.{} set {} = %s where id = %s").format(sql.Identifier(table), sql.Identifier(column)),
            [value, world.at(world.owner, table)],
        )


@pytest.mark.parametrize("table", ["ai_suggestion", "ai_usage"])
def test_a_model_is_named_with_its_own_provider(world: World, owner: Connection, table: str) -> None:
    row = world.new_row(table, world.owner)
    with pytest.raises(psycopg.errors.ForeignKeyViolation), owner.transaction():
        insert(owner, table, row | {"provider_id": world.lookups["ai_provider"]["google"]})


def test_a_submission_names_its_connections_engine(world: World, owner: Connection) -> None:
    row = world.new_row("seo_submission", world.owner)
    with pytest.raises(psycopg.errors.ForeignKeyViolation), owner.transaction():
        insert(owner, "seo_submission", row | {"search_engine_id": world.lookups["search_engine"]["google"]})


def test_what_is_left_out_comes_from_the_parent(world: World, owner: Connection) -> None:
    row = world.new_row("social_account", world.owner)
    account = insert(owner, "social_account", {name: row[name] for name in ("connection_id", "account_name")})
    assert (account["user_id"], account["platform_id"]) == (world.owner, world.lookups["platform"]["youtube"])
    item = world.new_row("content_item", world.owner)
    del item["platform_id"]
    assert insert(owner, "content_item", item)["platform_id"] == world.lookups["platform"]["youtube"]


def test_an_items_platform_is_its_accounts(world: World, owner: Connection) -> None:
    wrong = {"platform_id": world.lookups["platform"]["tiktok"]}
    stored = insert(owner, "content_item", world.new_row("content_item", world.owner) | wrong)
    assert stored["platform_id"] == world.lookups["platform"]["youtube"]
    changed = owner.execute(
        "update content_item set platform_id = %s where id = %s returning platform_id",
        [wrong["platform_id"], stored["id"]],
    ).fetchone()
    assert changed == {"platform_id": world.lookups["platform"]["youtube"]}


def test_choosing_a_model_chooses_its_provider(world: World) -> None:
    with world.database.as_user(world.owner) as own:
        own.execute("update user_ai_setting set preferred_model_id = %s", [world.lookups["ai_model"]["builtin"]])
        assert own.execute("select preferred_provider_id from user_ai_setting").fetchone() == {
            "preferred_provider_id": world.lookups["ai_provider"]["local"]
        }
        own.execute("update user_ai_setting set preferred_provider_id = %s", [world.lookups["ai_provider"]["google"]])
        assert own.execute("select preferred_model_id from user_ai_setting").fetchone() == {"preferred_model_id": None}


# What clients cannot write, by any kind of request.


def columns(connection: Connection, table: str) -> list[str]:
    found = connection.execute(
        """
        select attname from pg_catalog.pg_attribute
        where attrelid = ('public.' || %s)::regclass and attnum > 0 and not attisdropped
        """,
        [table],
    )
    return [row["attname"] for row in found]


def server_columns(connection: Connection, command: str) -> list[tuple[str, str]]:
    """(table, column) that no signed-in user may write by this command."""
    return [
        (table, column)
        for table in FRESH
        for column in columns(connection, table)
        if WRITABLE[command].get(table) != ["*"] and column not in WRITABLE[command].get(table, [])
    ]


Statement = Callable[[str, str, str], sql.Composed]
REQUESTS: dict[str, tuple[str, Statement]] = {
    "PATCH": (
        "update",
        lambda table, column, key: sql.SQL("update public.{} set {} = default where {} = %(key)s").format(
            *map(sql.Identifier, (table, column, key))
        ),
    ),
    "POST": (
        "insert",
        lambda table, column, key: sql.SQL("insert into public.{} ({}) values (default)").format(
            *map(sql.Identifier, (table, column))
        ),
    ),
    "upsert": (
        "update",
        lambda table, column, key: sql.SQL(
            "insert into public.{0} ({2}) values (%(key)s) on conflict ({2}) do update set {1} = excluded.{1}"
        ).format(*map(sql.Identifier, (table, column, key))),
    ),
}


@pytest.mark.parametrize("request_kind", list(REQUESTS))
@pytest.mark.parametrize("actor", ["owner", "admin"])
def test_server_owned_columns_are_refused(world: World, request_kind: str, actor: str) -> None:
    """The default is a value of the right type for any column; a refusal for want of rights comes before its check."""
    command, statement = REQUESTS[request_kind]
    with world.database.as_superuser() as superuser:
        targets = server_columns(superuser, command)
        before = snapshot(superuser, world)
    assert len(targets) > 250
    with world.database.as_user(getattr(world, actor)) as user:
        for table, column in targets:
            with pytest.raises(psycopg.Error) as refusal, user.transaction():
                user.execute(statement(table, column, key_of(table)), {"key": world.at(world.owner, table)})
            # 428C9: a generated column, which nobody writes.
            assert refusal.value.sqlstate in ("42501", "428C9"), f"{table}.{column}: {refusal.value}"
    with world.database.as_superuser() as superuser:
        assert snapshot(superuser, world) == before


def snapshot(superuser: Connection, world: World) -> dict[str, list[dict[str, Any]]]:
    return {
        table: superuser.execute(
            sql.SQL("select * from public.{} order by {}").format(sql.Identifier(table), sql.Identifier(key_of(table)))
        ).fetchall()
        for table in FRESH
    }


def test_rows_that_carry_ownership_cannot_be_replaced(world: World) -> None:
    """Delete and insert would be a way around column grants; of one's own rows only a notification can be deleted."""
    with world.database.as_superuser() as superuser:
        before = snapshot(superuser, world)
    with world.database.as_user(world.owner) as own:
        for table in set(FRESH) - {"notification"}:
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege), own.transaction():
                own.execute(
                    sql.SQL("delete from public.{} where {} = %s").format(
                        sql.Identifier(table), sql.Identifier(key_of(table))
                    ),
                    [world.at(world.owner, table)],
                )
    with world.database.as_superuser() as superuser:
        assert snapshot(superuser, world) == before


def test_the_seeds_examples_of_what_a_user_cannot_write(world: World) -> None:
    attempts = [
        ("platform_connection", "vault_secret_name", "another's"),
        ("seo_connection", "vault_secret_name", "another's"),
        ("subscription", "tier_id", world.lookups["subscription_tier"]["premium"]),
        ("subscription", "syncs_used", 0),
        ("subscription", "cycle_end_date", "infinity"),
        ("subscription", "stripe_customer_id", "cus_another"),
        ("social_account", "user_id", world.stranger),
        ("social_account", "platform_account_id", "another's"),
        ("social_account", "last_synced_at", "infinity"),
        ("social_account", "next_sync_at", "-infinity"),
        ("social_account", "is_public", True),
        ("content_item", "platform_id", world.lookups["platform"]["tiktok"]),
        ("content_item", "platform_content_id", "another's"),
        ("content_item", "views_count", 2**31 - 1),
        ("content_item", "upstream_deleted_at", None),
        ("content_item", "is_public", True),
        ("users", "email", "admin@example.com"),
        ("users", "created_at", "-infinity"),
        ("notification", "title", "forged"),
        ("quota_usage_history", "released_at", "now"),
    ]
    with world.database.as_user(world.owner) as own:
        for table, column, value in attempts:
            statement = sql.SQL("update public.{} set {} = %s where {} = %s").format(
                *map(sql.Identifier, (table, column, key_of(table)))
            )
            with pytest.raises(psycopg.errors.InsufficientPrivilege), own.transaction():
                own.execute(statement, [value, world.at(world.owner, table)])


# What the public sees.


def visible_to_anon(world: World) -> tuple[bool, bool]:
    """(the account, the item) of the owner."""
    with world.database.as_anon() as anon:
        account = anon.execute("select 1 from social_account where id = %s", [world.at(world.owner, "social_account")])
        item = anon.execute("select 1 from content_item where id = %s", [world.at(world.owner, "content_item")])
        return account.rowcount == 1, item.rowcount == 1


SWITCHES = {
    "profile": ("user_setting", "is_profile_public", False, True),
    "account": ("social_account", "visibility", "unlisted", "public"),
    "account deletion": ("social_account", "deleted_at", "2026-01-01", None),
    "item": ("content_item", "visibility", "private", "public"),
    "item deletion": ("content_item", "deleted_at", "2026-01-01", None),
    "upstream deletion": ("content_item", "upstream_deleted_at", "2026-01-01", None),
}


def flip(connection: Connection, world: World, switch: str, on: bool) -> None:
    table, column, off_value, on_value = SWITCHES[switch]
    connection.execute(
        sql.SQL("update public.{} set {} = %s where {} = %s").format(
            *map(sql.Identifier, (table, column, key_of(table)))
        ),
        [on_value if on else off_value, world.at(world.owner, table)],
    )


def test_the_public_sees_what_every_switch_allows(world: World) -> None:
    for states in itertools.product([False, True], repeat=len(SWITCHES)):
        with world.database.as_superuser() as superuser:
            for switch, on in zip(SWITCHES, states, strict=True):
                flip(superuser, world, switch, on)
        account_is_public = all(states[:3])
        assert visible_to_anon(world) == (account_is_public, all(states))
    with world.database.as_superuser() as superuser:
        flip(superuser, world, "profile", on=False)


def test_nothing_written_to_is_public_stays(world: World, owner: Connection) -> None:
    for table in ("social_account", "content_item"):
        changed = owner.execute(
            sql.SQL("update public.{} set is_public = true where id = %s returning is_public").format(
                sql.Identifier(table)
            ),
            [world.at(world.owner, table)],
        ).fetchone()
        assert changed == {"is_public": False}


@pytest.mark.parametrize("switch", ["profile", "account"])
@pytest.mark.parametrize("child_first", [True, False])
def test_an_item_stored_while_its_owner_hides_is_hidden(world: World, switch: str, child_first: bool) -> None:
    """Sync stores an item in one transaction while its owner closes the profile in another, in both orders."""
    database = world.database
    with database.as_superuser() as superuser:
        for name in SWITCHES:
            flip(superuser, world, name, on=True)
    row = world.new_row("content_item", world.owner)
    with (
        database.connect("postgres", autocommit=False) as sync,
        database.connect("postgres", autocommit=False) as user,
        ThreadPoolExecutor(1) as pool,
    ):
        if child_first:
            assert insert(sync, "content_item", row)["is_public"] is True
            waiting = pool.submit(flip, user, world, switch, on=False)
            wait_until(lambda: blocked_sessions(database) == 1)
            sync.commit()
            waiting.result(30)
            user.commit()
        else:
            flip(user, world, switch, on=False)
            stored = pool.submit(insert, sync, "content_item", row)
            wait_until(lambda: blocked_sessions(database) == 1)
            user.commit()
            assert stored.result(30)["is_public"] is False
            sync.commit()
    with database.as_anon() as anon:
        assert anon.execute("select 1 from content_item").fetchall() == []


@pytest.mark.parametrize("child_first", [True, False])
def test_an_item_shown_while_its_owner_hides_is_hidden(world: World, child_first: bool) -> None:
    """The same for an item that is just made public by an edit."""
    database = world.database
    with database.as_superuser() as superuser:
        for name in SWITCHES:
            flip(superuser, world, name, on=True)
        flip(superuser, world, "item", on=False)
    with (
        database.connect("postgres", autocommit=False) as editor,
        database.connect("postgres", autocommit=False) as user,
        ThreadPoolExecutor(1) as pool,
    ):
        first, second = (editor, user) if child_first else (user, editor)
        changes = {id(editor): ("item", True), id(user): ("profile", False)}
        flip(first, world, changes[id(first)][0], on=changes[id(first)][1])
        waiting = pool.submit(flip, second, world, changes[id(second)][0], on=changes[id(second)][1])
        wait_until(lambda: blocked_sessions(database) == 1)
        first.commit()
        waiting.result(30)
        second.commit()
    with database.as_anon() as anon:
        assert anon.execute("select 1 from content_item").fetchall() == []


def test_a_request_that_edits_several_items_is_a_bulk_edit(world: World) -> None:
    with world.database.as_superuser() as superuser:
        rows = [insert(superuser, "content_item", world.new_row("content_item", world.owner)) for _ in "ab"]
    items = [row["id"] for row in rows]
    with world.database.as_user(world.owner) as own:
        for category, edited in (("one", items[:1]), ("all", items), ("again", items[:1]), ("again", items)):
            own.execute("update content_item set category = %s where id = any(%s)", [category, edited])
        found = own.execute(
            "select new_value, change_source from content_revision where content_item_id = any(%s)", [items]
        )
        sources = sorted((row["new_value"], row["change_source"]) for row in found)
    # The last one names both and changes one.
    assert sources == [("again", "manual")] * 2 + [("all", "bulk_edit")] * 2 + [("one", "manual")]


def primaries(world: World) -> list[UUID]:
    with world.database.as_user(world.owner) as own:
        return [
            row["id"] for row in own.execute("select id from social_account where is_primary and user_id = auth.uid()")
        ]


def test_one_primary_account_a_platform(world: World) -> None:
    first = world.at(world.owner, "social_account")
    with world.database.as_superuser() as superuser:
        more = [insert(superuser, "social_account", world.new_row("social_account", world.owner))["id"] for _ in "ab"]
    for chosen in (first, *more, first):
        with world.database.as_user(world.owner) as own:
            own.execute("update social_account set is_primary = true where id = %s", [chosen])
        assert primaries(world) == [chosen]
    for chosen in (first, *more):  # wherever the old one stands among those that one request chooses
        with world.database.as_user(world.owner) as own:
            own.execute("update social_account set is_primary = id = %s where user_id = auth.uid()", [chosen])
        with world.database.as_user(world.owner) as own:
            own.execute("update social_account set is_primary = true where user_id = auth.uid()")
        assert len(primaries(world)) == 1


def test_two_requests_choose_one_primary_account(world: World) -> None:
    database = world.database
    with database.as_superuser() as superuser:
        more = [insert(superuser, "social_account", world.new_row("social_account", world.owner))["id"] for _ in "ab"]

    def choose(account: UUID) -> None:
        with database.as_user(world.owner) as own:
            own.execute("update social_account set is_primary = true where id = %s", [account])

    with ThreadPoolExecutor(1) as pool:
        with database.as_user(world.owner) as own:
            own.execute("update social_account set is_primary = true where id = %s", [more[0]])
            waiting = pool.submit(choose, more[1])
            wait_until(lambda: blocked_sessions(database) == 1)
        waiting.result(30)
    assert primaries(world) == [more[1]]


@pytest.mark.parametrize("claims", [{}, {"sub": None}, {"role": "service_role"}])
def test_claims_that_name_nobody_get_nothing(world: World, claims: dict[str, Any]) -> None:
    with world.database.as_role("authenticated", claims) as session:
        assert session.execute("select 1 from users").fetchall() == []
        assert session.execute("select 1 from content_revision").fetchall() == []


@pytest.mark.parametrize("subject", ["", "' or true --", "admin"])
def test_a_subject_that_is_no_uuid_is_refused(world: World, subject: str) -> None:
    with world.database.as_user(subject) as session, pytest.raises(psycopg.errors.InvalidTextRepresentation):
        session.execute("select 1 from users")


def test_a_profile_is_shown_when_its_owner_says_so(world: World) -> None:
    """One answer for a hidden profile and for none at all."""
    with world.database.as_superuser() as superuser:
        for name in SWITCHES:
            flip(superuser, world, name, on=True)
    with world.database.as_anon() as anon:
        shown = anon.execute("select public_profile(%s) as profile", [world.owner]).fetchone()
        assert shown is not None
        assert shown["profile"]["user_id"] == str(world.owner)
        refusals = set()
        for user_id in (world.stranger, uuid4()):
            with pytest.raises(psycopg.Error) as refusal, anon.transaction():
                anon.execute("select public_profile(%s)", [user_id])
            refusals.add((refusal.value.sqlstate, refusal.value.diag.message_primary))
    assert len(refusals) == 1
    assert refusals.pop()[0] == "PT404"
