-- System: notifications, the audit log, the workers' cache, and what a user may take along.

create table public.notification (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.users (id) on delete cascade,
    type public.notification_type_enum not null default 'system',
    title text not null,
    message text,
    action_url text,
    action_label text,
    metadata jsonb not null default '{}',
    related_entity_type text,
    related_entity_id uuid,
    is_read boolean not null default false,
    read_at timestamptz,
    expires_at timestamptz,
    dedupe_key text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table public.notification is 'Messages to a user inside the app.';
comment on column public.notification.dedupe_key is 'Where something must be told once only: one notification a user and key.';
create index notification_user_id_idx on public.notification (user_id, created_at desc);
create index notification_unread_idx on public.notification (user_id) where not is_read;
create index notification_expires_at_idx on public.notification (expires_at) where expires_at is not null;
create unique index notification_once on public.notification (user_id, dedupe_key) where dedupe_key is not null;

create function private.stamp_read_at()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    new.read_at := case when new.is_read then coalesce(new.read_at, now()) end;
    return new;
end;
$$;
comment on function private.stamp_read_at() is 'read_at follows is_read.';
revoke execute on function private.stamp_read_at() from public, anon, authenticated, service_role;

create trigger stamp_read_at before insert or update of is_read on public.notification
for each row execute function private.stamp_read_at();
create trigger set_updated_at before update on public.notification
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.notification enable row level security;
create policy select_own on public.notification for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
create policy update_own on public.notification for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy delete_own on public.notification for delete to authenticated using (user_id = (select auth.uid()));
comment on policy select_own on public.notification is 'Users read their notifications, admins all.';
comment on policy update_own on public.notification is 'Users mark their notifications as read.';
comment on policy delete_own on public.notification is 'Users delete their notifications.';
revoke all on table public.notification from public, anon, authenticated, service_role;
grant select on table public.notification to authenticated, service_role;
grant update (is_read), delete on table public.notification to authenticated;

-- Invoker: the policies of notification already say whose rows these are.
create function public.mark_notifications_read(ids uuid[] default null)
returns integer
language plpgsql
set search_path = ''
as $$
declare
    v_count integer;
begin
    update public.notification as n set is_read = true
    where n.user_id = auth.uid() and not n.is_read and (ids is null or n.id = any(ids));
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;
comment on function public.mark_notifications_read(uuid[]) is 'Marks the caller''s notifications as read, those listed or all; how many changed.';
revoke execute on function public.mark_notifications_read(uuid[]) from public, anon, authenticated, service_role;
grant execute on function public.mark_notifications_read(uuid[]) to authenticated;

create table public.audit_log (
    id uuid primary key default gen_random_uuid(),
    user_id uuid references public.users (id) on delete set null,
    action text not null,
    entity_type text,
    entity_id uuid,
    old_values jsonb,
    new_values jsonb,
    ip_address inet,
    user_agent text,
    created_at timestamptz not null default now()
);
comment on table public.audit_log is 'Security-relevant changes, written by triggers. Only the database''s owner could change it; no role of the API can.';
create index audit_log_user_id_idx on public.audit_log (user_id, created_at desc);
create index audit_log_entity_idx on public.audit_log (entity_type, entity_id);
alter table public.audit_log enable row level security;
create policy select_own on public.audit_log for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own on public.audit_log is 'Users read what was done with their account, admins all.';
revoke all on table public.audit_log from public, anon, authenticated, service_role;
grant select on table public.audit_log to authenticated, service_role;

create function private.request_header(name text)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
    return (nullif(current_setting('request.headers', true), '')::json) ->> lower(name);
end;
$$;
comment on function private.request_header(text) is 'A header of the API request, or null outside of one.';
revoke execute on function private.request_header(text) from public, anon, authenticated, service_role;

create function private.request_ip()
returns inet
language plpgsql
stable
set search_path = ''
as $$
begin
    return trim(split_part(private.request_header('x-forwarded-for'), ',', 1))::inet;
exception when invalid_text_representation then
    return null;
end;
$$;
comment on function private.request_ip() is 'The client''s address as the gateway reports it, or null.';
revoke execute on function private.request_ip() from public, anon, authenticated, service_role;

create function private.write_audit()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_old jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    v_new jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    v_row jsonb := coalesce(v_new, v_old);
    v_user_id uuid := coalesce(auth.uid(), (v_row ->> 'user_id')::uuid);
begin
    if tg_op = 'UPDATE' then
        -- Only what changed.
        select jsonb_object_agg(o.key, o.value), jsonb_object_agg(o.key, v_new -> o.key) into v_old, v_new
        from jsonb_each(v_old) as o
        where o.value is distinct from v_new -> o.key and o.key <> 'updated_at';
        if v_old is null then
            return null;
        end if;
    end if;
    insert into public.audit_log (user_id, action, entity_type, entity_id, old_values, new_values, ip_address, user_agent)
    select
        (select u.id from public.users as u where u.id = v_user_id),
        tg_table_name || '.' || lower(tg_op), tg_table_name, coalesce(v_row ->> 'id', v_row ->> 'user_id')::uuid,
        v_old - 'vault_secret_name', v_new - 'vault_secret_name',
        private.request_ip(), left(private.request_header('user-agent'), 500);
    return null;
end;
$$;
comment on function private.write_audit() is 'Records a change with its old and new values. Tables hold no secrets; the name of one is left out all the same.';
revoke execute on function private.write_audit() from public, anon, authenticated, service_role;

create trigger audit after insert or update or delete on public.user_role
for each row execute function private.write_audit();
create trigger audit after update of is_profile_public on public.user_setting
for each row when (new.is_profile_public is distinct from old.is_profile_public) execute function private.write_audit();
create trigger audit after insert or update of is_active, is_verified, scopes, platform_user_id, vault_secret_name or delete
on public.platform_connection for each row execute function private.write_audit();
create trigger audit after insert or update of is_active, is_verified, site_url, vault_secret_name or delete
on public.seo_connection for each row execute function private.write_audit();
create trigger audit after update of tier_id, status_id, stripe_customer_id, stripe_subscription_id or delete
on public.subscription for each row execute function private.write_audit();
create trigger audit after insert or update of visibility, deleted_at, disabled_by_plan_at or delete
on public.social_account for each row execute function private.write_audit();

create table public.cache_store (
    key text primary key,
    value jsonb not null,
    category text,
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint cache_store_key_length check (char_length(key) between 1 and 500)
);
comment on table public.cache_store is 'The workers'' cache. No client role reads it.';
create index cache_store_expires_at_idx on public.cache_store (expires_at) where expires_at is not null;
create trigger set_updated_at before update on public.cache_store
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.cache_store enable row level security;
create policy select_nobody on public.cache_store for select to anon, authenticated using (false);
comment on policy select_nobody on public.cache_store is 'Says aloud that no client reads this.';
revoke all on table public.cache_store from public, anon, authenticated, service_role;
grant select on table public.cache_store to service_role;

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
