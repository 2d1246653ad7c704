"""`make deploy-db` hands the CLI a connection string without its password; with what else it cannot be run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from infra.push import PushError, push, without_password


@pytest.mark.parametrize(
    ("url", "address", "password"),
    [
        ("postgresql://postgres:secret@h:5432/postgres", "postgresql://postgres@h:5432/postgres", "secret"),
        ("postgres://postgres.ref:p%40ss%2Fw%3Ard@h/db?sslmode=require", "postgres://postgres.ref@h/db?sslmode=require",
         "p@ss/w:rd"),
        ("postgresql://postgres@h/db?password=secret&sslmode=disable", "postgresql://postgres@h/db?sslmode=disable",
         "secret"),
        ("postgresql://a%40b:x@[::1]:5432/db", "postgresql://a%40b@[::1]:5432/db", "x"),
        ("postgresql://h/db", "postgresql://h/db", ""),
    ],
)  # fmt: skip
def test_the_password_is_taken_out(url: str, address: str, password: str) -> None:
    assert without_password(url) == (address, password)


@pytest.mark.parametrize("url", ["host=h password=secret", "https://u:secret@h/", "postgresql://u:se#cret@h/db",
                                 "postgresql://u:sec/ret@h/db", "postgresql:///db"])  # fmt: skip
def test_what_is_no_connection_string_is_not_repeated(url: str) -> None:
    with pytest.raises(PushError) as refused:
        push({"DATABASE_URL": url})
    assert str(refused.value).startswith("DATABASE_URL is ")
    assert "secret" not in str(refused.value)


def test_each_missing_thing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PushError, match=r"^DATABASE_URL is missing: [^.]+\.$"):
        push({"PATH": str(tmp_path)})
    with pytest.raises(PushError, match=r"^make deploy-db needs Node"):
        push({"PATH": str(tmp_path), "DATABASE_URL": "postgresql://u:x@h/db"})


def test_no_argument_holds_the_password(tmp_path: Path) -> None:
    npx = tmp_path / "npx"
    seen = tmp_path / "seen.json"
    npx.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"json.dump([sys.argv[1:], dict(os.environ)], open({str(seen)!r}, 'w'))\nsys.exit(3)\n",
        encoding="utf-8",
    )
    npx.chmod(0o755)
    assert push({"PATH": str(tmp_path), "DATABASE_URL": "postgresql://postgres:s3cret@h:5432/postgres"}) == 3
    arguments, variables = json.loads(seen.read_text(encoding="utf-8"))
    assert arguments[-1] == "--remote=postgresql://postgres@h:5432/postgres"
    assert "s3cret" not in " ".join(arguments)
    assert variables.pop("PGPASSWORD") == "s3cret"
    assert "s3cret" not in json.dumps(variables)
