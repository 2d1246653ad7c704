-- Foundation: schemas, extensions, enums, settings, helpers and the lookup tables.
--
-- Two schemas hold everything. `public` is what the API exposes: tables under RLS and thin SECURITY INVOKER functions.
-- `private` is never exposed: definer bodies, settings and tables that no client reads. Client roles have USAGE there
-- (a policy's helper runs with the caller's rights) and EXECUTE on the few functions granted below by name.
--
-- Nothing is granted by default. Hosted projects differ in what new objects get (all of it before 2026-05-30, TRUNCATE,
-- REFERENCES and TRIGGER since), so the defaults are taken away here and every object still revokes by itself.

create schema if not exists private;
comment on schema private is 'Server-side code and tables; never exposed over the API.';
revoke all on schema private from public, anon, authenticated, service_role;
grant usage on schema private to anon, authenticated, service_role;

alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;
-- Without `in schema` on purpose: the built-in grant of EXECUTE to PUBLIC can only be taken away globally.
alter default privileges revoke execute on functions from public;

create extension if not exists unaccent with schema extensions;
create extension if not exists pg_trgm with schema extensions;

-- Creators write in many languages, often in one title, so words are neither stemmed nor dropped: folded to lower case
-- and stripped of accents. A configuration (rather than calling unaccent()) keeps to_tsvector(regconfig, text) immutable,
-- which a generated column needs.
create text search configuration private.multilingual (copy = pg_catalog.simple);
alter text search configuration private.multilingual
    alter mapping for hword, hword_part, word with extensions.unaccent, pg_catalog.simple;
comment on text search configuration private.multilingual is 'Words as they are, lower case and without accents; no stemming, no stop words.';

create type public.app_role_enum as enum ('user', 'admin', 'moderator');
create type public.action_mode_enum as enum ('auto', 'manual', 'disabled');
create type public.visibility_enum as enum ('public', 'unlisted', 'private');
create type public.notification_type_enum as enum (
    'system',
    'security',
    'quota_warning',
    'quota_reached',
    'account_connected',
    'connection_problem',
    'accounts_disabled_by_plan',
    'accounts_restored',
    'sync_completed',
    'sync_failed',
    'content_changed_upstream',
    'suggestion_ready',
    'suggestion_applied',
    'analysis_failed',
    'seo_indexed',
    'seo_failed',
    'subscription_changed',
    'payment_failed',
    'trial_ending',
    'weekly_digest'
);
comment on type public.app_role_enum is 'Roles inside the app, granted by rows of user_role.';
comment on type public.action_mode_enum is 'Whether something runs by itself, on request, or not at all.';
comment on type public.visibility_enum is 'Who may see an account or an item; only public ones reach the public profile.';
comment on type public.notification_type_enum is 'What a notification is about; the app picks icon and wording by it.';

-- ---------------------------------------------------------------------------------------------------------------------
-- Settings: every lease, time to live and retry time of the database is one row here, so that an operator (or a test)
-- can change it without a release.
-- ---------------------------------------------------------------------------------------------------------------------

create table private.setting (
    key text primary key,
    value jsonb not null,
    comment text not null default '',
    constraint setting_key_is_a_name check (key ~ '^[a-z][a-z0-9_.]{0,62}$')
);
comment on table private.setting is 'Operators'' settings: leases, times to live, limits. Intervals are texts such as "10 minutes".';
revoke all on table private.setting from public, anon, authenticated, service_role;

create function private.setting_text(key text)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
    v_value text;
begin
    select s.value #>> '{}' into v_value from private.setting as s where s.key = setting_text.key;
    if not found then
        raise exception 'setting % is missing', setting_text.key using errcode = 'PT500';
    end if;
    return v_value;
end;
$$;
comment on function private.setting_text(text) is 'A setting as text; raises when there is no such row.';
revoke execute on function private.setting_text(text) from public, anon, authenticated, service_role;

create function private.setting_int(key text)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
    return private.setting_text(setting_int.key)::integer;
end;
$$;
comment on function private.setting_int(text) is 'A setting as an integer.';
revoke execute on function private.setting_int(text) from public, anon, authenticated, service_role;

create function private.setting_interval(key text)
returns interval
language plpgsql
stable
set search_path = ''
as $$
begin
    return private.setting_text(setting_interval.key)::interval;
end;
$$;
comment on function private.setting_interval(text) is 'A setting as an interval.';
revoke execute on function private.setting_interval(text) from public, anon, authenticated, service_role;

create function private.setting_bool(key text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return private.setting_text(setting_bool.key)::boolean;
end;
$$;
comment on function private.setting_bool(text) is 'A setting as a boolean.';
revoke execute on function private.setting_bool(text) from public, anon, authenticated, service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Helpers that policies and triggers of every domain use.
-- ---------------------------------------------------------------------------------------------------------------------

-- Definer, because a signed-in user may read only the own rows of user_role and RLS would recurse. It takes no argument:
-- it can only tell callers about themselves.
create function private.is_admin()
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return exists (
        select 1
        from public.user_role as r
        where r.user_id = auth.uid()
            and r.role = 'admin'
            and (r.expires_at is null or r.expires_at > now())
    );
end;
$$;
comment on function private.is_admin() is 'Whether the caller holds an unexpired admin row in user_role; never read from a claim.';
revoke execute on function private.is_admin() from public, anon, authenticated, service_role;
grant execute on function private.is_admin() to authenticated;

create function private.set_updated_at()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    new.updated_at := clock_timestamp();
    return new;
end;
$$;
comment on function private.set_updated_at() is
    'Stamps updated_at. Triggers call it only when the statement has not set the column itself, so a function on a hot path may, and a test can age a row.';
revoke execute on function private.set_updated_at() from public, anon, authenticated, service_role;

-- A row never moves to another owner or parent: children were checked against it when they were written.
create function private.refuse_change()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception 'column % of % never changes', tg_argv[0], tg_table_name
        using errcode = '23514', constraint = tg_table_name || '_' || tg_argv[0] || '_never_changes';
end;
$$;
comment on function private.refuse_change() is 'Refuses an update that would move a row to another owner or parent; the argument names the column.';
revoke execute on function private.refuse_change() from public, anon, authenticated, service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Lookups. Everybody reads the active rows, admins read, insert and update all. Nobody deletes: rows are switched off.
-- ---------------------------------------------------------------------------------------------------------------------

create table public.platform (
    id uuid primary key default gen_random_uuid(),
    slug text not null unique,
    display_name text not null,
    description text,
    website_url text,
    logo_url text,
    api_docs_url text,
    is_oauth_required boolean not null default true,
    is_active boolean not null default true,
    sort_order integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint platform_texts_have_limits check (
        char_length(display_name) <= 200 and char_length(description) <= 2000 and char_length(website_url) <= 2048
        and char_length(logo_url) <= 2048 and char_length(api_docs_url) <= 2048
    ),
    constraint platform_slug_is_a_name check (slug ~ '^[a-z0-9][a-z0-9_.-]{0,62}$')
);
comment on table public.platform is 'Social platforms that creators connect.';
create trigger set_updated_at before update on public.platform
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.platform enable row level security;
create policy select_active on public.platform for select to anon using (is_active);
create policy select_active_or_admin on public.platform for select to authenticated using (is_active or (select private.is_admin()));
create policy insert_admin on public.platform for insert to authenticated with check ((select private.is_admin()));
create policy update_admin on public.platform for update to authenticated
using ((select private.is_admin())) with check ((select private.is_admin()));
comment on policy select_active on public.platform is 'Visitors see the active rows.';
comment on policy select_active_or_admin on public.platform is 'Signed-in users see the active rows, admins all.';
comment on policy insert_admin on public.platform is 'Admins add rows.';
comment on policy update_admin on public.platform is 'Admins change rows.';
revoke all on table public.platform from public, anon, authenticated, service_role;
grant select on table public.platform to anon, authenticated, service_role;
grant insert, update on table public.platform to authenticated, service_role;

create table public.content_type (
    id uuid primary key default gen_random_uuid(),
    slug text not null unique,
    display_name text not null,
    description text,
    is_active boolean not null default true,
    sort_order integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint content_type_texts_have_limits check (
        char_length(display_name) <= 200 and char_length(description) <= 2000
    ),
    constraint content_type_slug_is_a_name check (slug ~ '^[a-z0-9][a-z0-9_.-]{0,62}$')
);
comment on table public.content_type is 'Kinds of content, from long videos to stories.';
create trigger set_updated_at before update on public.content_type
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.content_type enable row level security;
create policy select_active on public.content_type for select to anon using (is_active);
create policy select_active_or_admin on public.content_type for select to authenticated using (is_active or (select private.is_admin()));
create policy insert_admin on public.content_type for insert to authenticated with check ((select private.is_admin()));
create policy update_admin on public.content_type for update to authenticated
using ((select private.is_admin())) with check ((select private.is_admin()));
comment on policy select_active on public.content_type is 'Visitors see the active rows.';
comment on policy select_active_or_admin on public.content_type is 'Signed-in users see the active rows, admins all.';
comment on policy insert_admin on public.content_type is 'Admins add rows.';
comment on policy update_admin on public.content_type is 'Admins change rows.';
revoke all on table public.content_type from public, anon, authenticated, service_role;
grant select on table public.content_type to anon, authenticated, service_role;
grant insert, update on table public.content_type to authenticated, service_role;

create table public.subscription_tier (
    id uuid primary key default gen_random_uuid(),
    slug text not null unique,
    display_name text not null,
    description text,
    max_social_accounts integer,
    max_syncs_per_month integer,
    max_ai_analyses_per_month integer,
    max_seo_submissions_per_month integer,
    price_cents integer not null default 0,
    currency text not null default 'usd',
    stripe_price_id text unique,
    stripe_product_id text,
    is_featured boolean not null default false,
    is_active boolean not null default true,
    sort_order integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint subscription_tier_texts_have_limits check (
        char_length(display_name) <= 200 and char_length(description) <= 2000 and char_length(stripe_price_id) <= 255
        and char_length(stripe_product_id) <= 255
    ),
    constraint subscription_tier_slug_is_a_name check (slug ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    constraint subscription_tier_maximums_not_negative check (
        max_social_accounts >= 0 and max_syncs_per_month >= 0
        and max_ai_analyses_per_month >= 0 and max_seo_submissions_per_month >= 0
    ),
    constraint subscription_tier_price_not_negative check (price_cents >= 0),
    constraint subscription_tier_currency_is_iso_4217 check (currency ~ '^[a-z]{3}$')
);
comment on table public.subscription_tier is 'Plans with their monthly maximums; a null maximum is unlimited.';
create trigger set_updated_at before update on public.subscription_tier
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.subscription_tier enable row level security;
create policy select_active on public.subscription_tier for select to anon using (is_active);
create policy select_active_or_admin on public.subscription_tier for select to authenticated
using (is_active or (select private.is_admin()));
create policy insert_admin on public.subscription_tier for insert to authenticated with check ((select private.is_admin()));
create policy update_admin on public.subscription_tier for update to authenticated
using ((select private.is_admin())) with check ((select private.is_admin()));
comment on policy select_active on public.subscription_tier is 'Visitors see the active rows.';
comment on policy select_active_or_admin on public.subscription_tier is 'Signed-in users see the active rows, admins all.';
comment on policy insert_admin on public.subscription_tier is 'Admins add rows.';
comment on policy update_admin on public.subscription_tier is 'Admins change rows.';
revoke all on table public.subscription_tier from public, anon, authenticated, service_role;
grant select on table public.subscription_tier to anon, authenticated, service_role;
grant insert, update on table public.subscription_tier to authenticated, service_role;

create table public.subscription_status (
    id uuid primary key default gen_random_uuid(),
    slug text not null unique,
    display_name text not null,
    description text,
    is_active_state boolean not null default false,
    created_at timestamptz not null default now(),
    constraint subscription_status_slug_is_a_name check (slug ~ '^[a-z0-9][a-z0-9_.-]{0,62}$')
);
comment on table public.subscription_status is 'States of a subscription; all of Stripe''s map onto these.';
alter table public.subscription_status enable row level security;
create policy select_all on public.subscription_status for select to anon, authenticated using (true);
comment on policy select_all on public.subscription_status is 'Everybody reads the states.';
revoke all on table public.subscription_status from public, anon, authenticated, service_role;
grant select on table public.subscription_status to anon, authenticated, service_role;
grant insert, update on table public.subscription_status to service_role;

create table public.account_status (
    id uuid primary key default gen_random_uuid(),
    slug text not null unique,
    display_name text not null,
    description text,
    created_at timestamptz not null default now(),
    constraint account_status_slug_is_a_name check (slug ~ '^[a-z0-9][a-z0-9_.-]{0,62}$')
);
comment on table public.account_status is 'States of a connected account.';
alter table public.account_status enable row level security;
create policy select_all on public.account_status for select to anon, authenticated using (true);
comment on policy select_all on public.account_status is 'Everybody reads the states.';
revoke all on table public.account_status from public, anon, authenticated, service_role;
grant select on table public.account_status to anon, authenticated, service_role;
grant insert, update on table public.account_status to service_role;

create table public.ai_provider (
    id uuid primary key default gen_random_uuid(),
    slug text not null unique,
    display_name text not null,
    base_url text,
    is_api_key_required boolean not null default true,
    is_streaming_supported boolean not null default false,
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint ai_provider_texts_have_limits check (
        char_length(display_name) <= 200 and char_length(base_url) <= 2048
    ),
    constraint ai_provider_slug_is_a_name check (slug ~ '^[a-z0-9][a-z0-9_.-]{0,62}$')
);
comment on table public.ai_provider is 'Providers of language models. `local` is any OpenAI-compatible server at base_url, or the built-in analyser.';
create trigger set_updated_at before update on public.ai_provider
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.ai_provider enable row level security;
create policy select_active on public.ai_provider for select to anon using (is_active);
create policy select_active_or_admin on public.ai_provider for select to authenticated using (is_active or (select private.is_admin()));
create policy insert_admin on public.ai_provider for insert to authenticated with check ((select private.is_admin()));
create policy update_admin on public.ai_provider for update to authenticated
using ((select private.is_admin())) with check ((select private.is_admin()));
comment on policy select_active on public.ai_provider is 'Visitors see the active rows.';
comment on policy select_active_or_admin on public.ai_provider is 'Signed-in users see the active rows, admins all.';
comment on policy insert_admin on public.ai_provider is 'Admins add rows.';
comment on policy update_admin on public.ai_provider is 'Admins change rows.';
revoke all on table public.ai_provider from public, anon, authenticated, service_role;
grant select on table public.ai_provider to anon, authenticated, service_role;
grant insert, update on table public.ai_provider to authenticated, service_role;

create table public.ai_model (
    id uuid primary key default gen_random_uuid(),
    provider_id uuid not null references public.ai_provider (id) on delete restrict,
    model_name text not null,
    display_name text not null,
    capabilities text[] not null default '{}',
    max_context_tokens integer,
    input_cost_per_1k_tokens numeric,
    output_cost_per_1k_tokens numeric,
    required_tier_id uuid references public.subscription_tier (id) on delete restrict,
    sort_order integer not null default 0,
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint ai_model_texts_have_limits check (
        char_length(model_name) <= 200 and char_length(display_name) <= 200 and cardinality(capabilities) <= 50
        and char_length(array_to_string(capabilities, '')) <= 2000
    ),
    constraint ai_model_name_once_a_provider unique (provider_id, model_name),
    -- For composite foreign keys: a model is only ever named together with its own provider.
    constraint ai_model_id_with_provider unique (id, provider_id),
    constraint ai_model_costs_not_negative check (input_cost_per_1k_tokens >= 0 and output_cost_per_1k_tokens >= 0),
    constraint ai_model_context_positive check (max_context_tokens > 0)
);
comment on table public.ai_model is 'Models with their prices in US dollars per 1,000 tokens; an unknown price is null, never guessed.';
comment on column public.ai_model.required_tier_id is 'The smallest plan that may use it; null is every plan.';
comment on column public.ai_model.sort_order is 'The first permitted active model of a provider is its default.';
create index ai_model_required_tier_id_idx on public.ai_model (required_tier_id);
create trigger set_updated_at before update on public.ai_model
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.ai_model enable row level security;
create policy select_active on public.ai_model for select to anon using (is_active);
create policy select_active_or_admin on public.ai_model for select to authenticated using (is_active or (select private.is_admin()));
create policy insert_admin on public.ai_model for insert to authenticated with check ((select private.is_admin()));
create policy update_admin on public.ai_model for update to authenticated
using ((select private.is_admin())) with check ((select private.is_admin()));
comment on policy select_active on public.ai_model is 'Visitors see the active rows.';
comment on policy select_active_or_admin on public.ai_model is 'Signed-in users see the active rows, admins all.';
comment on policy insert_admin on public.ai_model is 'Admins add rows.';
comment on policy update_admin on public.ai_model is 'Admins change rows.';
revoke all on table public.ai_model from public, anon, authenticated, service_role;
grant select on table public.ai_model to anon, authenticated, service_role;
grant insert, update on table public.ai_model to authenticated, service_role;

create table public.search_engine (
    id uuid primary key default gen_random_uuid(),
    slug text not null unique,
    display_name text not null,
    api_endpoint text,
    api_docs_url text,
    supports_indexnow boolean not null default false,
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint search_engine_texts_have_limits check (
        char_length(display_name) <= 200 and char_length(api_endpoint) <= 2048 and char_length(api_docs_url) <= 2048
    ),
    constraint search_engine_slug_is_a_name check (slug ~ '^[a-z0-9][a-z0-9_.-]{0,62}$')
);
comment on table public.search_engine is 'Search engines and the IndexNow network that take submissions.';
create trigger set_updated_at before update on public.search_engine
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.search_engine enable row level security;
create policy select_active on public.search_engine for select to anon using (is_active);
create policy select_active_or_admin on public.search_engine for select to authenticated using (is_active or (select private.is_admin()));
create policy insert_admin on public.search_engine for insert to authenticated with check ((select private.is_admin()));
create policy update_admin on public.search_engine for update to authenticated
using ((select private.is_admin())) with check ((select private.is_admin()));
comment on policy select_active on public.search_engine is 'Visitors see the active rows.';
comment on policy select_active_or_admin on public.search_engine is 'Signed-in users see the active rows, admins all.';
comment on policy insert_admin on public.search_engine is 'Admins add rows.';
comment on policy update_admin on public.search_engine is 'Admins change rows.';
revoke all on table public.search_engine from public, anon, authenticated, service_role;
grant select on table public.search_engine to anon, authenticated, service_role;
grant insert, update on table public.search_engine to authenticated, service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- The rows of the lookups. Ids are generated; everything refers to them by slug.
-- ---------------------------------------------------------------------------------------------------------------------

insert into public.platform (slug, display_name, sort_order, website_url, api_docs_url, description) values
('youtube', 'YouTube', 10, 'https://www.youtube.com', 'https://developers.google.com/youtube/v3', 'Channels with videos and Shorts.'),
(
    'instagram', 'Instagram', 20, 'https://www.instagram.com', 'https://developers.facebook.com/docs/instagram-platform',
    'Professional accounts with posts, reels and stories.'
),
('tiktok', 'TikTok', 30, 'https://www.tiktok.com', 'https://developers.tiktok.com/doc', 'Creator accounts with short videos.'),
(
    'facebook', 'Facebook', 40, 'https://www.facebook.com', 'https://developers.facebook.com/docs/graph-api',
    'Pages with posts, videos and reels.'
),
('twitter', 'Twitter', 50, 'https://x.com', 'https://docs.x.com/x-api', 'Accounts on X, formerly Twitter.');

insert into public.content_type (slug, display_name, description, sort_order) values
('long_video', 'Long video', 'A video in landscape or longer than a short.', 10),
('short_video', 'Short video', 'A vertical video of up to a few minutes.', 20),
('image', 'Image', 'A single picture.', 30),
('carousel', 'Carousel', 'Several pictures or videos in one post.', 40),
('story', 'Story', 'A picture or video that disappears after a day.', 50),
('reel', 'Reel', 'A short video on Instagram or Facebook.', 60),
('post', 'Post', 'A text, with or without attachments.', 70);

insert into public.subscription_tier (
    slug, display_name, description, max_social_accounts, max_syncs_per_month, max_ai_analyses_per_month,
    max_seo_submissions_per_month, price_cents, currency, is_featured, sort_order
) values
('free', 'Free', 'To try it out.', 2, 30, 10, 20, 0, 'usd', false, 10),
('basic', 'Basic', 'For a creator on several platforms.', 10, 500, 200, 500, 1900, 'usd', true, 20),
('premium', 'Premium', 'For studios and agencies; unlimited syncs.', 50, null, 5000, 10000, 4900, 'usd', false, 30);

insert into public.subscription_status (slug, display_name, description, is_active_state) values
('active', 'Active', 'Paid, or free of charge.', true),
('trialing', 'Trialing', 'In its trial period.', true),
('past_due', 'Past due', 'A payment failed; the plan stays through the grace period.', false),
('canceled', 'Canceled', 'Ended.', false),
('paused', 'Paused', 'Collection is paused.', false);

insert into public.account_status (slug, display_name, description) values
('active', 'Active', 'Connected and syncing.'),
('inactive', 'Inactive', 'Switched off by its owner or by the plan.'),
('suspended', 'Suspended', 'Suspended by the platform.'),
('disconnected', 'Disconnected', 'The grant is gone; the owner must connect again.');

insert into public.ai_provider (slug, display_name, base_url, is_api_key_required, is_streaming_supported) values
('openai', 'OpenAI', 'https://api.openai.com', true, true),
('anthropic', 'Anthropic', 'https://api.anthropic.com', true, true),
('google', 'Google', 'https://generativelanguage.googleapis.com', true, true),
('local', 'Local', null, false, false);

insert into public.search_engine (slug, display_name, api_endpoint, api_docs_url, supports_indexnow) values
('google', 'Google', 'https://searchconsole.googleapis.com', 'https://developers.google.com/webmaster-tools', false),
('bing', 'Bing', 'https://ssl.bing.com/webmaster/api.svc/json', 'https://learn.microsoft.com/bingwebmaster', true),
('yandex', 'Yandex', 'https://api.webmaster.yandex.net', 'https://yandex.com/dev/webmaster', true),
('indexnow', 'IndexNow', 'https://api.indexnow.org/indexnow', 'https://www.indexnow.org/documentation', true);
