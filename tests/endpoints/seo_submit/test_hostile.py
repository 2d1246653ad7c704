"""URLs from users are hostile: as a site, as a page of one, behind redirects and names. Nothing reaches the canary."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import psycopg
import pytest

from functions.connectors import guard
from functions.core.errors import UrlRefusedError
from tests.databases import Connection
from tests.endpoints.seo_submit.conftest import CREDENTIALS, Creator, Newsroom
from tests.hostile_urls import HOSTILE

# What a database stores is text: it takes no null character.
SITES = [url for url in HOSTILE if "\x00" not in url]


class Canary:
    """A listener on loopback. Whoever connects has gone too far."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.visits = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.visits += 1
            connection.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    made = Canary()
    yield made
    made.listener.shutdown(socket.SHUT_RDWR)
    made.listener.close()


def urls_of(canary: Canary) -> list[str]:
    port = canary.port
    return [
        f"http://127.0.0.1:{port}/",
        f"http://localhost:{port}/",
        f"http://[::ffff:127.0.0.1]:{port}/",
        f"http://2130706433:{port}/",
        f"http://0x7f.1:{port}/",
        f"https://creator.example:{port}/",
        f"https://creator.example@127.0.0.1:{port}/",
        f"https://127.0.0.1:{port}/@creator.example/",
    ]


def test_no_hostile_site_is_connected(newsroom: Newsroom, canary: Canary) -> None:
    creator = newsroom.creator()
    refusals = set()
    for url in [*SITES, *urls_of(canary)]:
        try:
            newsroom.connect(creator.id, "indexnow", url)
        except psycopg.Error as refused:
            refusals.add((refused.sqlstate, refused.diag.message_primary, refused.diag.message_hint))
    sites = newsroom.rows("select site_url from seo_connection where user_id = %s", creator.id)
    assert sites == []
    assert refusals == {("PT422", UrlRefusedError.title, "url_refused")}


def test_no_hostile_page_is_taken(newsroom: Newsroom, canary: Canary) -> None:
    creator = newsroom.creator("google", "indexnow")
    answers = set()
    for url in [*HOSTILE, *urls_of(canary)]:
        status, body = newsroom.post(creator, url)
        answers.add((status, body.get("code"), body.get("detail"), url if status == 202 else ""))
    assert answers == {(422, "url_refused", UrlRefusedError.title, "")}
    assert newsroom.rows("select 1 from seo_submission where user_id = %s", creator.id) == []
    assert canary.visits == 0


def test_nothing_is_opened_even_if_a_hostile_site_stands_in_the_table(newsroom: Newsroom, canary: Canary) -> None:
    """As if connect_search_engine had let it through: the guard is asked again wherever something is opened."""
    creator = newsroom.creator(tier="premium")
    sites = [url for url in [*SITES, *urls_of(canary)] if url.startswith(("http://", "https://")) and len(url) <= 2048]
    with newsroom.database.as_superuser() as connection:
        for engine in ("google", "indexnow"):
            for url in sites:
                plant(connection, creator, engine, url)
    newsroom.poll()
    # Some are pending: their names, harmless in themselves, could not be resolved.
    taken = newsroom.rows(
        "select 1 from seo_submission where user_id = %s and status in ('submitted', 'crawled', 'indexed')", creator.id
    )
    assert taken == []
    assert newsroom.requests("google") == newsroom.requests("indexnow") == []
    verified = newsroom.rows("select 1 from seo_connection where user_id = %s and is_verified", creator.id)
    assert verified == []
    assert canary.visits == 0


def test_redirects_of_the_site_lead_nowhere(newsroom: Newsroom, canary: Canary) -> None:
    creator = newsroom.creator("google", "indexnow", tier="premium")
    for number, url in enumerate(urls_of(canary)):
        newsroom.clear_faults()
        newsroom.fault("creator.example", status=302, headers={"Location": url}, times=None)
        google, indexnow = newsroom.submit(creator, f"https://creator.example/videos/5?n={number}")
        assert (google["status"], google["error_message"]) == ("failed", UrlRefusedError.title)
        assert (indexnow["status"], indexnow["error_message"]) == ("failed", UrlRefusedError.title)
    assert newsroom.requests("google") == newsroom.requests("indexnow") == []
    assert newsroom.used(creator) == 0
    assert canary.visits == 0


def test_names_that_resolve_to_private_addresses_lead_nowhere(
    newsroom: Newsroom, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fake_resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    monkeypatch.setattr(guard, "system_resolver", fake_resolver)
    site = "http://rebound.example.com/"
    creator = newsroom.creator("google", "indexnow", site=site)
    google, indexnow = newsroom.submit(creator, f"{site}page")
    assert asked == ["rebound.example.com"] * 2
    assert {google["status"], indexnow["status"]} == {"failed"}
    assert {google["error_message"], indexnow["error_message"]} == {UrlRefusedError.title}
    assert canary.visits == 0


def test_an_address_inside_of_credentials_is_guarded_too(newsroom: Newsroom, canary: Canary) -> None:
    creator = newsroom.creator()
    newsroom.connect(creator.id, "indexnow", key_location=f"http://127.0.0.1:{canary.port}/key.txt")
    (found,) = newsroom.submit(creator, "https://creator.example/videos/5")
    assert (found["status"], found["error_code"]) == ("failed", "key_file_missing")
    newsroom.poll()
    assert canary.visits == 0


def plant(connection: Connection, creator: Creator, engine: str, url: str) -> None:
    """A connection and a due submission as no function would make them."""
    row = connection.execute(
        """
        insert into seo_connection (user_id, search_engine_id, site_url)
        select %s, id, %s from search_engine where slug = %s returning id, search_engine_id, vault_secret_name
        """,
        [creator.id, url, engine],
    ).fetchone()
    assert row is not None
    connection.execute(
        "select vault.create_secret(%s, %s)", [json.dumps(CREDENTIALS[engine]), row["vault_secret_name"]]
    )
    connection.execute(
        """
        insert into seo_submission (content_item_id, user_id, connection_id, search_engine_id, submitted_url)
        values (%s, %s, %s, %s, %s)
        """,
        [creator.item, creator.id, row["id"], row["search_engine_id"], url],
    )
