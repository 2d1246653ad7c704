-- Notices: notifications and weekly digests on their way to a mailbox; and how often a user may call.

insert into private.setting (key, value, comment) values
('email.notice_gap', '"15 minutes"', 'A user gets at most one e-mail of notices in this time; what comes meanwhile waits for the next.'),
('email.notice_max_age', '"1 day"', 'A notification older than this is left to the app.'),
('email.notices_in_one', '20', 'Most notifications in one e-mail.'),
('email.lease', '"5 minutes"', 'How long a sender has for an e-mail before another one takes it up.'),
('email.attempts', '5', 'After how many attempts an e-mail is given up.'),
('email.keep', '"90 days"', 'How long is remembered what was sent.'),
('rate.window', '"1 minute"', 'The time that the limits on calls are for. They end loops and abuse; what costs money has its quota.'),
('rate.connect', '1200', 'Calls of a user in that time: starting and completing connections.'),
('rate.sync', '1200', 'The same for starting syncs.'),
('rate.analyze', '1200', 'The same for analyses.'),
('rate.submit', '1200', 'The same for submissions.'),
('rate.billing', '600', 'The same for checkout and portal.');

create table private.email (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.users (id) on delete cascade,
    kind text not null,
    period date,
    figures jsonb not null default '{}',
    attempts integer not null default 1,
    lease_until timestamptz not null,
    sent_at timestamptz,
    created_at timestamptz not null default now(),
    constraint email_kind_known check (kind in ('notice', 'digest')),
    constraint email_digest_has_a_period check ((kind = 'digest') = (period is not null))
);
comment on table private.email is 'E-mails on their way or sent. The id goes along with the e-mail, so that a second copy of it can be told.';
comment on column private.email.figures is 'What a digest reported, for the next one to compare with.';
create index email_user_id_idx on private.email (user_id, kind, created_at desc);
create index email_unsent_idx on private.email (lease_until) where sent_at is null;
create unique index email_one_digest_a_week on private.email (user_id, period) where kind = 'digest';
revoke all on table private.email from public, anon, authenticated, service_role;

create table private.emailed_notification (
    notification_id uuid primary key references public.notification (id) on delete cascade,
    email_id uuid not null references private.email (id) on delete cascade
);
comment on table private.emailed_notification is 'Which e-mail tells a notification: one, ever.';
create index emailed_notification_email_id_idx on private.emailed_notification (email_id);
revoke all on table private.emailed_notification from public, anon, authenticated, service_role;

create table private.email_token (
    user_id uuid primary key references public.users (id) on delete cascade,
    token uuid not null unique default gen_random_uuid()
);
comment on table private.email_token is 'What the unsubscribe links of a user carry: 122 bits that nobody can guess, good for switching e-mail off and for nothing else.';
revoke all on table private.email_token from public, anon, authenticated, service_role;

create table private.call_rate (
    user_id uuid not null references public.users (id) on delete cascade,
    bucket text not null,
    window_start timestamptz not null,
    calls integer not null,
    primary key (user_id, bucket)
);
comment on table private.call_rate is 'How often a user has called in the running window.';
revoke all on table private.call_rate from public, anon, authenticated, service_role;

create function private.email_token(user_id uuid)
returns uuid
language plpgsql
set search_path = ''
as $$
begin
    insert into private.email_token as t (user_id) values (email_token.user_id) on conflict do nothing;
    return (select t.token from private.email_token as t where t.user_id = email_token.user_id);
end;
$$;
comment on function private.email_token(uuid) is 'The token of a user''s unsubscribe links, made at first need.';
revoke execute on function private.email_token(uuid) from public, anon, authenticated, service_role;

create function private.claim_notices(max_results integer)
returns jsonb
language plpgsql
security definer -- the tables are no role's but through here
set search_path = ''
as $$
declare
    v_user_id uuid;
    v_email_id uuid;
    v_now timestamptz := clock_timestamp();
    v_lease timestamptz := clock_timestamp() + private.setting_interval('email.lease');
    v_ids uuid[] := '{}'::uuid[];
begin
    -- What somebody took up and did not finish.
    with again as (
        select e.id from private.email as e
        where e.kind = 'notice' and e.sent_at is null and e.lease_until <= v_now
            and e.attempts < private.setting_int('email.attempts')
        order by e.lease_until limit max_results for update skip locked
    ), taken as (
        update private.email as e set lease_until = v_lease, attempts = e.attempts + 1
        from again where e.id = again.id returning e.id
    )
    select coalesce(array_agg(t.id), '{}') into v_ids from taken as t;
    -- A user's settings row is the lock: two senders never put the same user's notices together.
    for v_user_id in
        select s.user_id from public.user_setting as s
        where s.is_email_notifications_enabled
            and exists (
                select from public.notification as n
                where n.user_id = s.user_id and not n.is_read
                    and n.created_at > v_now - private.setting_interval('email.notice_max_age')
                    and (n.expires_at is null or n.expires_at > v_now)
                    and not exists (select from private.emailed_notification as m where m.notification_id = n.id)
            )
            and not exists (
                select from private.email as e
                where e.user_id = s.user_id and e.kind = 'notice'
                    and e.created_at > v_now - private.setting_interval('email.notice_gap')
            )
            and exists (select from public.users as u where u.id = s.user_id and u.email is not null)
        limit greatest(max_results - cardinality(v_ids), 0)
        for no key update of s skip locked
    loop
        -- Looked at again under the lock: another sender may have been here between the search and the lock.
        continue when exists (
            select from private.email as e
            where e.user_id = v_user_id and e.kind = 'notice'
                and e.created_at > v_now - private.setting_interval('email.notice_gap')
        );
        insert into private.email (user_id, kind, lease_until, created_at)
        values (v_user_id, 'notice', v_lease, v_now) returning id into v_email_id;
        insert into private.emailed_notification (notification_id, email_id)
        select n.id, v_email_id from public.notification as n
        where n.user_id = v_user_id and not n.is_read
            and n.created_at > v_now - private.setting_interval('email.notice_max_age')
            and (n.expires_at is null or n.expires_at > v_now)
            and not exists (select from private.emailed_notification as m where m.notification_id = n.id)
        order by n.created_at limit private.setting_int('email.notices_in_one')
        on conflict do nothing;
        v_ids := v_ids || v_email_id;
    end loop;
    return coalesce((
        select jsonb_agg(jsonb_build_object(
            'email_id', e.id, 'email', u.email, 'name', u.full_name, 'token', private.email_token(u.id), 'notices', l.notices
        ))
        from private.email as e
        join public.users as u on u.id = e.user_id and u.email is not null
        join public.user_setting as s on s.user_id = u.id and s.is_email_notifications_enabled
        cross join lateral (
            -- The same said twice is told once.
            select jsonb_agg(jsonb_build_object('title', d.title, 'message', d.message) order by d.created_at) as notices
            from (
                select distinct on (n.type, n.title, n.message) n.title, n.message, n.created_at
                from private.emailed_notification as m join public.notification as n on n.id = m.notification_id
                where m.email_id = e.id order by n.type, n.title, n.message, n.created_at
            ) as d
        ) as l
        where e.id = any(v_ids) and l.notices is not null
    ), '[]');
end;
$$;
comment on function private.claim_notices(integer) is 'Body of public.claim_notices.';
revoke execute on function private.claim_notices(integer) from public, anon, authenticated, service_role;
grant execute on function private.claim_notices(integer) to service_role;

create function public.claim_notices(max_results integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.claim_notices(max_results);
end;
$$;
comment on function public.claim_notices(integer) is
    'Takes up e-mails of notices that are to be sent, one a user and gap, each under a lease (service only).';
revoke execute on function public.claim_notices(integer) from public, anon, authenticated, service_role;
grant execute on function public.claim_notices(integer) to service_role;

create function private.claim_digests(max_results integer)
returns jsonb
language plpgsql
security definer -- the tables are no role's but through here
set search_path = ''
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_period date := date_trunc('week', clock_timestamp() at time zone 'UTC')::date;
    v_lease timestamptz := clock_timestamp() + private.setting_interval('email.lease');
    v_ids uuid[];
    v_new uuid[];
begin
    with again as (
        select e.id from private.email as e
        where e.kind = 'digest' and e.sent_at is null and e.lease_until <= v_now and e.period = v_period
            and e.attempts < private.setting_int('email.attempts')
        order by e.lease_until limit max_results for update skip locked
    ), taken as (
        update private.email as e set lease_until = v_lease, attempts = e.attempts + 1
        from again where e.id = again.id returning e.id
    )
    select coalesce(array_agg(t.id), '{}') into v_ids from taken as t;
    -- The unique index lets one digest a user and week in, whoever comes first.
    with wanted as (
        select s.user_id from public.user_setting as s
        join public.users as u on u.id = s.user_id and u.email is not null
        where s.is_weekly_digest_enabled
            and exists (select from public.social_account as a where a.user_id = s.user_id)
            and not exists (
                select from private.email as e where e.user_id = s.user_id and e.kind = 'digest' and e.period = v_period
            )
        limit greatest(max_results - cardinality(v_ids), 0)
    ), made as (
        insert into private.email (user_id, kind, period, lease_until, figures)
        select
            w.user_id, 'digest', v_period, v_lease,
            jsonb_build_object(
                'followers', (
                    select coalesce(sum(a.follower_count), 0) from public.social_account as a where a.user_id = w.user_id
                ),
                'views', (
                    select coalesce(sum(i.views_count::bigint), 0) from public.content_item as i
                    join public.social_account as a on a.id = i.social_account_id where a.user_id = w.user_id
                )
            )
        from wanted as w on conflict do nothing returning id
    )
    select coalesce(array_agg(m.id), '{}') into v_new from made as m;
    v_ids := v_ids || v_new;
    return coalesce((
        select jsonb_agg(jsonb_build_object(
            'email_id', e.id, 'email', u.email, 'name', u.full_name, 'token', private.email_token(u.id),
            'synced', (
                select jsonb_build_object(
                    'runs', count(*), 'created', coalesce(sum(r.items_created), 0), 'updated', coalesce(sum(r.items_updated), 0)
                )
                from public.sync_run as r
                where r.user_id = u.id and r.status in ('succeeded', 'partial') and r.finished_at > v_now - '7 days'::interval
            ),
            'totals', e.figures,
            'before', (
                select p.figures from private.email as p
                where p.user_id = u.id and p.kind = 'digest' and p.period < e.period order by p.period desc limit 1
            ),
            'suggested', (
                select count(*) from public.ai_suggestion as g
                where g.user_id = u.id and g.created_at > v_now - '7 days'::interval
            ),
            'indexed', (
                select count(*) from public.seo_submission as b
                where b.user_id = u.id and b.status = 'indexed' and b.status_checked_at > v_now - '7 days'::interval
            ),
            'quota', (
                select jsonb_build_object(
                    'syncs', jsonb_build_array(case when c.is_over then 0 else b.syncs_used end, t.max_syncs_per_month),
                    'analyses', jsonb_build_array(case when c.is_over then 0 else b.ai_analyses_used end, t.max_ai_analyses_per_month),
                    'submissions', jsonb_build_array(
                        case when c.is_over then 0 else b.seo_submissions_used end, t.max_seo_submissions_per_month
                    )
                )
                from public.subscription as b
                join public.subscription_tier as t on t.id = b.tier_id
                cross join lateral (select b.cycle_end_date <= v_now as is_over) as c
                where b.user_id = u.id
            )
        ))
        from private.email as e
        join public.users as u on u.id = e.user_id and u.email is not null
        join public.user_setting as s on s.user_id = u.id and s.is_weekly_digest_enabled
        where e.id = any(v_ids)
    ), '[]');
end;
$$;
comment on function private.claim_digests(integer) is 'Body of public.claim_digests.';
revoke execute on function private.claim_digests(integer) from public, anon, authenticated, service_role;
grant execute on function private.claim_digests(integer) to service_role;

create function public.claim_digests(max_results integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.claim_digests(max_results);
end;
$$;
comment on function public.claim_digests(integer) is
    'Takes up weekly digests that are to be sent, one a user and week, with what they tell (service only).';
revoke execute on function public.claim_digests(integer) from public, anon, authenticated, service_role;
grant execute on function public.claim_digests(integer) to service_role;

create function private.finish_email(email_id uuid)
returns boolean
language plpgsql
security definer -- the tables are no role's but through here
set search_path = ''
as $$
begin
    update private.email as e set sent_at = clock_timestamp() where e.id = finish_email.email_id and e.sent_at is null;
    return found;
end;
$$;
comment on function private.finish_email(uuid) is 'Body of public.finish_email.';
revoke execute on function private.finish_email(uuid) from public, anon, authenticated, service_role;
grant execute on function private.finish_email(uuid) to service_role;

create function public.finish_email(email_id uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.finish_email(email_id);
end;
$$;
comment on function public.finish_email(uuid) is
    'Notes that an e-mail was handed over; false if that was known (service only).';
revoke execute on function public.finish_email(uuid) from public, anon, authenticated, service_role;
grant execute on function public.finish_email(uuid) to service_role;

create function private.unsubscribe(token uuid, kind text)
returns boolean
language plpgsql
security definer -- the tables are no role's but through here
set search_path = ''
as $$
declare
    v_user_id uuid;
begin
    if unsubscribe.kind is null or unsubscribe.kind not in ('notice', 'digest') then
        raise exception 'kind is notice or digest' using errcode = 'PT422';
    end if;
    select t.user_id into v_user_id from private.email_token as t where t.token = unsubscribe.token;
    update public.user_setting as s set
        is_email_notifications_enabled = s.is_email_notifications_enabled and unsubscribe.kind <> 'notice',
        is_weekly_digest_enabled = s.is_weekly_digest_enabled and unsubscribe.kind <> 'digest'
    where s.user_id = v_user_id;
    return found;
end;
$$;
comment on function private.unsubscribe(uuid, text) is 'Body of public.unsubscribe.';
revoke execute on function private.unsubscribe(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.unsubscribe(uuid, text) to service_role;

create function public.unsubscribe(token uuid, kind text)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.unsubscribe(token, kind);
end;
$$;
comment on function public.unsubscribe(uuid, text) is
    'Switches e-mails of a kind off for the user whom an unsubscribe link names; false if it names nobody (service only).';
revoke execute on function public.unsubscribe(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.unsubscribe(uuid, text) to service_role;

create function private.purge_emails(max_rows integer)
returns integer
language plpgsql
security definer -- the tables are no role's but through here
set search_path = ''
as $$
declare
    v_count integer;
begin
    delete from private.email as e
    where e.id in (
        select o.id from private.email as o
        where o.created_at < now() - private.setting_interval('email.keep') limit max_rows for update skip locked
    );
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;
comment on function private.purge_emails(integer) is 'Body of public.purge_emails.';
revoke execute on function private.purge_emails(integer) from public, anon, authenticated, service_role;
grant execute on function private.purge_emails(integer) to service_role;

create function public.purge_emails(max_rows integer)
returns integer
language plpgsql
set search_path = ''
as $$
begin
    return private.purge_emails(max_rows);
end;
$$;
comment on function public.purge_emails(integer) is
    'Forgets e-mails that were sent long ago (service only); how many.';
revoke execute on function public.purge_emails(integer) from public, anon, authenticated, service_role;
grant execute on function public.purge_emails(integer) to service_role;

create function private.take_rate(user_id uuid, bucket text)
returns integer
language plpgsql
security definer -- the tables are no role's but through here
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_now timestamptz := clock_timestamp();
    v_window interval := private.setting_interval('rate.window');
    v_limit integer;
    v_calls integer;
    v_start timestamptz;
begin
    select (s.value #>> '{}')::integer into v_limit from private.setting as s
    where s.key = 'rate.' || take_rate.bucket and s.key <> 'rate.window';
    if not found then
        raise exception 'there is no such limit' using errcode = 'PT422';
    end if;
    insert into private.call_rate as r (user_id, bucket, window_start, calls)
    select u.id, take_rate.bucket, v_now, 1 from public.users as u where u.id = take_rate.user_id
    on conflict (user_id, bucket) do update set
        window_start = case when r.window_start <= v_now - v_window then v_now else r.window_start end,
        calls = case when r.window_start <= v_now - v_window then 1 else least(r.calls, v_limit) + 1 end
    returning r.calls, r.window_start into v_calls, v_start;
    if v_calls is null or v_calls <= v_limit then
        return 0;
    end if;
    return greatest(ceil(extract(epoch from v_start + v_window - v_now)), 1)::integer;
end;
$$;
comment on function private.take_rate(uuid, text) is 'Body of public.take_rate.';
revoke execute on function private.take_rate(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.take_rate(uuid, text) to service_role;

create function public.take_rate(user_id uuid, bucket text)
returns integer
language plpgsql
set search_path = ''
as $$
begin
    return private.take_rate(user_id, bucket);
end;
$$;
comment on function public.take_rate(uuid, text) is
    'Counts a call of a user (service only): 0 if it may go on, else the seconds to wait.';
revoke execute on function public.take_rate(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.take_rate(uuid, text) to service_role;
