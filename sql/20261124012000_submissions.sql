-- Submissions: search engines that a user has connected, and the pages handed to them.
--
-- A submission is pending until its engine has taken it, then submitted, then (as far as the engine ever says so) crawled
-- and indexed; or it is refused (we or the engine had a reason before anything was handed over) or failed (the engine said
-- no, or never answered). `next_retry_at` is when somebody looks at it next, whatever for; null: nobody any more.
--
-- Work is claimed in bounded batches: a claim moves next_retry_at a lease ahead and stamps a token, and only the bearer of
-- the token may complete it. A worker that dies loses the lease, nothing else. Waits are computed here, from settings.
--
-- What all workers must agree on stands here too: whether an engine is down (engine_health), how much of an engine's own
-- daily budget is left (engine_budget), and that a page goes to an engine once in ten minutes (submission_debounce).

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
    page_url_template text,
    next_verification_at timestamptz default now(),
    verification_count integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint seo_connection_once_a_site unique (user_id, search_engine_id, site_url),
    -- For composite foreign keys: a submission's owner and engine are its connection's.
    constraint seo_connection_id_with_owner unique (id, user_id, search_engine_id),
    constraint seo_connection_site_url_is_web check (char_length(site_url) <= 2048 and site_url ~ '^https?://')
);
comment on table public.seo_connection is 'A site that a user submits to an engine. The credentials are in Vault under vault_secret_name.';
comment on column public.seo_connection.is_verified is 'An engine has taken a page of this site with these credentials, or has said that they are good. Never a guess.';
comment on column public.seo_connection.page_url_template is 'Where the site shows an item, such as https://creator.example/videos/{platform_content_id}. Automatic submission takes it, or else the first link to the site in the item''s description.';
comment on column public.seo_connection.next_verification_at is 'When seo_poll tries the credentials next; null: not needed, or given up.';
create index seo_connection_unverified_idx on public.seo_connection (next_verification_at)
where is_active and not is_verified and next_verification_at is not null;
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
    next_retry_at timestamptz default now(),
    check_count integer not null default 0,
    error_code text,
    is_automatic boolean not null default false,
    is_charged boolean not null default false,
    lease_token uuid,
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
comment on column public.seo_submission.next_retry_at is 'When the submission is tried, or its index status asked for, next; null: never again.';
comment on column public.seo_submission.check_count is 'How often the index status was asked for; the waits widen with it.';
comment on column public.seo_submission.error_code is 'A stable word for the reason in error_message.';
comment on column public.seo_submission.coverage_state is 'The engine''s own words about the page, for people; nothing is decided by them.';
comment on column public.seo_submission.request_payload is 'What the engine was told, without credentials.';
comment on column public.seo_submission.response_body is 'What the engine answered, without credentials.';
comment on column public.seo_submission.is_charged is 'The request that made it was charged for it; if the charge is given back before an engine takes the page, it is made anew.';
comment on column public.seo_submission.lease_token is 'Stamped by a claim; only its bearer may complete the row.';
create index seo_submission_due_idx on public.seo_submission (search_engine_id, next_retry_at)
where status in ('pending', 'submitted', 'crawled') and next_retry_at is not null;
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

-- ---------------------------------------------------------------------------------------------------------------------
-- What the workers share.
-- ---------------------------------------------------------------------------------------------------------------------

create table private.engine_health (
    search_engine_id uuid primary key references public.search_engine (id) on delete cascade,
    failures integer not null default 0,
    open_until timestamptz,
    updated_at timestamptz not null default now()
);
comment on table private.engine_health is 'The breaker of each engine: calls in a row that found it down, and until when nobody calls it.';
revoke all on table private.engine_health from public, anon, authenticated, service_role;

create table private.engine_limit (
    engine text not null,
    operation text not null,
    per_day integer not null,
    primary key (engine, operation),
    constraint engine_limit_operation_known check (operation in ('submit', 'inspect'))
);
comment on table private.engine_limit is 'Daily budgets that engines publish, for each site and day of their own. Engines that tell what is left (Bing, Yandex) need no row.';
revoke all on table private.engine_limit from public, anon, authenticated, service_role;
insert into private.engine_limit (engine, operation, per_day) values
('google', 'submit', 200),
('google', 'inspect', 2000);

create table private.engine_budget (
    search_engine_id uuid not null references public.search_engine (id) on delete cascade,
    operation text not null,
    site_url text not null,
    day date not null,
    used integer not null default 0,
    maximum integer,
    primary key (search_engine_id, operation, site_url, day)
);
comment on table private.engine_budget is 'What was used of an engine''s daily budget for a site, by all workers and all users of the site together. A null maximum is not known yet.';
create index engine_budget_day_idx on private.engine_budget (day);
revoke all on table private.engine_budget from public, anon, authenticated, service_role;

create table private.submission_debounce (
    user_id uuid not null references public.users (id) on delete cascade,
    search_engine_id uuid not null references public.search_engine (id) on delete cascade,
    submitted_url text not null,
    submission_id uuid not null references public.seo_submission (id) on delete cascade deferrable initially deferred,
    created_at timestamptz not null default now(),
    primary key (user_id, search_engine_id, submitted_url)
);
comment on table private.submission_debounce is 'The last submission of a page to an engine. Its key makes two at once one, whoever comes first.';
create index submission_debounce_search_engine_id_idx on private.submission_debounce (search_engine_id);
create index submission_debounce_created_at_idx on private.submission_debounce (created_at);
create index submission_debounce_submission_id_idx on private.submission_debounce (submission_id);
revoke all on table private.submission_debounce from public, anon, authenticated, service_role;

create table private.submission_request (
    user_id uuid not null references public.users (id) on delete cascade,
    idempotency_key text not null,
    content_item_id uuid not null,
    submitted_url text not null,
    engines text[],
    answer jsonb not null,
    created_at timestamptz not null default now(),
    primary key (user_id, idempotency_key)
);
comment on table private.submission_request is 'What a request with an Idempotency-Key led to: the same key leads to the same submissions. Null engines are all that were connected.';
create index submission_request_created_at_idx on private.submission_request (created_at);
revoke all on table private.submission_request from public, anon, authenticated, service_role;

create table private.auto_submission (
    content_item_id uuid not null references public.content_item (id) on delete cascade,
    connection_id uuid not null references public.seo_connection (id) on delete cascade,
    dispatched_at timestamptz not null default now(),
    dispatch_count integer not null default 1,
    done_at timestamptz,
    primary key (content_item_id, connection_id)
);
comment on table private.auto_submission is 'Items handed to the seo queue because their owner has automatic submission on: each once a connection.';
create index auto_submission_connection_id_idx on private.auto_submission (connection_id);
revoke all on table private.auto_submission from public, anon, authenticated, service_role;

insert into private.setting (key, value, comment) values
('seo.debounce', '"10 minutes"', 'The same page goes to the same engine once in this time.'),
('seo.lease', '"5 minutes"', 'How long a worker may hold claimed submissions.'),
('seo.retry_first', '"1 minute"', 'Wait after the first failed try; it doubles with each.'),
('seo.retry_longest', '"6 hours"', 'No wait is longer, whatever Retry-After asks for.'),
('seo.retry_attempts', '8', 'After so many failed tries a submission has failed.'),
('seo.give_up_after', '"7 days"', 'A submission that no engine has taken by then has failed.'),
(
    'seo.check_waits', '["1 hour", "6 hours", "1 day", "2 days", "4 days", "7 days", "14 days"]',
    'Waits between questions for the index status; after the last one nobody asks any more.'
),
('seo.breaker_failures', '5', 'Calls in a row that find an engine down until nobody calls it for a while.'),
('seo.breaker_first', '"15 seconds"', 'How long nobody calls it then; it doubles while single calls find it still down.'),
('seo.breaker_longest', '"5 minutes"', 'No pause of an engine is longer.'),
('seo.breaker_probe', '"30 seconds"', 'How long the one call after a pause may take before another one is let through.'),
('seo.verification_waits', '["10 minutes", "1 hour", "6 hours", "1 day", "3 days"]', 'Waits between tries of new credentials.'),
('seo.auto_window', '"3 days"', 'Automatic submission takes items published within this time, never the whole back catalogue.'),
('seo.most_sites', '100', 'Sites that one user may have connected.'),
('seo.auto_lease', '"15 minutes"', 'An automatic submission that is not done by then is handed to the queue again, three times at most.');

-- ---------------------------------------------------------------------------------------------------------------------
-- Sites and credentials: the signed-in user's own calls.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.normal_site_url(site_url text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
declare
    v_parts text[] := regexp_match(site_url, '^(https?)://([^/?#@:\\\s]+)(:\d+)?(/[^?#\\\s]*)?$', 'i');
    v_scheme text := lower(v_parts[1]);
    v_host text := lower(v_parts[2]);
    v_path text := coalesce(v_parts[4], '/');
begin
    if v_parts is null
        or char_length(site_url) > 1024
        or coalesce(v_parts[3], '') not in ('', case v_scheme when 'https' then ':443' else ':80' end)
        -- Names only: at least two labels, and a last one that is no number (in any notation, that is an IP address).
        or v_host !~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$'
        or v_host ~ '(^|\.)(localhost|localdomain|local|internal|intranet|lan|home|corp|private|arpa|onion|invalid|alt|test)$'
        -- Dot segments in any spelling: a path prefix would mean nothing with them.
        or v_path ~* '(/|%2f|%5c|;)(\.|%2e|%252e){1,2}(/|%2f|%5c|;|$)'
        or v_path !~ '^[!-~]*$'
        or v_path ~* '%([01][0-9a-f]|7f)'
        or char_length(v_host) > 253 then
        raise exception 'This address cannot be used; give the public http or https address of a page of your own site'
            using errcode = 'PT422', hint = 'url_refused';
    end if;
    if v_host ~ '(^|\.)(youtube\.com|youtu\.be|youtube-nocookie\.com|instagram\.com|instagr\.am|tiktok\.com|facebook\.com|fb\.com|fb\.watch|twitter\.com|x\.com|t\.co)$' then
        raise exception 'Pages on % belong to the platform: only its owner can submit them. Connect a site of your own that shows your content.', v_host
            using errcode = 'PT422', hint = 'platform_url';
    end if;
    return v_scheme || '://' || v_host || v_path;
end;
$$;
comment on function private.normal_site_url(text) is
    'The site''s address in its one spelling; PT422 if it is no public web address. The strict check, by public suffixes and resolved addresses, is made where pages are submitted.';
revoke execute on function private.normal_site_url(text) from public, anon, authenticated, service_role;

create function private.known_credentials(engine text, credentials jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
    v_known jsonb;
    v_advice text;
begin
    -- Only what is known is kept: an address inside of the credentials (a key file's token_uri) is nobody's to choose.
    case engine
        when 'indexnow' then
            v_advice := '{"key": "8 to 128 of a-z, A-Z, 0-9 and -", "key_location"?: "https://..."}';
            if coalesce(credentials ->> 'key', credentials ->> 'api_key') ~ '^[A-Za-z0-9-]{8,128}$'
                and coalesce(credentials ->> 'key_location', 'https://') ~ '^https?://[!-~]*$' then
                v_known := jsonb_build_object(
                    'key', coalesce(credentials ->> 'key', credentials ->> 'api_key'), 'key_location', credentials ->> 'key_location'
                );
            end if;
        when 'bing' then
            v_advice := '{"api_key": "..."}';
            if coalesce(credentials ->> 'api_key', credentials ->> 'key') ~ '^[!-~]+$' then
                v_known := jsonb_build_object('api_key', coalesce(credentials ->> 'api_key', credentials ->> 'key'));
            end if;
        when 'yandex' then
            v_advice := '{"access_token": "..."}';
            if coalesce(credentials ->> 'access_token', credentials ->> 'token') ~ '^[!-~]+$' then
                v_known := jsonb_build_object('access_token', coalesce(credentials ->> 'access_token', credentials ->> 'token'));
            end if;
        when 'google' then
            v_advice := '{"client_email": "...", "private_key": "-----BEGIN PRIVATE KEY-----..."} of a service account, or '
                '{"refresh_token": "...", "client_id": "...", "client_secret": "..."}; "property"?: "sc-domain:..."';
            if coalesce(credentials ->> 'property', 'https://') !~ '^(sc-domain:|https?://)[!-~]*$' then
                v_known := null;
            elsif credentials ->> 'private_key' like '%-----BEGIN%PRIVATE KEY-----%' and credentials ->> 'client_email' ~ '^[!-~]+@[!-~]+$' then
                v_known := jsonb_build_object(
                    'client_email', credentials ->> 'client_email', 'private_key', credentials ->> 'private_key',
                    'property', credentials ->> 'property'
                );
            elsif credentials ->> 'refresh_token' ~ '^[!-~]+$' and credentials ->> 'client_id' ~ '^[!-~]+$'
                and credentials ->> 'client_secret' ~ '^[!-~]+$' then
                v_known := jsonb_build_object(
                    'refresh_token', credentials ->> 'refresh_token', 'client_id', credentials ->> 'client_id',
                    'client_secret', credentials ->> 'client_secret', 'property', credentials ->> 'property'
                );
            elsif credentials ->> 'access_token' ~ '^[!-~]+$' then
                v_known := jsonb_build_object('access_token', credentials ->> 'access_token', 'property', credentials ->> 'property');
            end if;
        else
            raise exception 'There is no search engine of this name.' using errcode = 'PT422', hint = 'unknown_search_engine';
    end case;
    if v_known is null or jsonb_typeof(credentials) <> 'object' or octet_length(credentials::text) > 16384 then
        -- The advice names fields; what was sent is never repeated.
        raise exception 'These credentials are not complete; % wants %', engine, v_advice
            using errcode = 'PT422', hint = 'credentials_incomplete';
    end if;
    return jsonb_strip_nulls(v_known);
end;
$$;
comment on function private.known_credentials(text, jsonb) is 'The parts of an engine''s credentials that are stored; PT422 with advice if they are not all there.';
revoke execute on function private.known_credentials(text, jsonb) from public, anon, authenticated, service_role;

-- Definer: users may neither write connections nor reach Vault. Only ever the caller's own.
create function private.connect_search_engine(engine text, site_url text, credentials jsonb)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id uuid := auth.uid();
    v_site_url text := private.normal_site_url(site_url);
    v_secret jsonb := private.known_credentials(lower(engine), credentials);
    v_template text := credentials ->> 'page_url';
    v_connection public.seo_connection;
begin
    if v_user_id is null then
        raise exception 'sign in to connect a search engine' using errcode = 'PT401';
    end if;
    if v_template is not null and (
        left(v_template, char_length(v_site_url)) <> v_site_url or char_length(v_template) > 1024
        or v_template !~ '^[!-~]+$' or v_template !~ '\{(platform_content_id|id)\}'
    ) then
        raise exception 'page_url must start with the site''s address and hold {platform_content_id} or {id}'
            using errcode = 'PT422', hint = 'page_url_refused';
    end if;
    perform 1 from public.subscription as u where u.user_id = v_user_id for update;
    if (select count(*) from public.seo_connection as c where c.user_id = v_user_id) >= private.setting_int('seo.most_sites')
        and not exists (
            select 1 from public.seo_connection as c join public.search_engine as e on e.id = c.search_engine_id
            where c.user_id = v_user_id and c.site_url = v_site_url and e.slug = lower(connect_search_engine.engine)
        ) then
        raise exception 'No more sites can be connected; disconnect one first.' using errcode = 'PT409', hint = 'too_many_sites';
    end if;
    insert into public.seo_connection (user_id, search_engine_id, site_url, page_url_template)
    select v_user_id, e.id, v_site_url, v_template from public.search_engine as e
    where e.slug = lower(connect_search_engine.engine) and e.is_active
    -- Connecting again replaces the credentials and keeps the history; whether they are good is open again.
    on conflict on constraint seo_connection_once_a_site do update set
        is_active = true,
        is_verified = false,
        last_error = null,
        page_url_template = excluded.page_url_template,
        next_verification_at = now(),
        verification_count = 0
    returning * into v_connection;
    if not found then
        raise exception 'There is no search engine of this name.' using errcode = 'PT422', hint = 'unknown_search_engine';
    end if;
    perform private.vault_put(v_connection.vault_secret_name, v_secret::text, 'search engine credentials');
    -- Who has mended the credentials may submit the same page at once.
    delete from private.submission_debounce as d using public.seo_submission as s
    where d.submission_id = s.id and s.connection_id = v_connection.id and s.status in ('failed', 'refused');
    -- Nor is the index status of what was taken before asked for with bad credentials any more: it is again.
    update public.seo_submission as s set next_retry_at = now(), retry_count = 0
    where s.connection_id = v_connection.id and s.status in ('submitted', 'crawled')
        and s.next_retry_at is null and s.error_code is not null and s.error_code <> 'already_added';
    return to_jsonb(v_connection) - 'vault_secret_name' || jsonb_build_object('search_engine', lower(engine));
end;
$$;
comment on function private.connect_search_engine(text, text, jsonb) is 'Body of public.connect_search_engine.';
revoke execute on function private.connect_search_engine(text, text, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.connect_search_engine(text, text, jsonb) to authenticated;

create function public.connect_search_engine(engine text, site_url text, credentials jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.connect_search_engine(engine, site_url, credentials);
end;
$$;
comment on function public.connect_search_engine(text, text, jsonb) is
    'Connects a site of the caller to google, bing, yandex or indexnow, or replaces its credentials (Vault); answers the connection. It is verified by the first submission or by seo_poll.';
revoke execute on function public.connect_search_engine(text, text, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.connect_search_engine(text, text, jsonb) to authenticated;

create function private.submission_key(submission_id uuid)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
    return 'seo:' || submission_id;
end;
$$;
comment on function private.submission_key(uuid) is 'The idempotency key of a submission''s quota charge.';
revoke execute on function private.submission_key(uuid) from public, anon, authenticated, service_role;

create function private.disconnect_search_engine(connection_id uuid)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id uuid := auth.uid();
    v_ids uuid[];
    v_id uuid;
begin
    if v_user_id is null then
        raise exception 'sign in to disconnect a search engine' using errcode = 'PT401';
    end if;
    perform 1 from public.subscription as u where u.user_id = v_user_id for update;
    perform 1 from public.seo_connection as c
    where c.id = disconnect_search_engine.connection_id and c.user_id = v_user_id for update;
    if not found then
        raise exception 'There is no such connection.' using errcode = 'PT404';
    end if;
    -- What is waiting is called off and not charged; what an engine has taken stays as it was last seen.
    with stopped as (
        update public.seo_submission as s set
            status = case s.status when 'pending' then 'refused' else s.status end,
            error_code = case s.status when 'pending' then 'disconnected' else s.error_code end,
            error_message = case s.status when 'pending' then 'The site was disconnected.' else s.error_message end,
            next_retry_at = null,
            lease_token = null
        where s.connection_id = disconnect_search_engine.connection_id and s.next_retry_at is not null
        returning s.id, s.status
    )
    select array_agg(t.id) into v_ids from stopped as t where t.status = 'refused';
    foreach v_id in array coalesce(v_ids, '{}') loop
        perform private.refund_quota(v_user_id, private.submission_key(v_id), 'site disconnected');
    end loop;
    delete from public.seo_connection as c where c.id = disconnect_search_engine.connection_id;
    return true;
end;
$$;
comment on function private.disconnect_search_engine(uuid) is 'Body of public.disconnect_search_engine. Definer for the same reasons as connecting; the secret goes with the row, by trigger.';
revoke execute on function private.disconnect_search_engine(uuid) from public, anon, authenticated, service_role;
grant execute on function private.disconnect_search_engine(uuid) to authenticated;

create function public.disconnect_search_engine(connection_id uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.disconnect_search_engine(connection_id);
end;
$$;
comment on function public.disconnect_search_engine(uuid) is
    'Deletes a connection of the caller and its credentials, calls off what is waiting and refunds it; the history stays. PT404 for anybody else''s.';
revoke execute on function public.disconnect_search_engine(uuid) from public, anon, authenticated, service_role;
grant execute on function public.disconnect_search_engine(uuid) to authenticated;

-- ---------------------------------------------------------------------------------------------------------------------
-- Making submissions: service_role only.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.submission_answer(submission_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return (
        select jsonb_build_object(
            'id', s.id, 'search_engine', e.slug, 'connection_id', s.connection_id, 'content_item_id', s.content_item_id,
            'submitted_url', s.submitted_url, 'status', s.status, 'error_code', s.error_code, 'error_message', s.error_message,
            'coverage_state', s.coverage_state, 'index_status_url', s.index_status_url, 'retry_count', s.retry_count,
            'next_retry_at', s.next_retry_at, 'submitted_at', s.submitted_at, 'indexed_at', s.indexed_at, 'created_at', s.created_at
        )
        from public.seo_submission as s join public.search_engine as e on e.id = s.search_engine_id
        where s.id = submission_answer.submission_id
    );
end;
$$;
comment on function private.submission_answer(uuid) is 'A submission as the HTTP function answers it.';
revoke execute on function private.submission_answer(uuid) from public, anon, authenticated, service_role;

create function private.submission_targets(user_id uuid, content_item_id uuid, engines text[])
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    if not exists (
        select 1 from public.content_item as i join public.social_account as a on a.id = i.social_account_id
        where i.id = submission_targets.content_item_id and a.user_id = submission_targets.user_id and i.deleted_at is null
    ) then
        raise exception 'There is no such content item.' using errcode = 'PT404', hint = 'content_item_not_found';
    end if;
    if exists (
        select 1 from unnest(submission_targets.engines) as n (slug)
        where not exists (select 1 from public.search_engine as e where e.slug = n.slug and e.is_active)
    ) then
        raise exception 'There is no search engine of this name.' using errcode = 'PT422', hint = 'unknown_search_engine';
    end if;
    return (
        select coalesce(jsonb_agg(
            jsonb_build_object('connection_id', c.id, 'search_engine', e.slug, 'site_url', c.site_url) order by e.slug, c.created_at, c.id
        ), '[]')
        from public.seo_connection as c join public.search_engine as e on e.id = c.search_engine_id
        where c.user_id = submission_targets.user_id and c.is_active and e.is_active
            and (submission_targets.engines is null or e.slug = any(submission_targets.engines))
    );
end;
$$;
comment on function private.submission_targets(uuid, uuid, text[]) is 'Body of public.submission_targets.';
revoke execute on function private.submission_targets(uuid, uuid, text[]) from public, anon, authenticated, service_role;
grant execute on function private.submission_targets(uuid, uuid, text[]) to service_role;

create function public.submission_targets(user_id uuid, content_item_id uuid, engines text[] default null)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
    return private.submission_targets(user_id, content_item_id, engines);
end;
$$;
comment on function public.submission_targets(uuid, uuid, text[]) is
    'The user''s active connections, of some engines or all: [{connection_id, search_engine, site_url}]. PT404 if the item is not the user''s.';
revoke execute on function public.submission_targets(uuid, uuid, text[]) from public, anon, authenticated, service_role;
grant execute on function public.submission_targets(uuid, uuid, text[]) to service_role;

create function private.create_submissions(
    user_id uuid, content_item_id uuid, url text, targets jsonb, engines text[], idempotency_key text, is_automatic boolean
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_earlier private.submission_request;
    v_target record;
    v_id uuid;
    v_earlier_id uuid;
    v_entries jsonb := '[]'::jsonb;
    v_new integer := 0;
    v_quota jsonb;
begin
    -- One request of a user at a time: the same lock that every charge takes, held before the key is looked up.
    perform 1 from public.subscription as s where s.user_id = create_submissions.user_id for update;
    if not found then
        raise exception 'There is no such content item.' using errcode = 'PT404', hint = 'content_item_not_found';
    end if;
    if idempotency_key is not null then
        select r.* into v_earlier from private.submission_request as r
        where r.user_id = create_submissions.user_id and r.idempotency_key = create_submissions.idempotency_key;
        if found then
            if (v_earlier.content_item_id, v_earlier.submitted_url, v_earlier.engines)
                is distinct from (create_submissions.content_item_id, create_submissions.url, create_submissions.engines) then
                raise exception 'The Idempotency-Key was used for another request.' using errcode = 'PT409', hint = 'idempotency_key_reused';
            end if;
            return jsonb_build_object('quota', null, 'replayed', true, 'submissions', v_earlier.answer);
        end if;
    end if;

    begin
        for v_target in
            select t.*, e.id as search_engine_id
            from jsonb_to_recordset(targets) as t (search_engine text, connection_id uuid, error_code text, error_message text)
            join public.search_engine as e on e.slug = t.search_engine
            order by t.search_engine
        loop
            if v_target.connection_id is null then
                v_entries := v_entries || jsonb_build_object(
                    'id', null, 'search_engine', v_target.search_engine, 'connection_id', null,
                    'content_item_id', create_submissions.content_item_id, 'submitted_url', url, 'status', 'refused',
                    'error_code', v_target.error_code, 'error_message', v_target.error_message, 'retry_count', 0
                );
                continue;
            end if;
            perform 1 from public.seo_connection as c
            where c.id = v_target.connection_id and c.user_id = create_submissions.user_id and c.is_active for key share;
            if not found then
                raise exception 'The search engine was disconnected a moment ago.' using errcode = 'PT409', hint = 'connection_gone';
            end if;
            v_id := gen_random_uuid();
            if v_target.error_code is null then
                v_earlier_id := null;
                insert into private.submission_debounce as d (user_id, search_engine_id, submitted_url, submission_id)
                values (create_submissions.user_id, v_target.search_engine_id, url, v_id)
                on conflict on constraint submission_debounce_pkey do update set submission_id = excluded.submission_id, created_at = now()
                where d.created_at <= now() - private.setting_interval('seo.debounce');
                if not found then
                    select d.submission_id into v_earlier_id from private.submission_debounce as d
                    where d.user_id = create_submissions.user_id and d.search_engine_id = v_target.search_engine_id and d.submitted_url = url;
                    v_entries := v_entries || jsonb_build_object('id', v_earlier_id, 'duplicate', true);
                    continue;
                end if;
            end if;
            insert into public.seo_submission (
                id, content_item_id, user_id, connection_id, search_engine_id, submitted_url, status, error_code, error_message,
                next_retry_at, is_automatic, is_charged
            ) values (
                v_id, create_submissions.content_item_id, create_submissions.user_id, v_target.connection_id,
                v_target.search_engine_id, url, case when v_target.error_code is null then 'pending' else 'refused' end,
                v_target.error_code, v_target.error_message, case when v_target.error_code is null then now() end,
                create_submissions.is_automatic, v_target.error_code is null
            );
            v_entries := v_entries || jsonb_build_object('id', v_id);
            if v_target.error_code is null then
                v_new := v_new + 1;
                v_quota := private.consume_quota(
                    user_id, 'seo_submission', 1, private.submission_key(v_id), 'seo_submission', v_id, 'page submitted to ' || v_target.search_engine
                );
                if not (v_quota ->> 'allowed')::boolean then
                    raise exception 'quota' using errcode = 'SV402';
                end if;
            end if;
        end loop;
    exception when sqlstate 'SV402' then
        -- A request is charged whole or not at all: nothing of it stays. The subscription is still locked, so asking once
        -- more for all of it cannot be granted; it tells how things stand, and the user, once, that the limit is reached.
        return jsonb_build_object(
            'quota', private.consume_quota(user_id, 'seo_submission', jsonb_array_length(targets), 'seo:' || gen_random_uuid(), null, null, null),
            'replayed', false, 'submissions', '[]'::jsonb
        );
    end;
    if idempotency_key is not null then
        insert into private.submission_request (user_id, idempotency_key, content_item_id, submitted_url, engines, answer)
        values (create_submissions.user_id, create_submissions.idempotency_key, create_submissions.content_item_id, url, create_submissions.engines, v_entries);
    end if;
    return jsonb_build_object('quota', null, 'replayed', false, 'submissions', v_entries);
end;
$$;
comment on function private.create_submissions(uuid, uuid, text, jsonb, text[], text, boolean) is 'Body of public.create_submissions.';
revoke execute on function private.create_submissions(uuid, uuid, text, jsonb, text[], text, boolean)
from public, anon, authenticated, service_role;
grant execute on function private.create_submissions(uuid, uuid, text, jsonb, text[], text, boolean) to service_role;

create function public.create_submissions(
    user_id uuid, content_item_id uuid, url text, targets jsonb,
    engines text[] default null, idempotency_key text default null, is_automatic boolean default false
)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.create_submissions(user_id, content_item_id, url, targets, engines, idempotency_key, is_automatic);
end;
$$;
comment on function public.create_submissions(uuid, uuid, text, jsonb, text[], text, boolean) is
    'One row and one charge for each target [{search_engine, connection_id, error_code, error_message}]; one with an error_code is kept as refused and not charged, one within the debounce is the earlier row. {quota, replayed, submissions}; quota is set if the request does not fit, and then nothing was made.';
revoke execute on function public.create_submissions(uuid, uuid, text, jsonb, text[], text, boolean)
from public, anon, authenticated, service_role;
grant execute on function public.create_submissions(uuid, uuid, text, jsonb, text[], text, boolean) to service_role;

create function private.submission_answers(user_id uuid, entries jsonb)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return (
        select coalesce(jsonb_agg(
            case
                when s.id is null then e.entry
                else private.submission_answer(s.id) || jsonb_build_object('duplicate', coalesce((e.entry ->> 'duplicate')::boolean, false))
            end order by e.position
        ), '[]')
        from jsonb_array_elements(entries) with ordinality as e (entry, position)
        left join public.seo_submission as s on s.id = (e.entry ->> 'id')::uuid and s.user_id = submission_answers.user_id
    );
end;
$$;
comment on function private.submission_answers(uuid, jsonb) is 'Body of public.submission_answers.';
revoke execute on function private.submission_answers(uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.submission_answers(uuid, jsonb) to service_role;

create function public.submission_answers(user_id uuid, entries jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
    return private.submission_answers(user_id, entries);
end;
$$;
comment on function public.submission_answers(uuid, jsonb) is 'What create_submissions made, as it stands now.';
revoke execute on function public.submission_answers(uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.submission_answers(uuid, jsonb) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Claiming.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.engine_day()
returns date
language plpgsql
stable
set search_path = ''
as $$
begin
    -- Google's budgets begin at midnight Pacific time; the others' is not documented, and this is the latest of the guesses.
    return (now() at time zone 'America/Los_Angeles')::date;
end;
$$;
comment on function private.engine_day() is 'The day that the engines'' own budgets count in.';
revoke execute on function private.engine_day() from public, anon, authenticated, service_role;

create function private.next_engine_day()
returns timestamptz
language plpgsql
volatile
set search_path = ''
as $$
begin
    -- Spread over the first half hour, so that everything postponed does not come at once.
    return ((private.engine_day() + 1)::timestamp at time zone 'America/Los_Angeles') + random() * interval '30 minutes';
end;
$$;
comment on function private.next_engine_day() is 'When a submission that an engine''s daily budget had no room for is due again.';
revoke execute on function private.next_engine_day() from public, anon, authenticated, service_role;

create function private.take_budget(search_engine_id uuid, operation text, site_url text, amount integer)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_granted integer;
begin
    insert into private.engine_budget (search_engine_id, operation, site_url, day, maximum)
    select e.id, take_budget.operation, take_budget.site_url, private.engine_day(), l.per_day
    from public.search_engine as e
    left join private.engine_limit as l on l.engine = e.slug and l.operation = take_budget.operation
    where e.id = take_budget.search_engine_id
    on conflict do nothing;
    select least(take_budget.amount, greatest(coalesce(b.maximum - b.used, take_budget.amount), 0)) into v_granted
    from private.engine_budget as b
    where b.search_engine_id = take_budget.search_engine_id and b.operation = take_budget.operation
        and b.site_url = take_budget.site_url and b.day = private.engine_day()
    for update;
    update private.engine_budget as b set used = b.used + v_granted
    where b.search_engine_id = take_budget.search_engine_id and b.operation = take_budget.operation
        and b.site_url = take_budget.site_url and b.day = private.engine_day() and v_granted > 0;
    return v_granted;
end;
$$;
comment on function private.take_budget(uuid, text, text, integer) is 'Takes up to amount from an engine''s budget of today for a site; how much there was.';
revoke execute on function private.take_budget(uuid, text, text, integer) from public, anon, authenticated, service_role;

create function private.pass_breaker(search_engine_id uuid)
returns text
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_health private.engine_health;
begin
    select h.* into v_health from private.engine_health as h where h.search_engine_id = pass_breaker.search_engine_id;
    if not found or v_health.open_until is null then
        return 'closed';
    end if;
    -- After the pause one caller goes through, whoever moves the time first; the others wait for what it finds.
    update private.engine_health as h set open_until = now() + private.setting_interval('seo.breaker_probe'), updated_at = now()
    where h.search_engine_id = pass_breaker.search_engine_id and h.open_until <= now();
    return case when found then 'probe' else 'open' end;
end;
$$;
comment on function private.pass_breaker(uuid) is 'closed: call the engine; probe: call it once; open: do not.';
revoke execute on function private.pass_breaker(uuid) from public, anon, authenticated, service_role;

create function private.claim_submissions(engine text, max_rows integer, ids uuid[])
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_engine_id uuid := (select e.id from public.search_engine as e where e.slug = claim_submissions.engine);
    v_token uuid := gen_random_uuid();
    v_breaker text;
    v_limit integer := least(greatest(max_rows, 1), 10000);
    v_ids uuid[];
    v_orphans uuid[];
    v_part record;
    v_granted integer;
    v_groups jsonb;
begin
    if v_engine_id is null then
        raise exception 'There is no search engine of this name.' using errcode = 'PT404', hint = 'unknown_search_engine';
    end if;
    if not exists (select 1 from public.search_engine as e where e.id = v_engine_id and e.is_active) then
        -- Switched off by an admin: what is due stays due.
        return jsonb_build_object('token', v_token, 'groups', '[]'::jsonb, 'claimed', 0);
    end if;
    -- Looked for before the breaker is asked: the one call after a pause must not be wasted on nothing.
    v_ids := array(
        select s.id from public.seo_submission as s
        where s.search_engine_id = v_engine_id and s.status in ('pending', 'submitted', 'crawled') and s.next_retry_at <= now()
            and (ids is null or s.id = any(ids))
        order by s.next_retry_at
        limit v_limit
        for update skip locked
    );
    if cardinality(v_ids) = 0 then
        return jsonb_build_object('token', v_token, 'groups', '[]'::jsonb, 'claimed', 0);
    end if;
    v_breaker := private.pass_breaker(v_engine_id);
    if v_breaker = 'open' then
        return jsonb_build_object('token', v_token, 'groups', '[]'::jsonb, 'claimed', 0);
    elsif v_breaker = 'probe' then
        v_ids := v_ids[1:1];
    end if;

    -- Whose connection is gone or switched off: nothing to do any more, and nothing to pay for.
    v_orphans := array(
        select s.id from public.seo_submission as s
        where s.id = any(v_ids)
            and not exists (select 1 from public.seo_connection as c where c.id = s.connection_id and c.is_active)
        order by s.user_id, s.id
    );
    if cardinality(v_orphans) > 0 then
        perform private.refund_quota(s.user_id, private.submission_key(s.id), 'site disconnected')
        from (select o.user_id, o.id, o.status from public.seo_submission as o where o.id = any(v_orphans) order by o.user_id, o.id) as s
        where s.status = 'pending';
        update public.seo_submission as s set
            status = case s.status when 'pending' then 'refused' else s.status end,
            error_code = case s.status when 'pending' then 'disconnected' else s.error_code end,
            error_message = case s.status when 'pending' then 'The site was disconnected.' else s.error_message end,
            next_retry_at = null, lease_token = null
        where s.id = any(v_orphans);
    end if;

    update public.seo_submission as s set
        lease_token = v_token,
        next_retry_at = now() + private.setting_interval('seo.lease')
    where s.id = any(v_ids) and not (s.id = any(v_orphans));

    -- What the engine's own daily budget has no room for waits for tomorrow. Parts in one order, so that claims queue.
    for v_part in
        select c.site_url, case s.status when 'pending' then 'submit' else 'inspect' end as operation, array_agg(s.id order by s.created_at, s.id) as ids
        from public.seo_submission as s join public.seo_connection as c on c.id = s.connection_id
        where s.id = any(v_ids) and s.lease_token = v_token
            and (
                exists (select 1 from private.engine_limit as l where l.engine = claim_submissions.engine)
                or exists (
                    select 1 from private.engine_budget as b
                    where b.search_engine_id = v_engine_id and b.day = private.engine_day() and b.maximum is not null
                )
            )
        group by 1, 2 order by 1, 2
    loop
        v_granted := private.take_budget(v_engine_id, v_part.operation, v_part.site_url, cardinality(v_part.ids));
        continue when v_granted = cardinality(v_part.ids);
        update public.seo_submission as s set lease_token = null, next_retry_at = private.next_engine_day()
        where s.id = any(v_part.ids[v_granted + 1:]);
        -- And with them whatever else of the site is due, lest it be claimed in vain, batch by batch.
        update public.seo_submission as s set next_retry_at = private.next_engine_day()
        where s.id in (
            select o.id
            from public.seo_submission as o join public.seo_connection as c on c.id = o.connection_id
            where o.search_engine_id = v_engine_id and o.status in ('pending', 'submitted', 'crawled') and o.next_retry_at <= now()
                and (o.status = 'pending') = (v_part.operation = 'submit') and c.site_url = v_part.site_url
            limit 10000
            for update of o skip locked
        );
    end loop;

    select coalesce(jsonb_agg(g.item), '[]') into v_groups
    from (
        select jsonb_build_object(
            'connection_id', c.id, 'site_url', c.site_url, 'credentials', private.vault_get(c.vault_secret_name)::jsonb,
            'pages', jsonb_agg(jsonb_build_array(s.id, s.submitted_url, s.status, s.index_status_url) order by s.created_at, s.id)
        ) as item
        from public.seo_submission as s join public.seo_connection as c on c.id = s.connection_id
        where s.id = any(v_ids) and s.lease_token = v_token
        group by c.id
    ) as g;
    return jsonb_build_object('token', v_token, 'groups', v_groups, 'claimed', cardinality(v_ids));
end;
$$;
comment on function private.claim_submissions(text, integer, uuid[]) is 'Body of public.claim_submissions.';
revoke execute on function private.claim_submissions(text, integer, uuid[]) from public, anon, authenticated, service_role;
grant execute on function private.claim_submissions(text, integer, uuid[]) to service_role;

create function public.claim_submissions(engine text, max_rows integer, ids uuid[] default null)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.claim_submissions(engine, max_rows, ids);
end;
$$;
comment on function public.claim_submissions(text, integer, uuid[]) is
    'Leases due submissions of an engine, oldest first, with the credentials of their sites: {token, claimed, groups: [{connection_id, site_url, credentials, pages: [[id, url, status, index_status_url]]}]}. Nothing while the engine''s breaker is open, one page after its pause.';
revoke execute on function public.claim_submissions(text, integer, uuid[]) from public, anon, authenticated, service_role;
grant execute on function public.claim_submissions(text, integer, uuid[]) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Completing.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.retry_wait(retry_count integer, retry_after_seconds double precision)
returns interval
language plpgsql
volatile
set search_path = ''
as $$
declare
    v_longest interval := private.setting_interval('seo.retry_longest');
begin
    if retry_after_seconds > 0 then
        -- Never earlier than asked for; a little later, so that not everybody is back at once.
        return least(make_interval(secs => least(retry_after_seconds, 1e9)), v_longest) * (1 + random() * 0.1);
    end if;
    return least(private.setting_interval('seo.retry_first') * power(2, least(retry_count, 20)), v_longest) * (0.75 + random() * 0.5);
end;
$$;
comment on function private.retry_wait(integer, double precision) is 'How long to wait after so many failed tries: exponential with jitter, or what Retry-After asks for, capped.';
revoke execute on function private.retry_wait(integer, double precision) from public, anon, authenticated, service_role;

create function private.check_wait(check_count integer)
returns interval
language plpgsql
volatile
set search_path = ''
as $$
declare
    v_waits jsonb := private.setting_text('seo.check_waits')::jsonb;
begin
    return (v_waits ->> check_count)::interval * (0.9 + random() * 0.2);
end;
$$;
comment on function private.check_wait(integer) is 'How long until the index status is asked for again after so many questions; null: not any more.';
revoke execute on function private.check_wait(integer) from public, anon, authenticated, service_role;

create function private.record_engine_health(search_engine_id uuid, calls_down integer, calls_up integer)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_threshold integer := private.setting_int('seo.breaker_failures');
begin
    if calls_up > 0 then
        update private.engine_health as h set failures = 0, open_until = null, updated_at = now()
        where h.search_engine_id = record_engine_health.search_engine_id and (h.failures > 0 or h.open_until is not null);
    elsif calls_down > 0 then
        insert into private.engine_health as h (search_engine_id, failures) values (record_engine_health.search_engine_id, calls_down)
        on conflict on constraint engine_health_pkey do update set failures = h.failures + excluded.failures, updated_at = now();
        update private.engine_health as h set
            open_until = now() + least(
                private.setting_interval('seo.breaker_first') * power(2, least(h.failures - v_threshold, 20)),
                private.setting_interval('seo.breaker_longest')
            )
        where h.search_engine_id = record_engine_health.search_engine_id and h.failures >= v_threshold;
    end if;
end;
$$;
comment on function private.record_engine_health(uuid, integer, integer) is 'Counts calls that found an engine down; enough of them in a row open its breaker, one success closes it.';
revoke execute on function private.record_engine_health(uuid, integer, integer) from public, anon, authenticated, service_role;

create function private.learn_budget(search_engine_id uuid, operation text, site_url text, remaining integer)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into private.engine_budget as b (search_engine_id, operation, site_url, day, maximum)
    values (learn_budget.search_engine_id, learn_budget.operation, learn_budget.site_url, private.engine_day(), greatest(remaining, 0))
    on conflict on constraint engine_budget_pkey do update set maximum = b.used + greatest(remaining, 0);
end;
$$;
comment on function private.learn_budget(uuid, text, text, integer) is 'Takes over what an engine says is left of its budget today.';
revoke execute on function private.learn_budget(uuid, text, text, integer) from public, anon, authenticated, service_role;

create function private.complete_submissions(engine text, token uuid, results jsonb)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_engine_id uuid := (select e.id from public.search_engine as e where e.slug = complete_submissions.engine);
    v_result record;
    v_ids uuid[];
    v_accepted uuid[] := array[]::uuid[];
    v_refund uuid[] := array[]::uuid[];
    v_row record;
    v_down integer := 0;
    v_up integer := 0;
    v_count integer := 0;
    v_news uuid[] := array[]::uuid[];
    v_attempts integer := private.setting_int('seo.retry_attempts');
begin
    -- Locks in one order everywhere: subscriptions, connections, submissions. Questions for a status move no money.
    perform 1 from public.subscription as u
    where u.user_id in (
        select c.user_id from public.seo_connection as c
        where c.id in (
            select (r ->> 'connection_id')::uuid from jsonb_array_elements(results) as r
            where not (r ->> 'is_check')::boolean and r ->> 'status' is not null
        )
    )
    order by u.user_id for update;
    perform 1 from public.seo_connection as c
    where c.id in (select (r ->> 'connection_id')::uuid from jsonb_array_elements(results) as r)
    order by c.id for no key update;

    for v_result in
        select r.* from jsonb_to_recordset(results) as r (
            ids uuid[], connection_id uuid, is_check boolean, status text, reason text, message text, method text, request jsonb,
            response_status integer, response jsonb, coverage_state text, index_status_url text,
            retry_after_seconds double precision, remaining_today integer, is_final boolean, is_engine_down boolean, is_untried boolean,
            has_refused_credentials boolean, calls integer
        )
    loop
        v_ids := array(
            select s.id from public.seo_submission as s
            where s.id = any(v_result.ids) and s.lease_token = token and (s.status <> 'pending') = v_result.is_check
            order by s.id for update
        );
        continue when cardinality(v_ids) = 0;
        v_count := v_count + cardinality(v_ids);

        if v_result.is_untried then
            -- Claimed, but the engine was not asked (it is down, or the time was up): due again at once, and the budget is whole.
            update public.seo_submission as s set lease_token = null, next_retry_at = now() where s.id = any(v_ids);
            update private.engine_budget as b set used = greatest(b.used - cardinality(v_ids), 0)
            from public.seo_connection as c
            where c.id = v_result.connection_id and b.search_engine_id = v_engine_id and b.site_url = c.site_url
                and b.operation = case when v_result.is_check then 'inspect' else 'submit' end and b.day = private.engine_day();
            continue;
        end if;
        if not v_result.is_check or v_result.status in ('indexed', 'failed') then
            v_news := v_news || v_ids;
        end if;
        if v_result.is_engine_down then
            v_down := v_down + coalesce(v_result.calls, 1);
        elsif v_result.response_status is not null then
            v_up := v_up + coalesce(v_result.calls, 1);
        end if;
        if v_result.remaining_today is not null then
            perform private.learn_budget(
                v_engine_id, case when v_result.is_check then 'inspect' else 'submit' end, c.site_url, v_result.remaining_today
            ) from public.seo_connection as c where c.id = v_result.connection_id;
        end if;

        if v_result.is_check and v_result.status in ('submitted', 'crawled', 'indexed') then
            -- A state is only ever left forwards: that Google forgets a crawl does not make it undone.
            update public.seo_submission as s set
                status = case
                    when array_position(array['submitted', 'crawled', 'indexed'], v_result.status)
                        > array_position(array['submitted', 'crawled', 'indexed'], s.status) then v_result.status
                    else s.status
                end,
                coverage_state = coalesce(v_result.coverage_state, s.coverage_state),
                index_status_url = coalesce(v_result.index_status_url, s.index_status_url),
                response_status = coalesce(v_result.response_status, s.response_status),
                response_body = coalesce(v_result.response, s.response_body),
                status_checked_at = now(),
                check_count = s.check_count + 1,
                retry_count = 0,
                error_code = null,
                error_message = null,
                indexed_at = case when v_result.status = 'indexed' then now() end,
                lease_token = null,
                next_retry_at = case when not v_result.is_final then now() + private.check_wait(s.check_count + 1) end
            where s.id = any(v_ids);
        elsif v_result.is_check and v_result.status = 'pending' then
            -- The engine could not be asked. That says nothing about the page.
            update public.seo_submission as s set
                retry_count = s.retry_count + 1,
                status_checked_at = now(),
                error_code = v_result.reason,
                lease_token = null,
                next_retry_at = case
                    when v_result.reason = 'daily_quota' then private.next_engine_day()
                    when s.retry_count + 1 < v_attempts then now() + private.retry_wait(s.retry_count, v_result.retry_after_seconds)
                end
            where s.id = any(v_ids);
        elsif v_result.is_check and v_result.status = 'refused' then
            -- The engine will not tell: nobody asks any more, and the submission stays what it was.
            update public.seo_submission as s set
                status_checked_at = now(),
                error_code = v_result.reason,
                error_message = v_result.message,
                lease_token = null,
                next_retry_at = null
            where s.id = any(v_ids);
        elsif v_result.status = 'pending' then
            update public.seo_submission as s set
                retry_count = s.retry_count + case v_result.reason when 'daily_quota' then 0 else 1 end,
                request_payload = v_result.request,
                submission_method = coalesce(v_result.method, s.submission_method),
                response_status = v_result.response_status,
                response_body = v_result.response,
                error_code = v_result.reason,
                error_message = v_result.message,
                lease_token = null,
                next_retry_at = case v_result.reason
                    when 'daily_quota' then private.next_engine_day()
                    else now() + private.retry_wait(s.retry_count, v_result.retry_after_seconds)
                end
            where s.id = any(v_ids)
                and s.created_at > now() - private.setting_interval('seo.give_up_after')
                and (s.retry_count + 1 < v_attempts or v_result.reason = 'daily_quota');
            -- Whose tries or time are used up has failed.
            v_result.status := 'failed';
            v_result.message := coalesce(v_result.message || ' ', '') || 'It was tried for as long as it made sense.';
            v_ids := array(select s.id from public.seo_submission as s where s.id = any(v_ids) and s.lease_token = token);
        elsif v_result.status in ('submitted', 'crawled', 'indexed') then
            update public.seo_submission as s set
                status = v_result.status,
                request_payload = v_result.request,
                submission_method = coalesce(v_result.method, s.submission_method),
                response_status = v_result.response_status,
                response_body = v_result.response,
                index_status_url = coalesce(v_result.index_status_url, s.index_status_url),
                coverage_state = coalesce(v_result.coverage_state, s.coverage_state),
                error_code = v_result.reason,
                error_message = null,
                retry_count = 0,
                submitted_at = now(),
                indexed_at = case when v_result.status = 'indexed' then now() end,
                lease_token = null,
                next_retry_at = case when not v_result.is_final then now() + private.check_wait(0) end
            where s.id = any(v_ids);
            v_accepted := v_accepted || v_ids;
            -- Two statements, because the audit log notes whenever is_verified is set.
            update public.seo_connection as c set is_verified = true, last_error = null, next_verification_at = null
            where c.id = v_result.connection_id and (not c.is_verified or c.last_error is not null);
            update public.seo_connection as c set last_verified_at = now() where c.id = v_result.connection_id;
        end if;

        if v_result.status in ('failed', 'refused') and not (v_result.is_check and v_result.status = 'refused') and cardinality(v_ids) > 0 then
            update public.seo_submission as s set
                status = v_result.status,
                retry_count = s.retry_count,
                request_payload = coalesce(v_result.request, s.request_payload),
                submission_method = coalesce(v_result.method, s.submission_method),
                response_status = v_result.response_status,
                response_body = v_result.response,
                coverage_state = coalesce(v_result.coverage_state, s.coverage_state),
                error_code = v_result.reason,
                error_message = v_result.message,
                status_checked_at = case when v_result.is_check then now() else s.status_checked_at end,
                lease_token = null,
                next_retry_at = null
            where s.id = any(v_ids);
            if not v_result.is_check then
                v_refund := v_refund || v_ids;
            end if;
        end if;
        if v_result.has_refused_credentials then
            update public.seo_connection as c set is_verified = false, last_error = v_result.message
            where c.id = v_result.connection_id;
        end if;
        if v_result.status in ('indexed', 'failed') then
            insert into public.notification (user_id, type, title, message, related_entity_type, related_entity_id, metadata, dedupe_key)
            select
                s.user_id, case s.status when 'indexed' then 'seo_indexed' else 'seo_failed' end::public.notification_type_enum,
                case s.status when 'indexed' then e.display_name || ' has indexed your page' else e.display_name || ' did not take your page' end,
                left(s.submitted_url || case s.status when 'failed' then coalesce(': ' || s.error_message, '') else '' end, 2000),
                'seo_submission', s.id, jsonb_build_object('search_engine', e.slug, 'url', s.submitted_url, 'status', s.status),
                'seo_' || s.status || ':' || s.id
            from public.seo_submission as s join public.search_engine as e on e.id = s.search_engine_id
            where s.id = any(v_ids) and s.status in ('indexed', 'failed')
            on conflict do nothing;
        end if;
    end loop;

    -- Money last, user by user in one order.
    for v_row in
        select
            s.user_id,
            array_agg(private.submission_key(s.id)) filter (where s.id = any(v_accepted)) as accepted,
            array_agg(private.submission_key(s.id)) filter (where s.id = any(v_refund)) as refused
        from public.seo_submission as s
        where s.id = any(v_accepted || v_refund)
        group by s.user_id order by s.user_id
    loop
        perform private.settle_charges(v_row.user_id, v_row.accepted);
        perform private.release_charges(v_row.user_id, v_row.refused, 'search engine did not take the page');
    end loop;
    -- Charges that were given back while the engine kept everybody waiting are made anew, if the plan still has room.
    for v_row in
        select s.id, s.user_id from public.seo_submission as s
        where s.id = any(v_accepted) and s.is_charged
            and not exists (
                select 1 from public.quota_usage_history as h
                where h.user_id = s.user_id and h.idempotency_key = private.submission_key(s.id) and h.released_at is null
            )
        order by s.user_id, s.id
    loop
        if (private.consume_quota(
            v_row.user_id, 'seo_submission', 1, private.submission_key(v_row.id), 'seo_submission', v_row.id, 'page taken by the search engine'
        ) ->> 'allowed')::boolean then
            perform private.settle_quota(v_row.user_id, private.submission_key(v_row.id));
        end if;
    end loop;
    insert into public.seo_usage (user_id, search_engine_id, content_item_id, operation_type, urls_count, billing_cycle_start, billing_cycle_end)
    select s.user_id, s.search_engine_id, s.content_item_id, 'submit', 1, b.cycle_start_date, b.cycle_end_date
    from public.seo_submission as s join public.subscription as b on b.user_id = s.user_id
    where s.id = any(v_accepted);
    perform private.record_engine_health(v_engine_id, v_down, v_up);
    return jsonb_build_object('stored', v_count, 'outcomes', (
        select coalesce(jsonb_object_agg(o.status, o.amount), '{}')
        from (
            select s.status, count(*) as amount from public.seo_submission as s where s.id = any(v_news) group by s.status
        ) as o
    ));
end;
$$;
comment on function private.complete_submissions(text, uuid, jsonb) is 'Body of public.complete_submissions.';
revoke execute on function private.complete_submissions(text, uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.complete_submissions(text, uuid, jsonb) to service_role;

create function public.complete_submissions(engine text, token uuid, results jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.complete_submissions(engine, token, results);
end;
$$;
comment on function public.complete_submissions(text, uuid, jsonb) is
    'Stores what an engine said about claimed pages: states, waits, charges settled or given back, usage, budgets, health, notifications. Rows whose lease went to somebody else are left alone. {stored: how many were not, outcomes: {status: how many came to it or, pending, stay there}}; a check counts where it ends the matter.';
revoke execute on function public.complete_submissions(text, uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.complete_submissions(text, uuid, jsonb) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- New credentials, tried by seo_poll until an engine has said that they are good.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.claim_verifications(max_rows integer)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_ids uuid[];
begin
    v_ids := array(
        select c.id from public.seo_connection as c
        where c.is_active and not c.is_verified and c.next_verification_at <= now()
        order by c.next_verification_at
        limit least(greatest(max_rows, 1), 1000)
        for update skip locked
    );
    update public.seo_connection as c set
        verification_count = c.verification_count + 1,
        next_verification_at = now()
        + (private.setting_text('seo.verification_waits')::jsonb ->> c.verification_count)::interval
    where c.id = any(v_ids);
    return (
        select coalesce(jsonb_agg(jsonb_build_object(
            'connection_id', c.id, 'search_engine', e.slug, 'site_url', c.site_url,
            'credentials', private.vault_get(c.vault_secret_name)::jsonb
        )), '[]')
        from public.seo_connection as c join public.search_engine as e on e.id = c.search_engine_id
        where c.id = any(v_ids) and e.is_active
    );
end;
$$;
comment on function private.claim_verifications(integer) is 'Body of public.claim_verifications.';
revoke execute on function private.claim_verifications(integer) from public, anon, authenticated, service_role;
grant execute on function private.claim_verifications(integer) to service_role;

create function public.claim_verifications(max_rows integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.claim_verifications(max_rows);
end;
$$;
comment on function public.claim_verifications(integer) is
    'Connections whose credentials nobody has seen work: [{connection_id, search_engine, site_url, credentials}]. Each is due again later, by widening waits, unless complete_verification says that it is good.';
revoke execute on function public.claim_verifications(integer) from public, anon, authenticated, service_role;
grant execute on function public.claim_verifications(integer) to service_role;

create function private.complete_verification(connection_id uuid, is_verified boolean, error_message text)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
begin
    update public.seo_connection as c set
        is_verified = complete_verification.is_verified,
        last_verified_at = case when complete_verification.is_verified then now() else c.last_verified_at end,
        last_error = case when not complete_verification.is_verified then left(complete_verification.error_message, 1000) end,
        next_verification_at = case when not complete_verification.is_verified then c.next_verification_at end
    where c.id = complete_verification.connection_id and c.is_active and not c.is_verified;
    return found;
end;
$$;
comment on function private.complete_verification(uuid, boolean, text) is 'Body of public.complete_verification.';
revoke execute on function private.complete_verification(uuid, boolean, text) from public, anon, authenticated, service_role;
grant execute on function private.complete_verification(uuid, boolean, text) to service_role;

create function public.complete_verification(connection_id uuid, is_verified boolean, error_message text default null)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.complete_verification(connection_id, is_verified, error_message);
end;
$$;
comment on function public.complete_verification(uuid, boolean, text) is 'Stores whether an engine has accepted a connection''s credentials. False if a submission has verified it meanwhile.';
revoke execute on function public.complete_verification(uuid, boolean, text) from public, anon, authenticated, service_role;
grant execute on function public.complete_verification(uuid, boolean, text) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Automatic submission: new public items of users who have it on, to each connection whose site has a page for them.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.item_page_url(page_url_template text, site_url text, item public.content_item)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
    if page_url_template is not null then
        return replace(replace(page_url_template, '{platform_content_id}', item.platform_content_id), '{id}', item.id::text);
    elsif position(site_url in item.description) = 0 then
        return null;
    end if;
    -- The link ends where links end in running text; the site's front page alone is nobody's page.
    return nullif(
        rtrim((regexp_match(substr(item.description, position(site_url in item.description)), '^[^\s"''<>()\[\]]+'))[1], '.,;:!?'),
        rtrim(site_url, '.,;:!?')
    );
end;
$$;
comment on function private.item_page_url(text, text, public.content_item) is
    'The page of the site that shows an item: by the connection''s template, or the first link to the site in the item''s description; null if there is none.';
revoke execute on function private.item_page_url(text, text, public.content_item) from public, anon, authenticated, service_role;

create function private.dispatch_auto_submissions(max_rows integer)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_handed_over jsonb;
begin
    with handed_over as (
        insert into private.auto_submission as d (content_item_id, connection_id)
        select i.id, c.id
        from public.user_setting as u
        join public.seo_connection as c on c.user_id = u.user_id and c.is_active
        join public.social_account as a on a.user_id = u.user_id and a.deleted_at is null and a.visibility = 'public'
        join public.content_item as i on i.social_account_id = a.id
        cross join lateral private.item_page_url(c.page_url_template, c.site_url, i) as p (url)
        left join private.auto_submission as x on x.content_item_id = i.id and x.connection_id = c.id
        where u.is_auto_seo_submission_enabled
            and i.published_at > now() - private.setting_interval('seo.auto_window')
            and i.visibility = 'public' and i.deleted_at is null and i.upstream_deleted_at is null
            and p.url is not null
            -- Once a page: many items may link to the same one, and their owner may have been faster.
            and not exists (select 1 from public.seo_submission as s where s.connection_id = c.id and s.submitted_url = p.url)
            and (
                x.content_item_id is null
                or (
                    x.done_at is null and x.dispatch_count < 3
                    and x.dispatched_at < now() - private.setting_interval('seo.auto_lease')
                )
            )
        order by i.published_at, i.id, c.id
        limit least(greatest(max_rows, 1), 10000)
        on conflict on constraint auto_submission_pkey do update set dispatched_at = now(), dispatch_count = d.dispatch_count + 1
        where d.done_at is null and d.dispatched_at < now() - private.setting_interval('seo.auto_lease')
        returning d.content_item_id, d.connection_id
    )
    select coalesce(jsonb_agg(jsonb_build_object('content_item_id', h.content_item_id, 'connection_id', h.connection_id)), '[]')
    into v_handed_over
    from handed_over as h;
    return v_handed_over;
end;
$$;
comment on function private.dispatch_auto_submissions(integer) is 'Body of public.dispatch_auto_submissions.';
revoke execute on function private.dispatch_auto_submissions(integer) from public, anon, authenticated, service_role;
grant execute on function private.dispatch_auto_submissions(integer) to service_role;

create function public.dispatch_auto_submissions(max_rows integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.dispatch_auto_submissions(max_rows);
end;
$$;
comment on function public.dispatch_auto_submissions(integer) is
    'Items to hand to the seo queue: [{content_item_id, connection_id}], each once; again, up to three times, if nobody finished it within its lease.';
revoke execute on function public.dispatch_auto_submissions(integer) from public, anon, authenticated, service_role;
grant execute on function public.dispatch_auto_submissions(integer) to service_role;

create function private.auto_submission_page(content_item_id uuid, connection_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    -- Asked again by the worker: the owner may have changed their mind since the message was sent.
    return (
        select jsonb_build_object(
            'user_id', c.user_id, 'search_engine', e.slug, 'site_url', c.site_url, 'url', p.url
        )
        from private.auto_submission as d
        join public.content_item as i on i.id = d.content_item_id
        join public.social_account as a on a.id = i.social_account_id
        join public.seo_connection as c on c.id = d.connection_id and c.user_id = a.user_id
        join public.search_engine as e on e.id = c.search_engine_id
        join public.user_setting as u on u.user_id = c.user_id
        cross join lateral private.item_page_url(c.page_url_template, c.site_url, i) as p (url)
        where d.content_item_id = auto_submission_page.content_item_id and d.connection_id = auto_submission_page.connection_id
            and d.done_at is null and u.is_auto_seo_submission_enabled and c.is_active and p.url is not null
            and i.visibility = 'public' and i.deleted_at is null and i.upstream_deleted_at is null
    );
end;
$$;
comment on function private.auto_submission_page(uuid, uuid) is 'Body of public.auto_submission_page.';
revoke execute on function private.auto_submission_page(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function private.auto_submission_page(uuid, uuid) to service_role;

create function public.auto_submission_page(content_item_id uuid, connection_id uuid)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
    return private.auto_submission_page(content_item_id, connection_id);
end;
$$;
comment on function public.auto_submission_page(uuid, uuid) is
    'What a message of the seo queue asks for: {user_id, search_engine, site_url, url}; null if it is done or not wanted any more.';
revoke execute on function public.auto_submission_page(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function public.auto_submission_page(uuid, uuid) to service_role;

create function private.finish_auto_submission(content_item_id uuid, connection_id uuid)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
begin
    update private.auto_submission as d set done_at = now()
    where d.content_item_id = finish_auto_submission.content_item_id and d.connection_id = finish_auto_submission.connection_id
        and d.done_at is null;
    return found;
end;
$$;
comment on function private.finish_auto_submission(uuid, uuid) is 'Body of public.finish_auto_submission.';
revoke execute on function private.finish_auto_submission(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function private.finish_auto_submission(uuid, uuid) to service_role;

create function public.finish_auto_submission(content_item_id uuid, connection_id uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.finish_auto_submission(content_item_id, connection_id);
end;
$$;
comment on function public.finish_auto_submission(uuid, uuid) is 'Marks an automatic submission as done, whatever came of it.';
revoke execute on function public.finish_auto_submission(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function public.finish_auto_submission(uuid, uuid) to service_role;

create function private.purge_submission_records()
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_requests integer;
    v_debounces integer;
    v_budgets integer;
begin
    delete from private.submission_request as r where r.created_at < now() - interval '7 days';
    get diagnostics v_requests = row_count;
    delete from private.submission_debounce as d where d.created_at < now() - greatest(private.setting_interval('seo.debounce'), interval '1 day');
    get diagnostics v_debounces = row_count;
    delete from private.engine_budget as b where b.day < private.engine_day() - 7;
    get diagnostics v_budgets = row_count;
    return v_requests + v_debounces + v_budgets;
end;
$$;
comment on function private.purge_submission_records() is 'Body of public.purge_submission_records.';
revoke execute on function private.purge_submission_records() from public, anon, authenticated, service_role;
grant execute on function private.purge_submission_records() to service_role;

create function public.purge_submission_records()
returns integer
language plpgsql
set search_path = ''
as $$
begin
    return private.purge_submission_records();
end;
$$;
comment on function public.purge_submission_records() is 'Deletes what only mattered for a while: used keys, debounces, past budgets; how many rows.';
revoke execute on function public.purge_submission_records() from public, anon, authenticated, service_role;
grant execute on function public.purge_submission_records() to service_role;
