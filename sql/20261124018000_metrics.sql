-- Metrics of what ends inside the database. Charges and refunds are made, and runs are ended, by functions of many
-- domains; counting the rows that they leave behind misses none of them and counts none twice.

create table private.metric_mark (
    is_only_row boolean primary key default true,
    counted_until timestamptz not null default now(),
    constraint metric_mark_has_one_row check (is_only_row)
);
comment on table private.metric_mark is 'Up to which moment things have been counted.';
revoke all on table private.metric_mark from public, anon, authenticated, service_role;
insert into private.metric_mark default values;

insert into private.setting (key, value, comment) values
('metrics.lag', '"1 minute"', 'Age at which a row is counted: longer than a transaction of the API may last, so that none is passed over.');

create function private.count_metrics()
returns jsonb
language plpgsql
security definer -- the mark is no role's but through here
set search_path = ''
as $$
declare
    v_since timestamptz;
    v_until timestamptz := now() - private.setting_interval('metrics.lag');
begin
    -- Who comes at the same time waits here, and finds the mark moved.
    select m.counted_until into v_since from private.metric_mark as m where m.is_only_row for update;
    update private.metric_mark as m set counted_until = v_until where m.is_only_row and m.counted_until < v_until;
    return jsonb_build_object(
        'quota', (
            select coalesce(jsonb_agg(to_jsonb(q)), '[]')
            from (
                select h.quota_type, h.operation, sum(h.amount) as units from public.quota_usage_history as h
                where h.created_at >= v_since and h.created_at < v_until and h.operation in ('increment', 'decrement')
                group by h.quota_type, h.operation order by h.quota_type, h.operation
            ) as q
        ),
        'sync_runs', (
            select coalesce(jsonb_agg(to_jsonb(s)), '[]')
            from (
                select p.slug as platform, r.status as outcome, count(*) as runs
                from public.sync_run as r
                join public.social_account as a on a.id = r.social_account_id
                join public.platform as p on p.id = a.platform_id
                where r.finished_at >= v_since and r.finished_at < v_until
                group by p.slug, r.status order by p.slug, r.status
            ) as s
        )
    );
end;
$$;
comment on function private.count_metrics() is 'Body of public.count_metrics.';
revoke execute on function private.count_metrics() from public, anon, authenticated, service_role;
grant execute on function private.count_metrics() to service_role;

create function public.count_metrics()
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.count_metrics();
end;
$$;
comment on function public.count_metrics() is
    'What has happened since the last call, each thing in one answer only (service only): {quota: [{quota_type, operation, units}], sync_runs: [{platform, outcome, runs}]}.';
revoke execute on function public.count_metrics() from public, anon, authenticated, service_role;
grant execute on function public.count_metrics() to service_role;
