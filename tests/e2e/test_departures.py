"""Ends: a connection, a whole account, consent that was withdrawn at the platform."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest

from infra.local.stack import Stack
from tests.e2e.creators import Creator

Db = Callable[..., list[dict[str, Any]]]
Sim = Callable[..., Any]
SignUp = Callable[[], Creator]
REVOKE_ENDPOINTS = {
    "youtube": ("oauth2.googleapis.com", "/revoke"),
    "tiktok": ("open.tiktokapis.com", "/v2/oauth/revoke/"),
    "facebook": ("graph.facebook.com", "/v26.0/me/permissions"),
    "twitter": ("api.x.com", "/2/oauth2/revoke"),
}


def secrets(db: Db) -> list[str]:
    return [row["name"] for row in db("select name from vault.secrets order by name")]


def grants(sim: Sim, platform: str, account: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sim("GET", f"{platform}/grants", account=account)
    return found


def maintain(creator: Creator) -> dict[str, Any]:
    answer = creator.http.post(creator.stack.runner_url + "/_local/invoke/maintenance")
    assert answer.status_code == 200, answer.text
    done: dict[str, Any] = answer.json()
    return done


@pytest.mark.parametrize("platform", [*REVOKE_ENDPOINTS, "instagram"])
def test_a_disconnection_leaves_nothing(
    db: Db, sim: Sim, sign_up: SignUp, new_account: Callable[..., str], platform: str
) -> None:
    creator = sign_up()
    known = secrets(db)
    slug = new_account(20, platform)
    connected = creator.connect(platform, slug)
    connection_id = connected["connection"]["id"]
    creator.sync(connected["accounts"][0]["id"])
    assert creator.items(connected["accounts"][0]["id"])
    assert len(secrets(db)) == len(known) + 1
    assert creator.call("DELETE", f"/connections/{connection_id}").status_code == 204
    for table in ("platform_connection", "social_account", "content_item", "sync_run"):
        assert creator.rest(table) == [], table
    assert secrets(db) == known
    if platform in REVOKE_ENDPOINTS:
        assert all(grant["revoked_because"] for grant in grants(sim, platform, slug))
    again = creator.call("DELETE", f"/connections/{connection_id}")
    assert (again.status_code, again.json()["code"]) == (404, "unknown_connection")


def test_a_strangers_connection_is_404(sign_up: SignUp) -> None:
    creator, stranger = sign_up(), sign_up()
    connection_id = creator.connect("youtube")["connection"]["id"]
    answer = stranger.call("DELETE", f"/connections/{connection_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_connection")
    assert len(creator.rest("platform_connection")) == 1
    assert creator.call("DELETE", "/connections/nonsense").status_code == 422


def test_a_platform_that_cannot_take_the_grant_back_is_asked_again(
    db: Db, sim: Sim, sign_up: SignUp, new_account: Callable[..., str]
) -> None:
    creator = sign_up()
    known = secrets(db)
    slug = new_account(20, "youtube")
    connection_id = creator.connect("youtube", slug)["connection"]["id"]
    host, path = REVOKE_ENDPOINTS["youtube"]
    sim("POST", "faults", host=host, path=path, times=None, status=500)
    assert creator.call("DELETE", f"/connections/{connection_id}").status_code == 204
    assert creator.rest("platform_connection") == []
    assert not [name for name in secrets(db) if name.startswith("platform_connection") and name not in known]
    assert not grants(sim, "youtube", slug)[0]["revoked_because"]
    sim("DELETE", "faults")
    assert maintain(creator)["grants_given_back"] == 0  # not yet
    db("update private.revocation set next_try_at = now() where user_id = %s", creator.id)
    assert maintain(creator)["grants_given_back"] == 1
    assert grants(sim, "youtube", slug)[0]["revoked_because"]
    assert secrets(db) == known


def test_a_grant_whose_access_token_has_ended_is_given_back_by_its_successor(
    sim: Sim, sign_up: SignUp, new_account: Callable[..., str]
) -> None:
    creator = sign_up()
    slug = new_account(20, "tiktok")
    connection_id = creator.connect("tiktok", slug)["connection"]["id"]
    host, path = REVOKE_ENDPOINTS["tiktok"]
    sim("POST", "faults", host=host, path=path, status=400, body={"error": "invalid_request"})
    assert creator.call("DELETE", f"/connections/{connection_id}").status_code == 204
    assert grants(sim, "tiktok", slug)[0]["revoked_because"]


def test_a_lost_secret_holds_up_no_deletion(db: Db, sim: Sim, sign_up: SignUp, new_account: Callable[..., str]) -> None:
    creator = sign_up()
    connection_id = creator.connect("youtube", new_account(20, "youtube"))["connection"]["id"]
    host, path = REVOKE_ENDPOINTS["youtube"]
    sim("POST", "faults", host=host, path=path, times=None, status=503)
    assert creator.call("DELETE", f"/connections/{connection_id}").status_code == 204
    db(
        """delete from vault.secrets where name in
           (select vault_secret_name from private.revocation where user_id = %s)""",
        creator.id,
    )
    answer = creator.call("DELETE", "/account")
    assert (answer.status_code, answer.json()) == (202, {"status": "deleted"})


@pytest.mark.usefixtures("in_process")
def test_a_stripe_that_hangs_does_not_hold_up_a_deletion(
    db: Db, sim: Sim, sign_up: SignUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functions.oauth import departure

    creator = sign_up()
    db("update subscription set stripe_customer_id = %s where user_id = %s", f"cus_{creator.id}", creator.id)
    monkeypatch.setattr(departure, "BILLING_SECONDS", 0.5)
    sim("POST", "faults", host="api.stripe.com", times=None, delay_seconds=300)
    assert departure.delete_account(creator.id) is False
    assert db("select is_billing_ended from private.account_deletion where user_id = %s", creator.id) == [
        {"is_billing_ended": False}
    ]
    sim("DELETE", "faults")
    monkeypatch.setattr(departure, "BILLING_SECONDS", 60)
    assert departure.delete_account(creator.id) is True


def test_an_account_is_deleted_with_everything(
    stack: Stack, db: Db, sim: Sim, sign_up: SignUp, new_account: Callable[..., str]
) -> None:
    creator = sign_up()
    known = secrets(db)
    slugs = {platform: new_account(20, platform) for platform in ("youtube", "twitter")}
    for platform, slug in slugs.items():
        creator.sync(creator.connect(platform, slug)["accounts"][0]["id"])
    answer = creator.call("DELETE", "/account")
    assert (answer.status_code, answer.json()) == (202, {"status": "deleted"})
    assert db("select * from auth.users where id = %s", creator.id) == []
    assert db("select * from public.users where id = %s", creator.id) == []
    assert secrets(db) == known
    for platform, slug in slugs.items():
        assert all(grant["revoked_because"] for grant in grants(sim, platform, slug))
    assert creator.call("DELETE", "/account").json() == {"status": "deleted"}  # safe to repeat
    (left,) = db(
        "select count(*) as count from content_item where social_account_id not in (select id from social_account)"
    )
    assert left["count"] == 0


def test_a_deletion_that_is_interrupted_goes_on(
    db: Db, sim: Sim, sign_up: SignUp, new_account: Callable[..., str]
) -> None:
    creator = sign_up()
    slug = new_account(20, "youtube")
    creator.connect("youtube", slug)
    host, path = REVOKE_ENDPOINTS["youtube"]
    sim("POST", "faults", host=host, path=path, times=None, status=503)
    answer = creator.call("DELETE", "/account")
    assert (answer.status_code, answer.json()) == (202, {"status": "pending"})
    assert creator.rest("platform_connection") == []
    # Nothing new is connected meanwhile.
    refused = creator.call("POST", "/oauth/youtube/authorize")
    assert (refused.status_code, refused.json()["code"]) == (409, "account_deletion_pending")
    sim("DELETE", "faults")
    db("update private.account_deletion set next_try_at = now() where user_id = %s", creator.id)
    assert maintain(creator)["accounts_deleted"] == 1
    assert db("select * from auth.users where id = %s", creator.id) == []
    assert grants(sim, "youtube", slug)[0]["revoked_because"]


def signed_request(sim: Sim, platform: str, slug: str) -> str:
    answer = sim("POST", f"{platform}/signed_request", account=slug)
    return str(answer["signed_request"])


@pytest.mark.parametrize("platform", ["facebook", "instagram"])
def test_consent_withdrawn_at_meta_stops_everything(
    db: Db, sim: Sim, sign_up: SignUp, new_account: Callable[..., str], platform: str
) -> None:
    creator = sign_up()
    slug = new_account(20, platform)
    connected = creator.connect(platform, slug)
    known = secrets(db)
    form = {"signed_request": signed_request(sim, platform, slug)}
    assert creator.http.post(
        creator.stack.env["FUNCTIONS_URL"] + f"/oauth/{platform}/deauthorize", data=form
    ).is_success
    (connection,) = creator.rest("platform_connection")
    assert (connection["is_active"], connection["last_error"]) == (False, "withdrawn_at_the_platform")
    assert len(secrets(db)) == len(known) - 1
    assert len(creator.rest("notification?type=eq.connection_problem")) == 1
    assert creator.connect(platform, slug)["connection"]["id"] == connected["connection"]["id"]


@pytest.mark.parametrize("platform", ["facebook", "instagram"])
def test_a_deletion_request_of_meta(sim: Sim, sign_up: SignUp, new_account: Callable[..., str], platform: str) -> None:
    creator = sign_up()
    slug = new_account(20, platform)
    creator.sync(creator.connect(platform, slug)["accounts"][0]["id"])
    url = creator.stack.env["FUNCTIONS_URL"] + f"/oauth/{platform}/data-deletion"
    form = {"signed_request": signed_request(sim, platform, slug)}
    answer = creator.http.post(url, data=form)
    assert answer.status_code == 200, answer.text
    assert answer.json()["confirmation_code"] in answer.json()["url"]
    for table in ("platform_connection", "social_account", "content_item"):
        assert creator.rest(table) == [], table
    status = creator.http.get(answer.json()["url"])
    assert status.json()["status"] == "completed"
    assert creator.http.get(f"{url}/{creator.id}").status_code == 404


@pytest.mark.parametrize(
    "form", [{}, {"signed_request": "nonsense"}, {"signed_request": "AAAA.eyJ1c2VyX2lkIjoiMSJ9"}], ids=str
)
def test_an_unsigned_callback_is_refused(sign_up: SignUp, form: dict[str, str]) -> None:
    creator = sign_up()
    for path in ("deauthorize", "data-deletion"):
        answer = creator.http.post(creator.stack.env["FUNCTIONS_URL"] + f"/oauth/facebook/{path}", data=form)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_signature")
    answer = creator.http.post(
        creator.stack.env["FUNCTIONS_URL"] + "/oauth/youtube/deauthorize",
        content=urllib.parse.urlencode({"signed_request": "x.y"}),
    )
    assert answer.status_code == 404
