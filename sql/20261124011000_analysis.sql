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
    content_hash text not null default '',
    content_snapshot jsonb not null default '{}',
    score_details jsonb,
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
comment on column public.ai_suggestion.content_hash is 'Hash of the texts that were analysed: the same texts are not analysed, and not charged, twice.';
comment on column public.ai_suggestion.content_snapshot is 'The texts that were analysed: an item that has changed since is not overwritten.';
comment on column public.ai_suggestion.seo_score is 'Of the suggested texts, 0 to 100, by the arithmetic in functions/analyze/scores.py; null where platform terms forbid derived scores.';
comment on column public.ai_suggestion.confidence_score is 'The analyser''s own opinion, 0 to 1; in no other score.';
comment on column public.ai_suggestion.score_details is 'Each score by item, for the texts as they were and as suggested: {current, suggested, trends, key_phrases}.';
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
    revision_id uuid references public.content_revision (id) on delete set null,
    reverted_at timestamptz,
    constraint ai_suggestion_application_of_its_owner foreign key (suggestion_id, user_id)
    references public.ai_suggestion (id, user_id) on delete cascade,
    constraint ai_suggestion_application_by_its_owner check (applied_by_user_id = user_id)
);
comment on table public.ai_suggestion_application is 'Which fields of a suggestion were applied, one row a field.';
comment on column public.ai_suggestion_application.revision_id is 'The revision that undoes it; null if the item had the value already.';
comment on column public.ai_suggestion_application.reverted_at is 'When it was undone. A field may then be applied again.';
comment on column public.ai_suggestion_application.user_id is 'The suggestion''s owner, held by a composite key.';
comment on column public.ai_suggestion_application.applied_by_user_id is 'Who applied it; null when the owner''s settings did (automatic).';
create index ai_suggestion_application_suggestion_idx on public.ai_suggestion_application (suggestion_id, user_id);
create unique index ai_suggestion_application_once_a_field on public.ai_suggestion_application (suggestion_id, applied_field)
where reverted_at is null;
create index ai_suggestion_application_revision_id_idx on public.ai_suggestion_application (revision_id);
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
    details jsonb,
    constraint trending_keyword_length check (char_length(keyword) between 1 and 200),
    constraint trending_keyword_texts_have_limits check (
        char_length(category) <= 200 and char_length(competition_level) <= 50 and char_length(source) <= 200
        and char_length(region) <= 50 and char_length(language) <= 35
    ),
    constraint trending_keyword_volume_not_negative check (search_volume >= 0)
);
comment on table public.trending_keyword is 'Cached trends, valid for a window. Null platform, region or language means any.';
comment on column public.trending_keyword.trending_score is '0 to 100; for source own_content see private.refresh_trends.';
comment on column public.trending_keyword.search_volume is 'As a source says; null for own_content, which cannot know.';
comment on column public.trending_keyword.details is 'The numbers that the score was made of.';
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

-- Models are only named here; a price is an operator's to enter, because one that nobody has checked is worse than none.
-- The built-in analyser calls nobody, so its price is known.
insert into public.ai_model
(provider_id, model_name, display_name, capabilities, input_cost_per_1k_tokens, output_cost_per_1k_tokens, required_tier_id, sort_order)
select p.id, m.model_name, m.display_name, m.capabilities, m.price, m.price, t.id, m.sort_order
from (
    values
    ('local', 'builtin', 'Built-in analyser', '{analysis,builtin}'::text[], 0, null, 100),
    ('openai', 'gpt-5.4-mini', 'GPT-5.4 mini', '{analysis}', null, null, 10),
    ('anthropic', 'claude-haiku-4-5', 'Claude Haiku 4.5', '{analysis}', null, null, 10),
    ('anthropic', 'claude-sonnet-5', 'Claude Sonnet 5', '{analysis}', null, 'basic', 20),
    ('anthropic', 'claude-opus-5', 'Claude Opus 5', '{analysis}', null, 'premium', 30),
    ('google', 'gemini-flash-latest', 'Gemini Flash', '{analysis}', null, null, 10)
) as m (provider, model_name, display_name, capabilities, price, tier, sort_order)
join public.ai_provider as p on p.slug = m.provider
left join public.subscription_tier as t on t.slug = m.tier;

insert into private.setting (key, value, comment) values
('analysis.lease', '"30 seconds"', 'How long a requested analysis is believed to be alive; then its key or its item may start over.'),
('analysis.queued_lease', '"60 seconds"', 'The same for an automatic one.'),
('analysis.queue_lease', '"15 minutes"', 'Age at which a queued automatic analysis is sent to the queue again.'),
('analysis.run_ttl', '"30 days"', 'How long the answer to an idempotency key is kept.'),
('analysis.auto_batch', '5', 'Automatic analyses that one user gets in one go, newest items first.'),
('analysis.auto_tries', '3', 'After so many failures an item is not analysed automatically again.'),
('trend.window', '"7 days"', 'What counts as now when rising terms are looked for.'),
('trend.baseline', '"28 days"', 'What the window is compared with: this long before it.'),
('trend.validity', '"2 days"', 'How long a rising term is shown.'),
('trend.refresh_every', '"1 hour"', 'Trends younger than this are not computed again.'),
('trend.min_items', '3', 'Fewer items than this in the window are no trend.'),
('trend.min_accounts', '2', 'A term of fewer accounts than this is nobody''s business but theirs.'),
('trend.sample', '30000', 'Of more items than this in window and baseline a random sample is looked at.'),
('trend.most', '50', 'Terms kept for a platform, region and language.');

-- ---------------------------------------------------------------------------------------------------------------------
-- Runs: one analysis from its charge to its suggestion. A run is what makes a repeated call the same call: the charge's
-- key is the run's id, so however often a run is taken up again, it is charged once; and of all who took it up, only the
-- last (`attempt`) may finish it. At most one run of an item is open, so parallel calls wait for one result.
-- ---------------------------------------------------------------------------------------------------------------------

create table private.analysis_run (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.users (id) on delete cascade,
    content_item_id uuid not null references public.content_item (id) on delete cascade,
    origin text not null,
    idempotency_key text,
    request jsonb not null default '{}',
    status text not null,
    attempt integer not null default 0,
    started_at timestamptz,
    queued_at timestamptz,
    finished_at timestamptz,
    failure_code text,
    content_hash text,
    content_snapshot jsonb,
    provider_id uuid references public.ai_provider (id) on delete restrict,
    model_id uuid references public.ai_model (id) on delete restrict,
    prompt_tokens integer,
    completion_tokens integer,
    suggestion_id uuid references public.ai_suggestion (id) on delete set null,
    is_answered_from_earlier boolean not null default false,
    created_at timestamptz not null default now(),
    constraint analysis_run_key_length check (char_length(idempotency_key) <= 255),
    constraint analysis_run_origin_known check (origin in ('request', 'automatic')),
    constraint analysis_run_status_known check (status in ('queued', 'running', 'succeeded', 'failed'))
);
comment on table private.analysis_run is 'Analyses from charge to suggestion. Tokens of failed ones are kept: the operator paid for them, the user did not.';
comment on column private.analysis_run.request is 'What was asked for with the key: {provider, model, force}.';
comment on column private.analysis_run.is_answered_from_earlier is 'The item was unchanged: the suggestion is that of an earlier run, and nothing was charged.';
comment on column private.analysis_run.attempt is 'Counts who took the run up; only the last may finish it.';
create unique index analysis_run_once_a_key on private.analysis_run (user_id, idempotency_key) where idempotency_key is not null;
create unique index analysis_run_one_open_an_item on private.analysis_run (content_item_id) where status in ('queued', 'running');
create index analysis_run_user_id_idx on private.analysis_run (user_id, status);
create index analysis_run_content_item_id_idx on private.analysis_run (content_item_id, created_at desc);
create index analysis_run_suggestion_id_idx on private.analysis_run (suggestion_id);
create index analysis_run_provider_id_idx on private.analysis_run (provider_id);
create index analysis_run_model_id_idx on private.analysis_run (model_id);
create index analysis_run_created_at_idx on private.analysis_run (created_at);
revoke all on table private.analysis_run from public, anon, authenticated, service_role;

create function private.is_alive(run private.analysis_run)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return run.status = 'running'
        and run.started_at > clock_timestamp()
        - private.setting_interval(case run.origin when 'automatic' then 'analysis.queued_lease' else 'analysis.lease' end)
        -- Whose charge was reaped is taken for dead, too. If it is not, `attempt` keeps it from finishing.
        and exists (
            select 1 from public.quota_usage_history as h
            where h.user_id = run.user_id and h.idempotency_key = 'analysis:' || run.id and h.released_at is null
        );
end;
$$;
comment on function private.is_alive(private.analysis_run) is 'Whether somebody is believed to be working on a run.';
revoke execute on function private.is_alive(private.analysis_run) from public, anon, authenticated, service_role;

create function private.content_texts(item public.content_item)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
    return jsonb_build_object(
        'title', item.title, 'description', item.description, 'tags', item.tags, 'hashtags', item.hashtags,
        'category', item.category, 'language', item.language
    );
end;
$$;
comment on function private.content_texts(public.content_item) is 'The texts of an item that an analysis reads and a suggestion may replace.';
revoke execute on function private.content_texts(public.content_item) from public, anon, authenticated, service_role;

create function private.content_hash(item public.content_item)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
    return encode(sha256(convert_to(private.content_texts(item)::text, 'UTF8')), 'hex');
end;
$$;
comment on function private.content_hash(public.content_item) is 'What content_texts has, as one value to compare.';
revoke execute on function private.content_hash(public.content_item) from public, anon, authenticated, service_role;

create function private.choose_model(user_id uuid, provider text, model text, providers text[])
returns public.ai_model
language plpgsql
stable
set search_path = ''
as $$
declare
    v_rank integer;
    v_provider_id uuid;
    v_model public.ai_model;
begin
    select t.sort_order into v_rank
    from public.subscription as s
    join public.subscription_tier as t on t.id = s.tier_id
    where s.user_id = choose_model.user_id;

    if choose_model.provider is not null or choose_model.model is not null then
        select p.id into v_provider_id from public.ai_provider as p where p.slug = choose_model.provider and p.is_active;
        if choose_model.provider is not null and not found then
            raise exception 'there is no AI provider of this name' using errcode = 'PT422', hint = 'unknown_provider';
        end if;
        if choose_model.provider is not null and choose_model.provider <> all(providers) then
            raise exception 'this AI provider is not set up here' using errcode = 'PT422', hint = 'provider_not_set_up';
        end if;
        if choose_model.model is not null then
            select m.* into v_model
            from public.ai_model as m
            join public.ai_provider as p on p.id = m.provider_id
            where m.is_active and p.is_active and p.slug = any(providers)
                and (v_provider_id is null or p.id = v_provider_id)
                and (m.model_name = choose_model.model or m.id::text = choose_model.model)
            order by m.sort_order, m.id
            limit 1;
            if not found then
                raise exception 'there is no AI model of this name' using errcode = 'PT422', hint = 'unknown_model';
            end if;
            if (select t.sort_order from public.subscription_tier as t where t.id = v_model.required_tier_id) > v_rank then
                raise exception 'your plan does not include this model' using errcode = 'PT403', hint = 'plan_required';
            end if;
            return v_model;
        end if;
    end if;

    -- The provider asked for; or the preferred one, which is a wish: where it cannot be had, the default answers.
    foreach v_provider_id in array case
        when choose_model.provider is not null then array[v_provider_id]
        else array(
            select p.id from public.ai_provider as p
            left join public.user_ai_setting as a on a.user_id = choose_model.user_id and a.preferred_provider_id = p.id
            where p.is_active and p.slug = any(providers) and (a.user_id is not null or p.slug = 'local')
            order by a.user_id is null
        )
    end loop
        select m.* into v_model
        from public.ai_model as m
        join public.ai_provider as p on p.id = m.provider_id
        left join public.user_ai_setting as a on a.user_id = choose_model.user_id and choose_model.provider is null
        where m.provider_id = v_provider_id and m.is_active
            -- The built-in analyser stands in for a server only where there is none.
            and ('builtin' <> all(m.capabilities) or p.base_url is null)
            and coalesce((select t.sort_order from public.subscription_tier as t where t.id = m.required_tier_id) <= v_rank, true)
        order by (m.id = a.preferred_model_id) desc nulls last, 'builtin' = any(m.capabilities) desc, m.sort_order, m.model_name
        limit 1;
        -- An own server whose models nobody has entered is asked for one.
        if found or exists (
            select 1 from public.ai_provider as p
            where p.id = v_provider_id and p.slug = 'local' and p.base_url is not null and not exists (
                select 1 from public.ai_model as m
                where m.provider_id = p.id and m.is_active and 'builtin' <> all(m.capabilities)
            )
        ) then
            v_model.provider_id := v_provider_id;
            return v_model;
        end if;
    end loop;
    if exists (select 1 from public.ai_model as m where m.provider_id = v_provider_id and m.is_active) then
        raise exception 'your plan does not include this AI provider' using errcode = 'PT403', hint = 'plan_required';
    end if;
    raise exception 'this AI provider is not set up here' using errcode = 'PT422', hint = 'provider_not_set_up';
end;
$$;
comment on function private.choose_model(uuid, text, text, text[]) is
    'The model for an analysis: the one asked for, else the preferred one, else the default; only what the plan includes and what is set up (`providers`). The id is null where the provider''s server is to be asked.';
revoke execute on function private.choose_model(uuid, text, text, text[]) from public, anon, authenticated, service_role;

create function private.analysis_facts(item public.content_item, user_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_platform text;
    v_language text := lower(split_part(replace(coalesce(item.language, ''), '_', '-'), '-', 1));
begin
    select p.slug into v_platform from public.platform as p where p.id = item.platform_id;
    return jsonb_build_object(
        'item', private.content_texts(item) || jsonb_build_object(
            'platform', v_platform,
            'content_type', (select t.slug from public.content_type as t where t.id = item.content_type_id),
            'duration_seconds', item.duration_seconds
        ),
        'siblings', coalesce((
            -- Engagement as a multiple of the account's median, over its newest 200 items.
            with newest as (
                select
                    i.id, i.title, i.tags, i.hashtags, i.category,
                    coalesce(i.views_count, 0) + 10.0 * (
                        coalesce(i.likes_count, 0) + coalesce(i.comments_count, 0) + coalesce(i.shares_count, 0)
                    ) as engagement
                from public.content_item as i
                where i.social_account_id = item.social_account_id and i.id <> item.id
                    and i.deleted_at is null and i.upstream_deleted_at is null
                order by i.published_at desc nulls last
                limit 200
            ), best as (
                select
                    n.*,
                    n.engagement / greatest((select percentile_cont(0.5) within group (order by m.engagement) from newest as m), 1)
                    as performance
                from newest as n
                order by n.engagement desc, n.id
                limit 30
            )
            select jsonb_agg(
                jsonb_build_object(
                    'title', b.title, 'tags', b.tags, 'hashtags', b.hashtags, 'category', b.category,
                    'performance', round(b.performance::numeric, 2)
                ) order by b.engagement desc, b.id
            )
            from best as b
        ), '[]'),
        'trends', coalesce((
            select jsonb_agg(
                jsonb_build_object('keyword', t.keyword, 'score', t.score, 'category', t.category) order by t.score desc, t.keyword
            )
            from (
                select k.keyword, max(k.trending_score) as score, min(k.category) as category
                from public.trending_keyword as k
                where (k.platform_id = item.platform_id or k.platform_id is null)
                    and (k.language is null or v_language = '' or split_part(k.language, '-', 1) = v_language)
                    and k.valid_from <= now() and (k.valid_until is null or k.valid_until > now())
                    and k.trending_score is not null
                group by k.keyword
                order by 2 desc, 1
                limit 50
            ) as t
        ), '[]'),
        'tone', (select a.tone from public.user_ai_setting as a where a.user_id = analysis_facts.user_id),
        'language', (select a.language from public.user_ai_setting as a where a.user_id = analysis_facts.user_id),
        'user_language', (select u.language from public.users as u where u.id = analysis_facts.user_id)
    );
end;
$$;
comment on function private.analysis_facts(public.content_item, uuid) is
    'What an analysis may know: the item, its account''s other items, valid trends and the user''s wishes. Nothing of anybody else.';
revoke execute on function private.analysis_facts(public.content_item, uuid) from public, anon, authenticated, service_role;

create function private.start_analysis(run_id uuid, providers text[])
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_run private.analysis_run;
    v_item public.content_item;
    v_model public.ai_model;
    v_provider public.ai_provider;
    v_quota jsonb;
begin
    select r.* into v_run from private.analysis_run as r where r.id = start_analysis.run_id for update;
    select i.* into v_item from public.content_item as i where i.id = v_run.content_item_id;
    v_model := private.choose_model(v_run.user_id, v_run.request ->> 'provider', v_run.request ->> 'model', start_analysis.providers);
    select p.* into v_provider from public.ai_provider as p where p.id = v_model.provider_id;
    v_quota := private.consume_quota(
        v_run.user_id, 'ai_analysis', 1, 'analysis:' || v_run.id, 'content_item', v_item.id,
        case v_run.origin when 'automatic' then 'automatic analysis' else 'analysis' end
    );
    if not (v_quota ->> 'allowed')::boolean then
        -- A refused request is not remembered: its key may be tried again, for anything.
        delete from private.analysis_run as r where r.id = v_run.id and r.origin = 'request' and r.attempt = 0;
        update private.analysis_run as r set status = 'failed', failure_code = 'quota_exceeded', finished_at = clock_timestamp()
        where r.id = v_run.id;
        return jsonb_build_object('state', 'refused', 'quota', v_quota);
    end if;
    update private.analysis_run as r set
        status = 'running',
        attempt = r.attempt + 1,
        started_at = clock_timestamp(),
        finished_at = null,
        failure_code = null,
        content_snapshot = private.content_texts(v_item),
        content_hash = private.content_hash(v_item),
        provider_id = v_model.provider_id,
        model_id = v_model.id
    where r.id = v_run.id
    returning r.* into v_run;
    return jsonb_build_object(
        'state', 'started',
        'run_id', v_run.id,
        'attempt', v_run.attempt,
        'user_id', v_run.user_id,
        'provider', v_provider.slug,
        'base_url', v_provider.base_url,
        'model', v_model.model_name,
        'is_builtin', coalesce('builtin' = any(v_model.capabilities), false),
        -- Null where a price is unknown.
        'cents_per_1k_tokens', jsonb_build_array(v_model.input_cost_per_1k_tokens * 100, v_model.output_cost_per_1k_tokens * 100),
        'facts', private.analysis_facts(v_item, v_run.user_id)
    );
end;
$$;
comment on function private.start_analysis(uuid, text[]) is
    'Charges a run (once, however often it is started) and hands out what is needed to do it. The caller holds subscription and item.';
revoke execute on function private.start_analysis(uuid, text[]) from public, anon, authenticated, service_role;

create function private.close_run(run_id uuid, code text)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id uuid;
begin
    -- The subscription before the run, as everywhere here.
    select r.user_id into v_user_id from private.analysis_run as r where r.id = close_run.run_id;
    perform 1 from public.subscription as s where s.user_id = v_user_id for update;
    update private.analysis_run as r set status = 'failed', failure_code = close_run.code, finished_at = clock_timestamp()
    where r.id = close_run.run_id and r.status in ('queued', 'running');
    if found then
        perform private.refund_quota(v_user_id, 'analysis:' || close_run.run_id, 'analysis ' || replace(close_run.code, '_', ' '));
    end if;
end;
$$;
comment on function private.close_run(uuid, text) is 'Ends an open run that will not be done and gives its charge back.';
revoke execute on function private.close_run(uuid, text) from public, anon, authenticated, service_role;

create function private.suggestion_answer(state text, suggestion_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return (
        select jsonb_build_object('state', suggestion_answer.state, 'platform', p.slug, 'suggestion', to_jsonb(s))
        from public.ai_suggestion as s
        join public.content_item as i on i.id = s.content_item_id
        join public.platform as p on p.id = i.platform_id
        where s.id = suggestion_answer.suggestion_id
    );
end;
$$;
comment on function private.suggestion_answer(text, uuid) is 'A state with the suggestion''s row as the API shows it, and the platform that it is for.';
revoke execute on function private.suggestion_answer(text, uuid) from public, anon, authenticated, service_role;

create function private.begin_analysis(
    user_id uuid, content_item_id uuid, idempotency_key text, provider text, model text, force boolean, providers text[]
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_item public.content_item;
    v_run private.analysis_run;
    v_open private.analysis_run;
    v_suggestion public.ai_suggestion;
    v_request jsonb := jsonb_strip_nulls(
        jsonb_build_object('provider', begin_analysis.provider, 'model', begin_analysis.model, 'force', nullif(begin_analysis.force, false))
    );
begin
    perform 1 from public.subscription as s where s.user_id = begin_analysis.user_id for update;
    if private.content_owner(begin_analysis.content_item_id) is distinct from begin_analysis.user_id then
        raise exception 'there is no such content item' using errcode = 'PT404', hint = 'content_item_not_found';
    end if;
    select i.* into v_item from public.content_item as i where i.id = begin_analysis.content_item_id for no key update;
    if v_item.deleted_at is not null or v_item.upstream_deleted_at is not null then
        raise exception 'this content item has been deleted' using errcode = 'PT404', hint = 'content_item_not_found';
    end if;

    if begin_analysis.idempotency_key is not null then
        select r.* into v_run from private.analysis_run as r
        where r.user_id = begin_analysis.user_id and r.idempotency_key = begin_analysis.idempotency_key for update;
        if found then
            if v_run.content_item_id <> begin_analysis.content_item_id or v_run.request <> v_request then
                raise exception 'this Idempotency-Key was used for another request'
                    using errcode = 'PT409', hint = 'idempotency_key_reused';
            end if;
            if v_run.status = 'succeeded' then
                return private.suggestion_answer(
                    case when v_run.is_answered_from_earlier then 'unchanged' else 'done' end, v_run.suggestion_id
                );
            end if;
        end if;
    end if;

    -- Whoever works on this item now is waited for, unless its lease is over.
    select r.* into v_open from private.analysis_run as r
    where r.content_item_id = begin_analysis.content_item_id and r.status in ('queued', 'running') for update;
    if found then
        if private.is_alive(v_open) then
            return jsonb_build_object('state', 'running', 'run_id', v_open.id);
        end if;
        if v_open.id is distinct from v_run.id then
            -- Abandoned, or waiting in the queue: this call does it now.
            perform private.close_run(v_open.id, 'superseded');
        end if;
    end if;

    if not coalesce(begin_analysis.force, false) then
        select s.* into v_suggestion from public.ai_suggestion as s
        join public.ai_provider as p on p.id = s.provider_id
        left join public.ai_model as m on m.id = s.model_id
        where s.content_item_id = begin_analysis.content_item_id
            -- Somebody who names a provider or a model wants its opinion, not another one's.
            and (begin_analysis.provider is null or p.slug = begin_analysis.provider)
            and (begin_analysis.model is null or m.model_name = begin_analysis.model or m.id::text = begin_analysis.model)
        order by s.version desc
        limit 1;
        if found and v_suggestion.content_hash = private.content_hash(v_item) then
            if v_run.status in ('queued', 'running') then
                perform private.close_run(v_run.id, 'superseded');
            end if;
            -- The key keeps its answer, also if the item changes later. The subscription's lock makes the key ours.
            if v_run.id is not null then
                update private.analysis_run as r set
                    status = 'succeeded',
                    finished_at = clock_timestamp(),
                    suggestion_id = v_suggestion.id,
                    is_answered_from_earlier = true
                where r.id = v_run.id;
            elsif begin_analysis.idempotency_key is not null then
                insert into private.analysis_run (
                    user_id, content_item_id, origin, idempotency_key, request, status, finished_at, suggestion_id, is_answered_from_earlier
                ) values (
                    begin_analysis.user_id, begin_analysis.content_item_id, 'request', begin_analysis.idempotency_key, v_request,
                    'succeeded', clock_timestamp(), v_suggestion.id, true
                );
            end if;
            return private.suggestion_answer('unchanged', v_suggestion.id);
        end if;
    end if;
    if v_run.id is null then
        insert into private.analysis_run (user_id, content_item_id, origin, idempotency_key, request, status)
        values (
            begin_analysis.user_id, begin_analysis.content_item_id, 'request', begin_analysis.idempotency_key, v_request, 'queued'
        )
        returning * into v_run;
    else
        update private.analysis_run as r set status = 'queued' where r.id = v_run.id;
    end if;
    return private.start_analysis(v_run.id, begin_analysis.providers);
end;
$$;
comment on function private.begin_analysis(uuid, uuid, text, text, text, boolean, text[]) is 'Body of public.begin_analysis.';
revoke execute on function private.begin_analysis(uuid, uuid, text, text, text, boolean, text[])
from public, anon, authenticated, service_role;
grant execute on function private.begin_analysis(uuid, uuid, text, text, text, boolean, text[]) to service_role;

create function public.begin_analysis(
    user_id uuid, content_item_id uuid, idempotency_key text default null, provider text default null, model text default null,
    force boolean default false, providers text[] default '{local}'
)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.begin_analysis(user_id, content_item_id, idempotency_key, provider, model, force, providers);
end;
$$;
comment on function public.begin_analysis(uuid, uuid, text, text, text, boolean, text[]) is
    'Starts an analysis of a user''s own item: {state} is started (charged; with run_id, attempt, provider, model and facts), done or unchanged (with the suggestion, not charged), running (somebody else is at it: ask again) or refused (with the quota).';
revoke execute on function public.begin_analysis(uuid, uuid, text, text, text, boolean, text[])
from public, anon, authenticated, service_role;
grant execute on function public.begin_analysis(uuid, uuid, text, text, text, boolean, text[]) to service_role;

create function private.begin_queued_analysis(run_id uuid, providers text[])
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_run private.analysis_run;
    v_item public.content_item;
begin
    select r.* into v_run from private.analysis_run as r where r.id = begin_queued_analysis.run_id;
    perform 1 from public.subscription as s where s.user_id = v_run.user_id for update;
    select i.* into v_item from public.content_item as i where i.id = v_run.content_item_id for no key update;
    select r.* into v_run from private.analysis_run as r where r.id = begin_queued_analysis.run_id for update;
    if not found or v_run.status in ('succeeded', 'failed') then
        return jsonb_build_object('state', 'over');
    end if;
    if private.is_alive(v_run) then
        return jsonb_build_object('state', 'running', 'run_id', v_run.id);
    end if;
    -- Wishes may have changed while the message waited.
    if v_item.deleted_at is not null or v_item.upstream_deleted_at is not null or not exists (
        select 1 from public.user_setting as s where s.user_id = v_run.user_id and s.is_auto_ai_analysis_enabled
    ) then
        perform private.close_run(v_run.id, 'not_wanted');
        return jsonb_build_object('state', 'over');
    end if;
    if v_run.attempt >= private.setting_int('analysis.auto_tries') then
        perform private.close_run(v_run.id, 'too_many_tries');
        return jsonb_build_object('state', 'over');
    end if;
    return private.start_analysis(v_run.id, begin_queued_analysis.providers);
end;
$$;
comment on function private.begin_queued_analysis(uuid, text[]) is 'Body of public.begin_queued_analysis.';
revoke execute on function private.begin_queued_analysis(uuid, text[]) from public, anon, authenticated, service_role;
grant execute on function private.begin_queued_analysis(uuid, text[]) to service_role;

create function public.begin_queued_analysis(run_id uuid, providers text[] default '{local}')
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.begin_queued_analysis(run_id, providers);
end;
$$;
comment on function public.begin_queued_analysis(uuid, text[]) is
    'Starts a run that the queue delivered: as begin_analysis, or {state: over} where nothing is left to do.';
revoke execute on function public.begin_queued_analysis(uuid, text[]) from public, anon, authenticated, service_role;
grant execute on function public.begin_queued_analysis(uuid, text[]) to service_role;

create function private.finish_analysis(user_id uuid, run_id uuid, attempt integer, suggestion jsonb, usage jsonb)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_key text := 'analysis:' || finish_analysis.run_id;
    v_run private.analysis_run;
    v_model public.ai_model;
    v_new public.ai_suggestion;
    v_quota jsonb;
    v_cycle public.subscription;
    v_prompt integer := (usage ->> 'prompt_tokens')::integer;
    v_completion integer := (usage ->> 'completion_tokens')::integer;
    v_cents numeric;
begin
    select s.* into v_cycle from public.subscription as s where s.user_id = finish_analysis.user_id for update;
    perform 1 from public.content_item as i
    join private.analysis_run as r on r.content_item_id = i.id
    where r.id = finish_analysis.run_id for no key update of i;
    select r.* into v_run from private.analysis_run as r
    where r.id = finish_analysis.run_id and r.user_id = finish_analysis.user_id for update;
    if not found then
        -- The item is gone, and its runs with it.
        perform private.refund_quota(finish_analysis.user_id, v_key, 'item deleted during analysis');
        return jsonb_build_object('state', 'gone');
    end if;
    if v_run.status = 'succeeded' then
        return private.suggestion_answer('done', v_run.suggestion_id);
    end if;
    if v_run.status <> 'running' or v_run.attempt <> finish_analysis.attempt then
        return jsonb_build_object('state', 'superseded');
    end if;

    if not private.settle_quota(v_run.user_id, v_key) then
        -- The reaper was quicker. Success costs one, so the charge is made again, if it still fits.
        v_quota := private.consume_quota(v_run.user_id, 'ai_analysis', 1, v_key, 'content_item', v_run.content_item_id, 'analysis');
        if not (v_quota ->> 'allowed')::boolean then
            update private.analysis_run as r set status = 'failed', failure_code = 'quota_exceeded', finished_at = clock_timestamp()
            where r.id = v_run.id;
            return jsonb_build_object('state', 'refused', 'quota', v_quota);
        end if;
        perform private.settle_quota(v_run.user_id, v_key);
    end if;

    select m.* into v_model from public.ai_model as m where m.id = v_run.model_id;
    -- Null where a count or a price is unknown. Prices are dollars for 1,000 tokens.
    v_cents := round(
        (v_prompt * v_model.input_cost_per_1k_tokens + v_completion * v_model.output_cost_per_1k_tokens) / 1000 * 100, 6
    );
    insert into public.ai_suggestion (
        content_item_id, user_id, provider_id, model_id,
        suggested_titles, suggested_description, suggested_tags, suggested_category, trending_keywords, trending_hashtags,
        related_topics, target_audience, sentiment, trending_score, seo_score, readability_score, confidence_score, score_details,
        prompt_tokens, completion_tokens, total_cost_cents, processing_time_ms, content_hash, content_snapshot
    )
    select
        v_run.content_item_id, v_run.user_id, v_run.provider_id, v_run.model_id,
        coalesce(j.suggested_titles, '{}'), j.suggested_description, coalesce(j.suggested_tags, '{}'), j.suggested_category,
        coalesce(j.trending_keywords, '{}'), coalesce(j.trending_hashtags, '{}'), coalesce(j.related_topics, '{}'),
        coalesce(j.target_audience, '{}'), j.sentiment, j.trending_score, j.seo_score, j.readability_score, j.confidence_score,
        j.score_details, v_prompt, v_completion, v_cents, (usage ->> 'processing_time_ms')::integer,
        v_run.content_hash, v_run.content_snapshot
    from jsonb_to_record(finish_analysis.suggestion) as j (
        suggested_titles text[], suggested_description text, suggested_tags text[], suggested_category text,
        trending_keywords text[], trending_hashtags text[], related_topics text[], target_audience text[], sentiment text,
        trending_score numeric, seo_score numeric, readability_score numeric, confidence_score numeric, score_details jsonb
    )
    returning * into v_new;
    insert into public.ai_usage (
        user_id, provider_id, model_id, content_item_id, operation_type, prompt_tokens, completion_tokens, total_tokens, cost_cents,
        processing_time_ms, billing_cycle_start, billing_cycle_end
    ) values (
        v_run.user_id, v_run.provider_id, v_run.model_id, v_run.content_item_id, 'content_analysis', v_prompt, v_completion,
        v_prompt + v_completion, v_cents, (usage ->> 'processing_time_ms')::integer, v_cycle.cycle_start_date, v_cycle.cycle_end_date
    );
    update private.analysis_run as r set
        status = 'succeeded',
        finished_at = clock_timestamp(),
        suggestion_id = v_new.id,
        -- With what its failed attempts have used.
        prompt_tokens = coalesce(r.prompt_tokens + v_prompt, v_prompt, r.prompt_tokens),
        completion_tokens = coalesce(r.completion_tokens + v_completion, v_completion, r.completion_tokens)
    where r.id = v_run.id;

    if exists (
        select 1 from public.user_setting as s where s.user_id = v_run.user_id and s.is_auto_apply_ai_suggestions_enabled
    ) then
        perform private.auto_apply(v_new.id);
    end if;
    if v_run.origin = 'automatic' then
        insert into public.notification (user_id, type, title, message, related_entity_type, related_entity_id, metadata, dedupe_key)
        select
            v_run.user_id,
            (case when s.is_applied then 'suggestion_applied' else 'suggestion_ready' end)::public.notification_type_enum,
            case when s.is_applied then 'A suggestion was applied' else 'A suggestion is ready' end,
            format('%s', coalesce(nullif(s.content_snapshot ->> 'title', ''), 'Untitled')),
            'content_item', s.content_item_id, jsonb_build_object('suggestion_id', s.id), 'suggestion:' || s.id
        from public.ai_suggestion as s
        where s.id = v_new.id
        on conflict do nothing;
    end if;
    return private.suggestion_answer('stored', v_new.id);
end;
$$;
comment on function private.finish_analysis(uuid, uuid, integer, jsonb, jsonb) is 'Body of public.finish_analysis.';
revoke execute on function private.finish_analysis(uuid, uuid, integer, jsonb, jsonb)
from public, anon, authenticated, service_role;
grant execute on function private.finish_analysis(uuid, uuid, integer, jsonb, jsonb) to service_role;

create function public.finish_analysis(user_id uuid, run_id uuid, attempt integer, suggestion jsonb, usage jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.finish_analysis(user_id, run_id, attempt, suggestion, usage);
end;
$$;
comment on function public.finish_analysis(uuid, uuid, integer, jsonb, jsonb) is
    'Stores suggestion and usage and settles the charge, all or nothing: {state} is stored or done (with the suggestion), superseded, gone (item deleted; refunded) or refused (reaped meanwhile and the quota is used up).';
revoke execute on function public.finish_analysis(uuid, uuid, integer, jsonb, jsonb)
from public, anon, authenticated, service_role;
grant execute on function public.finish_analysis(uuid, uuid, integer, jsonb, jsonb) to service_role;

create function private.fail_analysis(
    user_id uuid, run_id uuid, attempt integer, code text, prompt_tokens integer, completion_tokens integer, will_retry boolean
)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_run private.analysis_run;
    v_again boolean;
begin
    perform 1 from public.subscription as s where s.user_id = fail_analysis.user_id for update;
    select r.* into v_run from private.analysis_run as r
    where r.id = fail_analysis.run_id and r.user_id = fail_analysis.user_id for update;
    if v_run.id is not null and (v_run.status <> 'running' or v_run.attempt <> fail_analysis.attempt) then
        return false;
    end if;
    v_again := fail_analysis.will_retry and v_run.attempt < private.setting_int('analysis.auto_tries');
    perform private.refund_quota(fail_analysis.user_id, 'analysis:' || fail_analysis.run_id, left(fail_analysis.code, 200));
    update private.analysis_run as r set
        status = case when v_again then 'queued' else 'failed' end,
        queued_at = case when v_again then clock_timestamp() end,
        failure_code = left(fail_analysis.code, 200),
        finished_at = clock_timestamp(),
        prompt_tokens = coalesce(r.prompt_tokens + fail_analysis.prompt_tokens, r.prompt_tokens, fail_analysis.prompt_tokens),
        completion_tokens
        = coalesce(r.completion_tokens + fail_analysis.completion_tokens, r.completion_tokens, fail_analysis.completion_tokens)
    where r.id = v_run.id;
    return true;
end;
$$;
comment on function private.fail_analysis(uuid, uuid, integer, text, integer, integer, boolean) is 'Body of public.fail_analysis.';
revoke execute on function private.fail_analysis(uuid, uuid, integer, text, integer, integer, boolean)
from public, anon, authenticated, service_role;
grant execute on function private.fail_analysis(uuid, uuid, integer, text, integer, integer, boolean) to service_role;

create function public.fail_analysis(
    user_id uuid, run_id uuid, attempt integer, code text, prompt_tokens integer default null, completion_tokens integer default null,
    will_retry boolean default false
)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.fail_analysis(user_id, run_id, attempt, code, prompt_tokens, completion_tokens, will_retry);
end;
$$;
comment on function public.fail_analysis(uuid, uuid, integer, text, integer, integer, boolean) is
    'Gives the charge of a failed analysis back. `will_retry`: the queue delivers it again. False if somebody else has taken the run up meanwhile.';
revoke execute on function public.fail_analysis(uuid, uuid, integer, text, integer, integer, boolean)
from public, anon, authenticated, service_role;
grant execute on function public.fail_analysis(uuid, uuid, integer, text, integer, integer, boolean) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Automatic analysis.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.plan_analyses(user_id uuid, most integer)
returns setof uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_run_id uuid;
    v_batch integer := private.setting_int('analysis.auto_batch');
    v_tries integer := private.setting_int('analysis.auto_tries');
    v_sent_since timestamptz := clock_timestamp() - private.setting_interval('analysis.queue_lease');
begin
    if most is null or most not between 1 and 1000 then
        raise exception 'most must be 1 to 1000' using errcode = 'PT422';
    end if;
    -- Requests whose function died: nobody may come back with their key, so their charge is not left to the reaper.
    for v_run_id in
        select r.id from private.analysis_run as r
        where r.status = 'running' and r.origin = 'request' and not private.is_alive(r)
            and (plan_analyses.user_id is null or r.user_id = plan_analyses.user_id)
        order by r.user_id, r.id
        limit most
    loop
        perform private.close_run(v_run_id, 'abandoned');
    end loop;

    -- Answers to old keys are forgotten, a few at a time.
    delete from private.analysis_run as r using (
        select o.id from private.analysis_run as o
        where o.status in ('succeeded', 'failed') and o.created_at < clock_timestamp() - private.setting_interval('analysis.run_ttl')
        limit most
    ) as o
    where r.id = o.id;

    -- New ones: the newest items that have no suggestion yet, within what is left of each user's quota.
    insert into private.analysis_run (user_id, content_item_id, origin, status, queued_at)
    select c.user_id, c.item_id, 'automatic', 'queued', null
    from (
        select
            w.user_id, w.remaining, i.id as item_id, i.published_at,
            row_number() over (partition by w.user_id order by i.published_at desc nulls last, i.id) as place
        from (
            select
                s.user_id,
                case when t.max_ai_analyses_per_month is not null then
                    t.max_ai_analyses_per_month
                    -- An ended cycle is rolled by the next charge.
                    - case when b.cycle_end_date > now() then b.ai_analyses_used else 0 end
                    - (select count(*) from private.analysis_run as r where r.user_id = s.user_id and r.status = 'queued')
                end as remaining
            from public.user_setting as s
            join public.subscription as b on b.user_id = s.user_id
            join public.subscription_tier as t on t.id = b.tier_id
            where s.is_auto_ai_analysis_enabled and (plan_analyses.user_id is null or s.user_id = plan_analyses.user_id)
                and (
                    t.max_ai_analyses_per_month is null or b.cycle_end_date <= now()
                    or b.ai_analyses_used < t.max_ai_analyses_per_month
                )
            -- Others have their turn in the next round: the work of one call is bounded.
            order by random()
            limit 5 * most
        ) as w
        join public.social_account as a on a.user_id = w.user_id and a.deleted_at is null
        cross join lateral (
            select n.id, n.published_at from public.content_item as n
            where n.social_account_id = a.id and n.deleted_at is null and n.upstream_deleted_at is null
                and not exists (select 1 from public.ai_suggestion as g where g.content_item_id = n.id)
                and not exists (
                    select 1 from private.analysis_run as r
                    where r.content_item_id = n.id and r.status in ('queued', 'running')
                )
                and v_tries > (
                    select count(*) from private.analysis_run as r
                    where r.content_item_id = n.id and r.status = 'failed' and r.origin = 'automatic'
                        and r.failure_code not in ('quota_exceeded', 'superseded', 'not_wanted')
                )
            order by n.published_at desc nulls last, n.id
            limit v_batch
        ) as i
        where w.remaining is null or w.remaining > 0
    ) as c
    where c.place <= v_batch and (c.remaining is null or c.place <= c.remaining)
    order by c.published_at desc nulls last
    limit most
    on conflict do nothing;

    -- To be sent: the new ones, and those whose message or worker was lost.
    return query
    with due as (
        select r.id from private.analysis_run as r
        where r.origin = 'automatic'
            and (plan_analyses.user_id is null or r.user_id = plan_analyses.user_id)
            and (
                (r.status = 'queued' and (r.queued_at is null or r.queued_at < v_sent_since))
                or (
                    r.status = 'running' and not private.is_alive(r)
                    and r.queued_at < clock_timestamp() - private.setting_interval('analysis.queued_lease')
                )
            )
        order by r.created_at
        limit most
        for update skip locked
    ), marked as (
        update private.analysis_run as r set queued_at = clock_timestamp() from due where r.id = due.id
        returning r.id, r.content_item_id
    )
    select m.id from marked as m join public.content_item as i on i.id = m.content_item_id
    order by i.published_at desc nulls last, m.id;
end;
$$;
comment on function private.plan_analyses(uuid, integer) is 'Body of public.plan_analyses.';
revoke execute on function private.plan_analyses(uuid, integer) from public, anon, authenticated, service_role;
grant execute on function private.plan_analyses(uuid, integer) to service_role;

create function public.plan_analyses(user_id uuid default null, most integer default 100)
returns setof uuid
language plpgsql
set search_path = ''
as $$
begin
    return query select p from private.plan_analyses(plan_analyses.user_id, most) as p;
end;
$$;
comment on function public.plan_analyses(uuid, integer) is
    'Queues automatic analyses (of one user or all) for new items of users who want them, within quota, newest first; returns the runs to send, also those whose message was lost.';
revoke execute on function public.plan_analyses(uuid, integer) from public, anon, authenticated, service_role;
grant execute on function public.plan_analyses(uuid, integer) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Apply and undo. The item's row is the lock. Who is editing is told to the revision trigger by a setting of this
-- transaction (see private.change_source), which no client can set: PostgREST sets none from a request but request.*.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.edit_content(content_item_id uuid, changes jsonb, source text, reason text)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform set_config('streamvibe.change_source', source, true), set_config('streamvibe.change_reason', reason, true);
    update public.content_item as i set
        title = case when changes ? 'title' then changes ->> 'title' else i.title end,
        description = case when changes ? 'description' then changes ->> 'description' else i.description end,
        tags = case when changes ? 'tags' then array(select jsonb_array_elements_text(changes -> 'tags')) else i.tags end,
        hashtags = case when changes ? 'hashtags' then array(select jsonb_array_elements_text(changes -> 'hashtags')) else i.hashtags end,
        category = case when changes ? 'category' then changes ->> 'category' else i.category end,
        language = case when changes ? 'language' then changes ->> 'language' else i.language end,
        visibility = case when changes ? 'visibility' then (changes ->> 'visibility')::public.visibility_enum else i.visibility end
    where i.id = edit_content.content_item_id;
    perform set_config('streamvibe.change_source', '', true), set_config('streamvibe.change_reason', '', true);
end;
$$;
comment on function private.edit_content(uuid, jsonb, text, text) is 'Changes the named fields of an item on behalf of its owner; the revision trigger records source and reason.';
revoke execute on function private.edit_content(uuid, jsonb, text, text) from public, anon, authenticated, service_role;

create function private.suggested_values(suggestion public.ai_suggestion)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
    return jsonb_strip_nulls(jsonb_build_object(
        'title', nullif(suggestion.suggested_titles[1], ''),
        'description', nullif(suggestion.suggested_description, ''),
        'tags', case when suggestion.suggested_tags <> '{}' then to_jsonb(suggestion.suggested_tags) end,
        'hashtags', case when suggestion.trending_hashtags <> '{}' then to_jsonb(
            array(select ltrim(h.tag, '#') from unnest(suggestion.trending_hashtags) with ordinality as h (tag, place) order by h.place)
        ) end,
        'category', nullif(suggestion.suggested_category, '')
    ));
end;
$$;
comment on function private.suggested_values(public.ai_suggestion) is 'What a suggestion would write, by field of the item; fields without a proposal are absent. Hashtags are stored as sync stores them, without the sign.';
revoke execute on function private.suggested_values(public.ai_suggestion) from public, anon, authenticated, service_role;

create function private.write_suggestion(suggestion_id uuid, fields text[], applied_by uuid)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_suggestion public.ai_suggestion;
    v_item public.content_item;
    v_current jsonb;
    v_wanted jsonb;
    v_changes jsonb;
    v_difference jsonb;
    v_reason text := 'suggestion ' || write_suggestion.suggestion_id;
    v_field text;
begin
    select s.* into v_suggestion from public.ai_suggestion as s where s.id = write_suggestion.suggestion_id;
    select i.* into v_item from public.content_item as i where i.id = v_suggestion.content_item_id for no key update;
    select s.* into v_suggestion from public.ai_suggestion as s where s.id = write_suggestion.suggestion_id for update;
    if v_item.deleted_at is not null or v_item.upstream_deleted_at is not null then
        raise exception 'this content item has been deleted' using errcode = 'PT409', hint = 'item_deleted';
    end if;
    if fields is null or cardinality(fields) = 0 or exists (
        select 1 from unnest(fields) as f (name)
        where f.name is null or f.name not in ('title', 'description', 'tags', 'hashtags', 'category')
    ) then
        raise exception 'fields must name some of title, description, tags, hashtags, category'
            using errcode = 'PT422', hint = 'unknown_field';
    end if;
    select jsonb_object_agg(v.key, v.value) into v_wanted
    from jsonb_each(private.suggested_values(v_suggestion)) as v where v.key = any(fields);
    if exists (select 1 from unnest(fields) as f (name) where not coalesce(v_wanted, '{}') ? f.name) then
        raise exception 'the suggestion proposes nothing for some of these fields'
            using errcode = 'PT422', hint = 'nothing_suggested';
    end if;

    v_current := private.content_texts(v_item);
    -- What this very suggestion has written is no change by somebody else.
    select jsonb_object_agg(c.key, jsonb_build_object('analysed', v_suggestion.content_snapshot -> c.key, 'current', c.value))
    into v_difference
    from jsonb_each(v_current) as c
    where c.value is distinct from v_suggestion.content_snapshot -> c.key
        and not (
            c.value = private.suggested_values(v_suggestion) -> c.key
            and exists (
                select 1 from public.ai_suggestion_application as a
                where a.suggestion_id = v_suggestion.id and a.applied_field = c.key and a.reverted_at is null
            )
        );
    if v_difference is not null then
        raise exception 'the item has changed since it was analysed' using
            errcode = 'PT409', hint = 'item_changed', detail = v_difference::text;
    end if;

    select jsonb_object_agg(w.key, w.value) into v_changes
    from jsonb_each(v_wanted) as w where w.value is distinct from v_current -> w.key;
    if v_changes is not null then
        perform private.edit_content(v_item.id, v_changes, 'ai_suggestion', v_reason);
    end if;
    for v_field in select w.key from jsonb_each(v_wanted) as w order by w.key loop
        insert into public.ai_suggestion_application (suggestion_id, user_id, applied_field, applied_value, applied_by_user_id, revision_id)
        values (
            v_suggestion.id, v_suggestion.user_id, v_field, v_wanted ->> v_field, write_suggestion.applied_by,
            (
                select r.id from public.content_revision as r
                where r.content_item_id = v_item.id and r.field_name = v_field and r.change_reason = v_reason and v_changes ? v_field
                order by r.created_at desc, r.id
                limit 1
            )
        )
        on conflict do nothing;
    end loop;
    if not v_suggestion.is_applied then
        update public.ai_suggestion as s set is_applied = true, applied_at = now() where s.id = v_suggestion.id;
    end if;
    return jsonb_build_object(
        'suggestion_id', v_suggestion.id,
        'content_item_id', v_item.id,
        'applied', v_wanted,
        'changed', coalesce((select jsonb_agg(c.key order by c.key) from jsonb_each(v_changes) as c), '[]'),
        'revision_ids', coalesce((
            select jsonb_agg(a.revision_id order by a.applied_field) from public.ai_suggestion_application as a
            where a.suggestion_id = v_suggestion.id and a.applied_field = any(fields)
                and a.reverted_at is null and a.revision_id is not null
        ), '[]')
    );
end;
$$;
comment on function private.write_suggestion(uuid, text[], uuid) is
    'Writes fields of a suggestion into its item, once. PT409 item_changed with {field: {analysed, current}} if the texts are no longer those that were analysed.';
revoke execute on function private.write_suggestion(uuid, text[], uuid) from public, anon, authenticated, service_role;

create function private.auto_apply(suggestion_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_suggestion public.ai_suggestion;
    v_fields text[];
begin
    select s.* into v_suggestion from public.ai_suggestion as s where s.id = auto_apply.suggestion_id;
    -- Nobody looks before this is written. Suggestions hold no addresses, so a description that has some keeps them.
    -- And of an item without a word the best title is no more than the name of its kind.
    select array_agg(v.key) into v_fields
    from jsonb_each(private.suggested_values(v_suggestion)) as v
    where v.key in ('title', 'description', 'tags')
        and not (
            v.key = 'title'
            -- Letters of all scripts by their numbers: what [[:alnum:]] is depends on the database's locale.
            and concat(v_suggestion.content_snapshot ->> 'title', v_suggestion.content_snapshot ->> 'description')
            !~ '[0-9A-Za-z\u00aa-\u1fff\u2c00-\u2fff\u3041-\ud7ff\uf900-\ufdff\ufe70-\ufefc]'
        )
        and not (v.key = 'description' and coalesce(v_suggestion.content_snapshot ->> 'description', '') ~* '(https?://|www\.)');
    if v_fields is not null then
        perform private.write_suggestion(v_suggestion.id, v_fields, null);
    end if;
exception
    -- Edited or deleted while it was analysed: the suggestion waits for its owner instead.
    when sqlstate 'PT409' then null;
end;
$$;
comment on function private.auto_apply(uuid) is 'Applies title, description and tags for a user who has switched that on, unless the item has changed meanwhile.';
revoke execute on function private.auto_apply(uuid) from public, anon, authenticated, service_role;

-- Definer, because clients may write neither applications nor suggestions; ownership is asked for here.
create function private.apply_suggestion(suggestion_id uuid, fields text[])
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform 1 from public.ai_suggestion as s where s.id = apply_suggestion.suggestion_id and s.user_id = auth.uid();
    if not found then
        raise exception 'there is no such suggestion' using errcode = 'PT404', hint = 'suggestion_not_found';
    end if;
    return private.write_suggestion(apply_suggestion.suggestion_id, apply_suggestion.fields, auth.uid());
end;
$$;
comment on function private.apply_suggestion(uuid, text[]) is 'Body of public.apply_suggestion; only ever the caller''s own.';
revoke execute on function private.apply_suggestion(uuid, text[]) from public, anon, authenticated, service_role;
grant execute on function private.apply_suggestion(uuid, text[]) to authenticated;

create function public.apply_suggestion(suggestion_id uuid, fields text[])
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.apply_suggestion(suggestion_id, fields);
end;
$$;
comment on function public.apply_suggestion(uuid, text[]) is
    'Writes fields (title, description, tags, hashtags, category) of the caller''s suggestion into its item: {applied, changed, revision_ids}. Safe to repeat. 409 with {field: {analysed, current}} in details if the item has changed since it was analysed.';
revoke execute on function public.apply_suggestion(uuid, text[]) from public, anon, authenticated, service_role;
grant execute on function public.apply_suggestion(uuid, text[]) to authenticated;

create function private.revert_revision(revision_id uuid)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_revision public.content_revision;
    v_item public.content_item;
    v_is_array boolean;
    v_old jsonb;
    v_new jsonb;
    v_current jsonb;
    v_reason text := 'revert of ' || revert_revision.revision_id;
    v_suggestion_id uuid;
    v_is_replay boolean := false;
begin
    select r.* into v_revision from public.content_revision as r
    where r.id = revert_revision.revision_id and r.user_id = auth.uid();
    if not found then
        raise exception 'there is no such revision' using errcode = 'PT404', hint = 'revision_not_found';
    end if;
    select i.* into v_item from public.content_item as i where i.id = v_revision.content_item_id for no key update;
    v_is_array := v_revision.field_name in ('tags', 'hashtags');
    v_old := case when v_is_array then v_revision.old_value::jsonb else to_jsonb(v_revision.old_value) end;
    v_new := case when v_is_array then v_revision.new_value::jsonb else to_jsonb(v_revision.new_value) end;
    v_old := coalesce(v_old, 'null');
    v_new := coalesce(v_new, 'null');
    v_current := (private.content_texts(v_item) || jsonb_build_object('visibility', v_item.visibility)) -> v_revision.field_name;

    if v_current = v_old then
        v_is_replay := true;
    elsif v_current <> v_new then
        raise exception 'the field has changed since this revision' using
            errcode = 'PT409', hint = 'item_changed',
            detail = jsonb_build_object(v_revision.field_name, jsonb_build_object('expected', v_new, 'current', v_current))::text;
    else
        perform private.edit_content(v_item.id, jsonb_build_object(v_revision.field_name, v_old), 'revert', v_reason);
        -- Back to what upstream says: sync may follow upstream again.
        update public.content_item as i set locally_edited_fields = array_remove(i.locally_edited_fields, v_revision.field_name)
        where i.id = v_item.id and coalesce(i.upstream -> v_revision.field_name, 'null') = v_old and i.upstream ? v_revision.field_name;
    end if;

    update public.ai_suggestion_application as a set reverted_at = now()
    where a.revision_id = v_revision.id and a.reverted_at is null
    returning a.suggestion_id into v_suggestion_id;
    if v_suggestion_id is not null then
        update public.ai_suggestion as s set is_applied = false, applied_at = null
        where s.id = v_suggestion_id and not exists (
            select 1 from public.ai_suggestion_application as a where a.suggestion_id = s.id and a.reverted_at is null
        );
    end if;
    return jsonb_build_object(
        'revision_id', (
            select r.id from public.content_revision as r
            where r.content_item_id = v_item.id and r.field_name = v_revision.field_name and r.change_reason = v_reason
            order by r.created_at desc
            limit 1
        ),
        'reverted', v_revision.id,
        'content_item_id', v_item.id,
        'field', v_revision.field_name,
        'value', v_old,
        'replayed', v_is_replay
    );
end;
$$;
comment on function private.revert_revision(uuid) is 'Body of public.revert_revision; only ever the caller''s own.';
revoke execute on function private.revert_revision(uuid) from public, anon, authenticated, service_role;
grant execute on function private.revert_revision(uuid) to authenticated;

create function public.revert_revision(revision_id uuid)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.revert_revision(revision_id);
end;
$$;
comment on function public.revert_revision(uuid) is
    'Puts back what a field was before one of the caller''s revisions, as a revision of its own: {revision_id, field, value}. Safe to repeat. 409 with {field: {expected, current}} in details if the field was changed again since.';
revoke execute on function public.revert_revision(uuid) from public, anon, authenticated, service_role;
grant execute on function public.revert_revision(uuid) to authenticated;

-- ---------------------------------------------------------------------------------------------------------------------
-- Trends.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.is_stop_word(word text, language text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    -- Postgres' own dictionaries answer an empty array for a stop word.
    return ts_lexize(
        (case language
            when 'de' then 'german_stem' when 'es' then 'spanish_stem' when 'fr' then 'french_stem' when 'it' then 'italian_stem'
            when 'pt' then 'portuguese_stem' when 'nl' then 'dutch_stem' when 'ru' then 'russian_stem' when 'sv' then 'swedish_stem'
            else 'english_stem'
        end)::regdictionary,
        word
    ) = '{}';
end;
$$;
comment on function private.is_stop_word(text, text) is 'Whether a word carries no meaning in a language (English where it is unknown).';
revoke execute on function private.is_stop_word(text, text) from public, anon, authenticated, service_role;

create function private.refresh_trends(force boolean, scores_off text[])
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_window interval := private.setting_interval('trend.window');
    v_baseline interval := private.setting_interval('trend.baseline');
    v_until timestamptz := now() + private.setting_interval('trend.validity');
    v_min_items integer := private.setting_int('trend.min_items');
    v_min_accounts integer := private.setting_int('trend.min_accounts');
    v_most integer := private.setting_int('trend.most');
    v_separators text := E' \t\r\n.,;:!?()[]{}<>"/\\|+*=~^`#@&%$…·•–—-„“”«»¡¿。、！？「」『』（）';
    v_recent bigint;
    v_last_of_sample uuid;
    v_count integer;
begin
    -- One at a time; the second one finds fresh rows.
    perform pg_advisory_xact_lock(hashtext('private.refresh_trends'));
    if not coalesce(force, false) and exists (
        select 1 from public.trending_keyword as k
        where k.source = 'own_content' and k.created_at > clock_timestamp() - private.setting_interval('trend.refresh_every')
    ) then
        return 0;
    end if;
    -- Ids are random, so the smallest ones are a fair sample. It keeps the work of one call bounded.
    select count(*) into v_recent from public.content_item as i where i.published_at > now() - v_window - v_baseline;
    if v_recent > private.setting_int('trend.sample') then
        v_last_of_sample := (
            lpad(to_hex((4294967295 * (private.setting_int('trend.sample')::numeric / v_recent))::bigint), 8, '0')
            || '-ffff-ffff-ffff-ffffffffffff'
        )::uuid;
    end if;
    delete from public.trending_keyword as k where k.source = 'own_content' or k.valid_until < now() - interval '30 days';

    with item as (
        select
            i.id, i.platform_id, i.social_account_id, i.category, i.title, i.tags, i.hashtags,
            i.published_at > now() - v_window as is_new,
            nullif(lower(split_part(replace(i.language, '_', '-'), '-', 1)), '') as language,
            -- The region is the language's ('pt-BR'), else that of the owner's language.
            upper(coalesce(
                substring(replace(i.language, '_', '-') from '-([A-Za-z]{2})$'), substring(u.language from '-([A-Za-z]{2})$')
            )) as region
        from public.content_item as i
        join public.social_account as a on a.id = i.social_account_id and a.deleted_at is null
        join public.users as u on u.id = a.user_id
        -- Only what everybody can see on the platform; drafts are nobody's trend.
        where i.visibility = 'public' and i.deleted_at is null and i.upstream_deleted_at is null
            and i.published_at > now() - v_window - v_baseline and i.published_at <= now()
            and (v_last_of_sample is null or i.id <= v_last_of_sample)
    ), term as (
        -- Each account's use of each term; an item counts once however often it says it.
        select
            i.platform_id, i.language, i.region, i.social_account_id, t.term,
            count(*) filter (where i.is_new) as window_items,
            count(*) filter (where not i.is_new) as baseline_items,
            min(i.category) filter (where i.is_new) as category
        from item as i
        cross join lateral (
            select lower(trim(both ' #' from label)) as term from unnest(i.tags || i.hashtags) as label
            union
            select lower(word)
            from string_to_table(translate(coalesce(i.title, ''), v_separators, repeat(' ', char_length(v_separators))), ' ') as word
            where char_length(word) >= 4
        ) as t
        where char_length(t.term) between 3 and 60
        group by i.platform_id, i.language, i.region, i.social_account_id, t.term
    ), total as (
        select
            i.platform_id, i.language, i.region,
            count(*) filter (where i.is_new) as window_total, count(*) filter (where not i.is_new) as baseline_total
        from item as i
        group by i.platform_id, i.language, i.region
    ), counted as (
        select
            t.platform_id, t.language, t.region, t.term,
            sum(t.window_items) as window_items,
            count(*) filter (where t.window_items > 0) as accounts,
            sum(t.baseline_items) as baseline_items,
            mode() within group (order by t.category) as category
        from term as t
        group by t.platform_id, t.language, t.region, t.term
        having sum(t.window_items) >= v_min_items and count(*) filter (where t.window_items > 0) >= v_min_accounts
    ), scored as (
        select
            c.*, o.window_total, o.baseline_total,
            round(
                ((c.window_items + 0.5) / (o.window_total + 1)) / ((c.baseline_items + 0.5) / (o.baseline_total + 1)), 3
            ) as lift
        from counted as c
        join total as o
            on o.platform_id = c.platform_id and o.language is not distinct from c.language and o.region is not distinct from c.region
    ), ranked as (
        select
            s.*,
            round(100 * (1 - 1 / s.lift) * least(1, s.accounts / 5.0), 1) as score,
            row_number() over (
                partition by s.platform_id, s.language, s.region order by (1 - 1 / s.lift) * least(1, s.accounts / 5.0) desc, s.term
            ) as place
        from scored as s
        -- Asked of the few terms that are left, not of every word.
        where s.lift > 1.2 and s.term !~ '^[0-9 ]+$' and not private.is_stop_word(s.term, s.language)
    )
    insert into public.trending_keyword (
        platform_id, keyword, category, trending_score, competition_level, source, region, language, valid_from, valid_until, details
    )
    select
        r.platform_id, r.term, r.category,
        case when p.slug <> all(coalesce(scores_off, '{}')) then r.score end,
        case
            when r.window_items < 0.05 * r.window_total then 'low'
            when r.window_items < 0.2 * r.window_total then 'medium'
            else 'high'
        end,
        'own_content', r.region, r.language, now(), v_until,
        jsonb_build_object(
            'window_items', r.window_items, 'window_total', r.window_total,
            'baseline_items', r.baseline_items, 'baseline_total', r.baseline_total,
            'accounts', r.accounts, 'lift', r.lift
        )
    from ranked as r
    join public.platform as p on p.id = r.platform_id
    where r.place <= v_most;
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;
comment on function private.refresh_trends(boolean, text[]) is
    'Body of public.refresh_trends. lift = share of the window''s items that have the term over its share of the baseline''s (0.5 added to each count, 1 to each total); score = 100 * (1 - 1 / lift) * min(1, accounts / 5).';
revoke execute on function private.refresh_trends(boolean, text[]) from public, anon, authenticated, service_role;
grant execute on function private.refresh_trends(boolean, text[]) to service_role;

create function public.refresh_trends(force boolean default false, scores_off text[] default '{}')
returns integer
language plpgsql
set search_path = ''
as $$
begin
    return private.refresh_trends(force, scores_off);
end;
$$;
comment on function public.refresh_trends(boolean, text[]) is
    'Finds rising terms in public content by platform, language and region; how many. Does nothing while the last ones are fresh. Platforms in scores_off get terms without scores.';
revoke execute on function public.refresh_trends(boolean, text[]) from public, anon, authenticated, service_role;
grant execute on function public.refresh_trends(boolean, text[]) to service_role;

create function private.import_trends(source text, trends jsonb)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_count integer;
begin
    if source is null or source !~ '^[a-z][a-z0-9_.-]{0,62}$' or source = 'own_content' then
        raise exception 'source must be a name of its own' using errcode = 'PT422';
    end if;
    delete from public.trending_keyword as k where k.source = import_trends.source;
    insert into public.trending_keyword (
        platform_id, keyword, category, trending_score, search_volume, competition_level, source, region, language, valid_until
    )
    select
        p.id, left(trim(j.keyword), 200), left(j.category, 200),
        -- greatest() passes over nulls: unknown would become 0.
        case when j.score is not null then least(greatest(j.score, 0), 100) end,
        case when j.search_volume is not null then greatest(j.search_volume, 0) end,
        left(j.competition_level, 20), import_trends.source, left(j.region, 10), lower(left(j.language, 10)),
        now() + private.setting_interval('trend.validity')
    from jsonb_to_recordset(trends) as j (
        platform text, keyword text, category text, score numeric, search_volume integer, competition_level text, region text, language text
    )
    left join public.platform as p on p.slug = j.platform
    where char_length(trim(j.keyword)) > 0 and (j.platform is null or p.id is not null);
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;
comment on function private.import_trends(text, jsonb) is 'Body of public.import_trends.';
revoke execute on function private.import_trends(text, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.import_trends(text, jsonb) to service_role;

create function public.import_trends(source text, trends jsonb)
returns integer
language plpgsql
set search_path = ''
as $$
begin
    return private.import_trends(source, trends);
end;
$$;
comment on function public.import_trends(text, jsonb) is
    'Replaces the trends of one outside source: [{platform?, keyword, category?, score?, search_volume?, competition_level?, region?, language?}].';
revoke execute on function public.import_trends(text, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.import_trends(text, jsonb) to service_role;

create function private.hide_scores(platforms text[])
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_count integer;
begin
    update public.ai_suggestion as s set
        trending_score = null, seo_score = null, readability_score = null, confidence_score = null, score_details = null
    from public.content_item as i
    join public.platform as p on p.id = i.platform_id
    where i.id = s.content_item_id and p.slug = any(platforms)
        and num_nonnulls(s.trending_score, s.seo_score, s.readability_score, s.confidence_score, s.score_details) > 0;
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;
comment on function private.hide_scores(text[]) is 'Body of public.hide_scores.';
revoke execute on function private.hide_scores(text[]) from public, anon, authenticated, service_role;
grant execute on function private.hide_scores(text[]) to service_role;

create function public.hide_scores(platforms text[])
returns integer
language plpgsql
set search_path = ''
as $$
begin
    return private.hide_scores(platforms);
end;
$$;
comment on function public.hide_scores(text[]) is
    'Removes derived scores that were stored before an operator switched them off for these platforms; how many suggestions.';
revoke execute on function public.hide_scores(text[]) from public, anon, authenticated, service_role;
grant execute on function public.hide_scores(text[]) to service_role;
