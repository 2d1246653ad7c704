-- Quotas: a ledger. Every movement of a counter is a history row written in the same transaction, so that at any moment
-- used = the sum of the cycle's history.
--
-- A charge is an `increment` row with an idempotency key. It is live until it is released (refunded or reaped); settling
-- it makes it final. The partial unique index on live keys is what makes one call one charge. Every function that moves a
-- counter locks the user's subscription row first and history rows second, so they queue and never deadlock; the counter
-- moves by one conditional update, never by check-then-act.
--
-- Left out on purpose: a check `used <= max` on the table. A downgrade may leave more used than the new plan allows.

create table public.quota_usage_history (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.users (id) on delete cascade,
    quota_type text not null,
    operation text not null,
    amount integer not null,
    current_value integer not null default 0,
    max_value integer,
    related_entity_type text,
    related_entity_id uuid,
    reason text,
    billing_cycle_start timestamptz not null default now(),
    billing_cycle_end timestamptz not null default now() + interval '1 month',
    idempotency_key text,
    settled_at timestamptz,
    released_at timestamptz,
    created_at timestamptz not null default now(),
    -- Two checks, not one for each rule: each is prepared anew in every charge.
    constraint quota_usage_history_movement_known check (
        quota_type in ('sync', 'ai_analysis', 'seo_submission') and operation in ('increment', 'decrement', 'reset')
    ),
    constraint quota_usage_history_numbers_valid check (
        amount > 0 and current_value >= 0 and (settled_at is null or released_at is null)
    ),
    -- A ledger belongs to a subscription, of which every user has one.
    constraint quota_usage_history_of_a_subscription foreign key (user_id)
    references public.subscription (user_id) on delete cascade
);
comment on table public.quota_usage_history is 'The quota ledger: each charge, refund and reset with the counter after it. Amounts are positive, operation tells the direction.';
comment on column public.quota_usage_history.max_value is 'The plan''s maximum at that moment; null is unlimited.';
comment on column public.quota_usage_history.idempotency_key is 'The caller''s key, on increments only; one live charge a user and key.';
comment on column public.quota_usage_history.settled_at is 'When the charge became final.';
comment on column public.quota_usage_history.released_at is 'When the charge was refunded or reaped; its key may then be charged anew.';
create unique index quota_usage_history_live_key on public.quota_usage_history (user_id, idempotency_key)
where released_at is null and idempotency_key is not null;
create index quota_usage_history_user_id_idx on public.quota_usage_history (user_id, created_at desc);
create index quota_usage_history_pending_idx on public.quota_usage_history (created_at)
where settled_at is null and released_at is null and idempotency_key is not null;
-- For counting what is new. Rows come in the order of their time, so ranges of blocks do; a b-tree would cost each charge.
create index quota_usage_history_time_idx on public.quota_usage_history using brin (created_at)
with (pages_per_range = 16, autosummarize = on);
-- What a plan with metered prices bills by; see the outbox of the Stripe domain.
create trigger queue_usage after update of settled_at on public.quota_usage_history
for each row when (new.settled_at is not null and old.settled_at is null) execute function private.queue_usage();

alter table public.quota_usage_history enable row level security;
create policy select_own on public.quota_usage_history for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own on public.quota_usage_history is 'Users read their ledger, admins all.';
revoke all on table public.quota_usage_history from public, anon, authenticated, service_role;
grant select on table public.quota_usage_history to authenticated, service_role;

create table private.quota_notice (
    user_id uuid not null references public.users (id) on delete cascade,
    quota_type text not null,
    cycle_start timestamptz not null,
    percent integer not null,
    created_at timestamptz not null default now(),
    primary key (user_id, quota_type, cycle_start, percent)
);
comment on table private.quota_notice is 'Which thresholds a user was told of in which cycle: once each, even if the notification is deleted or a refund lets the counter cross again.';
revoke all on table private.quota_notice from public, anon, authenticated, service_role;

insert into private.setting (key, value, comment) values
('quota.charge_ttl', '"1 hour"', 'Age at which maintenance gives back a charge that nobody settled.');

-- ---------------------------------------------------------------------------------------------------------------------

create function private.tier_maximum(tier_id uuid, quota_type text)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
    return (
        select case tier_maximum.quota_type
            when 'sync' then t.max_syncs_per_month
            when 'ai_analysis' then t.max_ai_analyses_per_month
            when 'seo_submission' then t.max_seo_submissions_per_month
        end
        from public.subscription_tier as t
        where t.id = tier_maximum.tier_id
    );
end;
$$;
comment on function private.tier_maximum(uuid, text) is 'A plan''s monthly maximum of a quota; null is unlimited.';
revoke execute on function private.tier_maximum(uuid, text) from public, anon, authenticated, service_role;

create function private.move_counter(user_id uuid, quota_type text, amount integer, cycle_start timestamptz default null)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_used integer;
begin
    update public.subscription as s set
        syncs_used = s.syncs_used + case move_counter.quota_type when 'sync' then move_counter.amount else 0 end,
        ai_analyses_used = s.ai_analyses_used + case move_counter.quota_type when 'ai_analysis' then move_counter.amount else 0 end,
        seo_submissions_used
        = s.seo_submissions_used + case move_counter.quota_type when 'seo_submission' then move_counter.amount else 0 end
    where s.user_id = move_counter.user_id
        and s.cycle_start_date = coalesce(move_counter.cycle_start, s.cycle_start_date)
    returning case move_counter.quota_type
        when 'sync' then s.syncs_used when 'ai_analysis' then s.ai_analyses_used else s.seo_submissions_used
    end into v_used;
    return v_used;
end;
$$;
comment on function private.move_counter(uuid, text, integer, timestamptz) is
    'Moves a counter and returns it; null, and nothing moved, if the running cycle is not the one named.';
revoke execute on function private.move_counter(uuid, text, integer, timestamptz) from public, anon, authenticated, service_role;

create function private.start_cycle(user_id uuid, cycle_start timestamptz, cycle_end timestamptz, anchor timestamptz, reason text)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_old public.subscription;
begin
    select s.* into v_old from public.subscription as s where s.user_id = start_cycle.user_id for update;
    -- A reset row belongs to the cycle that it closes and holds what it cleared.
    insert into public.quota_usage_history (
        user_id, quota_type, operation, amount, current_value, max_value, reason, billing_cycle_start, billing_cycle_end
    )
    select
        v_old.user_id, c.quota_type, 'reset', c.used, 0, c.max_value, start_cycle.reason,
        v_old.cycle_start_date, v_old.cycle_end_date
    from public.subscription_tier as t
    cross join lateral (
        values
        ('sync', v_old.syncs_used, t.max_syncs_per_month),
        ('ai_analysis', v_old.ai_analyses_used, t.max_ai_analyses_per_month),
        ('seo_submission', v_old.seo_submissions_used, t.max_seo_submissions_per_month)
    ) as c (quota_type, used, max_value)
    where t.id = v_old.tier_id and c.used > 0;
    update public.subscription as s set
        syncs_used = 0,
        ai_analyses_used = 0,
        seo_submissions_used = 0,
        cycle_start_date = start_cycle.cycle_start,
        cycle_end_date = start_cycle.cycle_end,
        cycle_anchor = start_cycle.anchor,
        updated_at = clock_timestamp()
    where s.id = v_old.id;
end;
$$;
comment on function private.start_cycle(uuid, timestamptz, timestamptz, timestamptz, text) is
    'Closes the running cycle with reset rows and opens another with zero counters. The caller has decided that it is due and holds the row.';
revoke execute on function private.start_cycle(uuid, timestamptz, timestamptz, timestamptz, text)
from public, anon, authenticated, service_role;

create function private.cycle_at(anchor timestamptz, moment timestamptz)
returns tstzrange
language plpgsql
stable
set search_path = ''
as $$
declare
    v_months integer;
begin
    v_months := (extract(year from age(moment, anchor)) * 12 + extract(month from age(moment, anchor)))::integer;
    -- age() and adding months treat month ends differently; step to where the moment really lies.
    while anchor + make_interval(months => v_months) > moment loop
        v_months := v_months - 1;
    end loop;
    while anchor + make_interval(months => v_months + 1) <= moment loop
        v_months := v_months + 1;
    end loop;
    return tstzrange(anchor + make_interval(months => v_months), anchor + make_interval(months => v_months + 1));
end;
$$;
comment on function private.cycle_at(timestamptz, timestamptz) is 'The monthly cycle, counted from its anchor, that a moment lies in.';
revoke execute on function private.cycle_at(timestamptz, timestamptz) from public, anon, authenticated, service_role;

create function private.roll_cycle(user_id uuid)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_subscription public.subscription;
    v_cycle tstzrange;
begin
    select s.* into v_subscription from public.subscription as s where s.user_id = roll_cycle.user_id for update;
    if not found or v_subscription.cycle_end_date > now() then
        return false;
    end if;
    -- Cycles are a month from the anchor on; a first or last one that Stripe made shorter or longer ends where Stripe said.
    v_cycle := private.cycle_at(coalesce(v_subscription.cycle_anchor, v_subscription.cycle_start_date), now());
    perform private.start_cycle(
        roll_cycle.user_id,
        -- One that was ended before it began makes room at once: two cycles never share a start.
        case
            when v_subscription.cycle_end_date <= v_subscription.cycle_start_date then now()
            else greatest(lower(v_cycle), v_subscription.cycle_end_date)
        end,
        upper(v_cycle),
        coalesce(v_subscription.cycle_anchor, v_subscription.cycle_start_date), 'cycle ended'
    );
    return true;
end;
$$;
comment on function private.roll_cycle(uuid) is 'Rolls a user''s cycle if it has ended. Called lazily by every charge and by maintenance; true if it rolled.';
revoke execute on function private.roll_cycle(uuid) from public, anon, authenticated, service_role;

create function private.notify_quota(
    user_id uuid, quota_type text, used integer, max_value integer, cycle_start timestamptz, cycle_end timestamptz
)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_percent integer;
begin
    foreach v_percent in array array[80, 100] loop
        continue when max_value is null or max_value = 0 or used::bigint * 100 < max_value::bigint * v_percent;
        insert into private.quota_notice (user_id, quota_type, cycle_start, percent)
        values (notify_quota.user_id, notify_quota.quota_type, notify_quota.cycle_start, v_percent)
        on conflict do nothing;
        continue when not found;
        insert into public.notification (user_id, type, title, message, metadata)
        values (
            notify_quota.user_id,
            case when v_percent = 100 then 'quota_reached' else 'quota_warning' end::public.notification_type_enum,
            case when v_percent = 100 then 'Monthly limit reached' else 'Monthly limit almost reached' end,
            format(
                '%s of %s %s used. The counter starts again on %s (UTC).', used, max_value,
                case notify_quota.quota_type when 'sync' then 'syncs' when 'ai_analysis' then 'analyses' else 'search submissions' end,
                to_char(cycle_end at time zone 'UTC', 'YYYY-MM-DD')
            ),
            jsonb_build_object(
                'quota_type', notify_quota.quota_type, 'used', used, 'max', max_value, 'percent', v_percent, 'cycle_end', cycle_end
            )
        );
    end loop;
end;
$$;
comment on function private.notify_quota(uuid, text, integer, integer, timestamptz, timestamptz) is
    'Tells a user, once a cycle each, that 80 % and 100 % of a quota are used.';
revoke execute on function private.notify_quota(uuid, text, integer, integer, timestamptz, timestamptz)
from public, anon, authenticated, service_role;

create function private.quota_answer(
    allowed boolean, replayed boolean, quota_type text, used integer, max_value integer, cycle_end timestamptz
)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
    return jsonb_build_object(
        'allowed', allowed, 'replayed', replayed, 'quota_type', quota_type, 'used', used, 'max', max_value,
        -- greatest() skips nulls, which here mean unlimited.
        'remaining', case when max_value is not null then greatest(max_value - used, 0) end,
        'cycle_end', cycle_end
    );
end;
$$;
comment on function private.quota_answer(boolean, boolean, text, integer, integer, timestamptz) is
    'The object that consume_quota answers and that HTTP 402 carries.';
revoke execute on function private.quota_answer(boolean, boolean, text, integer, integer, timestamptz)
from public, anon, authenticated, service_role;

create function private.replay_charge(
    user_id uuid, quota_type text, amount integer, idempotency_key text, related_entity_type text, related_entity_id uuid
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_charge public.quota_usage_history;
begin
    select h.* into v_charge from public.quota_usage_history as h
    where h.user_id = replay_charge.user_id and h.idempotency_key = replay_charge.idempotency_key and h.released_at is null;
    if not found then
        return null;
    end if;
    -- The reason is left out: it is a remark, and a retry may word it differently.
    if (v_charge.quota_type, v_charge.amount, v_charge.related_entity_type, v_charge.related_entity_id)
        is distinct from (
            replay_charge.quota_type, replay_charge.amount, replay_charge.related_entity_type, replay_charge.related_entity_id
        ) then
        raise exception 'idempotency key was used for another charge' using errcode = 'PT409';
    end if;
    return private.quota_answer(
        true, true, v_charge.quota_type, v_charge.current_value, v_charge.max_value, v_charge.billing_cycle_end
    );
end;
$$;
comment on function private.replay_charge(uuid, text, integer, text, text, uuid) is
    'The first answer of a live charge with this key, null if there is none; PT409 if it was for something else.';
revoke execute on function private.replay_charge(uuid, text, integer, text, text, uuid)
from public, anon, authenticated, service_role;

create function private.consume_quota(
    user_id uuid, quota_type text, amount integer, idempotency_key text, related_entity_type text, related_entity_id uuid, reason text
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_answer jsonb;
    v_is_rolled boolean;
    v_used integer;
    v_max integer;
    v_cycle_start timestamptz;
    v_cycle_end timestamptz;
begin
    if consume_quota.amount is null or consume_quota.amount not between 1 and 10000 then
        raise exception 'amount must be between 1 and 10000' using errcode = 'PT422';
    end if;
    if consume_quota.idempotency_key is null or char_length(consume_quota.idempotency_key) not between 1 and 255 then
        raise exception 'idempotency key must have 1 to 255 characters' using errcode = 'PT422';
    end if;
    if char_length(consume_quota.related_entity_type) > 100 or char_length(consume_quota.reason) > 1000 then
        raise exception 'related entity type or reason is too long' using errcode = 'PT422';
    end if;

    -- The charge is one conditional update, the same for each counter; said three times, because one statement that chooses
    -- between them costs twice as much. Whether the key was used before shows in the insert below: a look first would cost
    -- every charge what only a repeated one needs. (Nor are helpers called on this path.) If the update had to wait and the
    -- plan changed meanwhile, it finds no row that joins, and the case is decided below, where the row is held.
    case consume_quota.quota_type
        when 'sync' then
            update public.subscription as s set
                syncs_used = s.syncs_used + consume_quota.amount, updated_at = clock_timestamp()
            from public.subscription_tier as t
            where s.user_id = consume_quota.user_id and s.cycle_end_date > now() and t.id = s.tier_id
                and (s.syncs_used + consume_quota.amount > t.max_syncs_per_month) is not true
            returning s.syncs_used, t.max_syncs_per_month, s.cycle_start_date, s.cycle_end_date
            into v_used, v_max, v_cycle_start, v_cycle_end;
        when 'ai_analysis' then
            update public.subscription as s set
                ai_analyses_used = s.ai_analyses_used + consume_quota.amount, updated_at = clock_timestamp()
            from public.subscription_tier as t
            where s.user_id = consume_quota.user_id and s.cycle_end_date > now() and t.id = s.tier_id
                and (s.ai_analyses_used + consume_quota.amount > t.max_ai_analyses_per_month) is not true
            returning s.ai_analyses_used, t.max_ai_analyses_per_month, s.cycle_start_date, s.cycle_end_date
            into v_used, v_max, v_cycle_start, v_cycle_end;
        when 'seo_submission' then
            update public.subscription as s set
                seo_submissions_used = s.seo_submissions_used + consume_quota.amount, updated_at = clock_timestamp()
            from public.subscription_tier as t
            where s.user_id = consume_quota.user_id and s.cycle_end_date > now() and t.id = s.tier_id
                and (s.seo_submissions_used + consume_quota.amount > t.max_seo_submissions_per_month) is not true
            returning s.seo_submissions_used, t.max_seo_submissions_per_month, s.cycle_start_date, s.cycle_end_date
            into v_used, v_max, v_cycle_start, v_cycle_end;
        else
            raise exception 'unknown quota type' using errcode = 'PT422', hint = 'one of sync, ai_analysis, seo_submission';
    end case;

    if not found then
        select
            case consume_quota.quota_type
                when 'sync' then s.syncs_used when 'ai_analysis' then s.ai_analyses_used else s.seo_submissions_used
            end,
            private.tier_maximum(s.tier_id, consume_quota.quota_type), s.cycle_start_date, s.cycle_end_date
        into v_used, v_max, v_cycle_start, v_cycle_end
        from public.subscription as s where s.user_id = consume_quota.user_id for update;
        if not found then
            raise exception 'no such user' using errcode = 'PT404';
        end if;
        -- The row is held now. The same call may have been granted the last units while this one waited for it.
        v_answer := private.replay_charge(user_id, quota_type, amount, idempotency_key, related_entity_type, related_entity_id);
        if v_answer is not null then
            return v_answer;
        end if;
        -- Or the cycle had ended, and is rolled here or was by another call; or units came back. Then the charge fits after all.
        v_is_rolled := private.roll_cycle(user_id);
        if v_is_rolled or coalesce(v_used::bigint + amount <= v_max, true) then
            return private.consume_quota(
                user_id, quota_type, amount, idempotency_key, related_entity_type, related_entity_id, reason
            );
        end if;
        if v_used >= v_max then
            perform private.notify_quota(user_id, quota_type, v_used, v_max, v_cycle_start, v_cycle_end);
        end if;
        return private.quota_answer(false, false, quota_type, v_used, v_max, v_cycle_end);
    end if;

    -- The inference clause below cannot be qualified: that is why columns win over parameters in this function.
    insert into public.quota_usage_history (
        user_id, quota_type, operation, amount, current_value, max_value, related_entity_type, related_entity_id,
        reason, billing_cycle_start, billing_cycle_end, idempotency_key
    ) values (
        consume_quota.user_id, consume_quota.quota_type, 'increment', consume_quota.amount, v_used, v_max,
        consume_quota.related_entity_type, consume_quota.related_entity_id,
        consume_quota.reason, v_cycle_start, v_cycle_end, consume_quota.idempotency_key
    )
    on conflict (user_id, idempotency_key) where released_at is null and idempotency_key is not null do nothing;
    if not found then
        -- The same call went before. Give the units back (nobody has seen them: the row is locked) and answer as it did.
        perform private.move_counter(user_id, quota_type, -amount);
        return private.replay_charge(user_id, quota_type, amount, idempotency_key, related_entity_type, related_entity_id);
    end if;

    if v_max - v_used <= v_max / 5 then
        perform private.notify_quota(user_id, quota_type, v_used, v_max, v_cycle_start, v_cycle_end);
    end if;
    return jsonb_build_object(
        'allowed', true, 'replayed', false, 'quota_type', consume_quota.quota_type, 'used', v_used, 'max', v_max,
        'remaining', v_max - v_used, 'cycle_end', v_cycle_end
    );
end;
$$;
comment on function private.consume_quota(uuid, text, integer, text, text, uuid, text) is
    'Body of public.consume_quota. Definer: nobody else may write counters and ledger.';
revoke execute on function private.consume_quota(uuid, text, integer, text, text, uuid, text)
from public, anon, authenticated, service_role;
grant execute on function private.consume_quota(uuid, text, integer, text, text, uuid, text) to service_role;

create function public.consume_quota(
    user_id uuid, quota_type text, amount integer, idempotency_key text,
    related_entity_type text default null, related_entity_id uuid default null, reason text default null
)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.consume_quota(user_id, quota_type, amount, idempotency_key, related_entity_type, related_entity_id, reason);
end;
$$;
comment on function public.consume_quota(uuid, text, integer, text, text, uuid, text) is
    'Charges a quota once for each key: {allowed, replayed, quota_type, used, max, remaining, cycle_end}. A charge that does not fit is a result, not an error.';
revoke execute on function public.consume_quota(uuid, text, integer, text, text, uuid, text)
from public, anon, authenticated, service_role;
grant execute on function public.consume_quota(uuid, text, integer, text, text, uuid, text) to service_role;

create function private.settle_quota(user_id uuid, idempotency_key text)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
begin
    update public.quota_usage_history as h set settled_at = now()
    where h.user_id = settle_quota.user_id
        and h.idempotency_key = settle_quota.idempotency_key
        and h.released_at is null
        and h.settled_at is null;
    return found or exists (
        select 1 from public.quota_usage_history as h
        where h.user_id = settle_quota.user_id
            and h.idempotency_key = settle_quota.idempotency_key
            and h.released_at is null
    );
end;
$$;
comment on function private.settle_quota(uuid, text) is 'Body of public.settle_quota.';
revoke execute on function private.settle_quota(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.settle_quota(uuid, text) to service_role;

create function public.settle_quota(user_id uuid, idempotency_key text)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.settle_quota(user_id, idempotency_key);
end;
$$;
comment on function public.settle_quota(uuid, text) is
    'Makes a charge final. True if it is settled now (or was before), false if there is none or it was refunded or reaped.';
revoke execute on function public.settle_quota(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.settle_quota(uuid, text) to service_role;

create function private.release_charge(charge_id uuid, reason text)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_charge public.quota_usage_history;
    v_used integer;
begin
    -- The subscription first, the ledger second: the order in which consume_quota locks them.
    perform 1 from public.subscription as s
    where s.user_id = (select h.user_id from public.quota_usage_history as h where h.id = release_charge.charge_id)
    for update;
    update public.quota_usage_history as h set released_at = now()
    where h.id = release_charge.charge_id and h.operation = 'increment' and h.released_at is null and h.settled_at is null
    returning h.* into v_charge;
    if not found then
        return false;
    end if;
    v_used := private.move_counter(v_charge.user_id, v_charge.quota_type, -v_charge.amount, v_charge.billing_cycle_start);
    insert into public.quota_usage_history (
        user_id, quota_type, operation, amount, current_value, max_value, related_entity_type, related_entity_id,
        reason, billing_cycle_start, billing_cycle_end
    ) values (
        v_charge.user_id, v_charge.quota_type, 'decrement', v_charge.amount, coalesce(v_used, 0), v_charge.max_value,
        v_charge.related_entity_type, v_charge.related_entity_id,
        release_charge.reason, v_charge.billing_cycle_start, v_charge.billing_cycle_end
    );
    return true;
end;
$$;
comment on function private.release_charge(uuid, text) is
    'Gives an unsettled charge back, booked to its own cycle; a counter that has rolled since is left alone. False if there was nothing to give back.';
revoke execute on function private.release_charge(uuid, text) from public, anon, authenticated, service_role;

create function private.settle_charges(user_id uuid, idempotency_keys text[])
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    update public.quota_usage_history as h set settled_at = now()
    where h.user_id = settle_charges.user_id
        and h.idempotency_key = any(settle_charges.idempotency_keys)
        and h.released_at is null
        and h.settled_at is null;
end;
$$;
comment on function private.settle_charges(uuid, text[]) is 'As settle_quota, for many charges of one user. Keys without a live charge are passed over.';
revoke execute on function private.settle_charges(uuid, text[]) from public, anon, authenticated, service_role;

create function private.release_charges(user_id uuid, idempotency_keys text[], reason text)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_ids uuid[];
    v_part record;
    v_used integer;
begin
    perform 1 from public.subscription as s where s.user_id = release_charges.user_id for update;
    with released as (
        update public.quota_usage_history as h set released_at = now()
        where h.user_id = release_charges.user_id and h.idempotency_key = any(release_charges.idempotency_keys)
            and h.operation = 'increment' and h.released_at is null and h.settled_at is null
        returning h.id
    )
    select array_agg(r.id) into v_ids from released as r;
    -- A counter that moves a thousand times in one transaction takes longer each time: it moves once for each type and cycle.
    for v_part in
        select h.quota_type, h.billing_cycle_start, sum(h.amount)::integer as amount
        from public.quota_usage_history as h where h.id = any(v_ids) group by 1, 2 order by 1, 2
    loop
        v_used := private.move_counter(user_id, v_part.quota_type, -v_part.amount, v_part.billing_cycle_start);
        insert into public.quota_usage_history (
            user_id, quota_type, operation, amount, current_value, max_value, related_entity_type, related_entity_id,
            reason, billing_cycle_start, billing_cycle_end
        )
        select
            h.user_id, h.quota_type, 'decrement', h.amount,
            coalesce(v_used + v_part.amount - sum(h.amount) over (order by h.created_at, h.id), 0), h.max_value,
            h.related_entity_type, h.related_entity_id, release_charges.reason, h.billing_cycle_start, h.billing_cycle_end
        from public.quota_usage_history as h
        where h.id = any(v_ids) and h.quota_type = v_part.quota_type and h.billing_cycle_start = v_part.billing_cycle_start;
    end loop;
    return coalesce(cardinality(v_ids), 0);
end;
$$;
comment on function private.release_charges(uuid, text[], text) is
    'As release_charge, for many charges of one user: a history row each, one movement of the counter; how many were given back.';
revoke execute on function private.release_charges(uuid, text[], text) from public, anon, authenticated, service_role;

create function private.refund_quota(user_id uuid, idempotency_key text, reason text)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_charge_id uuid;
begin
    if char_length(refund_quota.reason) > 1000 then
        raise exception 'reason is too long' using errcode = 'PT422';
    end if;
    select h.id into v_charge_id from public.quota_usage_history as h
    where h.user_id = refund_quota.user_id and h.idempotency_key = refund_quota.idempotency_key and h.released_at is null;
    if found then
        perform private.release_charge(v_charge_id, refund_quota.reason);
    end if;
    -- True also when it had been given back before: what the caller wants to know is that it is.
    return exists (
        select 1 from public.quota_usage_history as h
        where h.user_id = refund_quota.user_id and h.idempotency_key = refund_quota.idempotency_key and h.released_at is not null
    ) and not exists (
        select 1 from public.quota_usage_history as h
        where h.user_id = refund_quota.user_id and h.idempotency_key = refund_quota.idempotency_key and h.released_at is null
    );
end;
$$;
comment on function private.refund_quota(uuid, text, text) is 'Body of public.refund_quota.';
revoke execute on function private.refund_quota(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function private.refund_quota(uuid, text, text) to service_role;

create function public.refund_quota(user_id uuid, idempotency_key text, reason text)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.refund_quota(user_id, idempotency_key, reason);
end;
$$;
comment on function public.refund_quota(uuid, text, text) is
    'Gives an unsettled charge back. True if it is given back now (or was before), false if there is none or it is settled.';
revoke execute on function public.refund_quota(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function public.refund_quota(uuid, text, text) to service_role;

create function private.reap_quota(older_than interval)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_charge_id uuid;
    v_count integer := 0;
begin
    if older_than is null or older_than < interval '0' then
        raise exception 'older_than must be an interval of zero or more' using errcode = 'PT422';
    end if;
    for v_charge_id in
        select h.id from public.quota_usage_history as h
        where h.operation = 'increment' and h.settled_at is null and h.released_at is null and h.idempotency_key is not null
            and h.created_at < now() - older_than
        order by h.user_id, h.created_at -- users in one order, so that two reapers queue instead of deadlocking
    loop
        if private.release_charge(v_charge_id, 'never settled') then
            v_count := v_count + 1;
        end if;
    end loop;
    return v_count;
end;
$$;
comment on function private.reap_quota(interval) is 'Body of public.reap_quota.';
revoke execute on function private.reap_quota(interval) from public, anon, authenticated, service_role;
grant execute on function private.reap_quota(interval) to service_role;

create function public.reap_quota(older_than interval)
returns integer
language plpgsql
set search_path = ''
as $$
begin
    return private.reap_quota(older_than);
end;
$$;
comment on function public.reap_quota(interval) is 'Refunds charges older than this that nobody settled; how many.';
revoke execute on function public.reap_quota(interval) from public, anon, authenticated, service_role;
grant execute on function public.reap_quota(interval) to service_role;

create function private.reset_quota(user_id uuid, cycle_start timestamptz, cycle_end timestamptz, reason text)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_subscription public.subscription;
begin
    if cycle_start is null or cycle_end is null or not isfinite(cycle_start) or not isfinite(cycle_end) or cycle_end <= cycle_start then
        raise exception 'a cycle needs a start and a later end' using errcode = 'PT422';
    end if;
    if char_length(reset_quota.reason) > 1000 then
        raise exception 'reason is too long' using errcode = 'PT422';
    end if;
    select s.* into v_subscription from public.subscription as s where s.user_id = reset_quota.user_id for update;
    if not found then
        raise exception 'no such user' using errcode = 'PT404';
    end if;
    if v_subscription.cycle_start_date = reset_quota.cycle_start then
        -- Called again: what was used since the first call stays used. Only the end may still be corrected.
        update public.subscription as s set cycle_end_date = reset_quota.cycle_end
        where s.id = v_subscription.id and s.cycle_end_date <> reset_quota.cycle_end;
        return false;
    end if;
    perform private.start_cycle(
        reset_quota.user_id, reset_quota.cycle_start, reset_quota.cycle_end, reset_quota.cycle_start, reset_quota.reason
    );
    return true;
end;
$$;
comment on function private.reset_quota(uuid, timestamptz, timestamptz, text) is 'Body of public.reset_quota.';
revoke execute on function private.reset_quota(uuid, timestamptz, timestamptz, text) from public, anon, authenticated, service_role;
grant execute on function private.reset_quota(uuid, timestamptz, timestamptz, text) to service_role;

create function public.reset_quota(user_id uuid, cycle_start timestamptz, cycle_end timestamptz, reason text)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.reset_quota(user_id, cycle_start, cycle_end, reason);
end;
$$;
comment on function public.reset_quota(uuid, timestamptz, timestamptz, text) is
    'Opens a new cycle with zero counters; the reset rows hold what was cleared. True if it did, false if that cycle was already open.';
revoke execute on function public.reset_quota(uuid, timestamptz, timestamptz, text) from public, anon, authenticated, service_role;
grant execute on function public.reset_quota(uuid, timestamptz, timestamptz, text) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- For the signed-in user.
-- ---------------------------------------------------------------------------------------------------------------------

-- Definer, because a plan that is no longer sold is still the plan of those who have it, and RLS hides inactive tiers.
create function private.my_quota()
returns table (
    quota_type text, used integer, max integer, remaining integer, cycle_start timestamptz, cycle_end timestamptz
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return query
    select
        q.quota_type, q.used, q.max_value, case when q.max_value is not null then greatest(q.max_value - q.used, 0) end,
        q.cycle_start, q.cycle_end
    from public.subscription as s
    cross join lateral (
        -- An ended cycle is rolled by the next charge; until then it is shown as it will be.
        select private.cycle_at(coalesce(s.cycle_anchor, s.cycle_start_date), now()) as next_cycle, s.cycle_end_date <= now() as is_over
    ) as c
    join public.subscription_tier as t on t.id = s.tier_id
    cross join lateral (
        values
        ('sync', s.syncs_used, t.max_syncs_per_month),
        ('ai_analysis', s.ai_analyses_used, t.max_ai_analyses_per_month),
        ('seo_submission', s.seo_submissions_used, t.max_seo_submissions_per_month)
    ) as v (quota_type, used, max_value)
    cross join lateral (
        select
            v.quota_type,
            case when c.is_over then 0 else v.used end as used,
            v.max_value,
            case when c.is_over then greatest(lower(c.next_cycle), s.cycle_end_date) else s.cycle_start_date end as cycle_start,
            case when c.is_over then upper(c.next_cycle) else s.cycle_end_date end as cycle_end
    ) as q
    where s.user_id = auth.uid();
end;
$$;
comment on function private.my_quota() is 'Body of public.my_quota; only ever the caller''s own.';
revoke execute on function private.my_quota() from public, anon, authenticated, service_role;
grant execute on function private.my_quota() to authenticated;

create function public.my_quota()
returns table (
    quota_type text, used integer, max integer, remaining integer, cycle_start timestamptz, cycle_end timestamptz
)
language plpgsql
stable
set search_path = ''
as $$
begin
    return query select q.* from private.my_quota() as q;
end;
$$;
comment on function public.my_quota() is 'The caller''s three quotas: used, max (null is unlimited), remaining and the running cycle.';
revoke execute on function public.my_quota() from public, anon, authenticated, service_role;
grant execute on function public.my_quota() to authenticated;
