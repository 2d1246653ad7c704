-- Sync: runs, their pages, what they may spend, and who runs next.
--
-- `public.sync_run` is what its owner watches; `private.sync_job` is the machinery of the same run: lease, cursor, waits.
-- A worker holds a run by a lease and its token. Each page is one call, apply_content_page: it stores the items, moves
-- the cursor and the counts, pays the budget of the next page, and on the last page ends the run, all in one transaction
-- that does nothing if the lease has passed to somebody else. So a worker may die anywhere and be replaced.
--
-- Everybody locks in one order: subscription, connection, account, run, budget.

insert into private.setting (key, value, comment) values
('sync.lease', '"20 seconds"', 'How long a worker has a run without a sign of life; longer than one page may take.'),
('sync.full_every', '"7 days"', 'Where reading costs money (`incremental` below) scheduled runs read what is new, and all this often.'),
('sync.resend_after', '"2 minutes"', 'When the dispatcher sends a queued run again that nobody has taken up.'),
('sync.max_failures', '8', 'Failures in a row, without a page in between, after which a run ends.'),
('sync.first_backoff', '"15 seconds"', 'Wait after the first failure of a run; doubles each time.'),
('sync.longest_backoff', '"30 minutes"', 'Longest wait between two attempts of a run, unless the platform asks for more.'),
('sync.longest_run', '"3 days"', 'A run that has not ended by then is given up.'),
('sync.missing_answers', '2', 'Complete runs in a row that must miss an item before it counts as gone.'),
('sync.failures_to_tell', '3', 'Failed runs of an account in a row after which its owner is told.'),
-- What a platform's listing holds at most, newest first: external facts, see each connector's documentation.
('sync.history_cap.youtube', '20000', 'Uploads that the uploads playlist lists at most.'),
('sync.history_cap.instagram', '10000', 'Media that the media edge lists at most.'),
('sync.history_cap.twitter', '3200', 'Posts that the timeline lists at most.'),
('sync.ranked_a_year.facebook', '600', 'Posts of a year that the posts edge lists at most: not the newest, but what it ranks highest.'),
('sync.quiet_after', '"90 days"', 'Accounts whose newest item is older are synced half as often; four times as old, a quarter as often.'),
('sync.longest_interval', '"7 days"', 'No account waits longer for its next scheduled run than this (or its owner''s own setting).'),
('sync.live_pages', '20', 'Pages of a run that count as live work; what follows is backfill and stands back when the budget gets short.'),
('sync.request_ttl', '"7 days"', 'How long an Idempotency-Key of POST /sync is remembered.'),
('sync.keep_runs', '"90 days"', 'How long ended runs are kept.'),
-- Shares of a budget that each kind of work may use up. What is left above is kept for the more urgent kind.
('budget.share_backfill', '0.7', 'Part of a budget that backfill may use.'),
('budget.share_live', '0.9', 'Part of a budget that runs of known accounts may use; the rest is kept for new connections.'),
('breaker.failures', '5', 'Failures of a platform in a row that stop all calls to it.'),
('breaker.first_pause', '"30 seconds"', 'First such stop; doubles with each failed probe.'),
('breaker.longest_pause', '"15 minutes"', 'Longest such stop.'),
-- `page` and `profile` are what one page of content and one look at the account cost, in the same unit as the limit.
-- https://developers.google.com/youtube/data/determine_quota_cost: 10,000 units a project and day, midnight Pacific.
('budget.youtube', '{"limit": 10000, "window": "day", "time_zone": "America/Los_Angeles", "page": 2, "profile": 1}',
'Units of the YouTube Data API.'),
-- https://docs.x.com/x-api/getting-started/pricing: 0.005 USD a post; 3 million posts a month at most.
('budget.twitter', '{"limit": 96000, "window": "day", "time_zone": "UTC", "page": 100, "profile": 2, "incremental": true}',
'Posts read from X; 96,000 are 480 USD, and 31 days of them less than the 3 million a month.'),
-- https://developers.tiktok.com/doc/tiktok-api-v2-rate-limit: 600 requests a minute for each endpoint and client key.
('budget.tiktok', '{"limit": 600, "window": "minute", "time_zone": "UTC", "page": 1, "profile": 1}',
'Requests to TikTok.');

create table public.sync_run (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.users (id) on delete cascade,
    social_account_id uuid not null,
    status text not null default 'queued',
    trigger text not null default 'manual',
    items_seen integer not null default 0,
    items_created integer not null default 0,
    items_updated integer not null default 0,
    items_unchanged integer not null default 0,
    pages_done integer not null default 0,
    total_estimate integer,
    error_code text,
    error_message text,
    waiting_until timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    heartbeat_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint sync_run_of_the_accounts_owner foreign key (social_account_id, user_id)
    references public.social_account (id, user_id) on delete cascade,
    constraint sync_run_status_known check (status in ('queued', 'running', 'succeeded', 'partial', 'failed', 'canceled')),
    constraint sync_run_trigger_known check (trigger in ('manual', 'scheduled')),
    constraint sync_run_counts_not_negative check (
        items_seen >= 0 and items_created >= 0 and items_updated >= 0 and items_unchanged >= 0 and pages_done >= 0
    )
);
comment on table public.sync_run is 'One attempt to bring an account up to date, with its progress. Its owner watches it.';
comment on column public.sync_run.status is 'partial: ended without having read everything; error_code says why.';
comment on column public.sync_run.waiting_until is 'A queued run does nothing before this: the platform or its budget asked for a pause.';
comment on column public.sync_run.total_estimate is 'How many items the platform says the account has, where it says so.';
create index sync_run_account_idx on public.sync_run (social_account_id, user_id, created_at desc);
create index sync_run_user_id_idx on public.sync_run (user_id, created_at desc);
create index sync_run_finished_at_idx on public.sync_run (finished_at) where finished_at is not null;
create unique index sync_run_one_active on public.sync_run (social_account_id) where status in ('queued', 'running');
create trigger set_updated_at before update on public.sync_run
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.sync_run enable row level security;
create policy select_own on public.sync_run for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own on public.sync_run is 'Users watch their runs, admins all.';
revoke all on table public.sync_run from public, anon, authenticated, service_role;
grant select on table public.sync_run to authenticated, service_role;

create table private.sync_job (
    run_id uuid primary key references public.sync_run (id) on delete cascade,
    cursor text,
    page_number integer not null default 0,
    lease_token uuid,
    lease_until timestamptz,
    failures integer not null default 0,
    resend_at timestamptz not null,
    look_again_at timestamptz,
    is_page_paid boolean not null default false,
    is_incremental boolean not null default false,
    is_first_sync boolean not null default false
);
comment on table private.sync_job is 'The machinery of a run that has not ended.';
comment on column private.sync_job.cursor is 'Where the next page starts; null for the first one. Moved in the transaction that stores a page.';
comment on column private.sync_job.page_number is 'Number of the next page; a page that was stored already is not stored again.';
comment on column private.sync_job.lease_token is 'The worker that holds this may write.';
comment on column private.sync_job.resend_at is 'When the dispatcher sends the run to the queue again, unless a worker holds it. What a process that died failed to send is sent then.';
comment on column private.sync_job.look_again_at is 'A message that found the run busy comes back then; one at a time is enough.';
comment on column private.sync_job.is_page_paid is 'The budget of the next page was paid by the worker that handed the run over.';
comment on column private.sync_job.is_incremental is 'Reads what is new only, so it says nothing about what is gone and does not count as a complete run.';
create index sync_job_resend_idx on private.sync_job (resend_at);
revoke all on table private.sync_job from public, anon, authenticated, service_role;

create table private.sync_seen (
    run_id uuid not null references public.sync_run (id) on delete cascade,
    page_number integer not null,
    item_ids uuid[] not null,
    primary key (run_id, page_number)
);
comment on table private.sync_seen is
    'Which items a run has come across, a row a page. Unchanged items stay untouched, so this is how the end of a run knows what is missing.';
revoke all on table private.sync_seen from public, anon, authenticated, service_role;

create table private.sync_request (
    user_id uuid not null references public.users (id) on delete cascade,
    idempotency_key text not null,
    social_account_id uuid not null,
    run_id uuid not null references public.sync_run (id) on delete cascade,
    created_at timestamptz not null default now(),
    primary key (user_id, idempotency_key)
);
comment on table private.sync_request is 'Idempotency keys of POST /sync and the runs that they started.';
create index sync_request_run_id_idx on private.sync_request (run_id);
revoke all on table private.sync_request from public, anon, authenticated, service_role;

create table private.platform_budget (
    platform_id uuid not null references public.platform (id) on delete cascade,
    window_start timestamptz not null,
    used integer not null default 0,
    primary key (platform_id, window_start)
);
comment on table private.platform_budget is 'What all workers together have spent of a platform''s limit in a window.';
revoke all on table private.platform_budget from public, anon, authenticated, service_role;

create table private.platform_health (
    platform_id uuid primary key references public.platform (id) on delete cascade,
    failures integer not null default 0,
    stopped_until timestamptz
);
comment on table private.platform_health is
    'A breaker for each platform: after some failures in a row nobody calls it for a while, then one worker probes. A pause that the platform asks of the whole app is kept here too.';
revoke all on table private.platform_health from public, anon, authenticated, service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Budgets and breakers
-- ---------------------------------------------------------------------------------------------------------------------

create function private.budget_share(job private.sync_job)
returns numeric
language plpgsql
stable
set search_path = ''
as $$
begin
    return case
        when job.page_number >= private.setting_int('sync.live_pages') then private.setting_text('budget.share_backfill')::numeric
        when job.is_first_sync then 1
        else private.setting_text('budget.share_live')::numeric
    end;
end;
$$;
comment on function private.budget_share(private.sync_job) is
    'How much of its platform''s budget a run may use: all of it at the start of a new connection, less for known accounts, least for backfill.';
revoke execute on function private.budget_share(private.sync_job) from public, anon, authenticated, service_role;

create function private.spend_budget(platform_id uuid, job private.sync_job)
returns timestamptz
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_rule jsonb;
    v_start timestamptz;
    v_end timestamptz;
    v_amount integer;
    v_allowed integer;
    v_used integer;
begin
    select s.value into v_rule from private.setting as s
    join public.platform as p on s.key = 'budget.' || p.slug
    where p.id = spend_budget.platform_id;
    if v_rule is null then
        return null;
    end if;
    v_amount := coalesce((v_rule ->> 'page')::integer, 1)
        + case when job.page_number = 0 then coalesce((v_rule ->> 'profile')::integer, 0) else 0 end;
    v_allowed := floor((v_rule ->> 'limit')::numeric * private.budget_share(job));
    -- A window begins where the limit's own clock says, daylight saving included.
    v_start := date_trunc(v_rule ->> 'window', clock_timestamp(), v_rule ->> 'time_zone');
    v_end := (v_start at time zone (v_rule ->> 'time_zone') + ('1 ' || (v_rule ->> 'window'))::interval)
        at time zone (v_rule ->> 'time_zone');
    insert into private.platform_budget as b (platform_id, window_start, used)
    select spend_budget.platform_id, v_start, v_amount
    where v_amount <= v_allowed
    on conflict on constraint platform_budget_pkey do update set used = b.used + excluded.used
    where b.used + excluded.used <= v_allowed
    returning b.used into v_used;
    return case when v_used is null then v_end end;
end;
$$;
comment on function private.spend_budget(uuid, private.sync_job) is
    'Takes the cost of a run''s next page from its platform''s budget, if the run''s share of it is not used up: null. Otherwise takes nothing and says when the next window begins. A platform without a rule has no limit.';
revoke execute on function private.spend_budget(uuid, private.sync_job) from public, anon, authenticated, service_role;

create function private.platform_pause(platform_id uuid)
returns timestamptz
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_health private.platform_health;
begin
    select h.* into v_health from private.platform_health as h where h.platform_id = platform_pause.platform_id;
    if not found or v_health.stopped_until is null then
        return null;
    end if;
    if v_health.stopped_until > clock_timestamp() then
        return v_health.stopped_until;
    end if;
    -- The stop is over. Whoever comes first probes; the others wait a little longer for how that ends.
    update private.platform_health as h set
        stopped_until = case
            when h.failures >= private.setting_int('breaker.failures') then clock_timestamp() + private.setting_interval('sync.lease')
        end
    where h.platform_id = platform_pause.platform_id and h.stopped_until = v_health.stopped_until;
    if found then
        return null;
    end if;
    return (select h.stopped_until from private.platform_health as h where h.platform_id = platform_pause.platform_id);
end;
$$;
comment on function private.platform_pause(uuid) is 'Until when nobody calls this platform; null if the caller may.';
revoke execute on function private.platform_pause(uuid) from public, anon, authenticated, service_role;

create function private.platform_failed(platform_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
    insert into private.platform_health as h (platform_id, failures) values (platform_failed.platform_id, 1)
    on conflict on constraint platform_health_pkey do update set
        failures = h.failures + 1,
        -- A longer stop that the platform asked for stays.
        stopped_until = greatest(h.stopped_until, case
            when h.failures + 1 >= private.setting_int('breaker.failures') then clock_timestamp() + least(
                private.setting_interval('breaker.first_pause')
                * (2 ^ least(h.failures + 1 - private.setting_int('breaker.failures'), 10)),
                private.setting_interval('breaker.longest_pause')
            )
        end);
end;
$$;
comment on function private.platform_failed(uuid) is 'Counts a failure that is the platform''s own; enough of them in a row stop all calls to it.';
revoke execute on function private.platform_failed(uuid) from public, anon, authenticated, service_role;

create function private.stop_platform(platform_id uuid, seconds double precision)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into private.platform_health as h (platform_id, stopped_until)
    values (stop_platform.platform_id, clock_timestamp() + make_interval(secs => least(stop_platform.seconds, 86400)))
    on conflict on constraint platform_health_pkey do update set
        stopped_until = greatest(h.stopped_until, excluded.stopped_until);
end;
$$;
comment on function private.stop_platform(uuid, double precision) is 'Nobody calls this platform for so long (a day at most).';
revoke execute on function private.stop_platform(uuid, double precision) from public, anon, authenticated, service_role;

create function private.platform_answered(platform_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    -- Looks before it writes: nearly always there is nothing to take back. A stop that the breaker did not make is a pause
    -- that the platform asked for, which an answer to an earlier call does not end.
    update private.platform_health as h set
        failures = 0,
        stopped_until = case when h.failures < private.setting_int('breaker.failures') then h.stopped_until end
    where h.platform_id = platform_answered.platform_id and h.failures > 0;
end;
$$;
comment on function private.platform_answered(uuid) is 'The platform is well again.';
revoke execute on function private.platform_answered(uuid) from public, anon, authenticated, service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Starting a run
-- ---------------------------------------------------------------------------------------------------------------------

create function private.open_run(account public.social_account, trigger text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_run_id uuid;
    v_quota jsonb;
begin
    -- The caller holds the subscription and the account.
    v_run_id := gen_random_uuid();
    v_quota := private.consume_quota(
        account.user_id, 'sync', 1, 'sync_run:' || v_run_id, 'sync_run', v_run_id, open_run.trigger || ' sync'
    );
    if not (v_quota ->> 'allowed')::boolean then
        return jsonb_build_object('run_id', null, 'quota', v_quota);
    end if;
    insert into public.sync_run (id, user_id, social_account_id, trigger, total_estimate)
    values (v_run_id, account.user_id, account.id, open_run.trigger, account.post_count);
    insert into private.sync_job (run_id, resend_at, is_first_sync, is_incremental)
    values (
        v_run_id,
        clock_timestamp() + private.setting_interval('sync.resend_after'),
        account.last_synced_at is null,
        -- Whoever asks for a sync gets all of it.
        open_run.trigger = 'scheduled'
        and account.last_full_sync_at > clock_timestamp() - private.setting_interval('sync.full_every')
        and exists (
            select 1 from private.setting as s
            join public.platform as p on s.key = 'budget.' || p.slug
            where p.id = account.platform_id and (s.value ->> 'incremental')::boolean
        )
    );
    return jsonb_build_object('run_id', v_run_id, 'created', true, 'quota', v_quota);
end;
$$;
comment on function private.open_run(public.social_account, text) is
    'Charges one sync and opens a run for it, in the caller''s transaction: {run_id, quota}; run_id is null if the quota does not cover it.';
revoke execute on function private.open_run(public.social_account, text) from public, anon, authenticated, service_role;

create function private.start_sync_run(user_id uuid, social_account_id uuid, idempotency_key text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_account public.social_account;
    v_request private.sync_request;
    v_run_id uuid;
    v_answer jsonb;
begin
    if char_length(start_sync_run.idempotency_key) not between 1 and 255 then
        raise exception 'An idempotency key has 1 to 255 characters.' using errcode = 'PT422';
    end if;
    perform 1 from public.subscription as s where s.user_id = start_sync_run.user_id for update;
    select a.* into v_account from public.social_account as a
    where a.id = start_sync_run.social_account_id and a.user_id = start_sync_run.user_id and a.deleted_at is null
    for update;
    if not found then
        raise exception 'There is no such account.' using errcode = 'PT404', hint = 'unknown_account';
    end if;
    if start_sync_run.idempotency_key is not null then
        select r.* into v_request from private.sync_request as r
        where r.user_id = start_sync_run.user_id and r.idempotency_key = start_sync_run.idempotency_key;
        if found and v_request.social_account_id <> v_account.id then
            raise exception 'This idempotency key was used for another account.' using errcode = 'PT409', hint = 'idempotency_key_reused';
        elsif found then
            return jsonb_build_object('run_id', v_request.run_id, 'created', false);
        end if;
    end if;
    select r.id into v_run_id from public.sync_run as r
    where r.social_account_id = v_account.id and r.status in ('queued', 'running');
    if found then
        v_answer := jsonb_build_object('run_id', v_run_id, 'created', false);
    else
        if not (select c.is_active from public.platform_connection as c where c.id = v_account.connection_id) then
            raise exception 'The platform no longer lets us read this account; connect it again.'
                using errcode = 'PT409', hint = 'reconnect_needed';
        end if;
        if v_account.disabled_by_plan_at is not null then
            raise exception 'The plan does not cover this account; choose a larger plan or disconnect another account.'
                using errcode = 'PT409', hint = 'account_disabled_by_plan';
        end if;
        if v_account.sync_mode = 'disabled' then
            raise exception 'Sync is switched off for this account.' using errcode = 'PT409', hint = 'sync_disabled';
        end if;
        v_answer := private.open_run(v_account, 'manual');
        v_run_id := (v_answer ->> 'run_id')::uuid;
    end if;
    if v_run_id is not null and start_sync_run.idempotency_key is not null then
        insert into private.sync_request (user_id, idempotency_key, social_account_id, run_id)
        values (start_sync_run.user_id, start_sync_run.idempotency_key, v_account.id, v_run_id);
    end if;
    return v_answer;
end;
$$;
comment on function private.start_sync_run(uuid, uuid, text) is 'Body of public.start_sync_run.';
revoke execute on function private.start_sync_run(uuid, uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.start_sync_run(uuid, uuid, text) to service_role;

create function public.start_sync_run(user_id uuid, social_account_id uuid, idempotency_key text default null)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.start_sync_run(user_id, social_account_id, idempotency_key);
end;
$$;
comment on function public.start_sync_run(uuid, uuid, text) is
    'Starts a run for a user''s account (service only), charged once: {run_id, created}. The active run if there is one; {run_id: null, quota} if the quota does not cover it. PT404 for somebody else''s account, PT409 where it cannot be synced.';
revoke execute on function public.start_sync_run(uuid, uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.start_sync_run(uuid, uuid, text) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- The end of a run
-- ---------------------------------------------------------------------------------------------------------------------

create function private.next_sync_at(account public.social_account)
returns timestamptz
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_interval interval;
    v_newest timestamptz;
    v_quiet interval := private.setting_interval('sync.quiet_after');
    v_longest interval := private.setting_interval('sync.longest_interval');
    v_share interval;
begin
    select make_interval(hours => s.sync_frequency_hours) into v_interval
    from public.user_setting as s where s.user_id = account.user_id;
    select max(i.published_at) into v_newest from public.content_item as i where i.social_account_id = account.id;
    -- What a plan still has of its quota, once half of it is used, is spread over the accounts and what is left of the cycle,
    -- so that nobody who is synced often stands without syncs for the second half of a month.
    select greatest(s.cycle_end_date - clock_timestamp(), interval '0') / (t.max_syncs_per_month - s.syncs_used) * (
        select count(*) from public.social_account as a
        where a.user_id = s.user_id and a.next_sync_at is not null and a.sync_mode = 'auto'
            and a.deleted_at is null and a.disabled_by_plan_at is null
    ) into v_share
    from public.subscription as s
    join public.subscription_tier as t on t.id = s.tier_id
    where s.user_id = account.user_id and s.syncs_used * 2 >= t.max_syncs_per_month and s.syncs_used < t.max_syncs_per_month;
    -- The owner's setting is the least wait. Where nothing new has come for long, it grows up to the longest interval.
    return clock_timestamp() + greatest(
        v_interval,
        least(
            v_interval * case
                when v_newest is null or v_newest > clock_timestamp() - v_quiet then 1
                when v_newest > clock_timestamp() - v_quiet * 4 then 2
                else 4
            end,
            v_longest
        ),
        case when v_share is not null then least(v_share, v_longest) end
    );
end;
$$;
comment on function private.next_sync_at(public.social_account) is 'When an account that has just been synced is due again.';
revoke execute on function private.next_sync_at(public.social_account) from public, anon, authenticated, service_role;

create function private.end_run(run_id uuid, status text, error_code text, error_message text)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_run public.sync_run;
    v_account public.social_account;
begin
    -- The caller holds the account and the run.
    update public.sync_run as r set
        status = case when end_run.status = 'failed' and r.pages_done > 0 then 'partial' else end_run.status end,
        error_code = end_run.error_code,
        error_message = end_run.error_message,
        waiting_until = null,
        finished_at = clock_timestamp()
    where r.id = end_run.run_id and r.status in ('queued', 'running')
    returning r.* into v_run;
    if not found then
        return;
    end if;
    delete from private.sync_job as j where j.run_id = v_run.id;
    delete from private.sync_seen as s where s.run_id = v_run.id;
    -- What brought nothing costs nothing. With the first stored page the charge has been settled.
    if v_run.pages_done = 0 then
        perform private.refund_quota(v_run.user_id, 'sync_run:' || v_run.id, 'the run brought nothing');
    end if;
    if v_run.status = 'canceled' then
        return;
    end if;
    select a.* into v_account from public.social_account as a where a.id = v_run.social_account_id;
    update public.social_account as a set
        last_sync_status = v_run.status,
        last_synced_at = case when v_run.pages_done > 0 then v_run.finished_at else a.last_synced_at end,
        sync_failures = case when end_run.status = 'failed' then a.sync_failures + 1 else 0 end,
        next_sync_at = case
            when a.next_sync_at is null then null -- not to be synced by itself at all
            when end_run.status = 'failed' then least(
                private.next_sync_at(v_account), v_run.finished_at + interval '1 hour' * (2 ^ least(a.sync_failures, 6))
            )
            else private.next_sync_at(v_account)
        end
    where a.id = v_account.id;
    if end_run.status = 'failed' and v_account.sync_failures + 1 = private.setting_int('sync.failures_to_tell') then
        insert into public.notification (user_id, type, title, message, related_entity_type, related_entity_id, metadata, dedupe_key)
        values (
            v_run.user_id, 'sync_failed', format('%s could not be synced', v_account.account_name),
            'Several attempts in a row have failed. StreamVibe goes on trying.', 'social_account', v_account.id,
            jsonb_build_object('error_code', v_run.error_code), 'sync_failed:' || v_run.id
        )
        on conflict do nothing;
    end if;
end;
$$;
comment on function private.end_run(uuid, text, text, text) is
    'Ends a run: charge settled or given back, account stamped, next run planned. failed becomes partial if pages were stored.';
revoke execute on function private.end_run(uuid, text, text, text) from public, anon, authenticated, service_role;

create function private.park_run(run_id uuid, until timestamptz)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    -- The caller holds the run.
    update public.sync_run as r set status = 'queued', waiting_until = park_run.until
    where r.id = park_run.run_id;
    update private.sync_job as j set lease_token = null, lease_until = null, resend_at = park_run.until
    where j.run_id = park_run.run_id;
end;
$$;
comment on function private.park_run(uuid, timestamptz) is 'Lets a run wait; the dispatcher sends it again then.';
revoke execute on function private.park_run(uuid, timestamptz) from public, anon, authenticated, service_role;

create function private.cancel_runs_of_dead_grant()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_run_id uuid;
begin
    for v_run_id in
        select r.id from public.sync_run as r
        join public.social_account as a on a.id = r.social_account_id
        where a.connection_id = new.id and r.status in ('queued', 'running')
        order by r.id
    loop
        -- Account before run, as everywhere.
        perform 1 from public.social_account as a
        where a.id = (select r.social_account_id from public.sync_run as r where r.id = v_run_id) for no key update;
        perform private.end_run(v_run_id, 'failed', 'reconnect_needed', 'The platform no longer lets us read this account.');
    end loop;
    return null;
end;
$$;
comment on function private.cancel_runs_of_dead_grant() is 'The jobs of a grant that is no longer valid stop with it.';
revoke execute on function private.cancel_runs_of_dead_grant() from public, anon, authenticated, service_role;
create trigger cancel_runs after update of is_active on public.platform_connection
for each row when (old.is_active and not new.is_active) execute function private.cancel_runs_of_dead_grant();

-- ---------------------------------------------------------------------------------------------------------------------
-- What a worker calls: claim, then a page after another, or release
-- ---------------------------------------------------------------------------------------------------------------------

create function private.claim_sync_run(run_id uuid)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_account public.social_account;
    v_run public.sync_run;
    v_job private.sync_job;
    v_now timestamptz := clock_timestamp();
    v_until timestamptz;
begin
    -- The subscription first where the run is about to end here, because its charge is given back.
    perform 1 from public.subscription as s
    where s.user_id = (
        select r.user_id from public.sync_run as r
        join public.social_account as a on a.id = r.social_account_id
        join public.platform_connection as c on c.id = a.connection_id
        where r.id = claim_sync_run.run_id
            and (not c.is_active or r.created_at + private.setting_interval('sync.longest_run') < v_now)
    )
    for update;
    select a.* into v_account from public.social_account as a
    where a.id = (select r.social_account_id from public.sync_run as r where r.id = claim_sync_run.run_id)
    for no key update;
    select r.* into v_run from public.sync_run as r
    where r.id = claim_sync_run.run_id and r.status in ('queued', 'running')
    for update;
    if not found then
        return '{"status": "done"}'::jsonb; -- ended, or gone with its account: the message has nothing to say any more
    end if;
    select j.* into v_job from private.sync_job as j where j.run_id = v_run.id for update;
    if v_job.lease_until > v_now then
        -- A living worker has it, or one that died a moment ago. One message is enough to look again after the lease.
        if v_job.look_again_at > v_now then
            return '{"status": "busy"}'::jsonb;
        end if;
        update private.sync_job as j set look_again_at = v_job.lease_until where j.run_id = v_run.id;
        return jsonb_build_object(
            'status', 'busy', 'look_again_in', ceil(extract(epoch from v_job.lease_until - v_now))::integer
        );
    end if;
    if v_run.waiting_until > v_now then
        -- Redelivered too early. One message comes back when the wait is over; a long wait is the dispatcher's.
        update private.sync_job as j set look_again_at = v_run.waiting_until
        where j.run_id = v_run.id and j.look_again_at is distinct from v_run.waiting_until;
        return jsonb_build_object('status', 'waiting', 'seconds', ceil(extract(epoch from v_run.waiting_until - v_now))::integer)
            || case when found then jsonb_build_object(
                'look_again_in', ceil(extract(epoch from v_run.waiting_until - v_now))::integer
            ) else '{}'::jsonb end;
    end if;
    if v_run.created_at + private.setting_interval('sync.longest_run') < v_now then
        perform private.end_run(v_run.id, 'failed', 'took_too_long', 'The sync did not come to an end in time.');
        return '{"status": "done"}'::jsonb;
    end if;
    if not (select c.is_active from public.platform_connection as c where c.id = v_account.connection_id) then
        perform private.end_run(v_run.id, 'failed', 'reconnect_needed', 'The platform no longer lets us read this account.');
        return '{"status": "done"}'::jsonb;
    end if;
    v_until := private.platform_pause(v_account.platform_id);
    if v_until is null and not v_job.is_page_paid then
        v_until := private.spend_budget(v_account.platform_id, v_job);
    end if;
    if v_until is not null then
        perform private.park_run(v_run.id, v_until);
        return jsonb_build_object('status', 'waiting', 'seconds', ceil(extract(epoch from v_until - v_now))::integer);
    end if;
    update private.sync_job as j set
        lease_token = gen_random_uuid(),
        lease_until = v_now + private.setting_interval('sync.lease'),
        -- While the lease is renewed nobody looks; if it ends, the dispatcher soon does.
        resend_at = v_now + private.setting_interval('sync.lease'),
        is_page_paid = false
    where j.run_id = v_run.id
    returning j.* into v_job;
    update public.sync_run as r set
        status = 'running', waiting_until = null, heartbeat_at = v_now, started_at = coalesce(r.started_at, v_now)
    where r.id = v_run.id;
    return jsonb_build_object(
        'status', 'claimed',
        'lease', v_job.lease_token,
        'cursor', v_job.cursor,
        'page_number', v_job.page_number,
        'user_id', v_run.user_id,
        'platform', (select p.slug from public.platform as p where p.id = v_account.platform_id),
        'connection_id', v_account.connection_id,
        'scopes', (select to_jsonb(c.scopes) from public.platform_connection as c where c.id = v_account.connection_id),
        'account', jsonb_build_object(
            'id', v_account.id,
            'platform_account_id', v_account.platform_account_id,
            'account_name', v_account.account_name,
            'username', v_account.handle,
            'sync_hint', v_account.meta || case when v_job.is_incremental then jsonb_build_object(
                'newest_id', (
                    select i.platform_content_id from public.content_item as i
                    where i.social_account_id = v_account.id
                    order by i.published_at desc nulls last
                    limit 1
                )
            ) else '{}' end
        )
    );
end;
$$;
comment on function private.claim_sync_run(uuid) is 'Body of public.claim_sync_run.';
revoke execute on function private.claim_sync_run(uuid) from public, anon, authenticated, service_role;
grant execute on function private.claim_sync_run(uuid) to service_role;

create function public.claim_sync_run(run_id uuid)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.claim_sync_run(run_id);
end;
$$;
comment on function public.claim_sync_run(uuid) is
    'Takes a run under a lease (service only) and pays for its next page: {status: claimed, lease, cursor, page_number, platform, connection_id, scopes, account}. done: nothing left to do; busy: another worker has it; waiting: not before `seconds` have passed; with both, look_again_in seconds if the caller is the one who should.';
revoke execute on function public.claim_sync_run(uuid) from public, anon, authenticated, service_role;
grant execute on function public.claim_sync_run(uuid) to service_role;

create function private.upstream_changes(
    item public.content_item, title text, description text, tags text[], hashtags text[], category text, language text,
    visibility public.visibility_enum
)
returns table (field_name text, old_value text, new_value text, is_edited boolean)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    select f.name, f.was, f.now, f.name = any(item.locally_edited_fields)
    from (
        select
            n.name,
            case when n.name = any(item.locally_edited_fields) then item.upstream ->> n.name else n.here end as was,
            n.now
        from (
            values
            ('title', item.title, upstream_changes.title),
            ('description', item.description, upstream_changes.description),
            ('tags', to_jsonb(item.tags)::text, to_jsonb(upstream_changes.tags)::text),
            ('hashtags', to_jsonb(item.hashtags)::text, to_jsonb(upstream_changes.hashtags)::text),
            ('category', item.category, upstream_changes.category),
            ('language', item.language, upstream_changes.language),
            ('visibility', item.visibility::text, upstream_changes.visibility::text)
        ) as n (name, here, now)
    ) as f
    where f.was is distinct from f.now;
end;
$$;
comment on function private.upstream_changes(
    public.content_item, text, text, text[], text[], text, text, public.visibility_enum
) is 'Which fields the platform has changed since it was last asked. Of an edited field `upstream` knows what it said then.';
revoke execute on function private.upstream_changes(
    public.content_item, text, text, text[], text[], text, text, public.visibility_enum
) from public, anon, authenticated, service_role;

create function private.pick_fields(
    names text[], title text, description text, tags text[], hashtags text[], category text, language text,
    visibility public.visibility_enum
)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
    return (
        select coalesce(jsonb_object_agg(f.key, f.value), '{}')
        from jsonb_each(jsonb_build_object(
            'title', title, 'description', description, 'tags', to_jsonb(tags), 'hashtags', to_jsonb(hashtags),
            'category', category, 'language', language, 'visibility', visibility
        )) as f
        where f.key = any(names)
    );
end;
$$;
comment on function private.pick_fields(text[], text, text, text[], text[], text, text, public.visibility_enum) is
    'The named editable fields with the given values, as an object.';
revoke execute on function private.pick_fields(text[], text, text, text[], text[], text, text, public.visibility_enum)
from public, anon, authenticated, service_role;

create function private.judge_missing(account_id uuid, run public.sync_run, not_listed text[])
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_count integer;
    v_oldest timestamptz;
    v_crowded integer[];
    v_answers integer := private.setting_int('sync.missing_answers');
begin
    -- A platform that lists only so many items says nothing about older ones than the last that it listed.
    select min(i.published_at) into v_oldest
    from private.sync_seen as s
    cross join lateral unnest(s.item_ids) as e (id)
    join public.content_item as i on i.id = e.id
    where s.run_id = run.id
        and run.items_seen >= coalesce(
            (
                select (c.value #>> '{}')::integer from private.setting as c
                join public.platform as p on c.key = 'sync.history_cap.' || p.slug
                join public.social_account as a on a.platform_id = p.id
                where a.id = judge_missing.account_id
            ),
            2147483647
        );
    -- One that lists so many of a year, of its own choice, says nothing about the others of such a year; wherever that year
    -- begins, it lies within two of the calendar's.
    select array_agg(distinct pair.year + b.shift) into v_crowded
    from (
        select n.year - a.shift as year
        from (
            select extract(year from i.published_at)::integer as year, count(*) as items, min((c.value #>> '{}')::integer) as cap
            from private.sync_seen as s
            cross join lateral unnest(s.item_ids) as e (id)
            join public.content_item as i on i.id = e.id
            join public.platform as p on p.id = i.platform_id
            join private.setting as c on c.key = 'sync.ranked_a_year.' || p.slug
            where s.run_id = run.id
            group by 1
        ) as n
        cross join (values (0), (1)) as a (shift)
        group by 1
        having sum(n.items) >= min(n.cap)
    ) as pair
    cross join (values (0), (1)) as b (shift);
    perform set_config('streamvibe.change_source', 'sync', true);
    update public.content_item as i set
        missing_count = i.missing_count + 1,
        missing_since = coalesce(i.missing_since, clock_timestamp()),
        upstream_deleted_at = case when i.missing_count + 1 >= v_answers then clock_timestamp() end
    where i.social_account_id = judge_missing.account_id
        and i.upstream_deleted_at is null
        and i.created_at < run.started_at
        and (v_oldest is null or i.published_at >= v_oldest)
        and (v_crowded is null or not coalesce(extract(year from i.published_at)::integer = any(v_crowded), false))
        and not exists (
            select 1 from public.content_type as t where t.id = i.content_type_id and t.slug = any(judge_missing.not_listed)
        )
        and not exists (
            select 1 from private.sync_seen as s cross join lateral unnest(s.item_ids) as e (id)
            where s.run_id = run.id and e.id = i.id
        );
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;
comment on function private.judge_missing(uuid, public.sync_run, text[]) is
    'After a complete run: items that it did not come across are missing once more, unless the platform did not list their kind (not_listed) at all; as often as sync.missing_answers says, they are gone.';
revoke execute on function private.judge_missing(uuid, public.sync_run, text[]) from public, anon, authenticated, service_role;

create function private.store_content(account_id uuid, run_id uuid, items jsonb, synced_at timestamptz)
returns table (item_ids uuid[], created integer, updated integer)
language plpgsql
security definer
set search_path = ''
-- A page is fifty lookups by key, however large the account is. The planner cannot know: it plans once for all accounts,
-- and may plan while the table is still empty. A large page is sorted in memory.
set work_mem = '32MB'
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_conflicts integer;
begin
    -- Tells the triggers of content_item that this is not an edit by its owner.
    perform set_config('streamvibe.change_source', 'sync', true);

    -- The left join comes first and keeps only what differs, so that an unchanged item is neither locked nor written.
    -- A field that its owner edited is compared with what the platform said last, and stays as its owner wrote it.
    with incoming as (
        select
            x.platform_content_id, t.id as content_type_id, x.platform_url, x.title, x.description, x.thumbnail_url, x.media_url,
            x.duration_seconds as new_duration, x.views_count as new_views, x.likes_count, x.comments_count,
            x.shares_count as new_shares, coalesce(x.tags, '{}') as tags,
            coalesce(x.hashtags, '{}') as hashtags, x.category, x.language, x.published_at,
            coalesce(x.visibility, 'private')::public.visibility_enum as visibility, coalesce(x.media, '[]') as media,
            coalesce(x.not_asked, '{}') as not_asked
        from jsonb_to_recordset(items) as x (
            platform_content_id text, content_type text, platform_url text, title text, description text, thumbnail_url text,
            media_url text, duration_seconds integer, views_count integer, likes_count integer, comments_count integer,
            shares_count integer, tags text[], hashtags text[], category text, language text, published_at timestamptz,
            visibility text, media jsonb, not_asked text[]
        )
        join public.content_type as t on t.slug = x.content_type
        where x.platform_content_id is not null
    ),

    matched as materialized (
        select
            n.*, k.*, i.id as item_id, i.locally_edited_fields as edited,
            i.id is not null and (
                (n.content_type_id, n.platform_url, n.thumbnail_url, n.media_url, k.duration_seconds, k.views_count,
                    n.likes_count, n.comments_count, k.shares_count, n.published_at, n.media)
                is distinct from
                (i.content_type_id, i.platform_url, i.thumbnail_url, i.media_url, i.duration_seconds, i.views_count,
                    i.likes_count, i.comments_count, i.shares_count, i.published_at, i.media)
                or i.missing_count > 0 or i.upstream_deleted_at is not null
            ) as facts_differ,
            i.id is not null and case
                when i.locally_edited_fields = '{}' then
                    (n.title, n.description, n.tags, n.hashtags, n.category, n.language, n.visibility)
                    is distinct from (i.title, i.description, i.tags, i.hashtags, i.category, i.language, i.visibility)
                else exists (select 1 from private.upstream_changes(
                    i, n.title, n.description, n.tags, n.hashtags, n.category, n.language, n.visibility
                ))
            end as texts_differ
        from incoming as n
        left join lateral (
            select c.* from public.content_item as c
            where c.social_account_id = store_content.account_id and c.platform_content_id = n.platform_content_id
            limit 1
        ) as i on true
        -- What the platform was not asked for this time stays as it is.
        cross join lateral (
            select
                case when 'duration_seconds' = any(n.not_asked) then i.duration_seconds else n.new_duration end as duration_seconds,
                case when 'views_count' = any(n.not_asked) then i.views_count else n.new_views end as views_count,
                case when 'shares_count' = any(n.not_asked) then i.shares_count else n.new_shares end as shares_count
        ) as k
    ),

    inserted as (
        insert into public.content_item (
            social_account_id, content_type_id, platform_content_id, platform_url, title, description, thumbnail_url, media_url,
            duration_seconds, views_count, likes_count, comments_count, shares_count, tags, hashtags, category, language,
            published_at, visibility, media, synced_at
        )
        select
            store_content.account_id, m.content_type_id, m.platform_content_id, m.platform_url, m.title, m.description,
            m.thumbnail_url, m.media_url, m.duration_seconds, m.views_count, m.likes_count, m.comments_count, m.shares_count,
            m.tags, m.hashtags, m.category, m.language, m.published_at, m.visibility, m.media, store_content.synced_at
        from matched as m
        where m.item_id is null
        on conflict on constraint content_item_once_an_account do nothing -- a page that lists an item twice
        returning id
    ),

    conflicts as (
        insert into public.content_revision (content_item_id, user_id, field_name, old_value, new_value, change_source, change_reason)
        select
            m.item_id, a.user_id, c.field_name, c.old_value, c.new_value, 'sync',
            'changed on the platform; not taken over, because it was edited here'
        from matched as m
        join public.social_account as a on a.id = store_content.account_id
        join public.content_item as i on i.id = m.item_id
        cross join lateral private.upstream_changes(
            i, m.title, m.description, m.tags, m.hashtags, m.category, m.language, m.visibility
        ) as c
        where m.texts_differ and m.edited <> '{}' and c.is_edited
        returning content_item_id
    ),

    refreshed as (
        update public.content_item as i set
            content_type_id = m.content_type_id,
            platform_url = m.platform_url,
            thumbnail_url = m.thumbnail_url,
            media_url = m.media_url,
            duration_seconds = m.duration_seconds,
            views_count = m.views_count,
            likes_count = m.likes_count,
            comments_count = m.comments_count,
            shares_count = m.shares_count,
            published_at = m.published_at,
            media = m.media,
            synced_at = store_content.synced_at,
            updated_at = store_content.synced_at
        from matched as m
        where i.id = m.item_id and m.facts_differ and not m.texts_differ
            and i.missing_count = 0 and i.upstream_deleted_at is null
        returning i.id
    ),

    rewritten as (
        update public.content_item as i set
            content_type_id = m.content_type_id,
            platform_url = m.platform_url,
            thumbnail_url = m.thumbnail_url,
            media_url = m.media_url,
            duration_seconds = m.duration_seconds,
            views_count = m.views_count,
            likes_count = m.likes_count,
            comments_count = m.comments_count,
            shares_count = m.shares_count,
            published_at = m.published_at,
            media = m.media,
            title = case when 'title' = any(m.edited) then i.title else m.title end,
            description = case when 'description' = any(m.edited) then i.description else m.description end,
            tags = case when 'tags' = any(m.edited) then i.tags else m.tags end,
            hashtags = case when 'hashtags' = any(m.edited) then i.hashtags else m.hashtags end,
            category = case when 'category' = any(m.edited) then i.category else m.category end,
            language = case when 'language' = any(m.edited) then i.language else m.language end,
            visibility = case when 'visibility' = any(m.edited) then i.visibility else m.visibility end,
            upstream = case
                when m.edited = '{}' then i.upstream
                else i.upstream || private.pick_fields(
                    m.edited, m.title, m.description, m.tags, m.hashtags, m.category, m.language, m.visibility
                )
            end,
            upstream_changed_at = case
                when i.id in (select c.content_item_id from conflicts as c) then store_content.synced_at else i.upstream_changed_at
            end,
            -- The item is there: whatever said otherwise is taken back. The owner's own deletion is another column.
            missing_count = 0,
            missing_since = null,
            upstream_deleted_at = null,
            synced_at = store_content.synced_at,
            updated_at = store_content.synced_at
        from matched as m
        where i.id = m.item_id
            and (m.texts_differ or m.facts_differ and (i.missing_count > 0 or i.upstream_deleted_at is not null))
        returning i.id
    )

    select
        array(select distinct m.item_id from matched as m where m.item_id is not null union all select n.id from inserted as n),
        (select count(*) from inserted),
        (select count(*) from refreshed) + (select count(*) from rewritten),
        (select count(*) from conflicts)
    into item_ids, created, updated, v_conflicts;

    if v_conflicts > 0 then
        insert into public.notification (user_id, type, title, message, related_entity_type, related_entity_id, dedupe_key)
        select
            a.user_id, 'content_changed_upstream', format('Edited items of %s were changed on the platform', a.account_name),
            'What you wrote here was kept; the platform''s text is in the item''s history.', 'social_account', a.id,
            'content_changed:' || store_content.run_id
        from public.social_account as a
        where a.id = store_content.account_id
        on conflict do nothing;
    end if;
    return next;
end;
$$;
comment on function private.store_content(uuid, uuid, jsonb, timestamptz) is
    'Stores a page of items (an array of objects named like the columns): new ones inserted, changed ones updated, unchanged ones not touched.';
revoke execute on function private.store_content(uuid, uuid, jsonb, timestamptz) from public, anon, authenticated, service_role;

create function private.apply_content_page(
    run_id uuid, lease uuid, page_number integer, items jsonb, next_cursor text, is_last boolean,
    account jsonb, pause_seconds double precision, is_shared_pause boolean, warning text, not_listed text[]
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_account_id uuid;
    v_platform_id uuid;
    v_run public.sync_run;
    v_job private.sync_job;
    v_stored record;
    v_now timestamptz;
    v_until timestamptz;
    v_key text := 'sync_run:' || apply_content_page.run_id;
begin
    -- First, because the first page's charge may have to be made again.
    perform 1 from public.subscription as s
    where s.user_id = (
        select r.user_id from public.sync_run as r where r.id = apply_content_page.run_id and r.pages_done = 0
    )
    for update;
    select a.id, a.platform_id into v_account_id, v_platform_id from public.social_account as a
    where a.id = (select r.social_account_id from public.sync_run as r where r.id = apply_content_page.run_id)
    for no key update;
    select r.* into v_run from public.sync_run as r where r.id = apply_content_page.run_id and r.status = 'running' for update;
    select j.* into v_job from private.sync_job as j where j.run_id = v_run.id for update;
    if v_job.run_id is null or v_job.lease_token is distinct from apply_content_page.lease
        or v_job.page_number <> apply_content_page.page_number then
        return '{"status": "lost"}'::jsonb; -- another worker goes on from here, or the run is over
    end if;
    v_now := clock_timestamp();

    if v_run.pages_done = 0 then
        -- The run brings something: the charge is final. One that was reaped while the run waited is made again.
        if not private.settle_quota(v_run.user_id, v_key) then
            perform private.consume_quota(v_run.user_id, 'sync', 1, v_key, 'sync_run', v_run.id, v_run.trigger || ' sync');
            perform private.settle_quota(v_run.user_id, v_key);
        end if;
    end if;

    select s.* into v_stored from private.store_content(v_account_id, v_run.id, apply_content_page.items, v_now) as s;
    if cardinality(v_stored.item_ids) > 0 then
        insert into private.sync_seen (run_id, page_number, item_ids)
        values (v_run.id, apply_content_page.page_number, v_stored.item_ids);
    end if;
    update public.sync_run as r set
        items_seen = r.items_seen + cardinality(v_stored.item_ids),
        items_created = r.items_created + v_stored.created,
        items_updated = r.items_updated + v_stored.updated,
        items_unchanged = r.items_unchanged + cardinality(v_stored.item_ids) - v_stored.created - v_stored.updated,
        pages_done = r.pages_done + 1,
        total_estimate = coalesce((account ->> 'post_count')::integer, r.total_estimate),
        error_code = coalesce(apply_content_page.warning, r.error_code),
        heartbeat_at = v_now
    where r.id = v_run.id
    returning r.* into v_run;
    if account is not null then
        update public.social_account as a set
            account_name = coalesce(account ->> 'account_name', a.account_name),
            account_url = account ->> 'account_url',
            handle = account ->> 'username',
            avatar_url = account ->> 'avatar_url',
            description = account ->> 'description',
            follower_count = (account ->> 'follower_count')::integer,
            following_count = (account ->> 'following_count')::integer,
            post_count = (account ->> 'post_count')::integer,
            meta = coalesce(account -> 'sync_hint', a.meta)
        where a.id = v_account_id;
    end if;
    perform private.platform_answered(v_platform_id);
    if is_shared_pause then
        perform private.stop_platform(v_platform_id, pause_seconds);
    end if;

    if apply_content_page.is_last then
        if v_run.error_code is null and not v_job.is_incremental then
            perform private.judge_missing(v_account_id, v_run, coalesce(apply_content_page.not_listed, '{}'));
        end if;
        perform private.end_run(
            v_run.id, case when v_run.error_code is null then 'succeeded' else 'partial' end, v_run.error_code,
            case when v_run.error_code is not null then 'The platform did not let us read everything.' end
        );
        update public.social_account as a set last_full_sync_at = a.last_synced_at
        where a.id = v_account_id and v_run.error_code is null and not v_job.is_incremental;
        return '{"status": "done"}'::jsonb;
    end if;

    update private.sync_job as j set
        cursor = apply_content_page.next_cursor,
        page_number = j.page_number + 1,
        failures = 0,
        lease_until = v_now + private.setting_interval('sync.lease'),
        resend_at = v_now + private.setting_interval('sync.lease')
    where j.run_id = v_run.id
    returning j.* into v_job;
    if pause_seconds > 0 then
        v_until := v_now + make_interval(secs => least(pause_seconds, 86400));
    else
        v_until := private.spend_budget(v_platform_id, v_job);
    end if;
    if v_until is not null then
        perform private.park_run(v_run.id, v_until);
        return jsonb_build_object('status', 'waiting', 'seconds', ceil(extract(epoch from v_until - v_now))::integer);
    end if;
    return jsonb_build_object('status', 'next', 'page_number', v_job.page_number);
end;
$$;
comment on function private.apply_content_page(
    uuid, uuid, integer, jsonb, text, boolean, jsonb, double precision, boolean, text, text[]
) is
    'Body of public.apply_content_page.';
revoke execute on function private.apply_content_page(
    uuid, uuid, integer, jsonb, text, boolean, jsonb, double precision, boolean, text, text[]
)
from public, anon, authenticated, service_role;
grant execute on function private.apply_content_page(
    uuid, uuid, integer, jsonb, text, boolean, jsonb, double precision, boolean, text, text[]
)
to service_role;

create function public.apply_content_page(
    run_id uuid, lease uuid, page_number integer, items jsonb, next_cursor text default null, is_last boolean default false,
    account jsonb default null, pause_seconds double precision default 0, is_shared_pause boolean default false,
    warning text default null, not_listed text[] default '{}'
)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.apply_content_page(
        run_id, lease, page_number, items, next_cursor, is_last, account, pause_seconds, is_shared_pause, warning,
        not_listed
    );
end;
$$;
comment on function public.apply_content_page(
    uuid, uuid, integer, jsonb, text, boolean, jsonb, double precision, boolean, text, text[]
) is
    'Stores one page of a claimed run (service only): items, cursor, counts, account facts, and the budget of the next page, in one transaction. {status}: next; done, after the last page; waiting, the run pauses; lost, somebody else has the run and nothing was written.';
revoke execute on function public.apply_content_page(
    uuid, uuid, integer, jsonb, text, boolean, jsonb, double precision, boolean, text, text[]
)
from public, anon, authenticated, service_role;
grant execute on function public.apply_content_page(
    uuid, uuid, integer, jsonb, text, boolean, jsonb, double precision, boolean, text, text[]
)
to service_role;

create function private.release_sync_run(
    run_id uuid, lease uuid, error_code text, error_message text, retry_after_seconds double precision, is_final boolean,
    blame text
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_platform_id uuid;
    v_run public.sync_run;
    v_job private.sync_job;
    v_now timestamptz;
    v_until timestamptz;
begin
    -- First, because a charge may be given back at the end of a run.
    perform 1 from public.subscription as s
    where s.user_id = (select r.user_id from public.sync_run as r where r.id = release_sync_run.run_id)
    for update;
    select a.platform_id into v_platform_id from public.social_account as a
    where a.id = (select r.social_account_id from public.sync_run as r where r.id = release_sync_run.run_id)
    for no key update;
    select r.* into v_run from public.sync_run as r where r.id = release_sync_run.run_id and r.status = 'running' for update;
    select j.* into v_job from private.sync_job as j where j.run_id = v_run.id for update;
    if v_job.run_id is null or v_job.lease_token is distinct from release_sync_run.lease then
        return '{"status": "lost"}'::jsonb;
    end if;
    v_now := clock_timestamp();
    if error_code is null then
        -- The worker's time is over, or others wait in the queue; the run goes on behind them. Its next page is paid for.
        update private.sync_job as j set is_page_paid = true where j.run_id = v_run.id;
        perform private.park_run(v_run.id, v_now + private.setting_interval('sync.resend_after'));
        update public.sync_run as r set waiting_until = null where r.id = v_run.id;
        return '{"status": "next"}'::jsonb;
    end if;
    if blame = 'platform' then
        perform private.platform_failed(v_platform_id);
    elsif blame = 'app_limit' then
        -- The limit is everybody's: nobody else needs to find out by a call of his own.
        perform private.stop_platform(v_platform_id, coalesce(retry_after_seconds, 60));
    end if;
    if is_final or v_job.failures + 1 >= private.setting_int('sync.max_failures') then
        perform private.end_run(v_run.id, 'failed', release_sync_run.error_code, release_sync_run.error_message);
        return '{"status": "done"}'::jsonb;
    end if;
    v_until := v_now + greatest(
        make_interval(secs => least(coalesce(retry_after_seconds, 0), 86400)),
        least(
            private.setting_interval('sync.first_backoff') * (2 ^ v_job.failures), private.setting_interval('sync.longest_backoff')
        )
    );
    update private.sync_job as j set failures = j.failures + 1 where j.run_id = v_run.id;
    perform private.park_run(v_run.id, v_until);
    return jsonb_build_object('status', 'waiting', 'seconds', ceil(extract(epoch from v_until - v_now))::integer);
end;
$$;
comment on function private.release_sync_run(uuid, uuid, text, text, double precision, boolean, text) is 'Body of public.release_sync_run.';
revoke execute on function private.release_sync_run(uuid, uuid, text, text, double precision, boolean, text)
from public, anon, authenticated, service_role;
grant execute on function private.release_sync_run(uuid, uuid, text, text, double precision, boolean, text) to service_role;

create function public.release_sync_run(
    run_id uuid, lease uuid, error_code text default null, error_message text default null,
    retry_after_seconds double precision default null, is_final boolean default false, blame text default null
)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.release_sync_run(
        run_id, lease, error_code, error_message, retry_after_seconds, is_final, blame
    );
end;
$$;
comment on function public.release_sync_run(uuid, uuid, text, text, double precision, boolean, text) is
    'Gives a claimed run back (service only). Without an error: next, somebody else goes on now. With one: waiting, tried again after a growing pause or the platform''s own (`blame`: platform counts for its breaker, app_limit stops everybody); done, if it is final or one failure too many. lost: it was not the caller''s any more.';
revoke execute on function public.release_sync_run(uuid, uuid, text, text, double precision, boolean, text)
from public, anon, authenticated, service_role;
grant execute on function public.release_sync_run(uuid, uuid, text, text, double precision, boolean, text) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- What the dispatcher calls
-- ---------------------------------------------------------------------------------------------------------------------

create function private.due_sync_runs(max_results integer)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_now timestamptz := clock_timestamp();
    v_run_ids uuid[];
    v_candidate record;
    v_account public.social_account;
    v_opened jsonb;
    v_examined integer := 0;
begin
    -- First the runs that exist and that nobody has: their message was never sent, or got lost with its worker.
    with due as (
        update private.sync_job as j set resend_at = v_now + private.setting_interval('sync.resend_after')
        where j.run_id in (
            select d.run_id from private.sync_job as d
            where d.resend_at <= v_now and coalesce(d.lease_until, '-infinity') <= v_now
            order by d.page_number >= private.setting_int('sync.live_pages'), d.resend_at -- backfill stands back
            limit max_results
            for update skip locked
        )
        returning j.run_id
    )
    select coalesce(array_agg(due.run_id), '{}') into v_run_ids from due;

    -- Then accounts whose time has come, a user's second one only after everybody's first.
    for v_candidate in
        select a.id, a.user_id
        from (
            select
                d.id, d.user_id, d.next_sync_at,
                row_number() over (partition by d.user_id order by d.next_sync_at) as turn
            from (
                select b.id, b.user_id, b.next_sync_at from public.social_account as b
                where b.next_sync_at <= v_now and b.deleted_at is null and b.sync_mode = 'auto' and b.disabled_by_plan_at is null
                order by b.next_sync_at
                limit 1000
            ) as d
        ) as a
        order by a.turn, a.next_sync_at
    loop
        exit when cardinality(v_run_ids) >= max_results or v_examined >= max_results * 5;
        v_examined := v_examined + 1;
        -- Who finds a row locked leaves it: another dispatcher is at it, or its owner.
        perform 1 from public.subscription as s where s.user_id = v_candidate.user_id for update skip locked;
        continue when not found;
        select a.* into v_account from public.social_account as a
        where a.id = v_candidate.id and a.next_sync_at <= v_now and a.sync_mode = 'auto' and a.deleted_at is null
        for update skip locked;
        continue when not found;
        if exists (select 1 from public.sync_run as r where r.social_account_id = v_account.id and r.status in ('queued', 'running'))
            or not exists (
                select 1 from public.user_setting as u where u.user_id = v_account.user_id and u.is_auto_sync_enabled
            )
            or not exists (
                select 1 from public.platform_connection as c where c.id = v_account.connection_id and c.is_active
            ) then
            update public.social_account as a set next_sync_at = private.next_sync_at(v_account) where a.id = v_account.id;
            continue;
        end if;
        v_opened := private.open_run(v_account, 'scheduled');
        -- The slot is taken in the same transaction, so no other dispatcher sees it again. Without quota the account waits
        -- for the next cycle at most.
        update public.social_account as a set
            next_sync_at = case
                when v_opened ->> 'run_id' is not null then private.next_sync_at(v_account)
                else least(private.next_sync_at(v_account), (v_opened #>> '{quota,cycle_end}')::timestamptz)
            end
        where a.id = v_account.id;
        if v_opened ->> 'run_id' is not null then
            v_run_ids := v_run_ids || (v_opened ->> 'run_id')::uuid;
        end if;
    end loop;
    return jsonb_build_object('run_ids', to_jsonb(v_run_ids), 'more', cardinality(v_run_ids) >= max_results or v_examined >= max_results * 5);
end;
$$;
comment on function private.due_sync_runs(integer) is 'Body of public.due_sync_runs.';
revoke execute on function private.due_sync_runs(integer) from public, anon, authenticated, service_role;
grant execute on function private.due_sync_runs(integer) to service_role;

create function public.due_sync_runs(max_results integer default 10)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.due_sync_runs(max_results);
end;
$$;
comment on function public.due_sync_runs(integer) is
    'Runs to send to the queue now (service only): {run_ids, more}. Runs that nobody has taken up, then new ones for accounts that are due. Each is given to one caller; if that one dies, it comes up again after sync.resend_after.';
revoke execute on function public.due_sync_runs(integer) from public, anon, authenticated, service_role;
grant execute on function public.due_sync_runs(integer) to service_role;

create function private.purge_sync()
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_count integer;
begin
    delete from private.sync_request as r where r.created_at < now() - private.setting_interval('sync.request_ttl');
    delete from private.platform_budget as b where b.window_start < now() - interval '40 days';
    delete from public.sync_run as r where r.finished_at < now() - private.setting_interval('sync.keep_runs');
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;
comment on function private.purge_sync() is 'Body of public.purge_sync.';
revoke execute on function private.purge_sync() from public, anon, authenticated, service_role;
grant execute on function private.purge_sync() to service_role;

create function public.purge_sync()
returns integer
language plpgsql
set search_path = ''
as $$
begin
    return private.purge_sync();
end;
$$;
comment on function public.purge_sync() is 'Deletes old runs, keys and spent budgets (service only); how many runs.';
revoke execute on function public.purge_sync() from public, anon, authenticated, service_role;
grant execute on function public.purge_sync() to service_role;
