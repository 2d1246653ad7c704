"""Calling functions, as documented under "Functions as RPC"."""

import pytest

from tests.local.data_api.conftest import Ask


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("add_them?a=1", 11),
        ("add_them?a=1&b=5", 6),
        ("pair", {"left_one": 1, "right_one": "two"}),
        ("pair?select=right_one", {"right_one": "two"}),
        ("listing?minimum=3&select=title", [{"title": "Cool Nights"}, {"title": "Louder"}]),
        ("listing?id=gt.2&order=title.desc&limit=1", [{"id": 4, "title": "Quiet 100%"}]),
        ("albums_by?artist=2&select=title", [{"title": "Louder"}]),
        ("albums_by?artist=1&select=id&stock=gt.0", [{"id": 1}]),
        ("albums_by?artist=1&select=id&or=(stock.eq.0,id.eq.9)", [{"id": 2}]),
        ("one_album?album=3&select=title", {"title": "Louder"}),
        ("numbers?n=3", [1, 2, 3]),
        ("numbers?n=3&limit=1&offset=1", [2]),
        ("joined?words=a&words=b", "a+b"),
        ("joined?words=a", "a"),
        ("total_of?amounts={1,2}", 3),
        ("over_loaded", "none"),
        ("over_loaded?a=1", "a"),
        ("over_loaded?a=1&b=x", "ab"),
        ("greet?name=eq", "hi eq"),
        ("greet?name=no.5", "hi no.5"),
        ("greet?name=", "hi "),
        ("plain", "just text"),
        ("settled", "5s"),
    ],
)
def test_get(ask: Ask, target: str, value: object) -> None:
    answer = ask(f"GET /rpc/{target}")
    assert (answer.status_code, answer.json()) == (200, value)
    head = ask(f"HEAD /rpc/{target}")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    ("target", "body", "value"),
    [
        ("add_them", {"a": 2}, 12),
        ("add_them", {"a": 2, "b": 1}, 3),
        ("add_them?columns=a", {"a": 2, "b": 1}, 12),
        ("pair", {}, {"left_one": 1, "right_one": "two"}),
        ("listing?id=lt.2", {"minimum": 1}, [{"id": 1, "title": "Cool Nights"}]),
        ("joined", {"words": ["a", "b"]}, "a+b"),
        ("total_of", {"amounts": [1, 2]}, 3),
        ("whole", {"x": 1}, {"x": 1}),
        ("whole", [{"x": 1}, {"x": 2}], [{"x": 1}, {"x": 2}]),
        ("restock", {"album": 1, "extra": 1}, 4),
        ("over_loaded", {"a": 1, "b": "x"}, "ab"),
        ("one_album", {"album": 99}, None),
    ],
)
def test_post(ask: Ask, target: str, body: object, value: object) -> None:
    answer = ask(f"POST /rpc/{target}", json=body)
    assert answer.status_code == 200
    if value is None:
        assert set(answer.json().values()) == {None}
    else:
        assert answer.json() == value


def test_whole_bodies(ask: Ask) -> None:
    assert ask("POST /rpc/whole_text", content="abc", Content_Type="text/plain").json() == "got abc"
    assert ask("POST /rpc/whole_bytes", content=b"\0\1", Content_Type="application/octet-stream").json() == 2
    assert ask("POST /rpc/pair").json() == {"left_one": 1, "right_one": "two"}
    form = ask("POST /rpc/greet", content="name=B+o", Content_Type="application/x-www-form-urlencoded")
    assert form.json() == "hi B o"
    assert ask("POST /rpc/whole_text", content="x", Content_Type="text/html").json()["code"] == "PGRST102"


def test_nothing_comes_back_from_void(ask: Ask) -> None:
    for line in ("GET /rpc/nothing", "POST /rpc/nothing"):
        answer = ask(line)
        assert (answer.status_code, answer.content, "Content-Type" in answer.headers) == (204, b"", False)
    assert (ask("POST /rpc/no_rows").status_code, ask("POST /rpc/no_rows").json()) == (200, [])


def test_counts(ask: Ask) -> None:
    answer = ask("GET /rpc/listing?limit=2", Prefer="count=exact")
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, "0-1/4")
    assert ask("GET /rpc/numbers?n=3").headers["Content-Range"] == "0-2/*"
    assert ask("GET /rpc/add_them?a=1", Prefer="count=exact").headers["Content-Range"] == "0-0/1"


def test_reading_calls_cannot_write(ask: Ask) -> None:
    answer = ask("GET /rpc/restock?album=1&extra=1")
    assert answer.status_code == 405
    assert answer.json()["code"] == "25006"
    assert ask("PUT /rpc/pair").json() == {
        "code": "PGRST101",
        "details": None,
        "hint": None,
        "message": "Cannot use the PUT method on RPC",
    }


@pytest.mark.parametrize(
    ("line", "body", "message", "details", "hint"),
    [
        (
            "GET /rpc/add_then?a=2",
            None,
            "Could not find the function shop.add_then(a) in the schema cache",
            "Searched for the function shop.add_then with parameter a, but no matches were found in the schema cache.",
            "Perhaps you meant to call the function shop.add_them",
        ),
        (
            "GET /rpc/add_them?a=2&c=3",
            None,
            "Could not find the function shop.add_them(a, c) in the schema cache",
            (
                "Searched for the function shop.add_them with parameters a, c,"
                " but no matches were found in the schema cache."
            ),
            "Perhaps you meant to call the function shop.add_them(a, b)",
        ),
        (
            "GET /rpc/add_them",
            None,
            "Could not find the function shop.add_them without parameters in the schema cache",
            (
                "Searched for the function shop.add_them without parameters,"
                " but no matches were found in the schema cache."
            ),
            None,
        ),
        (
            "POST /rpc/nowhere_to_be_seen",
            {"x": 1},
            "Could not find the function shop.nowhere_to_be_seen(x) in the schema cache",
            (
                "Searched for the function shop.nowhere_to_be_seen with parameter x or with a single unnamed"
                " json/jsonb parameter, but no matches were found in the schema cache."
            ),
            None,
        ),
    ],
)
def test_functions_that_are_not_there(
    ask: Ask, line: str, body: object, message: str, details: str, hint: str | None
) -> None:
    answer = ask(line, json=body)
    assert answer.status_code == 404
    assert answer.json() == {"code": "PGRST202", "message": message, "details": details, "hint": hint}


def test_a_raw_body_needs_a_function_for_it(ask: Ask) -> None:
    answer = ask("POST /rpc/pair", content="x", Content_Type="text/plain")
    assert answer.status_code == 404
    assert answer.json() == {
        "code": "PGRST202",
        "message": "Could not find the function shop.pair in the schema cache",
        "details": "Searched for the function shop.pair with a single unnamed text parameter,"
        " but no matches were found in the schema cache.",
        "hint": None,
    }
    # A parameter with a name does not take the whole body.
    assert ask("POST /rpc/greet", content="x", Content_Type="text/plain").status_code == 404


def test_ambiguous_overloads(ask: Ask) -> None:
    answer = ask("GET /rpc/twins?a=1")
    assert answer.status_code == 300
    assert answer.json() == {
        "code": "PGRST203",
        "details": None,
        "hint": "Try renaming the parameters or the function itself in the database"
        " so function overloading can be resolved",
        "message": "Could not choose the best candidate function between:"
        " shop.twins(a => integer), shop.twins(a => text)",
    }


def test_functions_see_the_request(ask: Ask) -> None:
    seen = ask("GET /rpc/who", X_Thing="one", Cookie="snack=pie; other=x", Prefer="timezone=Europe/Oslo")
    assert seen.headers["Preference-Applied"] == "timezone=Europe/Oslo"
    assert seen.json() == {
        "role": "anon",
        "claims": {"role": "anon"},
        "method": "GET",
        "path": "/rpc/who",
        "agent": "one",
        "cookie": "pie",
        "zone": "Europe/Oslo",
    }


def test_functions_set_headers_and_status(ask: Ask) -> None:
    answer = ask("POST /rpc/set_headers")
    assert (answer.status_code, answer.json()) == (202, {"ok": True})
    assert (answer.headers["X-One"], answer.headers["Cache-Control"]) == ("1", "no-store")
    for value, code in [("oops", "PGRST111"), ("{}", "PGRST111"), ('[{"a": 1}]', "PGRST111")]:
        wrong = ask("POST /rpc/set_any", json={"name": "response.headers", "value": value})
        assert (wrong.status_code, wrong.json()["code"]) == (500, code)
    wrong = ask("POST /rpc/set_any", json={"name": "response.status", "value": "fine"})
    assert (wrong.status_code, wrong.json()["code"]) == (500, "PGRST112")
    split = ask("POST /rpc/set_any", json={"name": "response.headers", "value": '[{"X-A": "1\\r\\nX-B: 2"}]'})
    assert "X-B" not in split.headers
