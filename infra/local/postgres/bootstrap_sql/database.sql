-- What a hosted Supabase project finds in its database before its own first migration. Run by the superuser
-- `supabase_admin`, once for each database. Storage, GraphQL and the rest of the platform are left out: nothing here uses them.

do $$
begin
    execute format('alter database %I owner to postgres', current_database());
end
$$;
grant execute on function pg_catalog.pg_reload_conf() to postgres;

-- public: owned by pg_database_owner, which is `postgres`. Everybody may look in, only the owner creates.
grant usage on schema public to anon, authenticated, service_role, postgres;
grant create on schema public to postgres;

create schema extensions authorization postgres;
grant usage on schema extensions to anon, authenticated, service_role;
grant all on schema extensions to supabase_admin;

create publication supabase_realtime;
alter publication supabase_realtime owner to postgres;

-- New objects of `postgres` in public. In both generations functions are executable by PUBLIC, as Postgres has it.
-- "current": projects since 2026-05-30. Rows are closed, also to service_role; TRUNCATE, REFERENCES and TRIGGER are not,
-- and sequences may be advanced.
alter default privileges for role postgres in schema public
grant truncate, references, trigger on tables to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
grant update on sequences to anon, authenticated, service_role;
do $$
begin
    if current_setting('server_version_num')::int >= 170000 then
        alter default privileges for role postgres in schema public
        grant maintain on tables to anon, authenticated, service_role;
    end if;
end
$$;

-- `supabase db lint` wants this one. Hosted projects let `postgres` create it; here it is made where the server has it.
do $$
begin
    if exists (select from pg_catalog.pg_available_extensions where name = 'plpgsql_check') then
        create extension if not exists plpgsql_check with schema extensions;
    end if;
end
$$;
