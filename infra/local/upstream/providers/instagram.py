"""Instagram API with Instagram Login: short tokens exchanged for long ones, media, stories, insights.

https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login (v26.0)

Answers that Meta documents wrapped in `data` and serves flat can be switched by `POST /_sim/instagram/quirks`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from infra.local.upstream.accounts import Account
from infra.local.upstream.identifiers import meta_id, parse_meta_id
from infra.local.upstream.items import Mix
from infra.local.upstream.messages import Request, Response, json_response, redirect
from infra.local.upstream.oauth import OAuthError, Policy, Token
from infra.local.upstream.provider import Route
from infra.local.upstream.providers import instagram_shapes as shapes
from infra.local.upstream.providers.graph import (
    DAY_SECONDS,
    LONG_SECONDS,
    Field,
    GraphPlatform,
    gone,
    page_of,
    parse_fields,
    refuse,
    select,
    split_version,
)

LOGIN, EXCHANGE, GRAPH = "www.instagram.com", "api.instagram.com", "graph.instagram.com"
SHORT_SECONDS, CODE_SECONDS = 3600, 3600
REFRESHABLE_AFTER_SECONDS = DAY_SECONDS
NEWEST_MEDIA = 10_000
MEDIA_PREFIX = 178
BASIC, INSIGHTS = "instagram_business_basic", "instagram_business_manage_insights"
EXCHANGE_MESSAGES = {
    "invalid_client": "Invalid platform app",
    "invalid_grant": "Matching code was not found or was already used",
    "redirect_uri_mismatch": "Error validating verification code. Please make sure your redirect_uri is identical to "
    "the one you used in the OAuth dialog request",
}


class Instagram(GraphPlatform):
    name = "instagram"
    hosts = (LOGIN, EXCHANGE, GRAPH)
    mix = Mix(
        kinds={"image": 40, "carousel": 25, "reel": 30, "video": 5},
        unlisted=0,
        private=0,
        hidden_likes=0.05,
        hidden_comments=0,
    )
    default_scopes = (BASIC, INSIGHTS)
    optional_scopes = (INSIGHTS, "instagram_business_manage_comments")
    buc_type, buc_code = "instagram", 80002

    def reset(self) -> None:
        super().reset()
        self.wrapped = False
        self.refused_fields: frozenset[str] = frozenset()

    def policy(self) -> Policy:
        return Policy(code_seconds=CODE_SECONDS, access_seconds=SHORT_SECONDS, code_prefix="AQ", access_prefix="IGAA")

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", LOGIN, "/oauth/authorize", self._authorize),
            Route("GET", EXCHANGE, "/oauth/authorize", self._authorize),
            Route("POST", EXCHANGE, "/oauth/access_token", self._redeem),
            Route("GET", GRAPH, "/{path*}", self._graph),
        )

    def controls(self) -> Sequence[Route]:
        return (*super().controls(), Route("POST", "", "/quirks", self._set_quirks))

    def item_id(self, account: Account, index: int) -> str:
        return meta_id(MEDIA_PREFIX, account.number, index)

    def item_index(self, account: Account, item_id: str) -> int:
        place = parse_meta_id(MEDIA_PREFIX, item_id)
        if place is None or place[0] != account.number:
            raise KeyError(f"{account.slug} has no media {item_id}")
        return place[1]

    def user_id(self, account: Account) -> str:
        return shapes.scoped_id(account)

    def token_answer(self, account: Account, scopes: tuple[str, ...]) -> dict[str, object]:
        """A long token, as the exchange answers it, with the ids of the account besides."""
        grant = self.oauth.grant(next(iter(self.oauth.clients)), account.slug, scopes)
        ids = {"user_id": shapes.scoped_id(account), "permissions": ",".join(scopes)}
        return {**self._long(self.oauth.issue_access(grant, seconds=LONG_SECONDS, kind="long")), **ids}

    # Signing in.

    def _authorize(self, request: Request) -> Response:
        consent = self.consent(request)
        back = {"state": consent.state} if consent.state is not None else {}
        if consent.denied:
            reason = {
                "error": "access_denied",
                "error_reason": "user_denied",
                "error_description": "The user denied your request.",
            }
            return redirect(consent.redirect_uri, {**reason, **back})
        grant = self.oauth.grant(consent.client.client_id, consent.account.slug, consent.granted)
        code = self.oauth.issue_code(grant, consent.redirect_uri)
        return redirect(consent.redirect_uri, {"code": code, **back}, suffix="#_")

    def _redeem(self, request: Request) -> Response:
        form = request.form()
        if form.get("grant_type") != "authorization_code":
            return _exchange_error("Invalid grant_type")
        try:
            client = self.oauth.authenticate(form.get("client_id", ""), form.get("client_secret", ""))
            grant = self.oauth.redeem(form.get("code", ""), client, form.get("redirect_uri", ""), "")
        except OAuthError as error:
            return _exchange_error(EXCHANGE_MESSAGES[error.error])
        account = self.required_account(grant.account)
        answer: dict[str, object] = {"access_token": self.oauth.issue_access(grant, kind="short").value}
        identifier = shapes.scoped_id(account)
        if self.wrapped:
            return json_response({"data": [{**answer, "user_id": identifier, "permissions": ",".join(grant.scopes)}]})
        return json_response({**answer, "user_id": int(identifier), "permissions": list(grant.scopes)})

    def _exchange(self, request: Request) -> Response:
        secret = request.query.get("client_secret", "")
        token = self.find_token(request.query.get("access_token", ""))
        if request.query.get("grant_type") != "ig_exchange_token":
            raise refuse(100, "(#100) Param grant_type must be ig_exchange_token")
        if not secrets.compare_digest(self.oauth.clients[token.grant.client_id].client_secret, secret):
            raise refuse(1, "Error validating client secret.")
        if token.kind != "short":
            raise refuse(452, "Session key invalid. This could be because the session key has an incorrect format.")
        return json_response(self._long(self.oauth.issue_access(token.grant, seconds=LONG_SECONDS, kind="long")))

    def _refresh(self, request: Request) -> Response:
        token = self.find_token(request.query.get("access_token", ""))
        if request.query.get("grant_type") != "ig_refresh_token":
            raise refuse(100, "(#100) Param grant_type must be ig_refresh_token")
        if token.kind != "long" or BASIC not in token.grant.scopes:
            raise refuse(10, "(#10) Application does not have permission for this action", status=403)
        if self.clock.now() < token.issued_at + REFRESHABLE_AFTER_SECONDS:
            raise refuse(100, "(#100) The access token must be at least 24 hours old to be refreshed")
        token.grant.refreshes += 1
        return json_response(self._long(self.oauth.issue_access(token.grant, seconds=LONG_SECONDS, kind="long")))

    def _long(self, token: Token) -> dict[str, object]:
        return {"access_token": token.value, "token_type": "bearer", "expires_in": LONG_SECONDS}

    # The graph.

    def _graph(self, request: Request, path: str) -> Response:
        _, segments = split_version(path)
        match segments:
            case ["access_token"]:
                return self._exchange(request)
            case ["refresh_access_token"]:
                return self._refresh(request)
        token = self.find_token(request.bearer() or request.query.get("access_token", ""))
        account = self.required_account(token.grant.account)
        if BASIC not in token.grant.scopes:
            raise refuse(10, "(#10) Application does not have permission for this action", status=403)
        own = ("me", shapes.scoped_id(account), shapes.professional_id(account))
        match segments:
            case [node] if node in own:
                answer = self._profile(request, account)
            case [node, "media"] if node in own:
                answer = self._media(request, account)
            case [node, "stories"] if node in own:
                answer = self._stories(request, account)
            case [node]:
                answer = self._one_media(request, account, node)
            case [node, "insights"]:
                answer = self._insights(request, account, node, token)
            case _:
                raise refuse(2500, f"Unknown path components: /{'/'.join(segments)}")
        return self.meter(shapes.professional_id(account), answer)

    def _profile(self, request: Request, account: Account) -> Response:
        profile = shapes.profile(account)
        asked = parse_fields(request.query.get("fields", "id,username"))
        chosen = select(profile, asked, "IGUser")
        return json_response({"data": [chosen]} if self.wrapped else chosen)

    def _media(self, request: Request, account: Account) -> Response:
        published = shapes.published(account)
        indexes, paging = page_of(request, account.catalogue, published[:NEWEST_MEDIA])
        return self._media_list(request, account, indexes, paging)

    def _stories(self, request: Request, account: Account) -> Response:
        oldest = self.clock.now() - DAY_SECONDS
        stories = account.catalogue.select("stories", lambda item: item.kind == "story" and item.privacy == "public")
        fresh = [index for index in stories if account.catalogue.published_at(index) > oldest]
        indexes, paging = page_of(request, account.catalogue, fresh)
        return self._media_list(request, account, indexes, paging)

    def _media_list(
        self, request: Request, account: Account, indexes: list[int], paging: dict[str, object]
    ) -> Response:
        asked = self._asked(request)
        data = [select(self._render(account, index), asked, "IGMedia") for index in indexes]
        return json_response({"data": data, **({"paging": paging} if paging else {})})

    def _one_media(self, request: Request, account: Account, node: str) -> Response:
        asked = self._asked(request)
        return json_response(select(self._render(account, self._find(account, node)), asked, "IGMedia"))

    def _insights(self, request: Request, account: Account, node: str, token: Token) -> Response:
        if INSIGHTS not in token.grant.scopes:
            raise refuse(10, "(#10) Application does not have permission for this action", status=403)
        item = account.catalogue.item(self._find(account, node))
        wanted = [name.strip() for name in request.query.get("metric", "").split(",") if name.strip()]
        supported = shapes.METRICS[shapes.product_type(item)]
        for place, name in enumerate(wanted or [""]):
            if name not in supported:  # one of them fails the whole call
                listed = ", ".join(sorted(supported))
                raise refuse(100, f"(#100) metric[{place}] must be one of the following values: {listed}")
        if item.kind == "story" and (item.views or 0) < 5:
            raise refuse(10, "(#10) Not enough viewers for the media to show insights")
        if item.views is None:
            return json_response({"data": []})
        return json_response({"data": [shapes.insight(node, item, name) for name in wanted]})

    # What they stand on.

    def _asked(self, request: Request) -> tuple[Field, ...]:
        asked = parse_fields(request.query.get("fields", "id"))
        for one in asked:
            if one.name in self.refused_fields:
                raise refuse(100, f"(#100) Tried accessing nonexisting field ({one.name}) on node type (IGMedia)")
        return asked

    def _find(self, account: Account, node: str) -> int:
        place = parse_meta_id(MEDIA_PREFIX, node)
        if place is None or place[0] != account.number or not account.catalogue.exists(place[1]):
            raise gone(node)
        if account.catalogue.item(place[1]).privacy != "public":
            raise gone(node)
        return place[1]

    def _render(self, account: Account, index: int) -> dict[str, object]:
        return shapes.media(account, self.item_id(account, index), account.catalogue.item(index), self.clock.now())

    def _set_quirks(self, request: Request) -> Response:
        """{wrapped?: bool, refused_fields?: [names that media do not have today]}"""
        fields = request.json()
        self.wrapped = bool(fields.get("wrapped", self.wrapped))
        self.refused_fields = frozenset(fields.get("refused_fields", self.refused_fields))
        return json_response({"wrapped": self.wrapped, "refused_fields": sorted(self.refused_fields)})

    def not_found(self, request: Request) -> Response:
        if request.host == GRAPH:
            return refuse(3, "(#3) Application does not have the capability to make this API call.").response
        return super().not_found(request)


def _exchange_error(message: str) -> Response:
    """The code exchange has an envelope of its own."""
    return json_response({"error_type": "OAuthException", "code": 400, "error_message": message}, 400)
