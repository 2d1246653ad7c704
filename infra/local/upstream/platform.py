"""What the five platforms share: accounts, an authorisation server, an authorise page that approves at
once, controls.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from infra.local.upstream.accounts import Account, Accounts
from infra.local.upstream.items import Item, Mix
from infra.local.upstream.messages import Refusal, Request, Response, html_response, json_response
from infra.local.upstream.oauth import AuthorizationServer, Client, Policy
from infra.local.upstream.provider import Provider, Route
from infra.local.upstream.seed import ACCOUNTS, APPS


@dataclass(slots=True)
class Decision:
    """What the next visitors of the authorise page decide, set by `POST /_sim/{platform}/authorize`."""

    account: str | None = None
    deny: bool = False
    drop_scopes: tuple[str, ...] = ()
    times: int = 1


@dataclass(frozen=True, slots=True)
class Consent:
    """A valid authorisation request and how it was decided."""

    client: Client
    account: Account
    redirect_uri: str
    state: str | None
    asked: tuple[str, ...]
    granted: tuple[str, ...]
    denied: bool


class Platform(Provider):
    """A provider with users. Subclasses give the wording; `optional_scopes` are those that
    `partial-scopes:` drops.
    """

    mix: Mix
    default_scopes: tuple[str, ...] = ()
    optional_scopes: tuple[str, ...] = ()
    client_parameter = "client_id"

    @abstractmethod
    def policy(self) -> Policy:
        """Token lifetimes and rules, fresh."""

    @abstractmethod
    def item_id(self, account: Account, index: int) -> str:
        """The platform's identifier of an item."""

    @abstractmethod
    def item_index(self, account: Account, item_id: str) -> int:
        """Its reverse; KeyError where the id is not one of the account's."""

    @abstractmethod
    def token_answer(self, account: Account, scopes: tuple[str, ...]) -> dict[str, object]:
        """A new grant's tokens as the token endpoint would answer them, for tests that skip the browser."""

    def reset(self) -> None:
        app = APPS[self.name]
        clients = {app.client_id: Client(app.client_id, app.client_secret)}
        self.accounts = Accounts(self.name, self.mix, ACCOUNTS[self.name])
        self.oauth = AuthorizationServer(self.clock, clients, self.policy())
        self.decisions: list[Decision] = []

    def consent(self, request: Request) -> Consent:
        """Checks an authorisation request; a page (no redirect) refuses an unknown client or redirect URI."""
        query = request.query
        client = self.oauth.clients.get(query.get(self.client_parameter, ""))
        if client is None:
            raise Refusal(
                html_response("<h1>Error 401: invalid_client</h1><p>The OAuth client was not found.</p>", 401)
            )
        redirect_uri = query.get("redirect_uri", "")
        if not self.oauth.accepts_redirect(redirect_uri):
            raise Refusal(html_response("<h1>Error 400: redirect_uri_mismatch</h1>", 400))
        if query.get("response_type") != "code":
            raise Refusal(html_response("<h1>Error 400: unsupported_response_type</h1>", 400))
        asked = tuple(filter(None, re.split(r"[ ,]+", query.get("scope", ""))))
        decision = self._decide(query.get("login_hint", ""))
        # A hint that names nobody is only a hint: the default account signs in, as in a browser with one
        # session.
        account = self.accounts.get(decision.account or "") or self.accounts.default
        granted = tuple(scope for scope in asked if scope not in decision.drop_scopes)
        return Consent(client, account, redirect_uri, query.get("state"), asked, granted, decision.deny)

    def _decide(self, login_hint: str) -> Decision:
        kind, _, rest = login_hint.partition(":")
        if kind == "deny":
            return Decision(account=rest or None, deny=True)
        if kind == "partial-scopes":
            return Decision(account=rest or None, drop_scopes=self.optional_scopes)
        decision = Decision()
        if self.decisions:
            decision = self.decisions[0]
            decision.times -= 1
            if decision.times <= 0:
                self.decisions.pop(0)
        return Decision(login_hint or decision.account, decision.deny, decision.drop_scopes)

    def controls(self) -> Sequence[Route]:
        return (
            Route("GET", "", "/accounts", lambda _: json_response([a.describe() for a in self.accounts])),
            Route("POST", "", "/accounts", self._put_accounts),
            Route("GET", "", "/content", self._list_content),
            Route("POST", "", "/content", self._change_content),
            Route("GET", "", "/grants", self._list_grants),
            Route("POST", "", "/grants", self._make_grant),
            Route("DELETE", "", "/grants", self._revoke_grants),
            Route("POST", "", "/authorize", self._prepare_decision),
            Route("POST", "", "/policy", self._change_policy),
            Route("POST", "", "/clients", self._add_redirect),
        )

    def put_account(self, fields: dict[str, Any]) -> Account:
        """Makes or changes an account."""
        return self.accounts.put(fields)

    def required_account(self, slug: object) -> Account:
        account = self.accounts.get(str(slug)) if slug is not None else self.accounts.default
        if account is None:
            raise ValueError(f"{self.name} has no account {slug!r}")
        return account

    def required_user(self, slug: object) -> Account:
        """Who signs in; differs from the account that publishes where people manage Pages."""
        return self.required_account(slug)

    def describe_item(self, account: Account, item: Item) -> dict[str, object]:
        return {"id": self.item_id(account, item.index), **asdict(item)}

    def _put_accounts(self, request: Request) -> Response:
        """One account by `slug`, or `count` of them named `{prefix}1`, `{prefix}2`, …"""
        fields = request.json()
        count = fields.pop("count", None)
        if count is None:
            return json_response(self.put_account(fields).describe(), 201)
        prefix = str(fields.pop("prefix", "creator-"))
        made = [self.put_account({**fields, "slug": f"{prefix}{n}"}).slug for n in range(1, int(count) + 1)]
        return json_response({"slugs": made}, 201)

    def _list_content(self, request: Request) -> Response:
        account = self.required_account(request.query.get("account"))
        skip, limit = int(request.query.get("skip", 0)), int(request.query.get("limit", 50))
        live = account.catalogue.live()
        items = [self.describe_item(account, account.catalogue.item(i)) for i in live[skip : skip + limit]]
        return json_response({"total": len(live), "items": items})

    def _change_content(self, request: Request) -> Response:
        """{account?, action: add|edit|delete|restore, …item fields} on `id`, or on `count` items from
        position `index`
        (0, the newest, by default), or on `all`."""
        fields = request.json()
        account = self.required_account(fields.pop("account", None))
        action = fields.pop("action")
        catalogue = account.catalogue
        if action == "add":
            count = int(fields.pop("count", 1))
            indexes = [catalogue.add(self.clock.now(), fields) for _ in range(count)]
        else:
            indexes = self._chosen(account, fields)
            for index in indexes:
                if action == "edit":
                    catalogue.edit(index, self.clock.now(), fields)
                elif action == "delete":
                    catalogue.delete(index)
                elif action == "restore":
                    catalogue.restore(index)
                else:
                    raise ValueError("action is add, edit, delete or restore")
        return json_response({"ids": [self.item_id(account, index) for index in indexes]})

    def _chosen(self, account: Account, fields: dict[str, Any]) -> list[int]:
        live = account.catalogue.live()
        if fields.pop("all", False):
            return list(live)
        if "id" in fields:
            return [self.item_index(account, str(fields.pop("id")))]
        start, count = int(fields.pop("index", 0)), int(fields.pop("count", 1))
        return list(live[start : start + count])

    def _list_grants(self, request: Request) -> Response:
        slug = request.query.get("account")
        return json_response([asdict(g) for g in self.oauth.grants if slug in (None, g.account)])

    def _make_grant(self, request: Request) -> Response:
        fields = request.json()
        account = self.required_user(fields.get("account"))
        return json_response(self.token_answer(account, tuple(fields.get("scopes") or self.default_scopes)), 201)

    def _revoke_grants(self, request: Request) -> Response:
        """`reason=password` for a changed password, which Meta tells apart."""
        account = self.required_user(request.query.get("account"))
        because = request.query.get("reason", "removed by its owner")
        return json_response({"revoked": self.oauth.revoke_account(account.slug, because)})

    def _prepare_decision(self, request: Request) -> Response:
        fields = request.json()
        dropped = tuple(fields.pop("drop_scopes", ()))
        self.decisions.append(Decision(drop_scopes=dropped, **fields))
        return json_response({"prepared": len(self.decisions)}, 201)

    def _change_policy(self, request: Request) -> Response:
        for name, value in request.json().items():
            if not hasattr(self.oauth.policy, name):
                raise ValueError(f"a policy has no {name}; it is {asdict(self.oauth.policy)}")
            setattr(self.oauth.policy, name, value)
        return json_response(asdict(self.oauth.policy))

    def _add_redirect(self, request: Request) -> Response:
        self.oauth.redirect_uris.add(str(request.json()["redirect_uri"]))
        return json_response({"redirect_uris": sorted(self.oauth.redirect_uris)}, 201)
