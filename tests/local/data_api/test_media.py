"""Media types, OPTIONS, CORS and the root, as documented under "Resource Representation" and its neighbours."""

import pytest

from tests.databases import Database
from tests.local.data_api.conftest import Ask, serving, settings_for

ONE = "application/vnd.pgrst.object+json"


@pytest.mark.parametrize(
    ("target", "accept", "content_type", "text"),
    [
        (
            "albums?select=id,title&id=lt.3",
            "text/csv",
            "text/csv; charset=utf-8",
            'id,title\n1,"Cool Nights"\n2,"Warm Days"',
        ),
        ("albums?select=id&id=gt.9", "text/csv", "text/csv; charset=utf-8", "\n"),
        ("rpc/pair", "text/csv", "text/csv; charset=utf-8", "left_one,right_one\n1,two"),
        ("albums?select=id,mood&id=eq.4", ONE, f"{ONE}; charset=utf-8", '{"id":4,"mood":null}'),
        (
            "albums?select=id,mood&id=eq.4",
            "application/vnd.pgrst.object",
            f"{ONE}; charset=utf-8",
            '{"id":4,"mood":null}',
        ),
        ("albums?select=id,mood&id=eq.4", f"{ONE};nulls=stripped", f"{ONE};nulls=stripped; charset=utf-8", '{"id":4}'),
        (
            "albums?select=id,mood&id=gt.3",
            "application/vnd.pgrst.array+json;nulls=stripped",
            "application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8",
            '[{"id":4}]',
        ),
        (
            "albums?select=id&id=eq.4",
            "application/vnd.pgrst.array+json",
            "application/json; charset=utf-8",
            '[{"id":4}]',
        ),
        ("albums?select=id&id=eq.4", "text/html, */*", "application/json; charset=utf-8", '[{"id":4}]'),
        ("albums?select=id&id=eq.4", "application/json;q=0.5, text/csv", "text/csv; charset=utf-8", "id\n4"),
        ("albums?select=id&id=eq.4", "Application/JSON", "application/json; charset=utf-8", '[{"id":4}]'),
        ("tags", "text/plain", "text/plain; charset=utf-8", "vinyl\nrare\nnew\n"),
        ("rpc/plain", "text/plain", "text/plain; charset=utf-8", "just text"),
        ("rpc/bytes", "application/octet-stream", "application/octet-stream", "hi"),
        ("rpc/numbers?n=1", ONE, f"{ONE}; charset=utf-8", "1"),
        (
            "rpc/pair",
            f"{ONE};nulls=stripped",
            f"{ONE};nulls=stripped; charset=utf-8",
            '{"left_one":1,"right_one":"two"}',
        ),
    ],
)
def test_media_types(ask: Ask, target: str, accept: str, content_type: str, text: str) -> None:
    answer = ask(f"GET /{target}", Accept=accept)
    assert (answer.status_code, answer.headers["Content-Type"], answer.text) == (200, content_type, text)


@pytest.mark.parametrize(
    ("target", "accept", "shown"),
    [
        ("albums", "text/html", "text/html"),
        ("albums", "text/html, image/png", "text/html, image/png"),
        ("albums", "text/plain", "text/plain"),
        ("tags?select=id", "text/plain", "text/plain"),
        ("albums", "application/vnd.pgrst.plan", 'application/vnd.pgrst.plan+text; for="application/json"'),
        ("rpc/pair", "application/octet-stream", "application/octet-stream"),
        ("albums", "Text/HTML; level=1;q=0.3", "Text/HTML;level=1"),
        ("albums", "", ""),
    ],
)
def test_media_types_that_cannot_be_made(ask: Ask, target: str, accept: str, shown: str) -> None:
    answer = ask(f"GET /{target}", Accept=accept)
    assert answer.status_code == 406
    assert answer.json() == {
        "code": "PGRST107",
        "details": None,
        "hint": None,
        "message": f"None of these media types are available: {shown}",
    }


def test_singular_answers(ask: Ask) -> None:
    for target, rows in [("albums", 4), ("albums?id=eq.9", 0), ("rpc/numbers?n=2", 2)]:
        answer = ask(f"GET /{target}", Accept=ONE)
        assert (answer.status_code, answer.json()["details"]) == (406, f"The result contains {rows} rows")


def test_query_plans_are_shown_where_allowed(ask_freely: Ask) -> None:
    for accept, shown in [
        ("application/vnd.pgrst.plan", 'application/vnd.pgrst.plan+text; for="application/json"; charset=utf-8'),
        (
            'application/vnd.pgrst.plan+json; for="text/csv"; options=analyze|verbose',
            'application/vnd.pgrst.plan+json; for="text/csv"; options=analyze|verbose; charset=utf-8',
        ),
    ]:
        answer = ask_freely("GET /albums?id=eq.1", Accept=accept)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, shown)
    assert answer.json()[0]["Plan"]["Node Type"]
    assert "Insert on" in ask_freely("POST /labels", json={"name": "x"}, Accept="application/vnd.pgrst.plan").text


@pytest.mark.parametrize(
    ("target", "methods"),
    [
        ("albums", "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE"),
        ("ledger", "OPTIONS,GET,HEAD,POST,PATCH,DELETE"),
        ("album_list", "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE"),
        ("readable", "OPTIONS,GET,HEAD"),
        ("album_counts", "OPTIONS,GET,HEAD"),
        ("rpc/pair", "OPTIONS,GET,HEAD,POST"),
        ("rpc/nothing", "OPTIONS,POST"),
        ("", "OPTIONS,GET,HEAD"),
    ],
)
def test_options(ask: Ask, target: str, methods: str) -> None:
    answer = ask(f"OPTIONS /{target}")
    assert (answer.status_code, answer.content, answer.headers["Allow"]) == (200, b"", methods)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_cors(ask: Ask, shop: Database) -> None:
    asked = {"Origin": "http://x.example", "Access_Control_Request_Method": "POST"}
    answer = ask("OPTIONS /albums", **asked, Access_Control_Request_Headers="Foo, Bar")
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD"
    assert (
        answer.headers["Access-Control-Allow-Headers"]
        == "Authorization, Foo, Bar, Accept, Accept-Language, Content-Language"
    )
    assert answer.headers["Access-Control-Max-Age"] == "86400"
    assert "Access-Control-Allow-Headers" not in ask("OPTIONS /albums", **asked).headers
    no_preflight = ask("OPTIONS /albums", **asked | {"Access_Control_Request_Method": "BREW"})
    assert [value for name, value in no_preflight.headers.multi_items() if "control" in name] == ["*"]
    simple = ask("GET /tags", Origin="http://x.example")
    assert simple.headers["Access-Control-Allow-Origin"] == "*"
    assert "Content-Range" in simple.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in ask("GET /tags").headers
    allowed = "http://a.example,http://b.example"
    with serving(settings_for(shop, SERVER_CORS_ALLOWED_ORIGINS=allowed)) as picky:
        known = picky("GET /tags", Origin="http://b.example")
        assert known.headers["Access-Control-Allow-Origin"] == "http://b.example"
        assert known.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Access-Control-Allow-Origin" not in picky("GET /tags", Origin="http://x.example").headers


def test_the_root_describes_what_may_be_used(ask: Ask, shop: Database) -> None:
    answer = ask("GET /", Accept="application/json")
    assert answer.headers["Content-Type"] == "application/openapi+json; charset=utf-8"
    document = answer.json()
    assert document["swagger"] == "2.0"
    assert set(document["paths"]["/albums"]) == {"get", "post", "patch", "delete"}
    assert set(document["paths"]["/readable"]) == {"get"}
    assert set(document["paths"]["/rpc/nothing"]) == {"post"}
    assert set(document["paths"]["/rpc/pair"]) == {"get", "post"}
    assert "parameters" not in document["paths"]["/rpc/pair"]["get"]
    assert document["paths"]["/rpc/pair"]["post"]["parameters"] == [
        {"name": "args", "required": True, "in": "body", "schema": {"type": "object"}},
        {"$ref": "#/parameters/preferParams"},
    ]
    assert "/gated" not in document["paths"]
    assert "/boxes" not in document["paths"]
    labels = document["definitions"]["labels"]
    assert labels["description"] == "Record labels"
    assert labels["required"] == ["id", "name"]
    assert labels["properties"]["id"]["format"] == "int32"
    assert labels["properties"]["name"]["description"] == "What it says on the sleeve"
    albums = document["definitions"]["albums"]["properties"]
    assert albums["mood"]["enum"] == ["calm", "loud"]
    assert albums["price"] == {"default": 9.99, "format": "numeric", "type": "number"}
    assert albums["artist_id"]["description"] == (
        "Note:\nThis is a Foreign Key to `artists.id`.<fk table='artists' column='id'/>"
    )
    assert document["parameters"]["rowFilter.labels.name"] == {
        "name": "name",
        "description": "What it says on the sleeve",
        "required": False,
        "in": "query",
        "type": "string",
    }
    assert ask("HEAD /").content == b""
    assert ask("GET /", Accept="text/csv").status_code == 406
    with serving(settings_for(shop, OPENAPI_MODE="ignore-privileges")) as open_mode:
        assert "/gated" in open_mode("GET /").json()["paths"]
    with serving(settings_for(shop, OPENAPI_MODE="disabled")) as closed:
        assert (closed("GET /").status_code, closed("GET /").json()["code"]) == (404, "PGRST126")
    proxy = {"OPENAPI_SERVER_PROXY_URI": "https://shop.example/api", "OPENAPI_SECURITY_ACTIVE": "true"}
    with serving(settings_for(shop, **proxy)) as proxied:
        document = proxied("GET /").json()
        assert (document["host"], document["basePath"], document["schemes"]) == ("shop.example:443", "/api", ["https"])
        assert document["security"] == [{"JWT": []}]
    with serving(settings_for(shop, DB_ROOT_SPEC="pair")) as own_root:
        assert own_root("GET /").json() == {"left_one": 1, "right_one": "two"}
