-- Life cycle: what a user may take along, what is swept away when its time is over, and what Realtime sends.

-- ---------------------------------------------------------------------------------------------------------------------
-- What a user may take along. Invoker: RLS decides what the caller's own rows are; each is filtered by owner besides, for
-- an admin or a visitor of public profiles sees more than that.
-- ---------------------------------------------------------------------------------------------------------------------

create function public.export_my_data()
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
    v_user_id uuid := auth.uid();
begin
    if v_user_id is null then
        raise exception 'sign in to export your data' using errcode = 'PT401';
    end if;
    return jsonb_build_object(
        'exported_at', now(),
        'users', (select to_jsonb(r) from public.users as r where r.id = v_user_id),
        'user_setting', (select to_jsonb(r) from public.user_setting as r where r.user_id = v_user_id),
        'user_ai_setting', (select to_jsonb(r) from public.user_ai_setting as r where r.user_id = v_user_id),
        'user_role', (select coalesce(jsonb_agg(r), '[]') from public.user_role as r where r.user_id = v_user_id),
        'subscription', (select to_jsonb(r) from public.subscription as r where r.user_id = v_user_id),
        'quota_usage_history', (select coalesce(jsonb_agg(r), '[]') from public.quota_usage_history as r where r.user_id = v_user_id),
        'platform_connection', (
            select coalesce(jsonb_agg(to_jsonb(r) - 'vault_secret_name'), '[]') from public.platform_connection as r
            where r.user_id = v_user_id
        ),
        'social_account', (select coalesce(jsonb_agg(r), '[]') from public.social_account as r where r.user_id = v_user_id),
        'content_item', (
            select coalesce(jsonb_agg(to_jsonb(r) - 'search_vector'), '[]') from public.content_item as r
            where r.social_account_id = any(array(select private.my_account_ids()))
        ),
        'content_revision', (select coalesce(jsonb_agg(r), '[]') from public.content_revision as r where r.user_id = v_user_id),
        'sync_run', (select coalesce(jsonb_agg(r), '[]') from public.sync_run as r where r.user_id = v_user_id),
        'ai_suggestion', (select coalesce(jsonb_agg(r), '[]') from public.ai_suggestion as r where r.user_id = v_user_id),
        'ai_suggestion_application', (
            select coalesce(jsonb_agg(r), '[]') from public.ai_suggestion_application as r where r.user_id = v_user_id
        ),
        'ai_usage', (select coalesce(jsonb_agg(r), '[]') from public.ai_usage as r where r.user_id = v_user_id),
        'seo_connection', (
            select coalesce(jsonb_agg(to_jsonb(r) - 'vault_secret_name'), '[]') from public.seo_connection as r
            where r.user_id = v_user_id
        ),
        'seo_submission', (select coalesce(jsonb_agg(r), '[]') from public.seo_submission as r where r.user_id = v_user_id),
        'seo_usage', (select coalesce(jsonb_agg(r), '[]') from public.seo_usage as r where r.user_id = v_user_id),
        'notification', (select coalesce(jsonb_agg(r), '[]') from public.notification as r where r.user_id = v_user_id),
        'audit_log', (select coalesce(jsonb_agg(r), '[]') from public.audit_log as r where r.user_id = v_user_id)
    );
end;
$$;
comment on function public.export_my_data() is 'Everything stored about the caller, as one document, without secrets.';
revoke execute on function public.export_my_data() from public, anon, authenticated, service_role;
grant execute on function public.export_my_data() to authenticated;

-- ---------------------------------------------------------------------------------------------------------------------
-- Sweeping. Each call takes at most max_rows of each kind, so that it holds few locks and ends soon; `maintenance` calls
-- until nothing is left.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.purge_expired(max_rows integer)
returns jsonb
language plpgsql
security definer -- deletes rows that no role may
set search_path = ''
as $$
declare
    v_cache integer;
    v_trends integer;
    v_notifications integer;
    v_states integer;
    v_archived integer;
begin
    if max_rows is null or max_rows not between 1 and 100000 then
        raise exception 'max_rows must be 1 to 100000' using errcode = 'PT422';
    end if;
    delete from public.cache_store as c
    where c.key in (
        select e.key from public.cache_store as e where e.expires_at <= now() limit max_rows for update skip locked
    );
    get diagnostics v_cache = row_count;
    delete from public.trending_keyword as k
    where k.id in (
        select e.id from public.trending_keyword as e where e.valid_until <= now() limit max_rows for update skip locked
    );
    get diagnostics v_trends = row_count;
    delete from public.notification as n
    where n.id in (
        select e.id from public.notification as e where e.expires_at <= now() limit max_rows for update skip locked
    );
    get diagnostics v_notifications = row_count;
    delete from private.oauth_state as o
    where o.state_hash in (
        select e.state_hash from private.oauth_state as e
        where e.created_at + private.setting_interval('oauth.state_ttl') <= now() limit max_rows for update skip locked
    );
    get diagnostics v_states = row_count;
    v_archived := private.archive_audit_log(private.setting_interval('audit.archive_after'), max_rows);
    return jsonb_build_object(
        'cache_store', v_cache, 'trending_keyword', v_trends, 'notification', v_notifications, 'oauth_state', v_states,
        'audit_log', v_archived, 'secrets', private.sweep_secrets(max_rows)
    );
end;
$$;
comment on function private.purge_expired(integer) is 'Body of public.purge_expired.';
revoke execute on function private.purge_expired(integer) from public, anon, authenticated, service_role;
grant execute on function private.purge_expired(integer) to service_role;

insert into private.setting (key, value, comment) values
('audit.archive_after', '"400 days"', 'Audit entries older than this move to the archive.');

create function public.purge_expired(max_rows integer default 1000)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.purge_expired(max_rows);
end;
$$;
comment on function public.purge_expired(integer) is
    'Deletes what has expired and archives old audit entries, at most max_rows of each kind; answers how many went.';
revoke execute on function public.purge_expired(integer) from public, anon, authenticated, service_role;
grant execute on function public.purge_expired(integer) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Realtime: what a client shows live. RLS decides who receives a row; none of these tables holds a secret.
-- ---------------------------------------------------------------------------------------------------------------------

alter publication supabase_realtime add table
    public.notification, public.sync_run, public.ai_suggestion, public.seo_submission, public.content_item;
