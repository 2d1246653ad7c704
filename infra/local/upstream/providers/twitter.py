"""X: OAuth 2.0 with mandatory PKCE and the API v2.

https://docs.x.com/x-api (openapi 2.167, 2026-08)

Codes live 30 seconds, refresh tokens are single use and a spent one revokes its family. In 2026 the API renames
tweets to posts: `POST /_sim/twitter/quirks` `{"naming": "tweet" | "post" | "both"}` sets which spellings it takes and
answers with.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime

from infra.local.upstream.accounts import Account
from infra.local.upstream.identifiers import parse_snowflake, snowflake
from infra.local.upstream.items import Item, Mix
from infra.local.upstream.limits import FixedWindow
from infra.local.upstream.messages import Refusal, Request, Response, json_response, redirect
from infra.local.upstream.oauth import Client, Grant, OAuthError, Policy
from infra.local.upstream.platform import Platform
from infra.local.upstream.provider import Route
from infra.local.upstream.providers import twitter_shapes as shapes

LOGIN, API = "x.com", "api.x.com"
CODE_SECONDS, ACCESS_SECONDS, REFRESH_SECONDS = 30, 7200, 183 * 86_400
WINDOW_SECONDS = 900
MINIMUM_PAGE, MAXIMUM_PAGE, DEFAULT_PAGE, NEWEST_POSTS = 5, 100, 10, 3_200
LIMITS = {"/2/users/me": 75, "/2/users/:id/tweets": 900, "/2/users/:id": 900, "/2/tweets": 900}
READ_SCOPES = {"tweet.read", "users.read"}
NAMINGS = ("tweet", "post", "both")
_HIGHEST_ID = 1 << 63
MAXIMUM_STATE = 500
PROBLEMS = "https://api.x.com/2/problems"


class Twitter(Platform):
    name = "twitter"
    hosts = (LOGIN, API)
    mix = Mix(
        kinds={"post": 45, "image": 22, "carousel": 8, "video": 10, "short": 5, "repost": 6, "reply": 4},
        unlisted=0,
        private=0,
        hidden_likes=0,
        hidden_comments=0,
        durations={"short": (5, 45), "video": (60, 140)},
    )
    default_scopes = ("tweet.read", "users.read", "offline.access")
    optional_scopes = ("offline.access", "users.read")

    def reset(self) -> None:
        super().reset()
        self.naming = "tweet"
        self.dead_token_error = "invalid_grant"
        self.post_cap: int | None = None  # credits left, as posts
        self.posts_read = 0
        self.limits = dict(LIMITS)
        self.window = FixedWindow(self.clock, 0, WINDOW_SECONDS)

    def policy(self) -> Policy:
        return Policy(
            code_seconds=CODE_SECONDS, access_seconds=ACCESS_SECONDS, refresh_seconds=REFRESH_SECONDS, rotating=True
        )

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", LOGIN, "/i/oauth2/authorize", self._authorize),
            Route("GET", API, "/2/oauth2/authorize", self._authorize),
            Route("POST", API, "/2/oauth2/token", self._token),
            Route("POST", API, "/2/oauth2/revoke", self._revoke),
            Route("GET", API, "/2/users/me", self._me),
            Route("GET", API, "/2/users/{id}", self._user),
            Route("GET", API, "/2/users/{id}/tweets", self._timeline),
            Route("GET", API, "/2/tweets", self._lookup),
        )

    def controls(self) -> Sequence[Route]:
        return (
            *super().controls(),
            Route("GET", "", "/quirks", lambda _: json_response(self._describe_quirks())),
            Route("POST", "", "/quirks", self._set_quirks),
        )

    def item_id(self, account: Account, index: int) -> str:
        return snowflake(account.catalogue.published_at(index), account.number, index)

    def item_index(self, account: Account, item_id: str) -> int:
        place = parse_snowflake(item_id)
        if place is None or place[0] != account.number:
            raise KeyError(f"{account.slug} has no post {item_id}")
        return place[1]

    def token_answer(self, account: Account, scopes: tuple[str, ...]) -> dict[str, object]:
        return self._answer(self.oauth.grant(next(iter(self.oauth.clients)), account.slug, scopes))

    def not_found(self, _: Request) -> Response:
        return _problem(404, "Not Found").response

    # Signing in.

    def _authorize(self, request: Request) -> Response:
        consent = self.consent(request)
        query = request.query
        back = {"state": consent.state} if consent.state is not None else {}
        challenge, method = query.get("code_challenge", ""), query.get("code_challenge_method", "plain")
        if not challenge or method not in ("S256", "plain") or not 1 <= len(consent.state or "") <= MAXIMUM_STATE:
            return redirect(consent.redirect_uri, {"error": "invalid_request", **back})
        if consent.denied:
            return redirect(consent.redirect_uri, {"error": "access_denied", **back})
        grant = self.oauth.grant(consent.client.client_id, consent.account.slug, consent.granted)
        code = self.oauth.issue_code(grant, consent.redirect_uri, challenge, method)
        return redirect(consent.redirect_uri, {**back, "code": code})

    def _client(self, request: Request) -> Client:
        """A confidential client speaks by Basic auth; a secret in the body does not count."""
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        try:
            client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            client_id = secret = ""
        try:
            return self.oauth.authenticate(client_id if scheme.lower() == "basic" else "", secret)
        except OAuthError as error:
            raise OAuthError("unauthorized_client", "Missing valid authorization header") from error

    def _token(self, request: Request) -> Response:
        form = request.form()
        try:
            client = self._client(request)
            match form.get("grant_type"):
                case "authorization_code":
                    code, uri = form.get("code", ""), form.get("redirect_uri", "")
                    grant = self.oauth.redeem(code, client, uri, form.get("code_verifier", ""))
                case "refresh_token":
                    grant = self.oauth.refresh(form.get("refresh_token", ""), client)
                case other:
                    return _oauth_error("unsupported_grant_type", f"The grant type {other} is not supported.")
        except OAuthError as error:
            if error.error == "unauthorized_client":
                return _oauth_error(error.error, error.description)
            return _oauth_error(self.dead_token_error, "Value passed for the token was invalid.")
        return json_response(self._answer(grant))

    def _answer(self, grant: Grant) -> dict[str, object]:
        answer: dict[str, object] = {
            "token_type": "bearer",
            "expires_in": int(self.oauth.policy.access_seconds),
            "access_token": self.oauth.issue_access(grant).value,
            "scope": " ".join(grant.scopes),
        }
        if "offline.access" in grant.scopes:
            answer["refresh_token"] = self.oauth.issue_refresh(grant).value
        return answer

    def _revoke(self, request: Request) -> Response:
        try:
            self._client(request)
        except OAuthError as error:
            return _oauth_error(error.error, error.description)
        value = request.form().get("token", "")
        token = self.oauth.access.get(value) or self.oauth.refreshes.get(value)
        if token is not None:
            self.oauth.revoke(token.grant, "revoked by the client")
        return json_response({"revoked": True})

    # The API.

    def _me(self, request: Request) -> Response:
        viewer, headers = self._begin(request, "/2/users/me")
        return json_response(self._user_answer(request, viewer), headers=headers)

    def _user(self, request: Request, user_id: str) -> Response:
        _, headers = self._begin(request, "/2/users/:id")
        account = self._account(user_id)
        if account is None:
            return json_response({"errors": [shapes.missing("user", "id", user_id)]}, headers=headers)
        return json_response(self._user_answer(request, account), headers=headers)

    def _timeline(self, request: Request, user_id: str) -> Response:
        viewer, headers = self._begin(request, "/2/users/:id/tweets")
        account = self._account(user_id)
        if account is None:
            return json_response({"errors": [shapes.missing("user", "id", user_id)]}, headers=headers)
        if account.options.get("protected") and account is not viewer:
            return json_response({"errors": [shapes.unauthorized(user_id)]}, headers=headers)
        self._check_names(request)
        size = _page_size(request)
        indexes = self._timeline_indexes(request, account)
        page = indexes[:size]
        self._charge(len(page))
        body = self._render_posts(request, account, page)
        meta: dict[str, object] = {"result_count": len(page)}
        if page:
            meta |= {"newest_id": self.item_id(account, page[0]), "oldest_id": self.item_id(account, page[-1])}
        if len(indexes) > size:
            meta["next_token"] = _page_token(self.item_id(account, page[-1]))
        if "pagination_token" in request.query and page:
            meta["previous_token"] = _page_token(self.item_id(account, page[0]))
        return json_response({**body, "meta": meta}, headers=headers)

    def _lookup(self, request: Request) -> Response:
        """GET /2/tweets?ids=…, up to 100: what is gone is an error beside the data."""
        viewer, headers = self._begin(request, "/2/tweets")
        self._check_names(request)
        ids = [text for text in request.query.get("ids", "").split(",") if text]
        if not 1 <= len(ids) <= MAXIMUM_PAGE:
            raise _invalid("ids", request.query.get("ids", ""), "must hold 1 to 100 ids")
        data, errors = [], []
        for text in ids:
            place = parse_snowflake(text)
            account = self.accounts.at(place[0]) if place is not None else None
            hidden = account is not None and account.options.get("protected") and account is not viewer
            if place is None or account is None or hidden or place[1] not in account.catalogue.public():
                errors.append(shapes.missing("tweet", "ids", text))
            elif self.item_id(account, place[1]) == text:
                data += self._render_posts(request, account, [place[1]])["data"]
        self._charge(len(data))
        body = {**({"data": data} if data else {}), **({"errors": errors} if errors else {})}
        return json_response(body, headers=headers)

    # What they stand on.

    def _begin(self, request: Request, endpoint: str) -> tuple[Account, dict[str, str]]:
        """The viewer and the rate headers of the answer; refuses bad tokens, missing scopes, spent windows and caps."""
        token = self.oauth.find(request.bearer())
        if token is None:
            raise _problem(401, "Unauthorized")
        allowed, limit, remaining, reset = self.window.use(f"{token.grant.account} {endpoint}", self.limits[endpoint])
        headers = {
            "x-rate-limit-limit": str(limit),
            "x-rate-limit-remaining": str(remaining),
            "x-rate-limit-reset": str(reset),
        }
        if not allowed:
            raise _problem(429, "Too Many Requests", headers=headers)
        if not set(token.grant.scopes) >= READ_SCOPES:
            raise _problem(403, "Forbidden", headers=headers)
        if self.post_cap is not None and self.posts_read >= self.post_cap:
            detail = "Usage cap exceeded: Monthly product cap"
            raise _problem(429, "UsageCapExceeded", detail, kind=f"{PROBLEMS}/usage-capped", headers=headers)
        account = self.accounts.get(token.grant.account)
        assert account is not None
        return account, headers

    def _charge(self, posts: int) -> None:
        self.posts_read += posts

    def _account(self, user_id: str) -> Account | None:
        return next((account for account in self.accounts if shapes.user_id(account) == user_id), None)

    def _check_names(self, request: Request) -> None:
        """The spelling that this server does not know is an invalid parameter."""
        for spelling in ("tweet", "post"):
            name = f"{spelling}.fields"
            if name in request.query and self.naming not in (spelling, "both"):
                raise _invalid(name, request.query[name], f"The query parameter [{name}] is not one of [expansions,…]")

    def _timeline_indexes(self, request: Request, account: Account) -> list[int]:
        """Indexes from the page's start on, newest first, of the newest 3,200 that the filters leave."""
        query, catalogue = request.query, account.catalogue
        excluded = {"retweets": "repost", "replies": "reply"}
        kinds = {excluded[name] for name in query.get("exclude", "").split(",") if name in excluded}
        below = min(
            (int(query["until_id"]) if "until_id" in query else _HIGHEST_ID),
            (_read_page_token(query["pagination_token"]) if "pagination_token" in query else _HIGHEST_ID),
        )
        above = int(query.get("since_id", 0))
        start, end = _instant(query.get("start_time")), _instant(query.get("end_time"))
        return [
            index
            for index in catalogue.public()[:NEWEST_POSTS]
            if above < int(self.item_id(account, index)) < below
            and (start is None or catalogue.published_at(index) >= start)
            and (end is None or catalogue.published_at(index) < end)
            and (not kinds or catalogue.item(index).kind not in kinds)
        ]

    def _render_user(self, request: Request, account: Account) -> shapes.Resource:
        wanted = {name for name in request.query.get("user.fields", "").split(",") if name}
        return shapes.user(account, wanted, self.naming, self._pinned(account))

    def _pinned(self, account: Account) -> str | None:
        """The second newest post, where there are that many."""
        public = account.catalogue.public()
        return self.item_id(account, public[1]) if len(public) > 1 else None

    def _user_answer(self, request: Request, account: Account) -> shapes.Resource:
        """A user, with the pinned post where the expansion asks for it."""
        body: shapes.Resource = {"data": self._render_user(request, account)}
        pinned = self._pinned(account)
        if pinned and {"pinned_tweet_id", "pinned_post_id"} & set(request.query.get("expansions", "").split(",")):
            posts = self._render_posts(request, account, [self.item_index(account, pinned)])["data"]
            body["includes"] = {"tweets": posts} if self.naming == "tweet" else {"posts": posts}
        return body

    def _render_posts(self, request: Request, account: Account, indexes: list[int]) -> shapes.Resource:
        """`data` (absent without posts), `includes` and `errors` as the fields and expansions ask."""
        query = request.query
        names = query.get("tweet.fields", "").split(",") + query.get("post.fields", "").split(",")
        asked = shapes.Asked(
            fields=frozenset(filter(None, names)),
            expansions=frozenset(filter(None, query.get("expansions", "").split(","))),
            media_fields=frozenset(filter(None, query.get("media.fields", "").split(","))),
            naming=self.naming,
        )
        items: list[tuple[str, Item]] = [(self.item_id(account, i), account.catalogue.item(i)) for i in indexes]
        body = shapes.timeline(account, items, asked)
        if "author_id" in asked.expansions and items:
            body.setdefault("includes", {})["users"] = [self._render_user(request, account)]
        return body

    def _set_quirks(self, request: Request) -> Response:
        """{naming?, dead_token_error?, post_cap?: how many more posts may be read, or null, limits?: {endpoint: n}}"""
        fields = request.json()
        if fields.get("naming", self.naming) not in NAMINGS:
            raise ValueError(f"naming is one of {NAMINGS}")
        self.naming = str(fields.get("naming", self.naming))
        self.dead_token_error = str(fields.get("dead_token_error", self.dead_token_error))
        if "post_cap" in fields:
            self.post_cap = None if fields["post_cap"] is None else self.posts_read + int(fields["post_cap"])
        self.limits.update({str(name): int(limit) for name, limit in fields.get("limits", {}).items()})
        return json_response(self._describe_quirks())

    def _describe_quirks(self) -> dict[str, object]:
        return {
            "naming": self.naming,
            "dead_token_error": self.dead_token_error,
            "post_cap": self.post_cap,
            "posts_read": self.posts_read,
            "limits": self.limits,
        }


def _page_size(request: Request) -> int:
    text = request.query.get("max_results", str(DEFAULT_PAGE))
    if not text.isdecimal() or not MINIMUM_PAGE <= int(text) <= MAXIMUM_PAGE:
        message = f"The `max_results` query parameter value [{text}] is not between {MINIMUM_PAGE} and {MAXIMUM_PAGE}"
        raise _invalid("max_results", text, message)
    return int(text)


def _page_token(item_id: str) -> str:
    return f"7140{int(item_id):x}"


def _read_page_token(text: str) -> int:
    """The id below which the page goes on."""
    try:
        if text.startswith("7140"):
            return int(text[4:], 16)
    except ValueError:
        pass
    raise _invalid("pagination_token", text, f"The `pagination_token` query parameter value [{text}] is not valid")


def _instant(text: str | None) -> float | None:
    try:
        return None if text is None else datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise _invalid("start_time", text or "", "The time is not a valid RFC3339 instant") from error


def _oauth_error(error: str, description: str) -> Response:
    status = 401 if error == "unauthorized_client" else 400
    return json_response({"error": error, "error_description": description}, status)


def _problem(
    status: int, title: str, detail: str = "", *, kind: str = "about:blank", headers: dict[str, str] | None = None
) -> Refusal:
    body = {"title": title, "type": kind, "status": status, "detail": detail or title}
    return Refusal(json_response(body, status, {"content-type": "application/problem+json", **(headers or {})}))


def _invalid(name: str, value: str, message: str) -> Refusal:
    body = {
        "errors": [{"parameters": {name: [value]}, "message": message}],
        "title": "Invalid Request",
        "detail": "One or more parameters to your request was invalid.",
        "type": f"{PROBLEMS}/invalid-request",
        "status": 400,
    }
    return Refusal(json_response(body, 400, {"content-type": "application/problem+json"}))
