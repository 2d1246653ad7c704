-- Submissions: search engines that a user has connected, and the pages handed to them.

create table public.seo_connection (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.users (id) on delete cascade,
    search_engine_id uuid not null references public.search_engine (id) on delete restrict,
    vault_secret_name text default 'seo_connection:' || gen_random_uuid() unique,
    site_url text not null,
    is_active boolean not null default true,
    is_verified boolean not null default false,
    last_verified_at timestamptz,
    last_error text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint seo_connection_once_a_site unique (user_id, search_engine_id, site_url),
    -- For composite foreign keys: a submission's owner and engine are its connection's.
    constraint seo_connection_id_with_owner unique (id, user_id, search_engine_id),
    constraint seo_connection_site_url_is_web check (char_length(site_url) <= 2048 and site_url ~ '^https?://')
);
comment on table public.seo_connection is 'A site that a user submits to an engine. The credentials are in Vault under vault_secret_name.';
create index seo_connection_search_engine_id_idx on public.seo_connection (search_engine_id);
create trigger refuse_owner_change before update of user_id on public.seo_connection
for each row when (new.user_id is distinct from old.user_id) execute function private.refuse_change('user_id');
create trigger drop_secret after delete on public.seo_connection
for each row execute function private.drop_connection_secret();
create trigger drop_renamed_secret after update of vault_secret_name on public.seo_connection
for each row when (new.vault_secret_name is distinct from old.vault_secret_name) execute function private.drop_connection_secret();
create trigger set_updated_at before update on public.seo_connection
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.seo_connection enable row level security;
create policy select_own on public.seo_connection for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own on public.seo_connection is 'Users read their connections, admins all. Nobody reads a secret here.';
revoke all on table public.seo_connection from public, anon, authenticated, service_role;
grant select on table public.seo_connection to authenticated, service_role;

create table public.seo_submission (
    id uuid primary key default gen_random_uuid(),
    content_item_id uuid not null references public.content_item (id) on delete cascade,
    user_id uuid not null,
    connection_id uuid,
    search_engine_id uuid not null references public.search_engine (id) on delete restrict,
    submitted_url text not null,
    submission_type text not null default 'url',
    submission_method text,
    request_payload jsonb,
    response_status integer,
    response_body jsonb,
    status text not null default 'pending',
    status_checked_at timestamptz,
    index_status_url text,
    coverage_state text,
    error_message text,
    retry_count integer not null default 0,
    next_retry_at timestamptz,
    submitted_at timestamptz,
    indexed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint seo_submission_of_its_connection foreign key (connection_id, user_id, search_engine_id)
    references public.seo_connection (id, user_id, search_engine_id) on delete set null (connection_id),
    constraint seo_submission_status_known check (
        status in ('pending', 'submitted', 'crawled', 'indexed', 'refused', 'failed')
    ),
    constraint seo_submission_url_length check (char_length(submitted_url) <= 2048),
    constraint seo_submission_retries_not_negative check (retry_count >= 0)
);
comment on table public.seo_submission is 'A page handed to an engine and what the engine said. One row a page and engine, each with its own state.';
comment on column public.seo_submission.user_id is 'The item''s owner, by trigger; with the connection it is a composite key.';
create index seo_submission_content_item_id_idx on public.seo_submission (content_item_id);
create index seo_submission_user_id_idx on public.seo_submission (user_id, created_at desc);
create index seo_submission_connection_idx on public.seo_submission (connection_id, user_id, search_engine_id);
create index seo_submission_search_engine_id_idx on public.seo_submission (search_engine_id);
create index seo_submission_due_idx on public.seo_submission (next_retry_at) where next_retry_at is not null;
create trigger own_content_row before insert or update of content_item_id, user_id on public.seo_submission
for each row execute function private.own_content_row();
create trigger set_updated_at before update on public.seo_submission
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.seo_submission enable row level security;
create policy select_own on public.seo_submission for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own on public.seo_submission is 'Users read their submissions, admins all.';
revoke all on table public.seo_submission from public, anon, authenticated, service_role;
grant select on table public.seo_submission to authenticated, service_role;

create table public.seo_usage (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.users (id) on delete cascade,
    search_engine_id uuid not null references public.search_engine (id) on delete restrict,
    content_item_id uuid references public.content_item (id) on delete set null,
    operation_type text not null,
    urls_count integer not null default 1,
    billing_cycle_start timestamptz,
    billing_cycle_end timestamptz,
    created_at timestamptz not null default now(),
    constraint seo_usage_urls_not_negative check (urls_count >= 0)
);
comment on table public.seo_usage is 'Calls of search engines, for billing. Kept when the item goes: it was used.';
create index seo_usage_user_id_idx on public.seo_usage (user_id, created_at desc);
create index seo_usage_search_engine_id_idx on public.seo_usage (search_engine_id);
create index seo_usage_content_item_id_idx on public.seo_usage (content_item_id);
create trigger own_content_row before insert or update of content_item_id, user_id on public.seo_usage
for each row execute function private.own_content_row();
alter table public.seo_usage enable row level security;
create policy select_own on public.seo_usage for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own on public.seo_usage is 'Users read their usage, admins all.';
revoke all on table public.seo_usage from public, anon, authenticated, service_role;
grant select on table public.seo_usage to authenticated, service_role;
