"""Error bodies, statuses and headers, as documented under "Errors"."""

import pytest

from tests.local.data_api.conftest import Ask, bearer


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("P0001", 400),
        ("P0002", 500),
        ("PT404", 404),
        ("PT499", 499),
        ("PTXYZ", 500),
        ("23505", 409),
        ("23503", 409),
        ("23514", 400),
        ("22023", 400),
        ("25006", 405),
        ("25001", 500),
        ("28000", 403),
        ("2D000", 500),
        ("38000", 500),
        ("40001", 500),
        ("42883", 404),
        ("42P01", 404),
        ("42P17", 500),
        ("42501", 401),
        ("53300", 503),
        ("53400", 500),
        ("54001", 500),
        ("55000", 500),
        ("57014", 500),
        ("57P01", 503),
        ("58000", 500),
        ("08000", 503),
        ("0L000", 403),
        ("0P000", 403),
        ("F0000", 500),
        ("HV000", 500),
        ("XX000", 500),
        ("21000", 500),
        ("12345", 400),
    ],
)
def test_sqlstates_become_statuses(ask: Ask, state: str, status: int) -> None:
    answer = ask("POST /rpc/fail_with", json={"state": state, "words": "oh"})
    assert answer.status_code == status
    assert answer.json() == {"code": state, "message": "oh", "details": "why", "hint": "how"}
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Proxy-Status"] == f"PostgREST; error={state}"
    assert answer.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_a_missing_where_clause_is_the_clients_fault(ask: Ask) -> None:
    answer = ask("POST /rpc/fail_with", json={"state": "21000", "words": "UPDATE requires a WHERE clause"})
    assert answer.status_code == 400


def test_the_database_may_choose_everything(ask: Ask) -> None:
    answer = ask("POST /rpc/fail_fully")
    assert answer.status_code == 418
    assert answer.headers["X-Pot"] == "short"
    assert answer.json() == {"code": "X9", "message": "tea", "details": "d", "hint": "h"}
    for words, reason in [
        ("tea", "Invalid JSON value for MESSAGE: 'tea'"),
        ('{"code": "x", "message": "y"}', "Invalid JSON value for DETAIL: 'why'"),
    ]:
        wrong = ask("POST /rpc/fail_with", json={"state": "PGRST", "words": words})
        assert wrong.status_code == 500
        assert wrong.json()["code"] == "PGRST121"
        assert wrong.json()["details"] == reason
        assert wrong.json()["message"] == "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error"


@pytest.mark.parametrize(
    ("line", "status", "body"),
    [
        (
            "GET /album",
            404,
            {
                "code": "PGRST205",
                "message": "Could not find the table 'shop.album' in the schema cache",
                "details": None,
                "hint": "Perhaps you meant the table 'shop.albums'",
            },
        ),
        (
            "GET /unlike_any",
            404,
            {
                "code": "PGRST205",
                "message": "Could not find the table 'shop.unlike_any' in the schema cache",
                "details": None,
                "hint": None,
            },
        ),
        (
            "GET /a/b",
            404,
            {"code": "PGRST125", "message": "Invalid path specified in request URL", "details": None, "hint": None},
        ),
        (
            "GET /albums/",
            404,
            {"code": "PGRST125", "message": "Invalid path specified in request URL", "details": None, "hint": None},
        ),
        (
            "TRACE /albums",
            405,
            {"code": "PGRST117", "message": "Unsupported HTTP method: TRACE", "details": None, "hint": None},
        ),
        (
            "BREW /albums",
            405,
            {"code": "PGRST117", "message": "Unsupported HTTP method: BREW", "details": None, "hint": None},
        ),
        (
            "BREW /rpc/pair",
            405,
            {"code": "PGRST101", "message": "Cannot use the BREW method on RPC", "details": None, "hint": None},
        ),
        (
            "POST /",
            405,
            {"code": "PGRST117", "message": "Unsupported HTTP method: POST", "details": None, "hint": None},
        ),
        (
            "GET /albums?select=nope",
            400,
            {"code": "42703", "message": "column albums.nope does not exist", "details": None, "hint": None},
        ),
        (
            "GET /albums?id=eq.x",
            400,
            {
                "code": "22P02",
                "message": 'invalid input syntax for type integer: "x"',
                "details": None,
                "hint": None,
            },
        ),
        (
            "GET /albums?select=id::nosuch",
            400,
            {"code": "42704", "message": 'type "nosuch" does not exist', "details": None, "hint": None},
        ),
        (
            "GET /gated",
            401,
            {"code": "42501", "message": "permission denied for table gated", "details": None, "hint": None},
        ),
    ],
)
def test_requests_that_cannot_be(ask: Ask, line: str, status: int, body: dict[str, object]) -> None:
    answer = ask(line)
    assert (answer.status_code, answer.json()) == (status, body)


@pytest.mark.parametrize(
    ("query", "message", "details"),
    [
        (
            "id=x.1",
            '"failed to parse filter (x.1)" (line 1, column 1)',
            'unexpected "x" expecting "not" or operator (eq, gt, ...)',
        ),
        (
            "id=is.nope",
            '"failed to parse filter (is.nope)" (line 1, column 6)',
            'unexpected "p" expecting isVal: (null, not_null, true, false, unknown)',
        ),
        (
            "id=in.1,2",
            '"failed to parse filter (in.1,2)" (line 1, column 4)',
            'unexpected "1" expecting "("',
        ),
        (
            "select=id,",
            '"failed to parse select parameter (id,)" (line 1, column 4)',
            'unexpected end of input expecting "...", field name (* or [a..z0..9_$]), "*" or "count()"',
        ),
        (
            "order=id.ac",
            '"failed to parse order (id.ac)" (line 1, column 4)',
            'unexpected "c" expecting "asc", "desc", "nullsfirst" or "nullslast"',
        ),
        (
            "or=()",
            '"failed to parse logic tree (())" (line 1, column 4)',
            (
                'unexpected ")" expecting field name (* or [a..z0..9_$]), negation operator (not)'
                " or logic operator (and, or)"
            ),
        ),
        (
            "select=id!x",
            '"failed to parse select parameter (id!x)" (line 1, column 3)',
            'unexpected \'!\' expecting letter, digit, "-", "->>", "->", "::", ".", ")", "," or end of input',
        ),
    ],
)
def test_query_strings_that_cannot_be(ask: Ask, query: str, message: str, details: str) -> None:
    answer = ask(f"GET /albums?{query}")
    assert answer.status_code == 400
    assert answer.json() == {"code": "PGRST100", "message": message, "details": details, "hint": None}


def test_head_tells_how_long_the_error_would_be(ask: Ask) -> None:
    answer = ask("HEAD /album")
    assert (answer.status_code, answer.content) == (404, b"")
    assert answer.headers["Content-Length"] == ask("GET /album").headers["Content-Length"]


def test_a_privilege_is_missing_otherwise_for_who_signed_in(ask: Ask) -> None:
    answer = ask("POST /ledger", json={"entry": "x"}, Authorization=bearer(role="authenticated"))
    assert (answer.status_code, answer.json()["code"]) == (403, "42501")
    assert "WWW-Authenticate" not in answer.headers


def test_nul_is_refused_as_postgres_refuses_it(ask: Ask) -> None:
    answer = ask("GET /albums?title=eq.%00")
    assert (answer.status_code, answer.json()["code"]) == (400, "22021")
