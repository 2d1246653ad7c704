"""Auth and the gateway, driven by an unmodified supabase-py and by plain HTTP where the exact answer matters."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from supabase import Client, ClientOptions, create_client
from supabase_auth.errors import AuthApiError

from infra.local.auth.keys import SigningKey
from infra.local.auth.routes import Pool
from infra.local.auth.sessions import Issuer
from infra.local.gateway import Keys, gateway_app
from infra.local.ports import free_port
from tests.databases import Database, DatabaseFactory
from tests.local.servers import serving

KEYS = Keys("sb_publishable_test", "sb_secret_test")
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Project:
    """A gateway with Auth on an empty database; the data API behind it echoes what it was asked."""

    url: str
    database: Database
    key: SigningKey
    http: httpx.Client

    def client(self, key: str = KEYS.publishable) -> Client:
        options = ClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=self.http)
        return create_client(self.url, key, options)

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        return httpx.post(f"{self.url}/auth/v1{path}", json=body, headers={"apikey": KEYS.publishable, **headers})


async def echo(request: Request) -> JSONResponse:
    claims = jwt.decode(request.headers["authorization"].partition(" ")[2], options={"verify_signature": False})
    body = (await request.body()).decode()
    shown = {"method": request.method, "path": request.scope["raw_path"].decode(), "query": request.url.query}
    return JSONResponse(
        {**shown, "claims": claims, "body": body, "apikey": request.headers.get("apikey")},
        headers={"content-range": "0-0/1", "x-requested": request.headers.get("prefer", "")},
    )


@pytest.fixture(scope="module")
def project(databases: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    database = databases.empty()
    key = SigningKey.load(tmp_path_factory.mktemp("keys") / "signing_key.json")
    pool: Pool = ConnectionPool(
        database.dsn("supabase_auth_admin"), kwargs={"row_factory": dict_row}, min_size=1, max_size=4, open=True
    )
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    data_api = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST", "PATCH", "DELETE"])])
    with (
        serving(data_api) as data_api_url,
        serving(gateway_app(pool, Issuer(key, url), KEYS, data_api_url), port),
        httpx.Client() as http,
    ):
        yield Project(url, database, key, http)
    databases.drop(database)


@pytest.fixture
def email() -> str:
    return f"{uuid4()}@example.com"


def session_of(client: Client, email: str) -> Any:
    """Sign up; the new session."""
    session = client.auth.sign_up({"email": email, "password": PASSWORD}).session
    assert session is not None
    return session


class TestSignUp:
    def test_gives_a_confirmed_user_and_a_session(self, project: Project, email: str) -> None:
        answer = project.client().auth.sign_up(
            {"email": email.upper(), "password": PASSWORD, "options": {"data": {"full_name": "Ada"}}}
        )
        assert answer.user is not None
        assert answer.session is not None
        assert answer.user.email == email
        assert answer.user.email_confirmed_at is not None
        assert answer.user.app_metadata == {"provider": "email", "providers": ["email"]}
        assert answer.user.user_metadata["full_name"] == "Ada"
        assert answer.user.identities is not None
        assert answer.user.identities[0].provider == "email"

    def test_answers_with_tokens_are_not_stored(self, project: Project, email: str) -> None:
        answer = project.post("/signup", {"email": email, "password": PASSWORD})
        assert answer.json()["access_token"]
        assert answer.headers["cache-control"].startswith("no-store")

    def test_access_tokens_are_what_functions_verify(self, project: Project, email: str) -> None:
        session = session_of(project.client(), email)
        jwks = jwt.PyJWKClient(f"{project.url}/auth/v1/.well-known/jwks.json")
        claims = jwt.decode(
            session.access_token,
            jwks.get_signing_key_from_jwt(session.access_token).key,
            ["ES256"],
            audience="authenticated",
            issuer=f"{project.url}/auth/v1",
        )
        assert claims["sub"] == session.user.id
        assert (claims["role"], claims["aal"], claims["is_anonymous"]) == ("authenticated", "aal1", False)
        assert claims["amr"][0]["method"] == "password"
        assert claims["exp"] - claims["iat"] == 3600

    def test_a_taken_address_is_refused(self, project: Project, email: str) -> None:
        session_of(project.client(), email)
        with pytest.raises(AuthApiError) as refused:
            project.client().auth.sign_up({"email": email, "password": PASSWORD})
        assert (refused.value.status, refused.value.code) == (422, "user_already_exists")

    def test_two_at_the_same_time_make_one_user(self, project: Project, email: str) -> None:
        def attempt(_: int) -> int:
            return project.post("/signup", {"email": email, "password": PASSWORD}).status_code

        with ThreadPoolExecutor(6) as threads:
            assert sorted(threads.map(attempt, range(6))) == [200, 422, 422, 422, 422, 422]

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"email": "nobody", "password": PASSWORD}, 400, "validation_failed"),
            ({"email": "a@b.example"}, 400, "validation_failed"),
            ({"email": "a@b.example", "password": "short"}, 422, "weak_password"),
            ({"email": "a@b.example", "password": "x" * 73}, 400, "validation_failed"),
            ({"phone": "15551234567", "password": PASSWORD}, 400, "phone_provider_disabled"),
            ({"email": 5, "password": PASSWORD}, 400, "bad_json"),
            ({"email": "a@b.example", "password": PASSWORD, "data": {"a": ["\x00"]}}, 400, "validation_failed"),
        ],
    )
    def test_refusals(self, project: Project, body: dict[str, Any], status: int, code: str) -> None:
        answer = project.post("/signup", body)
        assert answer.status_code == status
        assert (answer.json()["code"], answer.json()["error_code"]) == (status, code)
        newer = project.post("/signup", body, **{"X-Supabase-Api-Version": "2024-01-01"})
        assert newer.json()["code"] == code
        assert newer.headers["X-Supabase-Api-Version"] == "2024-01-01"
        nonsense = project.post("/signup", body, **{"X-Supabase-Api-Version": "newest"})
        assert nonsense.json()["code"] == status

    @pytest.mark.parametrize(
        "content",
        [b"{", b"[]", b"\xff", b'{"email": "a@b.example", "password": "\\ud800xxxxxx"}', b"[" * 100_000],
        ids=["half", "list", "no utf-8", "surrogate", "deep"],
    )
    def test_a_body_that_is_no_json(self, project: Project, content: bytes) -> None:
        answer = httpx.post(f"{project.url}/auth/v1/signup", content=content, headers={"apikey": KEYS.publishable})
        assert (answer.status_code, answer.json()["error_code"]) == (400, "bad_json")

    def test_a_refusing_trigger_is_a_database_error(self, project: Project, email: str) -> None:
        with project.database.as_owner() as owner:
            owner.execute(
                "create function public.refuse() returns trigger language plpgsql as"
                " $$ begin raise exception 'no'; end $$;"
                "create trigger refuse before insert on auth.users for each row"
                " when (new.email like 'refused%') execute function public.refuse()"
            )
        answer = project.post("/signup", {"email": f"refused{email}", "password": PASSWORD})
        assert (answer.status_code, answer.json()["msg"]) == (500, "Database error saving new user")

    def test_anonymous(self, project: Project, email: str) -> None:
        client = project.client()
        answer = client.auth.sign_in_anonymously({"options": {"data": {"seen": True}}})
        assert answer.user is not None
        assert answer.user.is_anonymous
        assert answer.user.user_metadata == {"seen": True}
        kept = client.auth.update_user({"email": email}).user
        assert (kept.id, kept.email, kept.is_anonymous) == (answer.user.id, email, False)
        assert kept.app_metadata == {"provider": "email", "providers": ["email"]}


class TestSignIn:
    def test_with_the_right_password(self, project: Project, email: str) -> None:
        known = session_of(project.client(), email)
        answer = project.client().auth.sign_in_with_password({"email": email.upper(), "password": PASSWORD})
        assert answer.user is not None
        assert answer.user.id == known.user.id
        assert answer.user.last_sign_in_at is not None

    @pytest.mark.parametrize("who", ["known", "unknown"])
    def test_a_wrong_password_and_an_unknown_user_look_alike(self, project: Project, email: str, who: str) -> None:
        if who == "known":
            session_of(project.client(), email)
        with pytest.raises(AuthApiError) as refused:
            project.client().auth.sign_in_with_password({"email": email, "password": "wrong password"})
        assert (refused.value.status, refused.value.code) == (400, "invalid_credentials")
        assert refused.value.message == "Invalid login credentials"

    def test_unknown_grant(self, project: Project) -> None:
        assert project.post("/token?grant_type=magic", {}).status_code == 400

    def test_neither_mail_nor_phone(self, project: Project) -> None:
        assert project.post("/token?grant_type=password", {"password": "x"}).json()["msg"] == "missing email or phone"


class TestRefresh:
    def refresh(self, project: Project, token: str) -> httpx.Response:
        return project.post("/token?grant_type=refresh_token", {"refresh_token": token})

    def age(self, project: Project, token: str, seconds: int = 11) -> None:
        with project.database.as_superuser() as admin:
            admin.execute(
                "update auth.refresh_tokens set updated_at = updated_at - make_interval(secs => %s) where token = %s",
                [seconds, token],
            )

    def test_rotates(self, project: Project, email: str) -> None:
        client = project.client()
        first = session_of(client, email)
        second = client.auth.refresh_session().session
        assert second is not None
        assert second.refresh_token != first.refresh_token
        claims = [jwt.decode(s.access_token, options={"verify_signature": False}) for s in (first, second)]
        assert claims[0]["session_id"] == claims[1]["session_id"]

    def test_a_lost_answer_can_be_asked_for_again(self, project: Project, email: str) -> None:
        first = session_of(project.client(), email).refresh_token
        second = self.refresh(project, first).json()["refresh_token"]
        self.age(project, first, 3600)
        assert self.refresh(project, first).json()["refresh_token"] == second

    def test_within_the_window_an_older_token_still_works(self, project: Project, email: str) -> None:
        first = session_of(project.client(), email).refresh_token
        second = self.refresh(project, first).json()["refresh_token"]
        self.refresh(project, second)
        assert self.refresh(project, first).status_code == 200

    def test_reuse_after_the_window_ends_the_whole_family(self, project: Project, email: str) -> None:
        first = session_of(project.client(), email).refresh_token
        second = self.refresh(project, first).json()["refresh_token"]
        third = self.refresh(project, second).json()["refresh_token"]
        self.age(project, first)
        stolen = self.refresh(project, first)
        assert (stolen.status_code, stolen.json()["error_code"]) == (400, "refresh_token_already_used")
        self.age(project, third)
        assert self.refresh(project, third).json()["error_code"] == "refresh_token_already_used"

    def test_many_at_once_get_the_same_successor(self, project: Project, email: str) -> None:
        first = session_of(project.client(), email).refresh_token
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: self.refresh(project, first), range(8)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["refresh_token"] for answer in answers}) == 1

    def test_unknown_and_missing(self, project: Project) -> None:
        unknown = self.refresh(project, "nonsense")
        assert (unknown.status_code, unknown.json()["error_code"]) == (400, "refresh_token_not_found")
        assert self.refresh(project, "").json() == {
            "error": "invalid_request",
            "error_description": "refresh_token required",
        }

    def test_an_expired_session(self, project: Project, email: str) -> None:
        session = session_of(project.client(), email)
        with project.database.as_superuser() as admin:
            admin.execute("update auth.sessions set not_after = now() where user_id = %s", [session.user.id])
        assert self.refresh(project, session.refresh_token).json()["error_code"] == "session_expired"


class TestUser:
    def test_metadata_is_merged_and_null_removes(self, project: Project, email: str) -> None:
        client = project.client()
        session_of(client, email)
        client.auth.update_user({"data": {"a": 1, "b": 2}})
        changed = client.auth.update_user({"data": {"a": None, "c": 3}}).user.user_metadata
        assert ("a" in changed, changed["b"], changed["c"]) == (False, 2, 3)

    def test_a_user_cannot_use_the_admins_name_for_metadata(self, project: Project, email: str) -> None:
        token = session_of(project.client(), email).access_token
        headers = {"apikey": KEYS.publishable, "Authorization": f"Bearer {token}"}
        answer = httpx.put(f"{project.url}/auth/v1/user", json={"user_metadata": {"x": 1}}, headers=headers)
        assert "x" not in answer.json()["user_metadata"]

    def test_app_metadata_is_not_the_users_to_change(self, project: Project, email: str) -> None:
        token = session_of(project.client(), email).access_token
        answer = httpx.put(
            f"{project.url}/auth/v1/user",
            json={"app_metadata": {"role": "admin"}},
            headers={"apikey": KEYS.publishable, "Authorization": f"Bearer {token}"},
        )
        assert (answer.status_code, answer.json()["error_code"]) == (403, "not_admin")

    def test_a_new_password_signs_other_sessions_out(self, project: Project, email: str) -> None:
        client, other = project.client(), project.client()
        session_of(client, email)
        other.auth.sign_in_with_password({"email": email, "password": PASSWORD})
        client.auth.update_user({"password": "another good one"})
        assert client.auth.refresh_session().session is not None
        with pytest.raises(AuthApiError):
            other.auth.refresh_session()
        other.auth.sign_in_with_password({"email": email, "password": "another good one"})

    def test_the_same_password_is_refused(self, project: Project, email: str) -> None:
        client = project.client()
        session_of(client, email)
        with pytest.raises(AuthApiError) as refused:
            client.auth.update_user({"password": PASSWORD})
        assert refused.value.code == "same_password"

    def test_a_taken_address(self, project: Project, email: str) -> None:
        session_of(project.client(), email)
        client = project.client()
        session_of(client, f"other-{email}")
        with pytest.raises(AuthApiError) as refused:
            client.auth.update_user({"email": email})
        assert refused.value.code == "email_exists"

    def test_a_foreign_token(self, project: Project, tmp_path: Path) -> None:
        forged = SigningKey.load(tmp_path / "other.json").sign({"sub": str(uuid4()), "role": "authenticated"}, 60)
        with pytest.raises(AuthApiError) as refused:
            project.client().auth.get_user(forged)
        assert (refused.value.status, refused.value.code) == (403, "bad_jwt")

    def test_a_token_without_a_user(self, project: Project) -> None:
        answer = httpx.get(f"{project.url}/auth/v1/user", headers={"apikey": KEYS.publishable})
        assert (answer.status_code, answer.json()["error_code"]) == (403, "bad_jwt")


class TestSignOut:
    @pytest.mark.parametrize(
        ("scope", "mine", "others"), [("local", False, True), ("others", True, False), ("global", False, False)]
    )
    def test_scopes(self, project: Project, email: str, scope: Any, mine: bool, others: bool) -> None:
        client, other = project.client(), project.client()
        session = session_of(client, email)
        elsewhere = other.auth.sign_in_with_password({"email": email, "password": PASSWORD}).session
        assert elsewhere is not None
        client.auth.sign_out({"scope": scope})
        for token, lives in ((session.refresh_token, mine), (elsewhere.refresh_token, others)):
            answer = project.post("/token?grant_type=refresh_token", {"refresh_token": token})
            assert answer.status_code == (200 if lives else 400)

    def test_the_access_token_of_an_ended_session_is_noticed(self, project: Project, email: str) -> None:
        client = project.client()
        session = session_of(client, email)
        client.auth.sign_out()
        with pytest.raises(AuthApiError) as refused:
            project.client().auth.get_user(session.access_token)
        assert refused.value.code == "session_not_found"


class TestAdmin:
    def test_the_life_of_a_user(self, project: Project, email: str) -> None:
        admin = project.client(KEYS.secret).auth.admin
        made = admin.create_user(
            {"email": email, "password": PASSWORD, "email_confirm": True, "app_metadata": {"plan": "x"}}
        ).user
        assert made.app_metadata == {"provider": "email", "providers": ["email"], "plan": "x"}
        assert admin.get_user_by_id(made.id).user.email == email
        assert made.id in {user.id for user in admin.list_users(page=1, per_page=1000)}
        project.client().auth.sign_in_with_password({"email": email, "password": PASSWORD})
        changed = admin.update_user_by_id(made.id, {"user_metadata": {"nick": "Z"}, "email": f"new-{email}"}).user
        assert (changed.email, changed.user_metadata["nick"]) == (f"new-{email}", "Z")
        admin.delete_user(made.id)
        with pytest.raises(AuthApiError) as gone:
            admin.get_user_by_id(made.id)
        assert (gone.value.status, gone.value.code) == (404, "user_not_found")

    def test_the_list_says_how_much_there_is(self, project: Project, email: str) -> None:
        admin = project.client(KEYS.secret).auth.admin
        for number in range(3):
            admin.create_user({"email": f"{number}-{email}"})
        headers = {"apikey": KEYS.secret}
        answer = httpx.get(f"{project.url}/auth/v1/admin/users?page=1&per_page=2", headers=headers)
        assert [user["email"] for user in answer.json()["users"]] == [f"2-{email}", f"1-{email}"]
        total = int(answer.headers["x-total-count"])
        assert answer.headers["link"] == (
            f'</admin/users?page=2&per_page=2>; rel="next", </admin/users?page={-(-total // 2)}&per_page=2>; rel="last"'
        )

    @pytest.mark.parametrize(
        "query", ["page=0", "page=-1", "per_page=0", "page=x", "page=9" + "9" * 30, "per_page=9999999999"]
    )
    def test_pages_that_there_cannot_be(self, project: Project, query: str) -> None:
        answer = httpx.get(f"{project.url}/auth/v1/admin/users?{query}", headers={"apikey": KEYS.secret})
        assert (answer.status_code, answer.json()["error_code"]) == (400, "validation_failed")

    def test_unconfirmed_and_banned_users_cannot_sign_in(self, project: Project, email: str) -> None:
        admin = project.client(KEYS.secret).auth.admin
        made = admin.create_user({"email": email, "password": PASSWORD}).user
        codes = []
        for change in ({"email_confirm": True, "ban_duration": "1h30m"}, {"ban_duration": "none"}):
            with pytest.raises(AuthApiError) as refused:
                project.client().auth.sign_in_with_password({"email": email, "password": PASSWORD})
            codes.append(refused.value.code)
            admin.update_user_by_id(made.id, change)  # type: ignore[arg-type]
        assert codes == ["email_not_confirmed", "user_banned"]
        assert project.client().auth.sign_in_with_password({"email": email, "password": PASSWORD}).session

    def test_a_soft_deleted_user_keeps_a_row_and_nothing_else(self, project: Project, email: str) -> None:
        admin = project.client(KEYS.secret).auth.admin
        made = admin.create_user({"email": email, "password": PASSWORD, "email_confirm": True}).user
        admin.delete_user(made.id, should_soft_delete=True)
        with pytest.raises(AuthApiError):
            project.client().auth.sign_in_with_password({"email": email, "password": PASSWORD})
        assert admin.get_user_by_id(made.id).user.email != email

    def test_a_taken_address(self, project: Project, email: str) -> None:
        admin = project.client(KEYS.secret).auth.admin
        admin.create_user({"email": email})
        with pytest.raises(AuthApiError) as refused:
            admin.create_user({"email": email})
        assert (refused.value.status, refused.value.code) == (422, "email_exists")

    @pytest.mark.parametrize("as_user", [False, True])
    def test_nobody_else(self, project: Project, email: str, as_user: bool) -> None:
        headers = {"apikey": KEYS.publishable}
        if as_user:
            headers["Authorization"] = f"Bearer {session_of(project.client(), email).access_token}"
        answer = httpx.get(f"{project.url}/auth/v1/admin/users", headers=headers)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "not_admin")

    def test_flows_that_are_left_out_say_so(self, project: Project, email: str) -> None:
        answer = project.post("/otp", {"email": email})
        assert answer.status_code == 501


class TestGateway:
    def test_keys_stand_for_roles(self, project: Project) -> None:
        for key, role in ((KEYS.publishable, "anon"), (KEYS.secret, "service_role")):
            seen = httpx.get(f"{project.url}/rest/v1/thing?a=eq.b%2Cc&select=*", headers={"apikey": key}).json()
            assert seen["claims"]["role"] == role
            assert (seen["path"], seen["query"], seen["apikey"]) == ("/thing", "a=eq.b%2Cc&select=*", None)

    def test_a_users_token_decides_over_the_key(self, project: Project, email: str) -> None:
        token = session_of(project.client(), email).access_token
        for key in (KEYS.publishable, KEYS.secret):
            headers = {"apikey": key, "Authorization": f"Bearer {token}"}
            assert httpx.get(f"{project.url}/rest/v1/x", headers=headers).json()["claims"]["role"] == "authenticated"

    def test_the_key_as_bearer_is_accepted_only_if_it_is_the_key(self, project: Project) -> None:
        same = {"apikey": KEYS.secret, "Authorization": f"Bearer {KEYS.secret}"}
        assert httpx.get(f"{project.url}/rest/v1/x", headers=same).json()["claims"]["role"] == "service_role"
        for bearer in (KEYS.secret, "sb_secret_other", "nonsense"):
            other = {"apikey": KEYS.publishable, "Authorization": f"Bearer {bearer}"}
            assert httpx.get(f"{project.url}/rest/v1/x", headers=other).status_code == 401

    @pytest.mark.parametrize("path", ["/rest/v1/x", "/auth/v1/user", "/auth/v1/health"])
    def test_without_a_key(self, project: Project, path: str) -> None:
        answer = httpx.get(f"{project.url}{path}")
        assert (answer.status_code, answer.json()["message"]) == (401, "No API key found in request")
        wrong = httpx.get(f"{project.url}{path}", headers={"apikey": "sb_publishable_other"})
        assert (wrong.status_code, wrong.json()["message"]) == (401, "Invalid API key")

    def test_the_key_may_come_in_the_query(self, project: Project) -> None:
        seen = httpx.get(f"{project.url}/rest/v1/x?a=eq.1&apikey={KEYS.publishable}").json()
        assert (seen["claims"]["role"], seen["query"]) == ("anon", "a=eq.1")

    def test_browsers_may_not_use_the_secret_key(self, project: Project) -> None:
        headers = {"apikey": KEYS.secret, "User-Agent": "Mozilla/5.0"}
        assert httpx.get(f"{project.url}/rest/v1/x", headers=headers).status_code == 401

    def test_bodies_and_headers_pass_both_ways(self, project: Project) -> None:
        body = json.dumps({"é": "\N{SNOWMAN}" * 1000})
        answer = httpx.post(
            f"{project.url}/rest/v1/rpc/do",
            content=body,
            headers={"apikey": KEYS.publishable, "Prefer": "count=exact", "Origin": "http://localhost:3000"},
        )
        assert answer.json()["body"] == body
        assert answer.headers["content-range"] == "0-0/1"
        assert answer.headers["x-requested"] == "count=exact"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "Content-Range" in answer.headers["access-control-expose-headers"]

    def test_preflight_needs_no_key(self, project: Project) -> None:
        answer = httpx.options(
            f"{project.url}/rest/v1/x",
            headers={
                "Origin": "http://localhost:3000",
                "Access-Control-Request-Method": "PATCH",
                "Access-Control-Request-Headers": "apikey,authorization,prefer",
            },
        )
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "prefer" in answer.headers["access-control-allow-headers"]

    def test_public_addresses(self, project: Project) -> None:
        assert httpx.get(f"{project.url}/auth/v1/.well-known/jwks.json").json()["keys"][0]["alg"] == "ES256"
        found = httpx.get(f"{project.url}/auth/v1/.well-known/openid-configuration").json()
        assert found["issuer"] == f"{project.url}/auth/v1"
        assert httpx.get(f"{project.url}/nowhere", headers={"apikey": KEYS.publishable}).status_code == 404

    def test_a_data_api_that_is_down(self, project: Project) -> None:
        pool: Pool = ConnectionPool(
            project.database.dsn("supabase_auth_admin"), kwargs={"row_factory": dict_row}, open=False
        )
        app = gateway_app(pool, Issuer(project.key, "http://x"), KEYS, f"http://127.0.0.1:{free_port()}")
        with serving(app) as url:
            assert httpx.get(f"{url}/rest/v1/x", headers={"apikey": KEYS.publishable}).status_code == 503
