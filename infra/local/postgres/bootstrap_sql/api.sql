-- What tells the data API that the schema changed: https://docs.postgrest.org/en/v14/references/schema_cache.html
-- Hosted projects have the same two event triggers; a notification is sent when its transaction commits.

create function extensions.pgrst_ddl_watch() returns event_trigger language plpgsql as $$
begin
    notify pgrst, 'reload schema';
end
$$;
create event trigger pgrst_ddl_watch on ddl_command_end execute function extensions.pgrst_ddl_watch();
create event trigger pgrst_drop_watch on sql_drop execute function extensions.pgrst_ddl_watch();
