-- System: notifications, the workers' cache, and what a user may take along.

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

create table public.cache_store (
    key text primary key,
    value jsonb not null,
    category text,
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint cache_store_key_length check (char_length(key) between 1 and 500),
    constraint cache_store_category_length check (char_length(category) <= 200)
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

create function private.cache_get(key text)
returns jsonb
language plpgsql
stable
security definer -- no role may read the cache but through here
set search_path = ''
as $$
begin
    return (
        select c.value from public.cache_store as c
        where c.key = cache_get.key and (c.expires_at is null or c.expires_at > now())
    );
end;
$$;
comment on function private.cache_get(text) is 'Body of public.cache_get.';
revoke execute on function private.cache_get(text) from public, anon, authenticated, service_role;
grant execute on function private.cache_get(text) to service_role;

create function public.cache_get(key text)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
    return private.cache_get(key);
end;
$$;
comment on function public.cache_get(text) is 'A cached value, or null if there is none or its time is over.';
revoke execute on function public.cache_get(text) from public, anon, authenticated, service_role;
grant execute on function public.cache_get(text) to service_role;

create function private.cache_set(key text, value jsonb, ttl interval, category text)
returns void
language plpgsql
security definer -- no role may write the cache but through here
set search_path = ''
as $$
begin
    if cache_set.value is null or cache_set.ttl <= '0'::interval then
        raise exception 'a cached value is not null and lives for a positive time' using errcode = 'PT422';
    end if;
    insert into public.cache_store as c (key, value, category, expires_at)
    values (cache_set.key, cache_set.value, cache_set.category, now() + cache_set.ttl)
    on conflict on constraint cache_store_pkey do update
    set value = excluded.value, category = excluded.category, expires_at = excluded.expires_at;
end;
$$;
comment on function private.cache_set(text, jsonb, interval, text) is 'Body of public.cache_set.';
revoke execute on function private.cache_set(text, jsonb, interval, text) from public, anon, authenticated, service_role;
grant execute on function private.cache_set(text, jsonb, interval, text) to service_role;

create function public.cache_set(key text, value jsonb, ttl interval default null, category text default null)
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform private.cache_set(key, value, ttl, category);
end;
$$;
comment on function public.cache_set(text, jsonb, interval, text) is
    'Caches a value for a time; without one, until it is replaced. The last writer wins.';
revoke execute on function public.cache_set(text, jsonb, interval, text) from public, anon, authenticated, service_role;
grant execute on function public.cache_set(text, jsonb, interval, text) to service_role;
