"""Connecting: every way it may go wrong. Where it is refused no token is asked for; where it is accepted there is one
connection."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import psycopg
import pytest

from infra.local.stack import Stack
from tests.e2e.creators import Creator

PLATFORMS = ("youtube", "instagram", "tiktok", "facebook", "twitter")
TOKEN_ENDPOINTS = {
    "youtube": ("oauth2.googleapis.com", "/token"),
    "instagram": ("api.instagram.com", "/oauth/access_token"),
    "tiktok": ("open.tiktokapis.com", "/v2/oauth/token/"),
    "facebook": ("graph.facebook.com", "/v26.0/oauth/access_token"),
    "twitter": ("api.x.com", "/2/oauth2/token"),
}
ISSUERS = {
    "youtube": "https://accounts.google.com",
    "instagram": "https://www.instagram.com",
    "tiktok": "https://www.tiktok.com",
    "facebook": "https://www.facebook.com",
    "twitter": "https://x.com",
}
# What login_hint=partial-scopes leaves unticked costs the connection this.
CANNOT = {
    "instagram": ["insights"],
    "tiktok": ["content", "profile", "statistics"],
    "facebook": ["content", "insights"],
    "twitter": ["read", "stay_connected"],
}


class Upstream:
    """The simulators' controls."""

    def __init__(self, stack: Stack, client: httpx.Client) -> None:
        self.url = f"{stack.env['UPSTREAM_URL']}/_sim"
        self.http = client

    def token_calls(self, platform: str) -> int:
        host, path = TOKEN_ENDPOINTS[platform]
        journal = self.http.get(f"{self.url}/requests", params={"host": host}).json()
        return sum(1 for entry in journal if entry["path"] == path)

    def fault(self, platform: str, **fault: Any) -> None:
        host, path = TOKEN_ENDPOINTS[platform]
        self.http.post(f"{self.url}/faults", json={"host": host, "path": path, **fault}).raise_for_status()

    def clear(self) -> None:
        self.http.delete(f"{self.url}/faults")


@pytest.fixture
def upstream(stack: Stack) -> Iterator[Upstream]:
    with httpx.Client(timeout=30, verify=False) as client:
        controls = Upstream(stack, client)
        yield controls
        controls.clear()


@pytest.fixture(scope="module")
def creator(sign_up: Callable[[], Creator]) -> Creator:
    return sign_up()


@pytest.fixture(scope="module")
def stranger(sign_up: Callable[[], Creator]) -> Creator:
    return sign_up()


def refused(upstream: Upstream, platform: str, attempt: Callable[[], httpx.Response], status: int, code: str) -> None:
    before = upstream.token_calls(platform)
    answer = attempt()
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert upstream.token_calls(platform) == before


def burnt(creator: Creator, platform: str, brought: dict[str, str]) -> None:
    """The state is good for nothing any more, not even for its owner."""
    answer = creator.complete(platform, brought)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_state")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_another_user_is_refused_and_burns_the_state(
    upstream: Upstream, creator: Creator, stranger: Creator, platform: str
) -> None:
    brought = creator.visit(platform)
    refused(upstream, platform, lambda: stranger.complete(platform, brought), 422, "invalid_state")
    burnt(creator, platform, brought)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_nobody_is_refused(upstream: Upstream, creator: Creator, platform: str) -> None:
    brought = creator.visit(platform)

    def attempt() -> httpx.Response:
        return creator.call(
            "POST", f"/oauth/{platform}/callback", json=brought, headers={"Authorization": "Bearer nonsense"}
        )

    refused(upstream, platform, attempt, 401, "unauthenticated")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_replay_is_refused(upstream: Upstream, sign_up: Callable[[], Creator], platform: str) -> None:
    someone = sign_up()
    brought = someone.visit(platform)
    assert someone.complete(platform, brought).status_code == 201
    refused(upstream, platform, lambda: someone.complete(platform, brought), 422, "invalid_state")
    assert len(someone.rest("platform_connection")) == 1


@pytest.mark.parametrize("platform", PLATFORMS)
def test_of_twenty_parallel_attempts_one_connects(
    upstream: Upstream, sign_up: Callable[[], Creator], platform: str
) -> None:
    someone = sign_up()
    brought = someone.visit(platform)
    before = upstream.token_calls(platform)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: someone.complete(platform, brought), range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 19
    # Facebook's long-lived token comes from the same address.
    assert upstream.token_calls(platform) - before == (2 if platform == "facebook" else 1)
    assert len(someone.rest("platform_connection")) == 1


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_expired_state_is_refused(stack: Stack, upstream: Upstream, creator: Creator, platform: str) -> None:
    brought = creator.visit(platform)
    with psycopg.connect(stack.admin_dsn, autocommit=True) as connection:
        connection.execute(
            "update private.oauth_state set created_at = created_at - interval '601 seconds' where user_id = %s",
            [creator.id],
        )
    refused(upstream, platform, lambda: creator.complete(platform, brought), 422, "invalid_state")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_tampered_state_is_refused(upstream: Upstream, creator: Creator, platform: str) -> None:
    brought = creator.visit(platform)
    wrong = {**brought, "state": brought["state"][:-1] + ("A" if brought["state"][-1] != "A" else "B")}
    refused(upstream, platform, lambda: creator.complete(platform, wrong), 422, "invalid_state")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_state_of_ten_kilobytes_is_refused(upstream: Upstream, creator: Creator, platform: str) -> None:
    brought = {**creator.visit(platform), "state": "x" * 10_000}
    refused(upstream, platform, lambda: creator.complete(platform, brought), 422, "invalid_request")


@pytest.mark.parametrize(("started", "presented"), list(itertools.permutations(PLATFORMS, 2)))
def test_another_platform_is_refused_and_burns_the_state(
    upstream: Upstream, creator: Creator, started: str, presented: str
) -> None:
    brought = creator.visit(started)
    refused(upstream, presented, lambda: creator.complete(presented, brought), 422, "invalid_state")
    burnt(creator, started, brought)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_wrong_issuer_is_refused_and_burns_the_state(upstream: Upstream, creator: Creator, platform: str) -> None:
    brought = {**creator.visit(platform), "iss": "https://accounts.example"}
    refused(upstream, platform, lambda: creator.complete(platform, brought), 422, "invalid_issuer")
    burnt(creator, platform, brought)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_right_issuer_is_accepted(sign_up: Callable[[], Creator], platform: str) -> None:
    someone = sign_up()
    brought = {**someone.visit(platform), "iss": ISSUERS[platform]}
    assert someone.complete(platform, brought).status_code == 201


@pytest.mark.parametrize("platform", PLATFORMS)
def test_denied_consent_comes_back_as_an_error(upstream: Upstream, creator: Creator, platform: str) -> None:
    before = upstream.token_calls(platform)
    brought = creator.visit(platform, "deny")
    assert brought["error"] == "access_denied"
    assert "code" not in brought
    assert upstream.token_calls(platform) == before


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_missing_code_is_refused_and_burns_the_state(upstream: Upstream, creator: Creator, platform: str) -> None:
    brought = creator.visit(platform)
    without = {"state": brought["state"]}
    refused(upstream, platform, lambda: creator.complete(platform, without), 422, "missing_code")
    burnt(creator, platform, brought)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [({"code": 5}, "missing_code"), ({"code": "x" * 5000}, "missing_code"), ({"iss": [1]}, "invalid_issuer")],
    ids=["number", "long", "list"],
)
def test_a_completion_of_other_types_burns_the_state_too(
    upstream: Upstream, creator: Creator, wrong: dict[str, Any], code: str
) -> None:
    brought = creator.visit("youtube")
    refused(
        upstream,
        "youtube",
        lambda: creator.call("POST", "/oauth/youtube/callback", json={**brought, **wrong}),
        422,
        code,
    )
    burnt(creator, "youtube", brought)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"status": 400, "body": {"error": "invalid_client"}}, 502, "upstream_refused"),
        ({"status": 500, "body": "oops"}, 503, "upstream_unavailable"),
        ({"drop": True}, 503, "upstream_unavailable"),
        ({"status": 200, "body": "<html>"}, 502, "upstream_error"),
        ({"status": 200, "body": {"token_type": "bearer"}}, 502, "upstream_error"),
    ],
    ids=["4xx", "5xx", "dropped", "html", "no-token"],
)
def test_a_failing_token_endpoint_is_asked_once_and_connects_nothing(
    upstream: Upstream,
    sign_up: Callable[[], Creator],
    platform: str,
    fault: dict[str, Any],
    status: int,
    code: str,
) -> None:
    someone = sign_up()
    brought = someone.visit(platform)
    upstream.fault(platform, **fault)
    before = upstream.token_calls(platform)
    answer = someone.complete(platform, brought)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert upstream.token_calls(platform) == before + 1
    assert brought["code"] not in answer.text
    assert someone.rest("platform_connection") == []
    burnt(someone, platform, brought)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_code_that_is_not_taken(sign_up: Callable[[], Creator], platform: str) -> None:
    someone = sign_up()
    brought = {**someone.visit(platform), "code": "not-a-code-of-theirs"}
    answer = someone.complete(platform, brought)
    assert (answer.status_code, answer.json()["code"]) == (422, "code_refused"), answer.text
    assert someone.rest("platform_connection") == []


@pytest.mark.parametrize("platform", sorted(CANNOT))
def test_missing_scopes_make_a_connection_that_says_what_it_cannot_do(
    sign_up: Callable[[], Creator], platform: str
) -> None:
    someone = sign_up()
    connected = someone.connect(platform, "partial-scopes:")
    assert connected["cannot"] == CANNOT[platform]
    assert connected["missing_scopes"]
    (connection,) = someone.rest("platform_connection")
    assert not set(connected["missing_scopes"]) & set(connection["scopes"])
    for account in someone.rest("social_account"):
        assert account["capabilities"]["cannot"] == CANNOT[platform]


def test_without_the_scope_that_everything_needs_there_are_no_accounts(
    upstream: Upstream, sign_up: Callable[[], Creator]
) -> None:
    someone = sign_up()
    brought = someone.visit("youtube")
    upstream.fault("youtube", body={"access_token": "a", "expires_in": 3599, "scope": "openid"})
    answer = someone.complete("youtube", brought)
    assert answer.status_code == 201, answer.text
    assert answer.json()["accounts"] == []
    assert answer.json()["cannot"] == ["read"]
    (connection,) = someone.rest("platform_connection")
    assert connection["is_verified"] is False
    assert connection["last_error"].startswith("missing_scopes")
    # Connecting properly replaces it.
    someone.connect("youtube")
    (connection,) = someone.rest("platform_connection")
    assert connection["is_verified"] is True


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_authorise_address(stack: Stack, creator: Creator, platform: str) -> None:
    started = creator.call("POST", f"/oauth/{platform}/authorize").json()
    query = dict(parse_qsl(urlsplit(started["authorize_url"]).query))
    assert query["redirect_uri"] == f"{stack.env['FUNCTIONS_URL']}/oauth/{platform}/callback"
    assert len(query["state"]) >= 43  # 256 bits
    assert ("client_key" in query) == (platform == "tiktok")
    assert ("code_challenge" in query) == (platform in {"youtube", "twitter"})
    assert (" " in query["scope"]) == (platform == "twitter")
    again = creator.call("POST", f"/oauth/{platform}/authorize").json()
    assert again["authorize_url"] != started["authorize_url"]


@pytest.mark.parametrize(
    ("return_to", "status"),
    [
        ("/connections", 200),
        ("{APP_URL}/connections?x=1", 200),
        ("//evil.example", 422),
        ("/\\evil.example", 422),
        ("https://evil.example", 422),
        ("{APP_URL}.evil.example/", 422),
        ("{APP_URL}0/", 422),
        ("{APP_URL}@evil.example/", 422),
        ("https://[::1", 422),
        ("https://x@evil.example", 422),
        ("javascript:alert(1)", 422),
        ("/a\r\nSet-Cookie: x=1", 422),
        ("", 422),
    ],
)
def test_return_to_stays_in_the_app(stack: Stack, creator: Creator, return_to: str, status: int) -> None:
    wanted = return_to.replace("{APP_URL}", stack.env["APP_URL"])
    answer = creator.call("POST", "/oauth/youtube/authorize", json={"return_to": wanted})
    assert answer.status_code == status, answer.text
    if status == 200:
        completed = creator.complete("youtube", creator.consent(answer.json()["authorize_url"]))
        assert completed.json()["return_to"] == wanted


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("code=c&state=s&scope=x", {"code": "c", "state": "s"}),
        ("code=c&state=s&iss=https://accounts.google.com", {"iss": "https://accounts.google.com"}),
        ("error=access_denied&state=s&error_description=<b>", {"error": "access_denied", "state": "s"}),
        ("code=c", {"error": "invalid_request"}),
        ("", {"error": "invalid_request"}),
        (f"code=c&state={'x' * 10_000}", {"error": "invalid_request"}),
    ],
)
def test_the_relay_hands_over_in_the_fragment(stack: Stack, query: str, expected: dict[str, str]) -> None:
    answer = httpx.get(f"{stack.env['FUNCTIONS_URL']}/oauth/youtube/callback?{query}", verify=False)
    assert answer.status_code == 303
    location = urlsplit(answer.headers["location"])
    assert f"{location.scheme}://{location.netloc}" == stack.env["APP_URL"]
    assert location.query == ""
    fragment = dict(parse_qsl(location.fragment))
    assert fragment.items() >= {"platform": "youtube", **expected}.items()
    assert not fragment.keys() & {"error_description", "scope"}


@pytest.mark.parametrize("path", ["authorize", "callback"])
def test_an_unknown_platform_is_404(creator: Creator, path: str) -> None:
    answer = creator.call("POST", f"/oauth/myspace/{path}", json={"state": "s", "code": "c"})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_platform")


def test_malformed_bodies_are_422(creator: Creator) -> None:
    for path in ("/oauth/youtube/authorize", "/oauth/youtube/callback", "/sync"):
        answer = creator.call("POST", path, content=b"{not json", headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), path


def test_the_account_limit_of_the_plan_is_kept_in_a_race(sign_up: Callable[[], Creator]) -> None:
    someone = sign_up()  # free: two accounts
    visits = [(platform, someone.visit(platform)) for platform in ("youtube", "instagram", "tiktok", "twitter")]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda visit: someone.complete(*visit), visits))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 402, 402]
    limited = next(answer for answer in answers if answer.status_code == 402)
    assert limited.json()["code"] == "account_limit_reached"
    assert len(someone.rest("social_account")) == len(someone.rest("platform_connection")) == 2


def test_a_reconnection_without_a_refresh_token_keeps_the_old_one(
    stack: Stack, upstream: Upstream, sign_up: Callable[[], Creator]
) -> None:
    someone = sign_up()
    someone.connect("youtube")

    def stored() -> Any:
        with psycopg.connect(stack.admin_dsn) as connection:
            row = connection.execute(
                """select s.decrypted_secret::jsonb from vault.decrypted_secrets as s
                   join public.platform_connection as c on c.vault_secret_name = s.name where c.user_id = %s""",
                [someone.id],
            ).fetchone()
        assert row
        return row[0]

    before = stored()
    assert before["refresh_token"]
    brought = someone.visit("youtube")
    grant = upstream.http.post(f"{upstream.url}/youtube/grants", json={}).json()
    upstream.fault("youtube", body={**grant, "refresh_token": ""})
    assert someone.complete("youtube", brought).status_code == 201
    after = stored()
    assert after["access_token"] == grant["access_token"] != before["access_token"]
    assert after["refresh_token"] == before["refresh_token"]
