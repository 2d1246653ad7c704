"""Search engines connected and submissions claimed, as the database alone decides it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests import factories
from tests.databases import Connection, Database

Row = dict[str, Any]
SITE = "https://creator.example/"
KEY = {"key": "0123456789abcdef0123456789abcdef"}
SERVICE_ACCOUNT = {
    "client_email": "me@project.iam.gserviceaccount.com",
    "private_key": "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
}


@pytest.fixture
def creator(database: Database) -> UUID:
    return database.create_user()


def connect(database: Database, user_id: UUID, engine: str, site: str, credentials: Any) -> Row:
    with database.as_user(user_id) as session:
        row = session.execute(
            "select connect_search_engine(%s, %s, %s::jsonb) as made", [engine, site, json.dumps(credentials)]
        ).fetchone()
    assert row is not None
    return dict(row["made"])


def refusal(database: Database, user_id: UUID, engine: str, site: str, credentials: Any) -> tuple[str, str]:
    with pytest.raises(psycopg.Error) as refused:
        connect(database, user_id, engine, site, credentials)
    message = refused.value.diag.message_primary or ""
    assert "s3cret" not in message
    return refused.value.sqlstate or "", refused.value.diag.message_hint or ""


def test_nobody_fills_the_vault_with_sites(new_database: Callable[[], Database]) -> None:
    database = new_database()
    user = database.create_user()
    with database.as_owner() as owner:
        owner.execute("update private.setting set value = '2' where key = 'seo.most_sites'")
    for site in (SITE, "https://second.example/", SITE):  # the same site again is no further one
        connect(database, user, "indexnow", site, KEY)
    assert refusal(database, user, "indexnow", "https://third.example/", KEY) == ("PT409", "too_many_sites")
    assert refusal(database, user, "bing", SITE, {"api_key": "x"}) == ("PT409", "too_many_sites")


def secret_of(database: Database, connection_id: str) -> Any:
    with database.as_superuser() as connection:
        row = connection.execute(
            """
            select s.decrypted_secret as secret from vault.decrypted_secrets s
            join seo_connection c on c.vault_secret_name = s.name where c.id = %s
            """,
            [connection_id],
        ).fetchone()
    assert row is not None
    return json.loads(row["secret"])


@pytest.mark.parametrize(
    ("engine", "sent", "kept"),
    [
        ("indexnow", {**KEY, "other": 1}, KEY),
        ("IndexNow", KEY, KEY),
        ("bing", {"api_key": "abc"}, {"api_key": "abc"}),
        ("yandex", {"access_token": "abc", "refresh_token": "x"}, {"access_token": "abc"}),
        ("google", {**SERVICE_ACCOUNT, "token_uri": "http://127.0.0.1/", "type": "service_account"}, SERVICE_ACCOUNT),
        (
            "google",
            {"refresh_token": "r", "client_id": "c", "client_secret": "s", "property": "sc-domain:creator.example"},
            {"refresh_token": "r", "client_id": "c", "client_secret": "s", "property": "sc-domain:creator.example"},
        ),
    ],
)
def test_the_known_part_of_the_credentials_is_kept_in_vault(
    database: Database, creator: UUID, engine: str, sent: Row, kept: Row
) -> None:
    made = connect(database, creator, engine, SITE, sent)
    assert (made["site_url"], made["is_active"], made["is_verified"]) == (SITE, True, False)
    assert "vault_secret_name" not in made
    assert secret_of(database, made["id"]) == kept


@pytest.mark.parametrize(
    ("engine", "credentials"),
    [
        ("indexnow", {}),
        ("indexnow", {"key": "s3cret"}),
        ("indexnow", {"key": "s3cret with spaces"}),
        ("indexnow", {"key": "s3cret" * 30}),
        ("indexnow", {**KEY, "key_location": "ftp://creator.example/s3cret"}),
        ("indexnow", None),
        ("indexnow", []),
        ("indexnow", "s3cret-s3cret"),
        ("bing", {"api_key": ""}),
        ("bing", {"api_key": "s3cret s3cret"}),
        ("yandex", {"api_key": "s3cret"}),
        ("google", {"client_email": "me@example.com"}),
        ("google", {"client_email": "me@example.com", "private_key": "s3cret"}),
        ("google", {"refresh_token": "s3cret"}),
        ("google", {**SERVICE_ACCOUNT, "property": "s3cret"}),
        ("google", {**SERVICE_ACCOUNT, "private_key": SERVICE_ACCOUNT["private_key"] + "s3cret" * 4000}),
    ],
)
def test_incomplete_credentials_are_refused_and_not_repeated(
    database: Database, creator: UUID, engine: str, credentials: Any
) -> None:
    assert refusal(database, creator, engine, SITE, credentials) == ("PT422", "credentials_incomplete")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("https://creator.example", "https://creator.example/"),
        ("HTTPS://Creator.Example:443", "https://creator.example/"),
        ("http://creator.example:80/Blog", "http://creator.example/Blog"),
        ("https://www.creator.co.uk/a/b.c/", "https://www.creator.co.uk/a/b.c/"),
    ],
)
def test_a_site_has_one_spelling(database: Database, creator: UUID, sent: str, kept: str) -> None:
    assert connect(database, creator, "indexnow", sent, KEY)["site_url"] == kept


def test_what_is_no_site_or_no_engine(database: Database, creator: UUID) -> None:
    for site in ("https://www.youtube.com/@me", "https://x.com/me", "https://m.facebook.com/"):
        assert refusal(database, creator, "indexnow", site, KEY) == ("PT422", "platform_url")
    for site in (f"{SITE}?a=b", f"{SITE}#a", "creator.example", f"https://creator.example/{'a' * 1024}"):
        assert refusal(database, creator, "indexnow", site, KEY) == ("PT422", "url_refused")
    assert refusal(database, creator, "altavista", SITE, KEY) == ("PT422", "unknown_search_engine")
    for template in ("https://other.example/{id}", f"{SITE}videos", f"{SITE}{{id}} x"):
        assert refusal(database, creator, "indexnow", SITE, {**KEY, "page_url": template}) == (
            "PT422",
            "page_url_refused",
        )


def test_connecting_again_replaces_the_credentials_and_asks_anew(database: Database, creator: UUID) -> None:
    first = connect(database, creator, "bing", SITE, {"api_key": "old"})
    with database.as_superuser() as connection:
        connection.execute(
            "update seo_connection set is_verified = true, last_error = 'x', next_verification_at = null where id = %s",
            [first["id"]],
        )
    again = connect(database, creator, "bing", SITE, {"api_key": "new"})
    assert again["id"] == first["id"]
    assert (again["is_verified"], again["last_error"]) == (False, None)
    assert again["next_verification_at"] is not None
    assert secret_of(database, again["id"]) == {"api_key": "new"}


def test_a_stranger_sees_and_ends_nothing(database: Database, creator: UUID) -> None:
    made = connect(database, creator, "indexnow", SITE, KEY)
    stranger = database.create_user()
    with database.as_user(stranger) as session:
        assert session.execute("select * from seo_connection").fetchall() == []
        with pytest.raises(psycopg.Error) as refused, session.transaction():
            session.execute("select disconnect_search_engine(%s)", [made["id"]])
        assert refused.value.sqlstate == "PT404"
    with database.as_user(creator) as session:
        assert len(session.execute("select * from seo_connection").fetchall()) == 1
        session.execute("select disconnect_search_engine(%s)", [made["id"]])
        with pytest.raises(psycopg.Error) as refused, session.transaction():
            session.execute("select disconnect_search_engine(%s)", [made["id"]])
        assert refused.value.sqlstate == "PT404"


def test_nobody_connects_without_signing_in(database: Database) -> None:
    for call in (
        "connect_search_engine('bing', 'https://creator.example/', '{}')",
        f"disconnect_search_engine('{uuid4()}')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), database.as_anon() as anon:
            anon.execute(f"select {call}".encode())


# ------------------------------------------------------------------------------------------------------------ claiming


def due(owner: Connection, user_id: UUID, connection: Row, count: int) -> list[UUID]:
    item = factories.content(owner, factories.account(owner, user_id))
    rows = owner.execute(
        """
        insert into seo_submission
            (content_item_id, user_id, connection_id, search_engine_id, submitted_url, next_retry_at)
        select %s, %s, %s, %s, %s || n, now() - make_interval(secs => n) from generate_series(1, %s) as n returning id
        """,
        [item, user_id, connection["id"], connection["search_engine_id"], SITE, count],
    ).fetchall()
    return [row["id"] for row in rows]


def claimed(session: Connection, max_rows: int) -> set[str]:
    row = session.execute("select claim_submissions('indexnow', %s) as claim", [max_rows]).fetchone()
    assert row is not None
    return {page[0] for group in row["claim"]["groups"] for page in group["pages"]}


def test_two_workers_never_hold_the_same_row(database: Database, creator: UUID) -> None:
    made = connect(database, creator, "indexnow", SITE, KEY)
    with database.as_owner() as owner:
        ids = {str(one) for one in due(owner, creator, made, 10)}
    with database.as_service() as one, database.as_service() as other:
        first = claimed(one, 4)
        second = claimed(other, 100)  # does not wait for the first, which has not committed
    assert len(first) == 4
    assert first | second == ids
    assert not first & second
    with database.as_service() as later:
        assert claimed(later, 100) == set()
    with database.as_owner() as owner:
        owner.execute(
            "update seo_submission set next_retry_at = next_retry_at - interval '5 minutes' where user_id = %s",
            [creator],
        )
    with database.as_service() as later:
        assert claimed(later, 100) == ids  # their leases are over


def test_a_claim_has_the_oldest_and_no_more_than_asked_for(database: Database, creator: UUID) -> None:
    made = connect(database, creator, "indexnow", SITE, KEY)
    with database.as_owner() as owner:
        owner.execute("update seo_submission set next_retry_at = null where next_retry_at is not null")
        ids = due(owner, creator, made, 5)
    with database.as_service() as session:
        assert claimed(session, 2) == {str(ids[-1]), str(ids[-2])}
        row = session.execute("select claim_submissions('indexnow', 1) as claim").fetchone()
    assert row is not None
    (group,) = row["claim"]["groups"]
    assert (group["site_url"], group["credentials"]) == (SITE, KEY)


def test_after_a_pause_one_call_is_let_through(database: Database, creator: UUID) -> None:
    made = connect(database, creator, "indexnow", SITE, KEY)
    with database.as_owner() as owner:
        owner.execute("update seo_submission set next_retry_at = null where next_retry_at is not null")
        due(owner, creator, made, 5)
        owner.execute(
            """
            insert into private.engine_health (search_engine_id, failures, open_until)
            values (%s, 5, now() + interval '1 minute')
            """,
            [made["search_engine_id"]],
        )
    with database.as_service() as session:
        assert claimed(session, 100) == set()
    with database.as_owner() as owner:
        owner.execute("update private.engine_health set open_until = now() - interval '1 second' where true")
    with database.as_service() as session:
        assert len(claimed(session, 100)) == 1
        assert claimed(session, 100) == set()
