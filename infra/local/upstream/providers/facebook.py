"""Facebook's graph: people's Pages, and a Page's posts, videos, reels and insights.

https://developers.facebook.com/docs/graph-api/reference (v26.0)

Posts come by every edge but reels, which only /video_reels has. Reading a Page takes its own token.
"""

from __future__ import annotations

from infra.local.upstream.accounts import Account
from infra.local.upstream.identifiers import parse_meta_id
from infra.local.upstream.items import Item, Mix
from infra.local.upstream.messages import Request, Response, json_response
from infra.local.upstream.oauth import Token
from infra.local.upstream.providers import facebook_shapes as shapes
from infra.local.upstream.providers.facebook_login import GRAPH, FacebookLogin
from infra.local.upstream.providers.graph import (
    Resource,
    gone,
    page_of,
    page_of_list,
    parse_fields,
    refuse,
    select,
    split_version,
)

LIST, READ, READ_INSIGHTS = "pages_show_list", "pages_read_engagement", "read_insights"
POST_EDGES, VIDEO_EDGES = ("published_posts", "posts", "feed"), {"videos": "video", "video_reels": "reel"}
POST_METRICS = frozenset(
    {"post_media_view", "post_total_media_view_unique", "post_clicks", "post_video_views"},
)


class Facebook(FacebookLogin):
    name = "facebook"
    mix = Mix(
        kinds={"post": 25, "image": 30, "carousel": 12, "video": 15, "reel": 10, "link": 8},
        unlisted=0,
        private=0.06,
        hidden_likes=0,
        hidden_comments=0,
    )
    default_scopes = (LIST, READ, READ_INSIGHTS)
    optional_scopes = (READ, READ_INSIGHTS, "pages_read_user_content", "business_management")
    buc_type, buc_code = "pages", 80001

    def item_id(self, account: Account, index: int) -> str:
        return shapes.post_id(account, index)

    def item_index(self, account: Account, item_id: str) -> int:
        """Of a post's id, or of a video's."""
        prefix = shapes.POST_PREFIX if "_" in item_id else shapes.VIDEO_PREFIX
        place = parse_meta_id(prefix, item_id.rpartition("_")[2])
        if place is None or place[0] != account.number:
            raise KeyError(f"{account.slug} has no post {item_id}")
        return place[1]

    def not_found(self, request: Request) -> Response:
        if request.host == GRAPH:
            return refuse(100, f"Unsupported {request.method.lower()} request.", subcode=33).response
        return super().not_found(request)

    def graph(self, request: Request, path: str) -> Response:
        _, segments = split_version(path)
        match segments:
            case ["oauth", "access_token"]:
                return self.access_token(request)
            case ["debug_token"]:
                return self.inspect(request)
        params = {**request.query, **request.form()}
        token = self.find_token(request.bearer() or params.get("access_token", ""))
        self.check_proof(token, params.get("appsecret_proof"))
        if token.kind == "page":
            page = self.required_account(token.subject)
            return self.meter(shapes.page_id(page), self._as_page(request, segments, page, token))
        person = self.required_user(token.grant.account)
        return self.meter(shapes.person_id(person), self._as_person(request, segments, person, token))

    # With a person's token.

    def _as_person(self, request: Request, segments: list[str], person: Account, token: Token) -> Response:
        node, *rest = segments or [""]
        if node not in ("me", shapes.person_id(person)):
            owner = node.partition("_")[0]
            if owner in (shapes.page_id(page) for page in self.managed_pages(person)):
                raise refuse(190, "(#190) This method must be called with a Page Access Token", subcode=2069032)
            raise gone(node)
        match request.method, rest:
            case "GET", []:
                known: Resource = {"id": shapes.person_id(person), "name": person.name, "email": person.email}
                return json_response(select(known, parse_fields(request.query.get("fields", "id,name")), "User"))
            case "GET", ["accounts"]:
                return self._accounts(request, person, token)
            case "GET", ["permissions"]:
                return self.permissions(token)
            case "DELETE", ["permissions", *names]:
                return self.drop_permissions(token, names)
            case _:
                return self.not_found(request)

    def _accounts(self, request: Request, person: Account, token: Token) -> Response:
        """The Pages that a person manages, each with its token; none without pages_show_list."""
        asked = parse_fields(request.query.get("fields", "access_token,category,category_list,name,id,tasks"))
        managed = self.managed_pages(person) if LIST in token.grant.scopes else []
        rows = [
            select({**shapes.page(page), "access_token": self.page_token(token, page).value}, asked, "Page")
            for page in managed
        ]
        return json_response(page_of_list(request, rows))

    # With a Page's token.

    def _as_page(self, request: Request, segments: list[str], page: Account, token: Token) -> Response:
        if request.method != "GET":
            raise refuse(200, "(#200) Permissions error", status=403)
        own = ("me", shapes.page_id(page))
        match segments:
            case []:
                ids = [text for text in request.query.get("ids", "").split(",") if text]
                return json_response({text: self._object(request, page, token, text) for text in ids})
            case [node] if node in own:
                known = {**shapes.page(page), "access_token": token.value}
                return json_response(select(known, parse_fields(request.query.get("fields", "id,name")), "Page"))
            case [node, edge] if node in own and edge in POST_EDGES:
                return self._posts(request, page, token, edge)
            case [node, edge] if node in own and edge in VIDEO_EDGES:
                return self._videos(request, page, token, VIDEO_EDGES[edge])
            case [node, "insights"]:
                return self._insights(request, page, token, node)
            case [node]:
                return json_response(self._object(request, page, token, node))
            case _:
                raise refuse(2500, f"Unknown path components: /{'/'.join(segments)}")

    def _posts(self, request: Request, page: Account, token: Token, edge: str) -> Response:
        """/feed shows unpublished posts too; no edge shows reels."""
        self._need(token, READ)
        indexes = page.catalogue.select(
            edge, lambda item: item.kind != "reel" and (edge == "feed" or item.privacy == "public")
        )
        return self._edge(request, page, indexes, "id,message,created_time", "Post")

    def _videos(self, request: Request, page: Account, token: Token, kind: str) -> Response:
        self._need(token, READ)
        indexes = page.catalogue.select(kind, lambda item: item.kind == kind and item.privacy == "public")
        return self._edge(request, page, indexes, "id,description,updated_time", "Video")

    def _edge(self, request: Request, page: Account, indexes: list[int], default: str, node: str) -> Response:
        chosen, paging = page_of(request, page.catalogue, indexes)
        asked = parse_fields(request.query.get("fields", default))
        data = [select(self._render(page, page.catalogue.item(index), node), asked, node) for index in chosen]
        return json_response({"data": data, **({"paging": paging} if paging else {})})

    def _object(self, request: Request, page: Account, token: Token, node: str) -> Resource:
        self._need(token, READ)
        kind = "Post" if "_" in node else "Video"
        asked = parse_fields(request.query.get("fields", "id"))
        return select(self._render(page, self._find(page, node), kind), asked, kind)

    def _insights(self, request: Request, page: Account, token: Token, node: str) -> Response:
        self._need(token, READ_INSIGHTS)
        item = self._find(page, node)
        wanted = [name for name in request.query.get("metric", "").split(",") if name]
        if not wanted or set(wanted) - POST_METRICS:
            raise refuse(100, "(#100) The value must be a valid insights metric")
        shown = wanted if item.views is not None else []
        return json_response({"data": [shapes.insight(node, item, name) for name in shown]})

    # What they stand on.

    def _render(self, page: Account, item: Item, node: str) -> Resource:
        render = shapes.post if node == "Post" else shapes.video
        return render(page, item, self.clock.now())

    def _need(self, token: Token, scope: str) -> None:
        if scope not in token.grant.scopes:
            feature = "or the 'Page Public Content Access' feature"
            raise refuse(10, f"(#10) This endpoint requires the '{scope}' permission {feature}.", status=403)

    def _find(self, page: Account, node: str) -> Item:
        try:
            item = page.catalogue.item(self.item_index(page, node))
        except KeyError:
            raise gone(node) from None
        if "_" in node and not node.startswith(f"{shapes.page_id(page)}_"):
            raise gone(node)
        return item
