"""Inserting, updating, upserting and deleting, as documented under "Tables and Views" and "Prefer Header"."""

import re

import pytest

from infra.local.data_api.csv_rows import read_csv
from infra.local.data_api.errors import ApiError
from tests.local.data_api.conftest import Ask

FULL = "return=representation"


def test_an_insert_returns_what_was_asked_for(ask: Ask) -> None:
    label = {"id": 50, "name": "Moss"}
    silent = ask("POST /labels", json=label)
    assert (silent.status_code, silent.content, silent.headers["Content-Range"]) == (201, b"", "*/*")
    assert "Content-Type" not in silent.headers
    assert "Location" not in silent.headers
    minimal = ask("POST /labels", json=label, Prefer="return=minimal")
    assert (minimal.status_code, minimal.headers["Preference-Applied"]) == (201, "return=minimal")
    headers = ask("POST /labels", json=label, Prefer="return=headers-only")
    assert (headers.status_code, headers.headers["Location"], headers.content) == (201, "/labels?id=eq.50", b"")
    full = ask("POST /labels?select=name,id", json=label, Prefer=f"{FULL}, count=exact")
    assert (full.status_code, full.json()) == (201, [{"name": "Moss", "id": 50}])
    assert full.headers["Content-Range"] == "*/1"
    assert full.headers["Preference-Applied"] == f"{FULL}, count=exact"
    single = ask("POST /labels", json=label, Prefer=FULL, Accept="application/vnd.pgrst.object+json")
    assert single.json() == {"id": 50, "name": "Moss", "address": None}
    two_keys = ask("POST /tracks", json={"album_id": 4, "number": 7, "title": "x"}, Prefer="return=headers-only")
    assert two_keys.headers["Location"] == "/tracks?album_id=eq.4&number=eq.7"
    no_key = ask("POST /ledger", json={"entry": "x"}, Prefer="return=headers-only")
    assert (no_key.status_code, "Location" in no_key.headers) == (201, False)
    through_view = ask("POST /album_list", json={"title": "V", "artist_id": 1}, Prefer="return=headers-only")
    assert through_view.headers["Location"].startswith("/album_list?id=eq.")


def test_bulk_inserts(ask: Ask) -> None:
    rows = [{"id": 60, "name": "A"}, {"id": 61, "name": "B"}]
    assert ask("POST /labels?select=id", json=rows, Prefer=FULL).json() == [{"id": 60}, {"id": 61}]
    assert ask("POST /labels", json=[], Prefer=FULL).json() == []
    assert ask("POST /albums?select=title", json=[{"title": "x", "artist_id": 1}], Prefer=FULL).status_code == 201
    text = "id,name,address\n70,Tab,NULL\n71,\"Comma, Inc\",\"{\"\"a\"\": 1}\"\n"  # fmt: skip
    answer = ask("POST /labels?order=id", content=text, Content_Type="text/csv", Prefer=FULL)
    assert answer.json() == [
        {"id": 70, "name": "Tab", "address": None},
        {"id": 71, "name": "Comma, Inc", "address": '{"a": 1}'},
    ]
    form = ask(
        "POST /labels?select=name",
        content="name=a+b%26c&id=80",
        Content_Type="application/x-www-form-urlencoded",
        Prefer=FULL,
    )
    assert form.json() == [{"name": "a b&c"}]


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"a,b\n1,2\r\n3,4\r", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        (b"a,b\n1\n", [{"a": "1"}]),
        (b"a,b\n1,2,3", [{"a": "1", "b": "2"}]),
        (b'a\n\n""\n\xc3\xa4\n', [{"a": "ä"}]),
        (b'a,b\n"x ""y""\n,",', [{"a": 'x "y"\n,', "b": ""}]),
        (b"\n", []),
        (b"a", 'parse error (not enough input) at ""'),
        (b'a\n"x"y\n', r'parse error (Failed reading: satisfy) at "y\n"'),
        (b'a\nx"y', r'parse error (Failed reading: satisfy) at "\"y"'),
        (b'a\n"', 'parse error (Failed reading: trailing double quote) at ""'),
        (b'a\n""' + b"x" * 101, f"parse error (Failed reading: satisfy) at {'x' * 100} (truncated)"),
        (b"a\n\xff", 'parse error (Failed reading: conversion error: invalid UTF-8) at ""'),
    ],
)
def test_csv(body: bytes, answer: list[dict[str, str]] | str) -> None:
    if isinstance(answer, str):
        with pytest.raises(ApiError, match=f"^{re.escape(answer)}$"):
            read_csv(body)
    else:
        assert read_csv(body) == answer


@pytest.mark.parametrize(
    ("line", "content", "headers", "message"),
    [
        ("POST /labels", "{", {}, "Empty or invalid json"),
        ("POST /labels", "", {}, "Empty or invalid json"),
        ("POST /labels", '{"id": NaN}', {}, "Empty or invalid json"),
        ("POST /labels", '[{"id": 1}, {"name": "x"}]', {}, "All object keys must match"),
        ("POST /labels", '[{"id": 1}, 2]', {}, "All object keys must match"),
        ("POST /labels", "[1]", {}, "All object keys must match"),
        ("POST /labels", '\ufeff{"id": 1}', {}, "Empty or invalid json"),
        ("POST /labels", "id,name\n1,x\n2", {"Content_Type": "text/csv"}, "All lines must have same number of fields"),
        ("POST /labels", "id,name", {"Content_Type": "text/csv"}, 'parse error (not enough input) at ""'),
        ("POST /labels", "x", {"Content_Type": "text/html"}, "Content-Type not acceptable: text/html"),
        ("PATCH /labels?id=eq.1", "{", {}, "Empty or invalid json"),
    ],
)
def test_bodies_that_cannot_be(ask: Ask, line: str, content: str, headers: dict[str, str], message: str) -> None:
    answer = ask(line, content=content, **headers)
    assert answer.status_code == 400
    assert answer.json() == {"code": "PGRST102", "message": message, "details": None, "hint": None}


def test_columns_choose_what_is_inserted(ask: Ask) -> None:
    rows = [{"title": "A", "artist_id": 1, "price": 3, "x": 1}, {"title": "B", "artist_id": 1}]
    answer = ask("POST /albums?columns=title,artist_id,price&select=title,price", json=rows, Prefer=FULL)
    assert answer.json() == [{"title": "A", "price": 3.00}, {"title": "B", "price": None}]
    defaults = ask(
        "POST /albums?columns=title,artist_id,price&select=title,price", json=rows, Prefer=f"{FULL}, missing=default"
    )
    assert defaults.json() == [{"title": "A", "price": 3.00}, {"title": "B", "price": 9.99}]
    assert defaults.headers["Preference-Applied"] == f"missing=default, {FULL}"
    one = ask("POST /albums?columns=id,title,artist_id", json={"title": "C", "artist_id": 1}, Prefer="missing=default")
    assert one.status_code == 201
    unknown = ask("POST /labels?columns=nam", json={"name": "x"})
    assert unknown.status_code == 400
    assert unknown.json() == {
        "code": "PGRST204",
        "details": None,
        "hint": None,
        "message": "Could not find the 'nam' column of 'labels' in the schema cache",
    }
    patched = ask(
        "PATCH /albums?id=eq.1&columns=stock&select=stock,title", json={"stock": 5, "title": "x"}, Prefer=FULL
    )
    assert patched.json() == [{"stock": 5, "title": "Cool Nights"}]


def test_empty_objects_insert_defaults(ask: Ask) -> None:
    row = ask("POST /ledger", json={}, Prefer=FULL)
    assert (row.status_code, row.json()) == (201, [{"entry": None, "amount": None}])
    rows = ask("POST /ledger", json=[{}, {}], Prefer=FULL)
    assert len(rows.json()) == 2


def test_updates(ask: Ask) -> None:
    silent = ask("PATCH /albums?id=eq.1", json={"stock": 8})
    assert (silent.status_code, silent.content, silent.headers["Content-Range"]) == (204, b"", "0-0/*")
    counted = ask("PATCH /albums?id=gt.1", json={"stock": 8}, Prefer="count=exact")
    assert (counted.status_code, counted.headers["Content-Range"]) == (204, "0-2/3")
    none = ask("PATCH /albums?id=eq.99", json={"stock": 8}, Prefer=f"{FULL}, count=exact")
    assert (none.status_code, none.json(), none.headers["Content-Range"]) == (200, [], "*/0")
    empty = ask("PATCH /albums?id=eq.1", json={}, Prefer=FULL)
    assert (empty.status_code, empty.json(), empty.headers["Content-Range"]) == (200, [], "*/*")
    assert ask("PATCH /albums?id=eq.1", json={}).status_code == 204
    missing = ask("PATCH /albums?id=eq.1&columns=price&select=price", json={}, Prefer=f"{FULL}, missing=default")
    assert missing.json() == [{"price": 9.99}]
    trees = ask("PATCH /albums?or=(id.eq.1,id.eq.4)&select=id&order=id", json={"id": 1000}, Prefer=FULL)
    assert trees.status_code == 409
    moved = ask("PATCH /albums?or=(stock.eq.3,stock.eq.7)&select=id,stock&order=id", json={"stock": 0}, Prefer=FULL)
    assert moved.json() == [{"id": 1, "stock": 0}, {"id": 3, "stock": 0}]
    domain = ask("PATCH /sleeves?tint=eq.%230000ff", json={"tint": "#010203"}, Prefer=FULL)
    assert domain.json() == [{"id": 1, "tint": "#010203"}]


def test_deletes(ask: Ask) -> None:
    silent = ask("DELETE /tracks?album_id=eq.1")
    assert (silent.status_code, silent.content, silent.headers["Content-Range"]) == (204, b"", "*/*")
    full = ask("DELETE /tracks?album_id=eq.1&select=number&order=number.desc", Prefer=f"{FULL}, count=exact")
    assert (full.status_code, full.json()) == (200, [{"number": 2}, {"number": 1}])
    assert full.headers["Content-Range"] == "*/2"
    referenced = ask("DELETE /labels?id=eq.1")
    assert (referenced.status_code, referenced.json()["code"]) == (409, "23503")


def test_upserts(ask: Ask) -> None:
    merge, ignore = "resolution=merge-duplicates", "resolution=ignore-duplicates"
    both = [{"id": 1, "name": "Z"}, {"id": 99, "name": "Q"}]
    mixed = ask("POST /labels?select=id,name&order=id", json=both, Prefer=f"{FULL}, {merge}")
    assert (mixed.status_code, mixed.json()) == (201, both)
    assert mixed.headers["Preference-Applied"] == f"{merge}, {FULL}"
    merged = ask("POST /labels?select=id,name", json=both[:1], Prefer=f"{FULL}, {merge}")
    assert (merged.status_code, merged.json()) == (200, both[:1])
    skipped = ask("POST /labels?select=id", json=both, Prefer=f"{FULL}, {ignore}")
    assert (skipped.status_code, skipped.json()) == (201, [{"id": 99}])
    by_name = ask(
        "POST /labels?on_conflict=name&select=id", json={"name": "Dust", "address": {}}, Prefer=f"{FULL}, {merge}"
    )
    assert (by_name.status_code, by_name.json()) == (200, [{"id": 3}])
    keyless = ask("POST /ledger", json={"entry": "x"}, Prefer=merge)
    assert (keyless.status_code, "Preference-Applied" in keyless.headers) == (201, False)
    no_such = ask("POST /labels?on_conflict=address", json={"name": "x"}, Prefer=merge)
    assert (no_such.status_code, no_such.json()["code"]) == (400, "42P10")
    conflict = ask("POST /labels", json=both)
    assert conflict.status_code == 409
    assert conflict.json() == {
        "code": "23505",
        "details": "Key (id)=(1) already exists.",
        "hint": None,
        "message": 'duplicate key value violates unique constraint "labels_pkey"',
    }


def test_put(ask: Ask) -> None:
    created = ask("PUT /labels?id=eq.77&select=id", json={"id": 77, "name": "Z"}, Prefer=FULL)
    assert (created.status_code, created.json()) == (201, [{"id": 77}])
    replaced = ask("PUT /labels?id=eq.1&select=name", json={"id": 1, "name": "Z"}, Prefer=FULL)
    assert (replaced.status_code, replaced.json()) == (200, [{"name": "Z"}])
    silent = ask("PUT /labels?id=eq.1", json={"id": 1, "name": "Z"})
    assert (silent.status_code, silent.content) == (204, b"")
    two_keys = ask("PUT /tracks?album_id=eq.1&number=eq.1", json={"album_id": 1, "number": 1, "title": "x"})
    assert two_keys.status_code == 204
    for line, body, status, code in [
        ("PUT /labels?id=eq.1", {"id": 2, "name": "Z"}, 400, "PGRST115"),
        ("PUT /labels?id=eq.1", [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}], 204, None),
        ("PUT /labels", {"id": 1, "name": "Z"}, 405, "PGRST105"),
        ("PUT /labels?id=gt.1", {"id": 2, "name": "Z"}, 405, "PGRST105"),
        ("PUT /labels?id=not.eq.1", {"id": 2, "name": "Z"}, 405, "PGRST105"),
        ("PUT /labels?id=eq.1&name=eq.Z", {"id": 1, "name": "Z"}, 405, "PGRST105"),
        ("PUT /labels?id=eq.1&or=(id.eq.1)", {"id": 1, "name": "Z"}, 405, "PGRST105"),
        ("PUT /tracks?album_id=eq.1", {"album_id": 1, "number": 1, "title": "x"}, 405, "PGRST105"),
        ("PUT /ledger?entry=eq.x", {"entry": "x"}, 405, "PGRST105"),
        ("PUT /labels?id=eq.1&limit=1", {"id": 1, "name": "Z"}, 400, "PGRST114"),
    ]:
        answer = ask(line, json=body)
        assert (answer.status_code, answer.json()["code"] if answer.content else None) == (status, code), line


def test_max_affected(ask: Ask) -> None:
    strict = "handling=strict, max-affected=1"
    refused = ask("PATCH /albums?stock=gt.0", json={"stock": 8}, Prefer=strict)
    assert refused.status_code == 400
    assert refused.json() == {
        "code": "PGRST124",
        "details": "The query affects 3 rows",
        "hint": None,
        "message": "Query result exceeds max-affected preference constraint",
    }
    assert ask("DELETE /tracks?album_id=eq.1", Prefer=strict).status_code == 400
    allowed = ask("DELETE /tracks?album_id=eq.2", Prefer=strict)
    assert (allowed.status_code, allowed.headers["Preference-Applied"]) == (204, strict)
    assert ask("PATCH /albums?stock=gt.0", json={"stock": 8}, Prefer="max-affected=1").status_code == 204
    single = ask("POST /rpc/add_them", json={"a": 1}, Prefer=strict)
    assert (single.status_code, single.json()["code"]) == (400, "PGRST128")
    assert ask("POST /rpc/numbers", json={"n": 2}, Prefer=strict).json()["code"] == "PGRST124"


def test_preferences_that_are_not_known(ask: Ask) -> None:
    refused = ask("POST /labels", json={"name": "N"}, Prefer="handling=strict, foo, timezone=Nowhere, tx=commit")
    assert refused.status_code == 400
    assert refused.json() == {
        "code": "PGRST122",
        "details": "Invalid preferences: foo, timezone=Nowhere",
        "hint": None,
        "message": "Invalid preferences given with handling=strict",
    }
    assert ask("GET /labels", Prefer="handling=strict, foo").json()["code"] == "PGRST122"
    lenient = ask("GET /labels", Prefer="handling=lenient, foo, timezone=Nowhere")
    assert (lenient.status_code, lenient.headers["Preference-Applied"]) == (200, "handling=lenient")
    assert "Preference-Applied" not in ask("GET /labels", Prefer="foo").headers


def test_singular_answers_undo_what_they_refuse(ask: Ask) -> None:
    one = "application/vnd.pgrst.object+json"
    committed = "tx=commit"
    refused = ask("PATCH /albums?stock=gt.0", json={"stock": 55}, Prefer=f"{FULL}, {committed}", Accept=one)
    assert refused.status_code == 406
    assert refused.json() == {
        "code": "PGRST116",
        "details": "The result contains 3 rows",
        "hint": None,
        "message": "Cannot coerce the result to a single JSON object",
    }
    assert ask("GET /albums?select=id&stock=eq.55").json() == []
    assert ask("POST /labels", json=[{"name": "x"}, {"name": "y"}], Prefer=committed, Accept=one).status_code == 406
    assert ask("GET /labels?name=eq.x").json() == []


def test_transactions_end_as_asked(ask: Ask) -> None:
    ask("POST /ledger", json={"entry": "kept"}, Prefer="tx=commit")
    ask("POST /ledger", json={"entry": "lost"})
    ask("POST /ledger", json={"entry": "lost"}, Prefer="tx=rollback")
    assert ask("GET /ledger?select=entry&entry=in.(kept,lost)").json() == [{"entry": "kept"}]
    answer = ask("DELETE /ledger?entry=eq.kept", Prefer="tx=commit")
    assert answer.headers["Preference-Applied"] == "tx=commit"


@pytest.mark.parametrize("prefer", ["tx=commit", "tx=rollback"])
def test_deferred_constraints_show_in_the_answer(ask: Ask, prefer: str) -> None:
    answer = ask("POST /deferred_codes", json=[{"code": 1}, {"code": 1}], Prefer=prefer)
    assert (answer.status_code, answer.json()["code"]) == (409, "23505")
    assert ask("GET /deferred_codes").json() == []


def test_the_same_row_twice_in_a_table_with_every_kind_of_name(ask: Ask) -> None:
    row = {"a,b": 5, "dot.ted": "x", "per%cent": "y", "(x)": "z"}
    assert ask("POST /Odd%20Name", json=row, Prefer=FULL).json() == [row]
    assert ask('PATCH /Odd%20Name?"a,b"=eq.1', json={"(x)": "q"}, Prefer=FULL).json()[0]["(x)"] == "q"
