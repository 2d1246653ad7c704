-- The roles of a hosted Supabase project, once for each server. Run by the superuser `supabase_admin`.
-- https://supabase.com/docs/guides/database/postgres/roles
--
-- `postgres` is what applies sql/: it may create roles and bypasses row level security, but is no superuser. On a server
-- whose superuser already has that name (DATABASE_URL) it is left as it is, and sql/ is applied with more rights than hosted.

do $$
declare
    v_role text;
begin
    foreach v_role in array array['anon', 'authenticated', 'service_role', 'authenticator', 'supabase_auth_admin',
        'supabase_privileged_role', 'postgres', 'supabase_admin']
    loop
        if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
            execute format('create role %I', v_role);
        end if;
    end loop;
    if not (select rolsuper from pg_catalog.pg_roles where rolname = 'postgres') then
        alter role postgres login createrole createdb replication bypassrls password 'postgres';
    end if;
    if not (select rolsuper from pg_catalog.pg_roles where rolname = 'supabase_admin') then
        alter role supabase_admin superuser login createrole createdb replication bypassrls;
    end if;
end
$$;

alter role anon nologin noinherit;
alter role authenticated nologin noinherit;
alter role service_role nologin noinherit bypassrls;
alter role authenticator login noinherit password 'postgres';
alter role supabase_auth_admin login noinherit createrole password 'postgres';

grant anon, authenticated, service_role to authenticator;
-- The admin option stands in for supautils, which lets hosted `postgres` alter settings of these roles.
grant anon, authenticated, service_role, supabase_privileged_role to postgres with admin option;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role supabase_auth_admin set search_path = 'auth';
alter role supabase_auth_admin set idle_in_transaction_session_timeout = 60000;
alter role supabase_admin set search_path = '$user', public, auth, extensions;
alter role postgres set search_path = '$user', public, extensions;
-- pg_dump, seeds and restores of hosted projects rely on these two.
grant set on parameter session_replication_role to postgres;
grant set on parameter log_statement to postgres;
