"""YouTube and Google's sign-in as a client meets them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from infra.local.upstream.seed import APPS
from tests.local.upstream.visitor import REDIRECT_URI, VERIFIER, Visitor, s256

AUTHORIZE = "/accounts.google.com/o/oauth2/v2/auth"
TOKEN = "/oauth2.googleapis.com/token"
REVOKE = "/oauth2.googleapis.com/revoke"
API = "/www.googleapis.com/youtube/v3"
SCOPE = "https://www.googleapis.com/auth/youtube.readonly"
APP = APPS["youtube"]
CREDENTIALS = {"client_id": APP.client_id, "client_secret": APP.client_secret}
OFFLINE = {"scope": SCOPE, "access_type": "offline", "prompt": "consent"}


def redeem(client: httpx.Client, code: str, **changes: str) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI, **CREDENTIALS}
    return client.post(TOKEN, data={**form, **changes})


def refresh(client: httpx.Client, token: str) -> httpx.Response:
    return client.post(TOKEN, data={"grant_type": "refresh_token", "refresh_token": token, **CREDENTIALS})


class Api:
    """The API as one account sees it."""

    def __init__(self, client: httpx.Client, token: str) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, method: str, **params: str | int) -> httpx.Response:
        return self.client.get(f"{API}/{method}", params=params, headers=self.headers)

    def channel(self) -> dict[str, Any]:
        parts = "snippet,contentDetails,statistics,status"
        items: list[dict[str, Any]] = self.get("channels", part=parts, mine="true").json()["items"]
        return items[0]

    def uploads(self) -> str:
        return str(self.channel()["contentDetails"]["relatedPlaylists"]["uploads"])

    def page(self, **params: str | int) -> dict[str, Any]:
        answer = self.get("playlistItems", part="contentDetails,snippet,status", **params)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    def videos(self, ids: list[str], part: str = "snippet,contentDetails,statistics,status,fileDetails") -> Any:
        return self.get("videos", part=part, id=",".join(ids)).json()["items"]

    def all_ids(self) -> list[str]:
        ids: list[str] = []
        uploads, token = self.uploads(), ""
        while True:
            page = self.page(playlistId=uploads, maxResults=50, **({"pageToken": token} if token else {}))
            ids += [item["contentDetails"]["videoId"] for item in page["items"]]
            token = page.get("nextPageToken", "")
            if not token:
                return ids


@pytest.fixture
def api(client: httpx.Client, visitor: Visitor) -> Api:
    return Api(client, visitor.tokens("youtube")["access_token"])


def reason(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["errors"][0]["reason"]


def test_the_code_flow_with_pkce(client: httpx.Client, visitor: Visitor) -> None:
    challenge = {"code_challenge": s256(VERIFIER), "code_challenge_method": "S256"}
    back = visitor.authorize("youtube", AUTHORIZE, **OFFLINE, **challenge)
    assert back["state"] == "state-1"
    assert back["iss"] == "https://accounts.google.com"
    assert redeem(client, back["code"]).json()["error"] == "invalid_grant"
    assert redeem(client, back["code"], code_verifier="wrong" * 10).json()["error"] == "invalid_grant"
    wrong_uri = redeem(client, back["code"], code_verifier=VERIFIER, redirect_uri=REDIRECT_URI + "/x")
    assert (wrong_uri.status_code, wrong_uri.json()["error"]) == (400, "redirect_uri_mismatch")
    wrong_secret = redeem(client, back["code"], code_verifier=VERIFIER, client_secret="no")
    assert (wrong_secret.status_code, wrong_secret.json()["error"]) == (401, "invalid_client")
    tokens = redeem(client, back["code"], code_verifier=VERIFIER).json()
    assert tokens["expires_in"] == 3599
    assert tokens["token_type"] == "Bearer"
    assert tokens["scope"] == SCOPE
    assert tokens["refresh_token"]
    assert redeem(client, back["code"], code_verifier=VERIFIER).status_code == 400


def test_codes_expire(client: httpx.Client, visitor: Visitor) -> None:
    code = visitor.authorize("youtube", AUTHORIZE, **OFFLINE)["code"]
    visitor.advance(601)
    assert redeem(client, code).json()["error"] == "invalid_grant"


def test_a_refresh_token_comes_only_offline_and_on_consent(client: httpx.Client, visitor: Visitor) -> None:
    def answer(**params: str) -> dict[str, Any]:
        body: dict[str, Any] = redeem(
            client, visitor.authorize("youtube", AUTHORIZE, scope=SCOPE, **params)["code"]
        ).json()
        return body

    assert "refresh_token" not in answer(prompt="consent")
    assert "refresh_token" not in answer(access_type="offline")  # not the first consent
    assert "refresh_token" in answer(access_type="offline", prompt="consent")


def test_refreshing_keeps_the_refresh_token(client: httpx.Client, visitor: Visitor) -> None:
    tokens = visitor.tokens("youtube")
    visitor.advance(3600)
    assert reason(Api(client, tokens["access_token"]).get("channels", part="id", mine="true")) == (
        401,
        "authError",
    )
    for _ in range(2):
        fresh = refresh(client, tokens["refresh_token"]).json()
        assert "refresh_token" not in fresh
        assert Api(client, fresh["access_token"]).channel()


def test_a_revoke_kills_the_whole_grant(client: httpx.Client, visitor: Visitor) -> None:
    first, second = visitor.tokens("youtube"), visitor.tokens("youtube")
    other = visitor.tokens("youtube", "leo-trails")
    assert client.post(REVOKE, data={"token": first["refresh_token"]}).status_code == 200
    assert client.post(REVOKE, data={"token": first["refresh_token"]}).status_code == 400
    for tokens in (first, second):
        dead = refresh(client, tokens["refresh_token"])
        assert (dead.status_code, dead.json()["error"]) == (400, "invalid_grant")
        assert Api(client, tokens["access_token"]).get("channels", part="id", mine="true").status_code == 401
    assert Api(client, other["access_token"]).channel()


def test_the_hint_chooses_account_denial_and_scopes(client: httpx.Client, visitor: Visitor) -> None:
    back = visitor.authorize("youtube", AUTHORIZE, **OFFLINE, login_hint="werkstatt-nord")
    token = redeem(client, back["code"]).json()["access_token"]
    assert Api(client, token).channel()["snippet"]["title"] == "Werkstatt Nord"
    assert visitor.authorize("youtube", AUTHORIZE, **OFFLINE, login_hint="deny") == {
        "error": "access_denied",
        "state": "state-1",
    }
    back = visitor.authorize("youtube", AUTHORIZE, **OFFLINE, login_hint="partial-scopes:leo-trails")
    tokens = redeem(client, back["code"]).json()
    assert SCOPE not in tokens["scope"]
    assert reason(Api(client, tokens["access_token"]).get("channels", part="id", mine="true")) == (
        403,
        "insufficientPermissions",
    )
    visitor.control("youtube/authorize", account="leo-trails")
    token = redeem(client, visitor.authorize("youtube", AUTHORIZE, **OFFLINE)["code"]).json()["access_token"]
    assert Api(client, token).channel()["snippet"]["title"] == "Leo on Trails"


def test_strangers_get_a_page_and_no_redirect(client: httpx.Client, visitor: Visitor) -> None:
    params = {"client_id": APP.client_id, "response_type": "code", "scope": SCOPE}
    assert client.get(AUTHORIZE, params={**params, "redirect_uri": "https://evil.example/cb"}).status_code == 400
    assert client.get(AUTHORIZE, params={**params, "redirect_uri": "http://127.0.0.1.evil.example/"}).status_code == 400
    assert client.get(AUTHORIZE, params={**params, "client_id": "x", "redirect_uri": REDIRECT_URI}).status_code == 401
    visitor.control("youtube/clients", redirect_uri="https://app.example/cb")
    assert client.get(AUTHORIZE, params={**params, "redirect_uri": "https://app.example/cb"}).status_code == 302


def test_the_channel_has_string_counts(api: Api) -> None:
    channel = api.channel()
    assert channel["id"].startswith("UC")
    assert len(channel["id"]) == 24
    assert channel["snippet"]["customUrl"] == "@mayaslittlekitchen"
    assert channel["statistics"]["subscriberCount"] == "48300"
    assert int(channel["statistics"]["videoCount"]) < 120


def test_accounts_without_a_channel_and_hidden_subscribers(client: httpx.Client, visitor: Visitor) -> None:
    viewer = Api(client, visitor.tokens("youtube", "no-channel")["access_token"])
    body = viewer.get("channels", part="snippet", mine="true").json()
    assert "items" not in body
    assert body["pageInfo"]["totalResults"] == 0
    hidden = Api(client, visitor.tokens("youtube", "quiet-lab")["access_token"]).channel()["statistics"]
    assert hidden["hiddenSubscriberCount"] is True
    assert "subscriberCount" not in hidden
    empty = Api(client, visitor.tokens("youtube", "fresh-start")["access_token"])
    assert reason(empty.get("playlistItems", part="id", playlistId=empty.uploads())) == (
        404,
        "playlistNotFound",
    )
    closed = Api(client, visitor.tokens("youtube", "closed-doors")["access_token"])
    assert reason(closed.get("channels", part="id", mine="true")) == (403, "accountSuspended")


def test_uploads_are_paged_newest_first(api: Api) -> None:
    uploads = api.uploads()
    assert len(api.page(playlistId=uploads)["items"]) == 5
    assert reason(api.get("playlistItems", part="id", playlistId=uploads, maxResults=51)) == (
        400,
        "invalidParameter",
    )
    assert reason(api.get("playlistItems", part="id", playlistId=uploads, pageToken="junk")) == (
        400,
        "invalidPageToken",
    )
    ids = api.all_ids()
    assert len(ids) == len(set(ids)) == 120
    page = api.page(playlistId=uploads, maxResults=50)
    times = [item["contentDetails"]["videoPublishedAt"] for item in page["items"]]
    assert times == sorted(times, reverse=True)
    assert page["pageInfo"] == {"totalResults": 120, "resultsPerPage": 50}


def test_videos_have_the_gaps_of_the_real_ones(api: Api) -> None:
    ids = api.all_ids()
    videos = api.videos(ids[:50]) + api.videos(ids[50:100]) + api.videos(ids[100:])
    assert [video["id"] for video in videos] == ids
    assert {video["status"]["privacyStatus"] for video in videos} == {"public", "unlisted", "private"}
    for count in ("likeCount", "commentCount"):
        present = [count in video["statistics"] for video in videos]
        assert any(present)
        assert not all(present)
    assert all(isinstance(video["statistics"]["viewCount"], str) for video in videos)
    assert any("tags" not in video["snippet"] for video in videos)
    durations = {video["contentDetails"]["duration"] for video in videos}
    assert "P0D" in durations
    streams = [video["fileDetails"]["videoStreams"][0] for video in videos]
    assert any(stream["heightPixels"] > stream["widthPixels"] for stream in streams)
    assert any("shortsAspectRatio" in video["snippet"]["thumbnails"] for video in videos)
    assert any("#" in video["snippet"]["description"] for video in videos)


def test_parts_ids_and_strangers(api: Api, client: httpx.Client, visitor: Visitor) -> None:
    ids = api.all_ids()
    assert set(api.videos(ids[:1], part="statistics")[0]) == {"kind", "etag", "id", "statistics"}
    assert reason(api.get("videos", part="snippet,bogus", id=ids[0])) == (400, "unknownPart")
    assert reason(api.get("videos", id=ids[0])) == (400, "missingRequiredParameter")
    assert reason(api.get("videos", part="id", id=",".join(ids[:51]))) == (400, "invalidFilters")
    assert api.videos(["AAAAAAAAAAA", ids[0], "nonsense"])[0]["id"] == ids[0]
    private = [v["id"] for v in api.videos(ids[:50]) if v["status"]["privacyStatus"] == "private"]
    stranger = Api(client, visitor.tokens("youtube", "leo-trails")["access_token"])
    assert private
    assert not stranger.videos(private, part="id")
    assert reason(stranger.get("videos", part="fileDetails", id=ids[0])) == (403, "forbidden")


def test_etags(api: Api, visitor: Visitor) -> None:
    first = api.get("channels", part="snippet", mine="true")
    headers = {**api.headers, "If-None-Match": first.headers["etag"]}
    same = api.client.get(f"{API}/channels", params={"part": "snippet", "mine": "true"}, headers=headers)
    assert (same.status_code, same.content) == (304, b"")
    visitor.control("youtube/accounts", slug="maya-kitchen", name="Maya's Big Kitchen")
    changed = api.client.get(f"{API}/channels", params={"part": "snippet", "mine": "true"}, headers=headers)
    assert changed.json()["items"][0]["snippet"]["title"] == "Maya's Big Kitchen"


def test_the_quota_of_the_project_ends_the_day(api: Api, client: httpx.Client, visitor: Visitor) -> None:
    visitor.control("youtube/quota", limit=3)
    for _ in range(3):
        assert api.get("channels", part="id", mine="true").status_code == 200
    other = Api(client, visitor.tokens("youtube", "leo-trails")["access_token"])
    refused = other.get("channels", part="id", mine="true")
    assert reason(refused) == (403, "quotaExceeded")
    assert refused.json()["error"]["errors"][0]["domain"] == "youtube.quota"
    visitor.advance(86_400)
    tokens = visitor.tokens("youtube", "leo-trails")
    assert Api(client, tokens["access_token"]).channel()
    assert client.get("/_sim/youtube/quota").json()["used"] == 1


def test_content_is_added_edited_hidden_and_deleted(api: Api, visitor: Visitor) -> None:
    ids = api.all_ids()
    new = visitor.control("youtube/content", action="add", title="Fresh bread #new", kind="short")["ids"][0]
    assert api.all_ids() == [new, *ids]
    visitor.control("youtube/content", action="edit", id=ids[1], title="Renamed", likes=None, views=5)
    (edited,) = api.videos([ids[1]])
    assert edited["snippet"]["title"] == "Renamed"
    assert "likeCount" not in edited["statistics"]
    assert edited["statistics"]["viewCount"] == "5"
    visitor.control("youtube/content", action="delete", id=ids[0])
    assert not api.videos([ids[0]])
    assert api.all_ids() == [new, *ids[1:]]
    visitor.control("youtube/content", action="restore", id=ids[0])
    assert api.all_ids() == [new, *ids]
    visitor.control("youtube/content", action="edit", id=ids[2], privacy="private")
    assert api.videos([ids[2]])[0]["status"]["privacyStatus"] == "private"


def test_catalogues_are_the_same_in_every_process(api: Api, client: httpx.Client, visitor: Visitor) -> None:
    before = api.videos(api.all_ids()[:50])
    client.post("/_sim/reset")
    again = Api(client, visitor.tokens("youtube")["access_token"])
    assert again.videos(again.all_ids()[:50]) == before


def test_a_large_channel_pages_through(client: httpx.Client, visitor: Visitor) -> None:
    ids = Api(client, visitor.tokens("youtube", "werkstatt-nord")["access_token"]).all_ids()
    assert len(ids) == len(set(ids)) == 1_000


def test_twenty_thousand_videos_reach_to_the_oldest(client: httpx.Client, visitor: Visitor) -> None:
    api = Api(client, visitor.tokens("youtube", "daily-pixels")["access_token"])
    assert api.page(playlistId=api.uploads())["pageInfo"]["totalResults"] == 20_000
    oldest = client.get("/_sim/youtube/content", params={"account": "daily-pixels", "skip": 19_990}).json()["items"]
    assert [video["id"] for video in api.videos([item["id"] for item in oldest])] == [item["id"] for item in oldest]
    assert len(oldest) == 10


def test_accounts_are_made_in_bulk(client: httpx.Client, visitor: Visitor) -> None:
    slugs = visitor.control("youtube/accounts", count=300, prefix="load-", size=100)["slugs"]
    assert slugs[-1] == "load-300"
    assert len(Api(client, visitor.tokens("youtube", "load-300")["access_token"]).all_ids()) == 100


def test_shorts_pages_and_playlists(api: Api, client: httpx.Client, visitor: Visitor) -> None:
    videos = api.videos(api.all_ids()[:50])
    upright = [v["id"] for v in videos if v["fileDetails"]["videoStreams"][0]["heightPixels"] == 1920]
    public = [v["id"] for v in videos if v["id"] in upright and v["status"]["privacyStatus"] == "public"]
    assert client.head(f"/www.youtube.com/shorts/{public[0]}").status_code == 200
    shorts = api.page(playlistId=api.uploads().replace("UU", "UUSH", 1), maxResults=50)
    assert public[0] in [item["contentDetails"]["videoId"] for item in shorts["items"]]
    assert visitor.journal("www.youtube.com")[0]["method"] == "HEAD"


def test_categories(api: Api) -> None:
    items = api.get("videoCategories", part="snippet", regionCode="US").json()["items"]
    assert {"26": "Howto & Style"}.items() <= {item["id"]: item["snippet"]["title"] for item in items}.items()
