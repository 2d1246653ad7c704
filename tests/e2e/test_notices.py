"""Notices and digests by e-mail on the local stack: who gets which, once, with a link that ends them."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from typing import Any

import httpx
import psycopg
import pytest

from functions.core import mail
from functions.database import notices
from infra.local.stack import Stack
from tests.e2e.creators import Creator

Rows = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def clients(in_process: None) -> Iterator[None]:
    yield
    if mail._client.cache_info().currsize:
        mail._client().close()
    mail._client.cache_clear()


@pytest.fixture
def creator(sign_up: Callable[[], Creator], db: Rows) -> Creator:
    """Somebody new, and nobody else who is waiting for e-mail."""
    switches = "is_email_notifications_enabled = false, is_weekly_digest_enabled = false"
    db(f"update public.user_setting set {switches} where true")
    return sign_up()


def address(db: Rows, creator: Creator) -> str:
    return str(db("select email from public.users where id = %s", creator.id)[0]["email"])


def tell(db: Rows, creator: Creator, title: str, message: str | None = None) -> None:
    db("insert into public.notification (user_id, title, message) values (%s, %s, %s)", creator.id, title, message)


def invoke(stack: Stack, function: str) -> Any:
    answer = httpx.post(f"{stack.runner_url}/_local/invoke/{function}", timeout=60)
    assert answer.is_success, answer.text
    return answer.json()


def mailbox(stack: Stack, to: str) -> list[EmailMessage]:
    """What the simulated SES has taken for `to`."""
    data = httpx.get(f"{stack.env['AWS_ENDPOINT_URL']}/moto-api/data.json", timeout=30).json()
    raw = [one["raw_data"] for one in data["ses"]["RawMessage"] if to in one["destinations"]]
    return [email.message_from_string(text, policy=email.policy.default) for text in raw]


def test_notices_go_out_once_bundled_and_escaped(stack: Stack, db: Rows, creator: Creator) -> None:
    tell(db, creator, "<b>Sync</b> failed", "Connect again")
    tell(db, creator, "<b>Sync</b> failed", "Connect again")
    tell(db, creator, "Two pages indexed")
    invoke(stack, "notices")
    invoke(stack, "notices")
    (message,) = mailbox(stack, address(db, creator))
    text = message.get_body(("plain",))
    page = message.get_body(("html",))
    assert text is not None
    assert page is not None
    assert text.get_content().count("<b>Sync</b> failed") == 1, "the same is told once"
    assert "Two pages indexed" in text.get_content()
    assert "&lt;b&gt;Sync&lt;/b&gt; failed" in page.get_content()
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    (row,) = db("select id, sent_at from private.email where user_id = %s", creator.id)
    assert message["X-Entity-Ref-ID"] == str(row["id"])
    assert row["sent_at"] is not None


def test_the_next_e_mail_waits_for_the_gap(stack: Stack, db: Rows, creator: Creator) -> None:
    tell(db, creator, "first")
    invoke(stack, "notices")
    tell(db, creator, "second")
    invoke(stack, "notices")
    assert len(mailbox(stack, address(db, creator))) == 1
    db("update private.email set created_at = created_at - interval '16 minutes' where user_id = %s", creator.id)
    invoke(stack, "notices")
    first, second = mailbox(stack, address(db, creator))
    assert (first["Subject"], second["Subject"]) == ("first", "second")


def link(stack: Stack, db: Rows, creator: Creator) -> str:
    """The address that ends the creator's notices, from an e-mail."""
    tell(db, creator, "first")
    invoke(stack, "notices")
    (message,) = mailbox(stack, address(db, creator))
    found = re.fullmatch(r"<(.+)>", message["List-Unsubscribe"])
    assert found
    text = message.get_body(("plain",))
    assert text is not None
    assert found[1] in text.get_content(), "people and programs have one link"
    return found[1]


def switches(db: Rows, creator: Creator) -> tuple[bool, bool]:
    (row,) = db("select * from public.user_setting where user_id = %s", creator.id)
    return row["is_email_notifications_enabled"], row["is_weekly_digest_enabled"]


def test_a_mail_program_ends_one_kind_with_one_post(stack: Stack, db: Rows, creator: Creator) -> None:
    url = link(stack, db, creator)
    for _ in range(2):  # twice is as good as once
        answer = httpx.post(url, data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200, answer.text
        assert switches(db, creator) == (False, True)
    tell(db, creator, "after")
    db("update private.email set created_at = created_at - interval '1 hour' where user_id = %s", creator.id)
    invoke(stack, "notices")
    assert len(mailbox(stack, address(db, creator))) == 1


def test_following_the_link_asks_first(stack: Stack, db: Rows, creator: Creator) -> None:
    url = link(stack, db, creator)
    page = httpx.get(url)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert switches(db, creator) == (True, True), "a scanner that follows links switches nothing off"
    # What a browser makes of it without JavaScript: the form goes to the page's own address.
    assert re.findall(r"<form[^>]*>", page.text) == ['<form method="post">']
    assert page.text.count('<button type="submit">') == 1
    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
    assert policy == dict.fromkeys(("default-src", "base-uri", "frame-ancestors"), "'none'") | {"form-action": "'self'"}
    for forbidden in ("<script", "<link", "<img", "<style", "style=", "http"):
        assert forbidden not in page.text
    assert "set-cookie" not in page.headers
    pressed = httpx.post(url, content=b"", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert pressed.status_code == 200
    assert "<form" not in pressed.text
    assert switches(db, creator) == (False, True)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("token=x&kind=notice", 422),
        ("token=6f0c1b1e-0000-4000-8000-000000000000&kind=notice", 404),
        ("token=6f0c1b1e-0000-4000-8000-000000000000&kind=everything", 422),
    ],
)
def test_a_link_of_nobody_switches_nothing_off(stack: Stack, query: str, status: int) -> None:
    answer = httpx.post(f"{stack.env['FUNCTIONS_URL']}/unsubscribe?{query}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_sender_that_dies_is_followed_by_another(stack: Stack, db: Rows, creator: Creator) -> None:
    tell(db, creator, "first")
    (claimed,) = notices.claim_notices(10)
    assert notices.claim_notices(10) == [], "under its lease"
    db("update private.email set lease_until = now() - interval '1 second' where user_id = %s", creator.id)
    (again,) = notices.claim_notices(10)
    assert again["email_id"] == claimed["email_id"]
    assert notices.finish_email(again["email_id"]) is True
    assert notices.finish_email(again["email_id"]) is False
    assert db("select attempts from private.email where user_id = %s", creator.id) == [{"attempts": 2}]


def test_two_senders_at_once_make_one_e_mail(stack: Stack, db: Rows, creator: Creator) -> None:
    tell(db, creator, "first")
    with ThreadPoolExecutor(4) as pool:
        claimed = [row for rows in pool.map(notices.claim_notices, [10] * 4) for row in rows]
    assert len(claimed) == 1


def test_a_locked_user_is_passed_over(stack: Stack, db: Rows, creator: Creator) -> None:
    tell(db, creator, "first")
    with psycopg.connect(stack.admin_dsn) as other:
        other.execute("select 1 from public.user_setting where user_id = %s for update", [creator.id])
        assert notices.claim_notices(10) == []
        other.rollback()
    assert len(notices.claim_notices(10)) == 1


def test_read_old_and_expired_notices_stay_in_the_app(stack: Stack, db: Rows, creator: Creator) -> None:
    for column, value in (("is_read", "true"), ("created_at", "now() - interval '2 days'"), ("expires_at", "now()")):
        db(f"insert into public.notification (user_id, title, {column}) values (%s, 'x', {value})", creator.id)
    assert notices.claim_notices(10) == []
    tell(db, creator, "new")
    assert [one["title"] for one in notices.claim_notices(10)[0]["notices"]] == ["new"]


def test_the_digest_tells_the_week_once(stack: Stack, db: Rows, creator: Creator) -> None:
    invoke(stack, "digest")
    assert mailbox(stack, address(db, creator)) == [], "nothing is connected"
    creator.connect("youtube")
    invoke(stack, "digest")
    invoke(stack, "digest")
    (message,) = mailbox(stack, address(db, creator))
    text = message.get_body(("plain",))
    assert text is not None
    for line in ("Synced: ", "Followers: ", "Suggestions made: 0", "Pages indexed: 0", "Analyses: 10 of 10"):
        assert line in text.get_content()
    # A week later it compares.
    db("update private.email set period = period - 7 where user_id = %s and kind = 'digest'", creator.id)
    invoke(stack, "digest")
    later = mailbox(stack, address(db, creator))[-1].get_body(("plain",))
    assert later is not None
    assert "(+0 since the last digest)" in later.get_content()


def test_calls_are_limited_for_each_user(stack: Stack, db: Rows, creator: Creator) -> None:
    (limit,) = db("select value from private.setting where key = 'rate.sync'")
    body = {"social_account_id": "6f0c1b1e-0000-4000-8000-000000000000"}
    db("insert into private.call_rate values (%s, 'sync', now(), %s)", creator.id, limit["value"])
    answer = creator.call("POST", "/sync", json=body)
    assert answer.status_code == 429
    assert answer.json()["code"] == "rate_limited"
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    db("update private.call_rate set window_start = now() - interval '61 seconds' where user_id = %s", creator.id)
    assert creator.call("POST", "/sync", json=body).status_code == 404
