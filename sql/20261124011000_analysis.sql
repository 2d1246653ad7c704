-- Analysis: suggestions from language models, what was applied of them, what they cost, and what is trending.

create table public.ai_suggestion (
    id uuid primary key default gen_random_uuid(),
    content_item_id uuid not null references public.content_item (id) on delete cascade,
    user_id uuid not null,
    provider_id uuid not null references public.ai_provider (id) on delete restrict,
    model_id uuid,
    suggested_titles text[] not null default '{}',
    suggested_description text,
    suggested_tags text[] not null default '{}',
    suggested_category text,
    trending_keywords text[] not null default '{}',
    trending_hashtags text[] not null default '{}',
    related_topics text[] not null default '{}',
    trending_score numeric,
    seo_score numeric,
    readability_score numeric,
    confidence_score numeric,
    sentiment text,
    target_audience text[] not null default '{}',
    prompt_tokens integer,
    completion_tokens integer,
    total_cost_cents numeric,
    processing_time_ms integer,
    is_applied boolean not null default false,
    applied_at timestamptz,
    version integer not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint ai_suggestion_model_of_its_provider foreign key (model_id, provider_id)
    references public.ai_model (id, provider_id) on delete restrict,
    -- For composite foreign keys: an application's owner is its suggestion's.
    constraint ai_suggestion_id_with_owner unique (id, user_id),
    constraint ai_suggestion_version_once_an_item unique (content_item_id, version),
    constraint ai_suggestion_numbers_not_negative check (
        prompt_tokens >= 0 and completion_tokens >= 0 and total_cost_cents >= 0 and processing_time_ms >= 0 and version > 0
    )
);
comment on table public.ai_suggestion is 'What a model suggests for an item. Written once; only is_applied and applied_at change.';
comment on column public.ai_suggestion.user_id is 'The item''s owner, by trigger, so that reading one''s own is an index condition.';
comment on column public.ai_suggestion.version is 'Counts up for each item; filled by trigger.';
create index ai_suggestion_user_id_idx on public.ai_suggestion (user_id, created_at desc);
create index ai_suggestion_provider_id_idx on public.ai_suggestion (provider_id);
create index ai_suggestion_model_idx on public.ai_suggestion (model_id, provider_id);

create function private.number_suggestion()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    -- The item's row is the lock under which its versions are counted.
    perform 1 from public.content_item as i where i.id = new.content_item_id for no key update;
    select coalesce(max(s.version), 0) + 1 into new.version
    from public.ai_suggestion as s where s.content_item_id = new.content_item_id;
    return new;
end;
$$;
comment on function private.number_suggestion() is 'Gives a suggestion the next version of its item.';
revoke execute on function private.number_suggestion() from public, anon, authenticated, service_role;

create trigger number_suggestion before insert on public.ai_suggestion
for each row when (new.version is null) execute function private.number_suggestion();
create trigger own_content_row before insert or update of content_item_id, user_id on public.ai_suggestion
for each row execute function private.own_content_row();
create trigger set_updated_at before update on public.ai_suggestion
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.ai_suggestion enable row level security;
create policy select_own on public.ai_suggestion for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own on public.ai_suggestion is 'Users read suggestions for their items, admins all.';
revoke all on table public.ai_suggestion from public, anon, authenticated, service_role;
grant select on table public.ai_suggestion to authenticated, service_role;

create table public.ai_suggestion_application (
    id uuid primary key default gen_random_uuid(),
    suggestion_id uuid not null,
    user_id uuid not null,
    applied_field text not null,
    applied_value text,
    applied_by_user_id uuid references public.users (id) on delete set null,
    applied_at timestamptz not null default now(),
    constraint ai_suggestion_application_of_its_owner foreign key (suggestion_id, user_id)
    references public.ai_suggestion (id, user_id) on delete cascade,
    constraint ai_suggestion_application_by_its_owner check (applied_by_user_id = user_id)
);
comment on table public.ai_suggestion_application is 'Which fields of a suggestion were applied, one row a field.';
comment on column public.ai_suggestion_application.user_id is 'The suggestion''s owner, held by a composite key.';
comment on column public.ai_suggestion_application.applied_by_user_id is 'Who applied it; null when the owner''s settings did (automatic).';
create index ai_suggestion_application_suggestion_idx on public.ai_suggestion_application (suggestion_id, user_id);
create index ai_suggestion_application_user_id_idx on public.ai_suggestion_application (user_id);
create index ai_suggestion_application_applied_by_idx on public.ai_suggestion_application (applied_by_user_id);

create function private.own_application()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    select s.user_id into new.user_id from public.ai_suggestion as s where s.id = new.suggestion_id;
    return new;
end;
$$;
comment on function private.own_application() is 'Fills user_id from the suggestion''s owner.';
revoke execute on function private.own_application() from public, anon, authenticated, service_role;

create trigger own_application before insert on public.ai_suggestion_application
for each row when (new.user_id is null) execute function private.own_application();
alter table public.ai_suggestion_application enable row level security;
create policy select_own on public.ai_suggestion_application for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own on public.ai_suggestion_application is 'Users read what was applied to their items, admins all.';
revoke all on table public.ai_suggestion_application from public, anon, authenticated, service_role;
grant select on table public.ai_suggestion_application to authenticated, service_role;

create table public.ai_usage (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.users (id) on delete cascade,
    provider_id uuid not null references public.ai_provider (id) on delete restrict,
    model_id uuid,
    content_item_id uuid references public.content_item (id) on delete set null,
    operation_type text not null,
    prompt_tokens integer,
    completion_tokens integer,
    total_tokens integer,
    cost_cents numeric,
    processing_time_ms integer,
    billing_cycle_start timestamptz,
    billing_cycle_end timestamptz,
    created_at timestamptz not null default now(),
    constraint ai_usage_model_of_its_provider foreign key (model_id, provider_id)
    references public.ai_model (id, provider_id) on delete restrict,
    constraint ai_usage_numbers_not_negative check (
        prompt_tokens >= 0 and completion_tokens >= 0 and total_tokens >= 0 and cost_cents >= 0 and processing_time_ms >= 0
    )
);
comment on table public.ai_usage is 'Each call of a provider with its own numbers. Kept when the item goes: it was paid for.';
comment on column public.ai_usage.cost_cents is 'From the provider''s token counts and ai_model''s prices; null when a price is unknown.';
create index ai_usage_user_id_idx on public.ai_usage (user_id, created_at desc);
create index ai_usage_provider_id_idx on public.ai_usage (provider_id);
create index ai_usage_model_idx on public.ai_usage (model_id, provider_id);
create index ai_usage_content_item_id_idx on public.ai_usage (content_item_id);
create trigger own_content_row before insert or update of content_item_id, user_id on public.ai_usage
for each row execute function private.own_content_row();
alter table public.ai_usage enable row level security;
create policy select_own on public.ai_usage for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own on public.ai_usage is 'Users read their usage, admins all.';
revoke all on table public.ai_usage from public, anon, authenticated, service_role;
grant select on table public.ai_usage to authenticated, service_role;

create table public.trending_keyword (
    id uuid primary key default gen_random_uuid(),
    platform_id uuid references public.platform (id) on delete cascade,
    keyword text not null,
    category text,
    trending_score numeric,
    search_volume integer,
    competition_level text,
    source text,
    region text,
    language text,
    valid_from timestamptz not null default now(),
    valid_until timestamptz,
    created_at timestamptz not null default now(),
    constraint trending_keyword_length check (char_length(keyword) between 1 and 200),
    constraint trending_keyword_volume_not_negative check (search_volume >= 0),
    constraint trending_keyword_ends_after_start check (valid_until > valid_from)
);
comment on table public.trending_keyword is 'Cached trends, valid for a window. Null platform, region or language means any.';
create index trending_keyword_platform_id_idx on public.trending_keyword (platform_id, trending_score desc);
create index trending_keyword_valid_until_idx on public.trending_keyword (valid_until);
alter table public.trending_keyword enable row level security;
create policy select_valid on public.trending_keyword for select to authenticated
using ((valid_from <= now() and (valid_until is null or valid_until > now())) or (select private.is_admin()));
create policy insert_admin on public.trending_keyword for insert to authenticated with check ((select private.is_admin()));
create policy update_admin on public.trending_keyword for update to authenticated
using ((select private.is_admin())) with check ((select private.is_admin()));
create policy delete_admin on public.trending_keyword for delete to authenticated using ((select private.is_admin()));
comment on policy select_valid on public.trending_keyword is 'Signed-in users read what is valid now, admins all.';
comment on policy insert_admin on public.trending_keyword is 'Admins add trends.';
comment on policy update_admin on public.trending_keyword is 'Admins change trends.';
comment on policy delete_admin on public.trending_keyword is 'Admins remove trends.';
revoke all on table public.trending_keyword from public, anon, authenticated, service_role;
grant select on table public.trending_keyword to authenticated, service_role;
grant insert, update, delete on table public.trending_keyword to authenticated;

-- The built-in analyser, for which no server and no key is needed.
insert into public.ai_model (provider_id, model_name, display_name, capabilities, input_cost_per_1k_tokens, output_cost_per_1k_tokens)
select p.id, 'builtin', 'Built-in analyser', '{analysis}', 0, 0 from public.ai_provider as p where p.slug = 'local';
