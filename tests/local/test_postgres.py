"""The local Postgres looks like a hosted project's database, as far as sql/ and the functions can tell."""

from pathlib import Path

import psycopg
import pytest

from infra.local.postgres import EditedError, EmbeddedServer, apply_sql
from infra.local.problems import StackError
from tests.databases import Database, DatabaseFactory


@pytest.fixture(scope="module")
def empty(databases: DatabaseFactory) -> Database:
    return databases.empty()


@pytest.mark.parametrize(
    ("role", "attributes"),
    [
        ("postgres", {"rolsuper": False, "rolcreaterole": True, "rolbypassrls": True, "rolcanlogin": True}),
        ("anon", {"rolsuper": False, "rolbypassrls": False, "rolcanlogin": False}),
        ("authenticated", {"rolsuper": False, "rolbypassrls": False, "rolcanlogin": False}),
        ("service_role", {"rolsuper": False, "rolbypassrls": True, "rolcanlogin": False}),
        ("authenticator", {"rolsuper": False, "rolbypassrls": False, "rolcanlogin": True, "rolinherit": False}),
        ("supabase_admin", {"rolsuper": True}),
    ],
)
def test_roles_are_those_of_a_hosted_project(empty: Database, role: str, attributes: dict[str, bool]) -> None:
    with empty.as_superuser() as connection:
        row = connection.execute("select * from pg_roles where rolname = %s", [role]).fetchone()
    assert row is not None
    assert {name: row[name] for name in attributes} == attributes


def test_postgres_is_a_member_of_exactly_the_hosted_roles(empty: Database) -> None:
    with empty.as_superuser() as connection:
        rows = connection.execute(
            "select roleid::regrole::text as name from pg_auth_members where member = 'postgres'::regrole"
        ).fetchall()
    assert {row["name"] for row in rows} == {
        "anon", "authenticated", "service_role", "supabase_privileged_role",
        "pg_monitor", "pg_read_all_data", "pg_signal_backend",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["current", "legacy"])
def test_new_tables_are_as_open_as_their_generation_says(databases: DatabaseFactory, kind: str) -> None:
    database = databases.empty("legacy" if kind == "legacy" else "current")
    with database.as_owner() as owner:
        owner.execute("create table made (id bigint generated always as identity)")
        row = owner.execute(
            """
            select
                has_table_privilege('anon', 'made', 'select') as anon_reads,
                has_table_privilege('service_role', 'made', 'insert') as service_writes,
                has_table_privilege('anon', 'made', 'truncate') as anon_truncates,
                has_sequence_privilege('anon', 'made_id_seq', 'select') as anon_reads_sequence,
                has_sequence_privilege('anon', 'made_id_seq', 'update') as anon_advances_sequence
            """
        ).fetchone()
    is_open = kind == "legacy"
    assert row == {
        "anon_reads": is_open,
        "service_writes": is_open,
        "anon_truncates": True,
        "anon_reads_sequence": is_open,
        "anon_advances_sequence": True,
    }
    databases.drop(database)


def test_postgres_may_put_triggers_on_auth_users_but_not_change_them(empty: Database) -> None:
    with empty.as_owner() as owner:
        owner.execute("create table public.seen (email text)")
        owner.execute(
            """
            create function public.see() returns trigger language plpgsql security definer set search_path = '' as $$
            begin
                insert into public.seen values (new.email);
                return new;
            end $$;
            create trigger see after insert on auth.users for each row execute function public.see()
            """
        )
        empty.create_user("somebody@example.com")
        assert owner.execute("select email from public.seen").fetchall() == [{"email": "somebody@example.com"}]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            owner.execute("alter table auth.users add column mine text")


class TestVault:
    """The behaviour of the extension, from the facts that were measured on it."""

    def test_secrets_are_encrypted_and_readable_through_the_view(self, empty: Database) -> None:
        plain = "a tökén that is longer than one block of the cipher " * 3
        with empty.as_service() as service:
            service.execute("select vault.create_secret(%s, 'first', 'about it')", [plain])
            row = service.execute("select * from vault.decrypted_secrets where name = 'first'").fetchone()
        assert row is not None
        assert row["decrypted_secret"] == plain
        assert plain not in row["secret"]
        assert row["description"] == "about it"

    def test_equal_secrets_differ_at_rest(self, empty: Database) -> None:
        with empty.as_service() as service:
            service.execute("select vault.create_secret('same'), vault.create_secret('same')")
            rows = service.execute(
                "select secret from vault.decrypted_secrets where decrypted_secret = 'same'"
            ).fetchall()
        assert len({row["secret"] for row in rows}) == 2

    def test_update_changes_what_is_given_and_ignores_unknown_ids(self, empty: Database) -> None:
        with empty.as_service() as service:
            made = service.execute("select vault.create_secret('old', 'second') as id").fetchone()
            assert made is not None
            service.execute("select vault.update_secret(%s, 'new')", [made["id"]])
            service.execute("select vault.update_secret(gen_random_uuid(), 'nobody')")
            row = service.execute("select * from vault.decrypted_secrets where id = %s", [made["id"]]).fetchone()
        assert row is not None
        assert (row["name"], row["decrypted_secret"]) == ("second", "new")

    @pytest.mark.parametrize(
        ("statement", "sqlstate"),
        [
            ("select vault.create_secret('a', 'twice'), vault.create_secret('b', 'twice')", "23505"),
            ("select vault.create_secret(null)", "23502"),
            ("insert into vault.secrets (secret) values ('x')", "42501"),
            ("update vault.secrets set name = 'x' where true", "42501"),
            ("select vault._crypto_aead_det_noncegen()", "42501"),
        ],
    )
    def test_refusals(self, empty: Database, statement: str, sqlstate: str) -> None:
        with pytest.raises(psycopg.Error) as refused, empty.as_service() as service:
            service.execute(statement.encode())
        assert refused.value.sqlstate == sqlstate

    def test_a_changed_ciphertext_is_noticed(self, empty: Database) -> None:
        with empty.as_superuser() as admin:
            made = admin.execute("select vault.create_secret('intact') as id").fetchone()
            assert made is not None
            admin.execute(
                "update vault.secrets set secret = encode(decode(secret, 'base64') || 'x', 'base64') where id = %s",
                [made["id"]],
            )
            with pytest.raises(psycopg.errors.DataException):
                admin.execute("select * from vault.decrypted_secrets where id = %s", [made["id"]])
            admin.execute("delete from vault.secrets where id = %s", [made["id"]])

    @pytest.mark.parametrize("role", ["anon", "authenticated"])
    def test_clients_cannot_reach_it(self, empty: Database, role: str) -> None:
        with pytest.raises(psycopg.errors.InsufficientPrivilege), empty.as_role(role) as client:
            client.execute("select * from vault.decrypted_secrets")


class TestApplySql:
    def test_each_file_once_and_only_new_ones_later(self, databases: DatabaseFactory, tmp_path: Path) -> None:
        database = databases.empty()
        (tmp_path / "1_first.sql").write_text("create table public.first (id int primary key);")
        assert apply_sql(database.dsn(), tmp_path) == ("1_first.sql",)
        (tmp_path / "2_second.sql").write_text("alter table public.first add column name text;")
        assert apply_sql(database.dsn(), tmp_path) == ("2_second.sql",)
        assert apply_sql(database.dsn(), tmp_path) == ()
        databases.drop(database)

    def test_a_failing_file_leaves_nothing_and_names_its_line(self, databases: DatabaseFactory, tmp_path: Path) -> None:
        database = databases.empty()
        (tmp_path / "1_broken.sql").write_text("create table public.first (id int);\n\nselect nonsense;\n")
        with pytest.raises(StackError, match=r"sql/1_broken\.sql:3: column .nonsense. does not exist"):
            apply_sql(database.dsn(), tmp_path)
        with database.as_owner() as owner:
            assert owner.execute("select to_regclass('public.first') as made").fetchone() == {"made": None}
        databases.drop(database)

    def test_an_edited_file_is_noticed(self, databases: DatabaseFactory, tmp_path: Path) -> None:
        database = databases.empty()
        file = tmp_path / "1_first.sql"
        file.write_text("create table public.first (id int);")
        apply_sql(database.dsn(), tmp_path)
        file.write_text("create table public.first (id bigint);")
        with pytest.raises(EditedError, match=r"1_first\.sql changed"):
            apply_sql(database.dsn(), tmp_path)
        databases.drop(database)


def test_a_folder_without_a_server_in_it_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"has no postgres and no initdb"):
        EmbeddedServer.start(tmp_path, binaries=tmp_path)
