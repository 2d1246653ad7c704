"""Facebook Login: people, the Pages they manage, user and Page tokens, permissions.

https://developers.facebook.com/docs/facebook-login/guides/advanced/manual-flow (v26.0)

The accounts of this platform are people; their Pages are accounts of their own (`/_sim/facebook/pages`), and the
content controls take a Page's slug, or a person's for the first Page.
"""

from __future__ import annotations

import hashlib
import hmac
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from infra.local.upstream.accounts import Account, Accounts
from infra.local.upstream.messages import Request, Response, json_response, redirect
from infra.local.upstream.oauth import Client, OAuthError, Policy, Token
from infra.local.upstream.provider import Route
from infra.local.upstream.providers import facebook_shapes as shapes
from infra.local.upstream.providers.graph import LONG_SECONDS, GraphPlatform, Resource, refuse
from infra.local.upstream.seed import FACEBOOK_PAGES, SeedAccount

LOGIN, GRAPH = "www.facebook.com", "graph.facebook.com"
SHORT_SECONDS, CODE_SECONDS = 5_400, 600
DATA_ACCESS_SECONDS = 90 * 86_400
SMALL_PAGE = 8
EXPIRED_CODE, WRONG_REDIRECT, USED_CODE = 36007, 36008, 36009
CODE_MESSAGES = {
    EXPIRED_CODE: "This authorization code has expired.",
    WRONG_REDIRECT: "Error validating verification code. Please make sure your redirect_uri is identical to the one "
    "you used in the OAuth dialog request",
    USED_CODE: "This authorization code has been used.",
}


class FacebookLogin(GraphPlatform):
    hosts: tuple[str, ...] = (LOGIN, GRAPH)

    def reset(self) -> None:
        super().reset()
        self.pages = Accounts("facebook/pages", self.mix, FACEBOOK_PAGES)
        self.proof_required = True
        self._page_tokens: dict[tuple[str, str], Token] = {}  # by user token and Page
        for person in self.accounts:
            self._give_pages(person)

    def policy(self) -> Policy:
        return Policy(code_seconds=CODE_SECONDS, access_seconds=SHORT_SECONDS, code_prefix="AQ", access_prefix="EAAL")

    @abstractmethod
    def graph(self, request: Request, path: str) -> Response:
        """Everything on graph.facebook.com."""

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", LOGIN, "/{version}/dialog/oauth", self._authorize),
            Route("GET", LOGIN, "/dialog/oauth", lambda request: self._authorize(request, "")),
            *(Route(method, GRAPH, "/{path*}", self.graph) for method in ("GET", "POST", "DELETE")),
        )

    def controls(self) -> Sequence[Route]:
        return (
            *super().controls(),
            Route("GET", "", "/pages", lambda _: json_response([page.describe() for page in self.pages])),
            Route("POST", "", "/pages", self._put_page),
            Route("POST", "", "/quirks", self._set_quirks),
        )

    # People and Pages.

    def user_id(self, account: Account) -> str:
        return shapes.person_id(account)

    def required_user(self, slug: object) -> Account:
        person = self.accounts.get(str(slug)) if slug is not None else self.accounts.default
        if person is None:
            raise ValueError(f"facebook has no account {slug!r}")
        return person

    def required_account(self, slug: object) -> Account:
        """A Page by its slug, or a person's first Page; without a slug the default person's."""
        page = self.pages.get(str(slug))
        if page is not None:
            return page
        managed = self.managed_pages(self.required_user(slug))
        if not managed:
            raise ValueError(f"{slug} manages no Page")
        return managed[0]

    def managed_pages(self, person: Account) -> list[Account]:
        managed = (self.pages.get(slug) for slug in person.options.get("pages", ()))
        return [page for page in managed if page is not None]

    def put_account(self, fields: dict[str, Any]) -> Account:
        """A new person manages one Page of the size asked for, `{slug}-page`, unless `options` say otherwise."""
        known = self.accounts.get(str(fields["slug"])) is not None
        size = fields.pop("size", 20)
        person = self.accounts.put({**fields, **({} if known else {"size": 0})})
        if not known and not {"pages", "page_count"} & set(person.options):
            page = self.pages.put({"slug": f"{person.slug}-page", "name": person.name, "size": size})
            person.options["pages"] = [page.slug]
        self._give_pages(person)
        return person

    def _give_pages(self, person: Account) -> None:
        """Makes as many small Pages as the option `page_count` says."""
        made = [
            self.pages.add(
                SeedAccount(
                    f"{person.slug}-page-{number}",
                    f"{person.name} {number}",
                    f"{person.handle}{number}",
                    person.niche,
                    SMALL_PAGE,
                    40 + number,
                )
            ).slug
            for number in range(1, int(person.options.pop("page_count", 0)) + 1)
        ]
        person.options["pages"] = [*person.options.get("pages", ()), *made]

    # Tokens.

    def token_answer(self, account: Account, scopes: tuple[str, ...]) -> dict[str, object]:
        """A long user token; its Page tokens come from me/accounts."""
        grant = self.oauth.grant(next(iter(self.oauth.clients)), account.slug, scopes)
        return _describe(self.oauth.issue_access(grant, seconds=LONG_SECONDS, kind="long"))

    def page_token(self, token: Token, page: Account) -> Token:
        """Unending from a long token, as short-lived as its source from a short one; the same one each time."""
        key = (token.value, page.slug)
        if key not in self._page_tokens:
            left = None if token.kind == "long" else (token.expires_at or 0) - self.clock.now()
            made = self.oauth.issue_access(token.grant, seconds=left, kind="page", subject=page.slug)
            self._page_tokens[key] = made
        return self._page_tokens[key]

    def check_proof(self, token: Token, given: str | None) -> None:
        """`appsecret_proof` is hex(HMAC-SHA256(key = app secret, token)); a wrong one is refused even if optional."""
        if given is None:
            if self.proof_required:
                message = "API calls from the server require an appsecret_proof argument"
                raise refuse(100, message, kind="GraphMethodException")
            return
        secret = self.oauth.clients[token.grant.client_id].client_secret
        if not hmac.compare_digest(hmac.new(secret.encode(), token.value.encode(), hashlib.sha256).hexdigest(), given):
            raise refuse(100, "Invalid appsecret_proof provided in the API argument", kind="GraphMethodException")

    def access_token(self, request: Request) -> Response:
        """GET or POST oauth/access_token: a code, an exchange for a long token, or the app's own token."""
        params = {**request.query, **request.form()}
        client_id = params.get("client_id", "")
        try:
            client = self.oauth.authenticate(client_id, params.get("client_secret", ""))
        except OAuthError:
            if client_id in self.oauth.clients:
                raise refuse(1, "Error validating client secret.") from None
            raise refuse(101, "Error validating application. Cannot get application info.") from None
        match params.get("grant_type", "authorization_code"):
            case "authorization_code":
                return self._redeem(client, params)
            case "fb_exchange_token":
                token = self.find_token(params.get("fb_exchange_token", ""))
                if token.kind == "page" or token.grant.client_id != client.client_id:
                    raise refuse(100, "(#100) The access token does not belong to a person who uses this app")
                made = self.oauth.issue_access(token.grant, seconds=LONG_SECONDS, kind="long")
                return json_response(_describe(made))
            case "client_credentials":
                app_token = f"{client.client_id}|{client.client_secret}"
                return json_response({"access_token": app_token, "token_type": "bearer"})
            case other:
                raise refuse(100, f"(#100) Unsupported grant_type {other}")

    def _authorize(self, request: Request, _: str) -> Response:
        consent = self.consent(request)
        back = {"state": consent.state} if consent.state is not None else {}
        if consent.denied:
            reason = {"error_code": "200", "error_description": "Permissions error", "error_reason": "user_denied"}
            return redirect(consent.redirect_uri, {"error": "access_denied", **reason, **back}, suffix="#_=_")
        grant = self.oauth.grant(consent.client.client_id, consent.account.slug, consent.granted)
        grant.declined = tuple(scope for scope in consent.asked if scope not in consent.granted)
        code = self.oauth.issue_code(grant, consent.redirect_uri)
        return redirect(consent.redirect_uri, {"code": code, **back}, suffix="#_=_")

    def _redeem(self, client: Client, params: dict[str, str]) -> Response:
        try:
            grant = self.oauth.redeem(params.get("code", ""), client, params.get("redirect_uri", ""), "")
        except OAuthError as error:
            subcode = WRONG_REDIRECT if error.error == "redirect_uri_mismatch" else USED_CODE
            if "expired" in error.description:
                subcode = EXPIRED_CODE
            raise refuse(100, CODE_MESSAGES[subcode], subcode=subcode) from None
        return json_response(_describe(self.oauth.issue_access(grant, kind="short")))

    def inspect(self, request: Request) -> Response:
        """debug_token, for the app itself (`access_token={app id}|{app secret}`)."""
        app_id, _, secret = request.query.get("access_token", "").partition("|")
        client = self.oauth.clients.get(app_id)
        if client is None or client.client_secret != secret:
            raise refuse(100, "(#100) You must provide an app access token, or a user access token of its owner")
        token = self.oauth.access.get(request.query.get("input_token", ""))
        if token is None:
            problem = {"code": 190, "message": "Invalid OAuth access token."}
            return json_response({"data": {"error": problem, "is_valid": False, "scopes": []}})
        data: Resource = {
            "app_id": token.grant.client_id,
            "type": "PAGE" if token.kind == "page" else "USER",
            "application": "StreamVibe",
            "data_access_expires_at": int(token.grant.created_at + DATA_ACCESS_SECONDS),
            "expires_at": int(token.expires_at or 0),
            "is_valid": not token.grant.revoked and not self.oauth.is_expired(token),
            "scopes": list(token.grant.scopes),
            "granular_scopes": [{"scope": scope} for scope in token.grant.scopes],
            "user_id": shapes.person_id(self.required_user(token.grant.account)),
        }
        if token.kind == "page":
            data["profile_id"] = shapes.page_id(self.required_account(token.subject))
        return json_response({"data": data})

    def permissions(self, token: Token) -> Response:
        states = [(scope, "granted") for scope in token.grant.scopes]
        states += [(scope, "declined") for scope in token.grant.declined]
        return json_response({"data": [{"permission": name, "status": state} for name, state in states]})

    def drop_permissions(self, token: Token, names: list[str]) -> Response:
        """DELETE me/permissions (the whole grant) or me/permissions/{name}."""
        grant = token.grant
        if not names:
            self.oauth.revoke_account(grant.account, "revoked by the client", grant.client_id)
            return json_response({"success": True})
        if names[0] not in grant.scopes:
            raise refuse(100, f"(#100) The permission {names[0]} was not granted")
        grant.scopes = tuple(scope for scope in grant.scopes if scope != names[0])
        grant.declined = (*grant.declined, names[0])
        return json_response({"success": True})

    # Controls.

    def _put_page(self, request: Request) -> Response:
        """{slug, owner?, …}: makes a Page or changes it; `owner` is a person who manages it from now on."""
        fields = request.json()
        owner = fields.pop("owner", None)
        page = self.pages.put(fields)
        if owner is not None:
            options = self.required_user(owner).options
            options["pages"] = list(dict.fromkeys([*options["pages"], page.slug]))
        return json_response(page.describe(), 201)

    def _set_quirks(self, request: Request) -> Response:
        """{proof_required?: bool}"""
        self.proof_required = bool(request.json().get("proof_required", self.proof_required))
        return json_response({"proof_required": self.proof_required})


def _describe(token: Token) -> dict[str, object]:
    life = int((token.expires_at or 0) - token.issued_at)
    return {"access_token": token.value, "token_type": "bearer", "expires_in": life}
