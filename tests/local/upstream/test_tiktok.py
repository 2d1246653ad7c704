"""TikTok as a client meets it."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
import pytest

from infra.local.upstream.seed import APPS
from tests.local.upstream.visitor import REDIRECT_URI, VERIFIER, Visitor

AUTHORIZE = "/www.tiktok.com/v2/auth/authorize/"
TOKEN = "/open.tiktokapis.com/v2/oauth/token/"
REVOKE = "/open.tiktokapis.com/v2/oauth/revoke/"
API = "/open.tiktokapis.com/v2"
CREDENTIALS = {"client_key": APPS["tiktok"].client_id, "client_secret": APPS["tiktok"].client_secret}
SCOPES = "user.info.basic,user.info.profile,user.info.stats,video.list"
FIELDS = "id,create_time,title,video_description,cover_image_url,share_url,duration,like_count,comment_count,view_count"


def redeem(client: httpx.Client, code: str, **changes: str) -> Any:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI, **CREDENTIALS}
    answer = client.post(TOKEN, data={**form, **changes})
    assert answer.status_code == 200
    return answer.json()


def refresh(client: httpx.Client, token: str) -> Any:
    form = {"grant_type": "refresh_token", "refresh_token": token, **CREDENTIALS}
    return client.post(TOKEN, data=form).json()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def user(client: httpx.Client, token: str, fields: str = "open_id,display_name") -> httpx.Response:
    return client.get(f"{API}/user/info/", params={"fields": fields}, headers=bearer(token))


def videos(client: httpx.Client, token: str, **body: Any) -> httpx.Response:
    return client.post(f"{API}/video/list/", params={"fields": FIELDS}, json=body, headers=bearer(token))


def all_videos(client: httpx.Client, token: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, int] = {}
    while True:
        data = videos(client, token, max_count=20, **cursor).json()["data"]
        found += data["videos"]
        if not data["has_more"]:
            return found
        cursor = {"cursor": data["cursor"]}


@pytest.fixture
def token(visitor: Visitor) -> str:
    return str(visitor.tokens("tiktok")["access_token"])


def test_the_code_flow(client: httpx.Client, visitor: Visitor) -> None:
    back = visitor.authorize("tiktok", AUTHORIZE, scope=SCOPES)
    assert back["scopes"] == SCOPES
    assert "*" in back["code"]
    assert redeem(client, back["code"], client_secret="no")["error"] == "invalid_client"
    assert redeem(client, back["code"], redirect_uri="http://127.0.0.1/x")["error"] == "invalid_request"
    tokens = redeem(client, back["code"])
    assert (tokens["expires_in"], tokens["refresh_expires_in"]) == (7200, 15_552_000)
    again = redeem(client, back["code"])
    assert again["error"] == "invalid_grant"
    assert again["log_id"]
    assert client.post(TOKEN.rstrip("/"), data={}).status_code == 404


def test_a_challenge_is_hexadecimal(client: httpx.Client, visitor: Visitor) -> None:
    challenge = hashlib.sha256(VERIFIER.encode()).hexdigest()
    back = visitor.authorize("tiktok", AUTHORIZE, scope=SCOPES, code_challenge=challenge, code_challenge_method="S256")
    assert "error" in redeem(client, back["code"])
    assert redeem(client, back["code"], code_verifier=VERIFIER)["access_token"]


def test_refresh_tokens_rotate_and_reuse_revokes_the_family(client: httpx.Client, visitor: Visitor) -> None:
    first = visitor.tokens("tiktok")
    second = refresh(client, first["refresh_token"])
    third = refresh(client, second["refresh_token"])
    assert user(client, third["access_token"]).status_code == 200
    assert refresh(client, first["refresh_token"])["error"] == "invalid_grant"
    assert user(client, third["access_token"]).json()["error"]["code"] == "access_token_invalid"
    assert refresh(client, third["refresh_token"])["error"] == "invalid_grant"
    (grant,) = client.get("/_sim/tiktok/grants").json()
    assert (grant["refreshes"], grant["reuse_events"]) == (2, 1)


def test_tokens_expire(client: httpx.Client, visitor: Visitor) -> None:
    tokens = visitor.tokens("tiktok")
    visitor.advance(7201)
    assert user(client, tokens["access_token"]).status_code == 401
    visitor.advance(180 * 86_400)
    assert refresh(client, tokens["refresh_token"])["error"] == "invalid_grant"


def test_token_errors_can_come_with_400(client: httpx.Client, visitor: Visitor) -> None:
    visitor.control("tiktok/limits", token_error_status=400)
    assert client.post(TOKEN, data=CREDENTIALS).status_code == 400


def test_revoke_answers_nothing_and_ends_the_grant(client: httpx.Client, visitor: Visitor, token: str) -> None:
    answer = client.post(REVOKE, data={**CREDENTIALS, "token": token})
    assert (answer.status_code, answer.content) == (200, b"")
    assert user(client, token).status_code == 401


def test_fields_need_their_scopes(client: httpx.Client, visitor: Visitor) -> None:
    back = visitor.authorize("tiktok", AUTHORIZE, scope=SCOPES, login_hint="partial-scopes:tiny-clips")
    assert back["scopes"] == "user.info.basic"
    token = redeem(client, back["code"])["access_token"]
    assert user(client, token).json()["data"]["user"]["display_name"] == "Tiny Clips"
    refused = user(client, token, "display_name,follower_count")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "scope_not_authorized")
    assert videos(client, token).json()["error"]["code"] == "scope_not_authorized"


def test_success_says_ok(client: httpx.Client, token: str) -> None:
    body = user(client, token, "open_id,follower_count,video_count,username").json()
    assert body["error"]["code"] == "ok"
    assert body["data"]["user"]["follower_count"] == 64_200
    assert user(client, token, "nonsense").json()["error"]["code"] == "invalid_params"
    assert user(client, token, "").status_code == 400


def test_videos_page_by_cursor_newest_first(client: httpx.Client, visitor: Visitor, token: str) -> None:
    assert len(videos(client, token).json()["data"]["videos"]) == 10
    for bad in ({"max_count": 21}, {"max_count": 0}, {"cursor": "x"}):
        assert videos(client, token, **bad).status_code == 400
    found = all_videos(client, token)
    ids = [video["id"] for video in found]
    times = [video["create_time"] for video in found]
    assert len(ids) == len(set(ids))
    assert times == sorted(times, reverse=True)
    public = user(client, token, "video_count").json()["data"]["user"]["video_count"]
    assert len(ids) == public < 80
    assert visitor.control("tiktok/content", action="add", count=3)["ids"]
    assert len(all_videos(client, token)) == public + 3


def test_video_query_misses_what_is_gone(client: httpx.Client, visitor: Visitor, token: str) -> None:
    ids = [video["id"] for video in all_videos(client, token)][:3]

    def query(ids: list[str]) -> httpx.Response:
        body = {"filters": {"video_ids": ids}}
        return client.post(f"{API}/video/query/", params={"fields": "id"}, json=body, headers=bearer(token))

    visitor.control("tiktok/content", action="delete", id=ids[0])
    visitor.control("tiktok/content", action="edit", id=ids[1], privacy="private")
    assert query(ids).json()["data"]["videos"] == [{"id": ids[2]}]
    assert query(["1"] * 21).status_code == 400
    assert ids[1] not in [video["id"] for video in all_videos(client, token)]


def test_covers_are_signed_for_a_while(client: httpx.Client, visitor: Visitor, token: str) -> None:
    first = videos(client, token, max_count=1).json()["data"]["videos"]
    visitor.advance(6 * 3600)
    fresh = visitor.tokens("tiktok")["access_token"]
    second = videos(client, fresh, max_count=1).json()["data"]["videos"]
    assert first[0]["cover_image_url"] != second[0]["cover_image_url"]
    assert first[0]["id"] == second[0]["id"]


def test_the_rate_limit_slides(client: httpx.Client, visitor: Visitor, token: str) -> None:
    visitor.control("tiktok/limits", requests_a_minute=3)
    statuses = [user(client, token).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    assert videos(client, token).status_code == 200  # each endpoint has its own window
    visitor.advance(61)
    assert user(client, token).status_code == 200


def test_of_many_refreshes_at_once_one_wins_and_the_others_are_reuse(upstream_url: str, visitor: Visitor) -> None:
    first = visitor.tokens("tiktok")
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"], **CREDENTIALS}

    async def race() -> list[dict[str, Any]]:
        async with httpx.AsyncClient(base_url=upstream_url) as many:
            answers = await asyncio.gather(*(many.post(TOKEN, data=form) for _ in range(10)))
        return [answer.json() for answer in answers]

    won = [answer for answer in asyncio.run(race()) if "access_token" in answer]
    assert len(won) == 1
    (grant,) = visitor.client.get("/_sim/tiktok/grants").json()
    assert (grant["refreshes"], grant["reuse_events"], grant["revoked"]) == (1, 9, True)
