"""A Supabase that is there already: taken from the environment, refused where people have accounts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infra.local.hosted import VARIABLES, HostedProject
from infra.local.problems import StackError
from tests.databases import Database, DatabaseFactory

GIVEN = {
    "SUPABASE_URL": "https://ref.supabase.co/",
    "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
    "SUPABASE_SECRET_KEY": "sb_secret_x",
    "DATABASE_URL": "postgresql://postgres:secret-password@127.0.0.1:1/postgres",
}


def project(database: Database) -> HostedProject:
    made = HostedProject.from_environment({**GIVEN, "DATABASE_URL": database.dsn("postgres")})
    assert made is not None
    return made


def test_all_four_variables_make_one() -> None:
    made = HostedProject.from_environment(GIVEN)
    assert made is not None
    assert made.settings()["SUPABASE_JWKS_URL"] == "https://ref.supabase.co/auth/v1/.well-known/jwks.json"
    assert "SUPABASE_JWT_SECRET" not in made.settings()
    assert "sb_secret_x" not in repr(made)
    assert "secret-password" not in repr(made)


@pytest.mark.parametrize("name", VARIABLES)
def test_fewer_make_none(name: str) -> None:
    assert HostedProject.from_environment({**GIVEN, name: ""}) is None


def test_it_is_used_where_only_tests_have_accounts(new_database: Callable[[], Database]) -> None:
    database = new_database()
    database.create_user("somebody@example.com")
    project(database).start()
    database.create_user("somebody@else.example")
    with pytest.raises(StackError, match=r"^1 people have accounts at"):
        project(database).start()


def test_it_needs_the_tables_first(databases: DatabaseFactory) -> None:
    database = databases.empty()
    with pytest.raises(StackError, match="make deploy-db"):
        project(database).start()
    databases.drop(database)


def test_a_wrong_address_is_not_repeated() -> None:
    made = HostedProject.from_environment(GIVEN)
    assert made is not None
    with pytest.raises(StackError) as refused:
        made.start()
    assert str(refused.value) == "No database answers at DATABASE_URL."
    assert refused.value.__cause__ is None
