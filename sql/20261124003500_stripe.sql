-- Stripe. It says what is true, late, twice and in any order. So an event is only a hint to read an object again, and
-- what was read is kept whole, one row for each of Stripe's subscriptions, under a ticket: a number that is drawn before
-- the object is read. A reading is kept only if its ticket is newer than the stored one's. After the last change its
-- event draws a ticket later than every reading that could have missed the change, so whatever the order of events, the
-- last word is Stripe's. public.subscription is then computed from what is kept (project_subscription), never
-- edited by an event.
--
-- Locks are taken in one order: the event, the user's subscription, what Stripe said about it.

create sequence private.stripe_ticket;
comment on sequence private.stripe_ticket is 'Orders readings of Stripe''s objects by when they were begun.';
revoke all on sequence private.stripe_ticket from public, anon, authenticated, service_role;

create table private.stripe_event (
    id text primary key,
    type text not null,
    object_id text not null,
    created_at timestamptz,
    received_at timestamptz not null default now(),
    attempted_at timestamptz not null default now(),
    attempts integer not null default 1,
    done_at timestamptz,
    outcome text,
    last_error text,
    constraint stripe_event_texts_have_limits check (char_length(id) <= 255 and char_length(object_id) <= 255),
    constraint stripe_event_done_has_outcome check ((done_at is null) = (outcome is null))
);
comment on table private.stripe_event is 'The inbox: events that arrived, and whether they have had their effect. Their content is not kept; it is only a hint.';
comment on column private.stripe_event.done_at is 'Set in the transaction of the effect, or of the decision to ignore the event.';
create index stripe_event_pending_idx on private.stripe_event (attempted_at) where done_at is null;
create index stripe_event_done_idx on private.stripe_event (done_at) where done_at is not null;
revoke all on table private.stripe_event from public, anon, authenticated, service_role;

create table private.stripe_customer_claim (
    user_id uuid primary key references public.users (id) on delete cascade,
    claim uuid not null default gen_random_uuid(),
    email text,
    claimed_at timestamptz not null default now()
);
comment on table private.stripe_customer_claim is
    'Made before the customer is: its number is the Idempotency-Key, so that two clicks make one customer. The customer''s id is kept in subscription.';
comment on column private.stripe_customer_claim.email is 'What the customer is created with: a repeated request must be the same request.';
revoke all on table private.stripe_customer_claim from public, anon, authenticated, service_role;

create table private.stripe_price (
    price_id text primary key,
    tier_id uuid references public.subscription_tier (id) on delete cascade,
    quota_type text,
    event_name text,
    is_current boolean not null default true,
    created_at timestamptz not null default now(),
    constraint stripe_price_is_a_plan_or_a_meter check ((tier_id is null) <> (quota_type is null)),
    constraint stripe_price_texts_have_limits check (char_length(price_id) <= 255 and char_length(event_name) <= 255),
    constraint stripe_price_quota_type_known check (quota_type in ('sync', 'ai_analysis', 'seo_submission')),
    constraint stripe_price_meter_has_event_name check ((quota_type is null) = (event_name is null))
);
comment on table private.stripe_price is 'What each of Stripe''s prices stands for. Prices that are no longer sold stay: their subscribers keep their plan.';
create index stripe_price_tier_id_idx on private.stripe_price (tier_id);
create unique index stripe_price_one_current_meter on private.stripe_price (quota_type) where is_current and quota_type is not null;
revoke all on table private.stripe_price from public, anon, authenticated, service_role;

create table private.stripe_subscription (
    id text primary key,
    user_id uuid not null references public.users (id) on delete cascade,
    ticket bigint not null,
    reading jsonb not null,
    read_at timestamptz not null default now(),
    checked_at timestamptz not null default now(),
    projected_start timestamptz
);
comment on table private.stripe_subscription is 'The latest reading of each of Stripe''s subscriptions, normalised (functions/connectors/stripe.py).';
comment on column private.stripe_subscription.checked_at is 'When maintenance last took it up for reading again.';
comment on column private.stripe_subscription.projected_start is
    'The start of the period that the user''s cycle was last set to; null if another subscription sets it.';
create index stripe_subscription_user_id_idx on private.stripe_subscription (user_id);
create index stripe_subscription_customer_idx on private.stripe_subscription ((reading ->> 'customer'));
create index stripe_subscription_checked_at_idx on private.stripe_subscription (checked_at);
revoke all on table private.stripe_subscription from public, anon, authenticated, service_role;

create table private.stripe_checkout (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.users (id) on delete cascade,
    price_id text,
    session_id text unique,
    url text,
    status text not null default 'open',
    payment_status text,
    subscription_id text,
    ticket bigint not null default 0,
    checked_at timestamptz not null default now(),
    created_at timestamptz not null default now()
);
comment on table private.stripe_checkout is 'Checkout pages that were opened. The id is the Idempotency-Key of the session''s creation.';
comment on column private.stripe_checkout.price_id is 'The plan''s price; null for a session that was not opened here.';
create index stripe_checkout_user_id_idx on private.stripe_checkout (user_id, created_at desc);
create index stripe_checkout_subscription_id_idx on private.stripe_checkout (subscription_id);
create index stripe_checkout_unsettled_idx on private.stripe_checkout (checked_at)
where session_id is not null and (status = 'open' or status = 'complete' and payment_status = 'unpaid');
revoke all on table private.stripe_checkout from public, anon, authenticated, service_role;

create table private.stripe_usage (
    charge_id uuid primary key,
    user_id uuid not null references public.users (id) on delete cascade,
    customer_id text not null,
    event_name text not null,
    value integer not null,
    occurred_at timestamptz not null,
    attempts integer not null default 0,
    leased_until timestamptz,
    sent_at timestamptz,
    refused_at timestamptz,
    last_error text,
    created_at timestamptz not null default now()
);
comment on table private.stripe_usage is 'Settled usage on its way to Stripe''s meters.';
comment on column private.stripe_usage.charge_id is
    'The ledger''s row, and the meter event''s identifier: Stripe counts it once. No foreign key: the ledger may be archived first.';
create index stripe_usage_user_id_idx on private.stripe_usage (user_id);
create index stripe_usage_done_idx on private.stripe_usage (coalesce(sent_at, refused_at))
where coalesce(sent_at, refused_at) is not null;
create index stripe_usage_pending_idx on private.stripe_usage (occurred_at) where sent_at is null and refused_at is null;
revoke all on table private.stripe_usage from public, anon, authenticated, service_role;

insert into private.setting (key, value, comment) values
('billing.grace_period', '"7 days"', 'How long a plan stays after a renewal was refused.'),
('billing.trial_notice', '"3 days"', 'How long before its end a trial''s user is told.'),
('billing.checkout_reuse', '"30 minutes"', 'How long a second click gets the same checkout page.'),
('billing.event_retry_after', '"5 minutes"', 'When maintenance takes up a failed event; the wait grows with the attempts, to twelvefold.'),
('billing.event_attempts', '60', 'After how many attempts an event is dead: listed, and left to an operator.'),
('billing.event_lifetime', '"35 days"', 'How long what is done is remembered; Stripe keeps events for 30 days.'),
('billing.usage_lease', '"2 minutes"', 'How long a worker has for the usage that it took.'),
('billing.usage_window', '"34 days"', 'Usage older than this is refused by Stripe (35 days) and given up.');

-- ---------------------------------------------------------------------------------------------------------------------
-- Prices.
-- ---------------------------------------------------------------------------------------------------------------------

-- Definer: admins and the service may write tiers, and nobody may write what hangs on them.
create function private.remember_price()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into private.stripe_price as p (price_id, tier_id) values (new.stripe_price_id, new.id)
    on conflict (price_id) do update set tier_id = excluded.tier_id, quota_type = null, event_name = null;
    return null;
end;
$$;
comment on function private.remember_price() is 'Keeps every price that a plan was ever sold at: its subscribers keep the plan.';
revoke execute on function private.remember_price() from public, anon, authenticated, service_role;
create trigger remember_price after insert or update of stripe_price_id on public.subscription_tier
for each row when (new.stripe_price_id is not null) execute function private.remember_price();

create function private.set_tier_price(tier text, price_id text, product_id text)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    update public.subscription_tier as t
    set stripe_price_id = set_tier_price.price_id, stripe_product_id = set_tier_price.product_id
    where t.slug = set_tier_price.tier;
    if not found then
        raise exception 'there is no such plan' using errcode = 'PT404';
    end if;
end;
$$;
comment on function private.set_tier_price(text, text, text) is 'Body of public.set_tier_price.';
revoke execute on function private.set_tier_price(text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.set_tier_price(text, text, text) to service_role;

create function public.set_tier_price(tier text, price_id text, product_id text)
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform private.set_tier_price(tier, price_id, product_id);
end;
$$;
comment on function public.set_tier_price(text, text, text) is 'Sells a plan at a price of Stripe''s from now on.';
revoke execute on function public.set_tier_price(text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.set_tier_price(text, text, text) to service_role;

create function private.set_metered_price(quota_type text, price_id text, event_name text)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    update private.stripe_price as p set is_current = false
    where p.quota_type = set_metered_price.quota_type and p.is_current and p.price_id <> set_metered_price.price_id;
    insert into private.stripe_price as p (price_id, quota_type, event_name)
    values (set_metered_price.price_id, set_metered_price.quota_type, set_metered_price.event_name)
    on conflict on constraint stripe_price_pkey do update
    set quota_type = excluded.quota_type, event_name = excluded.event_name, tier_id = null, is_current = true;
end;
$$;
comment on function private.set_metered_price(text, text, text) is 'Body of public.set_metered_price.';
revoke execute on function private.set_metered_price(text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.set_metered_price(text, text, text) to service_role;

create function public.set_metered_price(quota_type text, price_id text, event_name text)
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform private.set_metered_price(quota_type, price_id, event_name);
end;
$$;
comment on function public.set_metered_price(text, text, text) is
    'Names the metered price of a quota and the meter''s event; the one before stays known.';
revoke execute on function public.set_metered_price(text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.set_metered_price(text, text, text) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- The inbox.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.begin_stripe_event(event_id text, event_type text, object_id text, created_at timestamptz)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into private.stripe_event as e (id, type, object_id, created_at)
    values (begin_stripe_event.event_id, event_type, begin_stripe_event.object_id, begin_stripe_event.created_at)
    on conflict (id) do update set attempts = e.attempts + 1, attempted_at = now() where e.done_at is null;
    if not found then
        return jsonb_build_object('done', true);
    end if;
    return jsonb_build_object('done', false, 'ticket', nextval('private.stripe_ticket'));
end;
$$;
comment on function private.begin_stripe_event(text, text, text, timestamptz) is 'Body of public.begin_stripe_event.';
revoke execute on function private.begin_stripe_event(text, text, text, timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.begin_stripe_event(text, text, text, timestamptz) to service_role;

create function public.begin_stripe_event(event_id text, event_type text, object_id text, created_at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.begin_stripe_event(event_id, event_type, object_id, created_at);
end;
$$;
comment on function public.begin_stripe_event(text, text, text, timestamptz) is
    'Stores an event''s arrival before anything is done about it: {done, ticket}. Read the object after this, not before.';
revoke execute on function public.begin_stripe_event(text, text, text, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.begin_stripe_event(text, text, text, timestamptz) to service_role;

create function private.next_stripe_ticket()
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
begin
    return nextval('private.stripe_ticket');
end;
$$;
comment on function private.next_stripe_ticket() is 'Body of public.next_stripe_ticket.';
revoke execute on function private.next_stripe_ticket() from public, anon, authenticated, service_role;
grant execute on function private.next_stripe_ticket() to service_role;

create function public.next_stripe_ticket()
returns bigint
language plpgsql
set search_path = ''
as $$
begin
    return private.next_stripe_ticket();
end;
$$;
comment on function public.next_stripe_ticket() is 'A ticket for a reading that no event asked for.';
revoke execute on function public.next_stripe_ticket() from public, anon, authenticated, service_role;
grant execute on function public.next_stripe_ticket() to service_role;

create function private.close_stripe_event(event_id text, event_type text, object_id text, outcome text)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into private.stripe_event as e (id, type, object_id, done_at, outcome)
    values (close_stripe_event.event_id, event_type, close_stripe_event.object_id, now(), close_stripe_event.outcome)
    on conflict (id) do update set done_at = now(), outcome = excluded.outcome where e.done_at is null;
end;
$$;
comment on function private.close_stripe_event(text, text, text, text) is 'Body of public.close_stripe_event.';
revoke execute on function private.close_stripe_event(text, text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.close_stripe_event(text, text, text, text) to service_role;

create function public.close_stripe_event(event_id text, event_type text, object_id text, outcome text)
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform private.close_stripe_event(event_id, event_type, object_id, outcome);
end;
$$;
comment on function public.close_stripe_event(text, text, text, text) is 'Commits the decision to do nothing about an event, and why.';
revoke execute on function public.close_stripe_event(text, text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.close_stripe_event(text, text, text, text) to service_role;

create function private.fail_stripe_event(event_id text, error text)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
begin
    update private.stripe_event as e set last_error = left(error, 200)
    where e.id = fail_stripe_event.event_id and e.done_at is null;
    return exists (
        select 1 from private.stripe_event as e where e.id = fail_stripe_event.event_id and e.done_at is not null
    );
end;
$$;
comment on function private.fail_stripe_event(text, text) is 'Body of public.fail_stripe_event.';
revoke execute on function private.fail_stripe_event(text, text) from public, anon, authenticated, service_role;
grant execute on function private.fail_stripe_event(text, text) to service_role;

create function public.fail_stripe_event(event_id text, error text)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.fail_stripe_event(event_id, error);
end;
$$;
comment on function public.fail_stripe_event(text, text) is 'Notes why an attempt failed. True if another attempt has succeeded meanwhile.';
revoke execute on function public.fail_stripe_event(text, text) from public, anon, authenticated, service_role;
grant execute on function public.fail_stripe_event(text, text) to service_role;

create function private.claim_stripe_events(max_events integer, now_please boolean)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_answer jsonb;
begin
    with due as (
        select e.id from private.stripe_event as e
        where e.done_at is null and (
            now_please
            or (e.attempted_at < now() - private.setting_interval('billing.event_retry_after') * least(e.attempts, 12)
                and e.attempts < private.setting_int('billing.event_attempts'))
        )
        order by e.attempted_at
        limit max_events
        for update skip locked
    ),
    taken as (
        update private.stripe_event as e set attempts = e.attempts + 1, attempted_at = now()
        from due where e.id = due.id
        returning e.id, e.type, e.object_id, extract(epoch from e.created_at)::bigint as created
    )
    select coalesce(jsonb_agg(to_jsonb(t)), '[]') into v_answer from taken as t;
    return v_answer;
end;
$$;
comment on function private.claim_stripe_events(integer, boolean) is 'Body of public.claim_stripe_events.';
revoke execute on function private.claim_stripe_events(integer, boolean) from public, anon, authenticated, service_role;
grant execute on function private.claim_stripe_events(integer, boolean) to service_role;

create function public.claim_stripe_events(max_events integer, now_please boolean default false)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.claim_stripe_events(max_events, now_please);
end;
$$;
comment on function public.claim_stripe_events(integer, boolean) is
    'Events whose effect is still missing, for another attempt: [{id, type, object_id, created}]. now_please takes dead ones too, at once.';
revoke execute on function public.claim_stripe_events(integer, boolean) from public, anon, authenticated, service_role;
grant execute on function public.claim_stripe_events(integer, boolean) to service_role;

create function private.list_stripe_events(only_dead boolean, event_id text)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return (
        select coalesce(jsonb_agg(to_jsonb(l) order by l.received_at), '[]')
        from (
            select
                e.id, e.type, e.object_id, extract(epoch from e.created_at)::bigint as created, e.received_at, e.attempted_at,
                e.attempts, e.last_error,
                e.attempts >= private.setting_int('billing.event_attempts') as is_dead
            from private.stripe_event as e
            where
                case when list_stripe_events.event_id is null then e.done_at is null else e.id = list_stripe_events.event_id end
                and (not only_dead or e.attempts >= private.setting_int('billing.event_attempts'))
            order by e.received_at
            limit 1000
        ) as l
    );
end;
$$;
comment on function private.list_stripe_events(boolean, text) is 'Body of public.list_stripe_events.';
revoke execute on function private.list_stripe_events(boolean, text) from public, anon, authenticated, service_role;
grant execute on function private.list_stripe_events(boolean, text) to service_role;

create function public.list_stripe_events(only_dead boolean default false, event_id text default null)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
    return private.list_stripe_events(only_dead, event_id);
end;
$$;
comment on function public.list_stripe_events(boolean, text) is
    'Events without effect, oldest first, for operators. Dead ones are no longer tried by themselves. With an id: that event, even if it is done.';
revoke execute on function public.list_stripe_events(boolean, text) from public, anon, authenticated, service_role;
grant execute on function public.list_stripe_events(boolean, text) to service_role;

create function private.purge_stripe_records(max_rows integer)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_before timestamptz := now() - private.setting_interval('billing.event_lifetime');
    v_count integer;
    v_total integer := 0;
begin
    delete from private.stripe_event as e
    where e.id in (select d.id from private.stripe_event as d where d.done_at < v_before order by d.done_at limit max_rows);
    get diagnostics v_count = row_count;
    v_total := v_total + v_count;
    delete from private.stripe_usage as u
    where u.charge_id in (
        select d.charge_id from private.stripe_usage as d
        where coalesce(d.sent_at, d.refused_at) < v_before
        order by coalesce(d.sent_at, d.refused_at)
        limit max_rows
    );
    get diagnostics v_count = row_count;
    v_total := v_total + v_count;
    delete from private.stripe_checkout as c
    where c.id in (
        select d.id from private.stripe_checkout as d
        where d.created_at < v_before and d.status not in ('open', 'complete')
            or d.created_at < v_before and d.payment_status is distinct from 'unpaid'
        limit max_rows
    );
    get diagnostics v_count = row_count;
    return v_total + v_count;
end;
$$;
comment on function private.purge_stripe_records(integer) is 'Body of public.purge_stripe_records.';
revoke execute on function private.purge_stripe_records(integer) from public, anon, authenticated, service_role;
grant execute on function private.purge_stripe_records(integer) to service_role;

create function public.purge_stripe_records(max_rows integer)
returns integer
language plpgsql
set search_path = ''
as $$
begin
    return private.purge_stripe_records(max_rows);
end;
$$;
comment on function public.purge_stripe_records(integer) is
    'Forgets done events, reported usage and finished checkouts of long ago; how many.';
revoke execute on function public.purge_stripe_records(integer) from public, anon, authenticated, service_role;
grant execute on function public.purge_stripe_records(integer) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- From what Stripe says to what the user has.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.to_time(seconds jsonb)
returns timestamptz
language plpgsql
immutable
set search_path = ''
as $$
begin
    return to_timestamp((seconds #>> '{}')::double precision);
end;
$$;
comment on function private.to_time(jsonb) is 'A time of Stripe''s: seconds since 1970, or null.';
revoke execute on function private.to_time(jsonb) from public, anon, authenticated, service_role;

-- Definer: it is also asked by functions that run as the caller.
create function private.stripe_state(reading jsonb)
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_status text := reading ->> 'status';
    v_invoice jsonb := nullif(reading -> 'invoice', 'null');
    v_is_unpaid boolean;
begin
    if v_status not in ('active', 'trialing', 'past_due') then
        return v_status;
    end if;
    if v_invoice is not null then
        v_is_unpaid := v_invoice ->> 'billing_reason' = 'subscription_create' and v_invoice ->> 'status' in ('draft', 'open');
    else
        v_is_unpaid := exists (
            select 1 from private.stripe_checkout as c
            where c.subscription_id = reading ->> 'id' and c.status = 'complete' and c.payment_status = 'unpaid'
        );
    end if;
    if not v_is_unpaid then
        return v_status;
    end if;
    -- Bank debits take days: Stripe calls the subscription active while its first invoice is still open. And there is
    -- no grace for a first payment that bounced.
    return case when v_status = 'past_due' then 'incomplete' else 'pending' end;
end;
$$;
comment on function private.stripe_state(jsonb) is
    'Stripe''s status, but `pending` where the first payment has not arrived yet: money counts, not promises.';
revoke execute on function private.stripe_state(jsonb) from public, anon, authenticated, service_role;

create function private.stripe_rank(state text)
returns integer
language plpgsql
immutable
set search_path = ''
as $$
begin
    return case state
        when 'active' then 1 when 'trialing' then 1 when 'past_due' then 2 when 'paused' then 3 when 'unpaid' then 4
        when 'pending' then 5 when 'incomplete' then 6 when 'canceled' then 7 when 'incomplete_expired' then 8 else 9
    end;
end;
$$;
comment on function private.stripe_rank(text) is 'Which of a user''s subscriptions counts: the one that gives most.';
revoke execute on function private.stripe_rank(text) from public, anon, authenticated, service_role;

create function private.stripe_status_slug(state text, pause text, current_slug text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
    return case
        when state in ('active', 'trialing') and pause is not null then 'paused'
        when state in ('active', 'trialing', 'past_due', 'canceled', 'paused') then state
        -- Money is owed, and no plan is given for it: refused for good, or the very first payment not made.
        when state in ('unpaid', 'incomplete') then 'past_due'
        when state = 'incomplete_expired' then 'canceled'
        -- Still waiting for a bank: the user has what there was before.
        when state = 'pending' then case when current_slug in ('active', 'canceled') then current_slug else 'active' end
        else current_slug
    end;
end;
$$;
comment on function private.stripe_status_slug(text, text, text) is 'Stripe''s eight states and paused collection, as one of our five.';
revoke execute on function private.stripe_status_slug(text, text, text) from public, anon, authenticated, service_role;

create function private.notify_billing(
    user_id uuid, type public.notification_type_enum, title text, message text, dedupe_key text, metadata jsonb
)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into public.notification (user_id, type, title, message, dedupe_key, metadata)
    values (
        notify_billing.user_id, notify_billing.type, notify_billing.title, notify_billing.message,
        notify_billing.dedupe_key, notify_billing.metadata
    )
    on conflict do nothing;
end;
$$;
comment on function private.notify_billing(uuid, public.notification_type_enum, text, text, text, jsonb) is
    'Tells a user something about the plan; with a key, once.';
revoke execute on function private.notify_billing(uuid, public.notification_type_enum, text, text, text, jsonb)
from public, anon, authenticated, service_role;

create function private.alert_billing(user_id uuid, action text, details jsonb)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    if not exists (
        select 1 from public.audit_log as a
        where a.user_id = alert_billing.user_id and a.action = alert_billing.action and a.new_values = details
    ) then
        insert into public.audit_log (user_id, action, entity_type, entity_id, new_values)
        select s.user_id, alert_billing.action, 'subscription', s.id, details
        from public.subscription as s where s.user_id = alert_billing.user_id;
    end if;
end;
$$;
comment on function private.alert_billing(uuid, text, jsonb) is
    'An audit entry about something that an operator must look at; one for the same finding.';
revoke execute on function private.alert_billing(uuid, text, jsonb) from public, anon, authenticated, service_role;

create function private.project_subscription(user_id uuid, source text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_old public.subscription;
    v_new public.subscription;
    v_row_id text;
    v_reading jsonb;
    v_state text;
    v_projected_start timestamptz;
    v_item jsonb;
    v_tier_id uuid;
    v_old_slug text;
    v_new_slug text;
    v_is_entitled boolean;
    v_start timestamptz;
    v_end timestamptz;
    v_alerts text[] := array[]::text[];
begin
    select s.* into v_old from public.subscription as s where s.user_id = project_subscription.user_id for update;
    if not found then
        return jsonb_build_object('changed', false, 'alerts', '[]'::jsonb);
    end if;
    select r.id, r.reading, e.state, r.projected_start into v_row_id, v_reading, v_state, v_projected_start
    from private.stripe_subscription as r
    cross join lateral (select private.stripe_state(r.reading) as state) as e
    where r.user_id = project_subscription.user_id
    order by private.stripe_rank(e.state), (r.reading ->> 'created')::bigint desc nulls last, r.id desc
    limit 1;
    if not found then
        return jsonb_build_object('changed', false, 'alerts', '[]'::jsonb);
    end if;

    select t.slug into v_old_slug from public.subscription_status as t where t.id = v_old.status_id;
    select p.tier_id, i.value into v_tier_id, v_item
    from jsonb_array_elements(v_reading -> 'items') with ordinality as i (value, place)
    join private.stripe_price as p on p.price_id = i.value ->> 'price'
    where p.tier_id is not null
    order by i.place
    limit 1;
    v_item := coalesce(v_item, v_reading -> 'items' -> 0, '{}');
    v_new := v_old;

    -- The period. Since 2025-03-31 it stands on the items; a broken one is taken as a month.
    v_start := private.to_time(coalesce(nullif(v_item -> 'start', 'null'), v_reading -> 'start'));
    v_end := private.to_time(coalesce(nullif(v_item -> 'end', 'null'), v_reading -> 'end'));
    if v_end <= v_start then
        v_end := v_start + interval '1 month';
    end if;

    -- Who has the plan: payers, trials, and for a while those whose renewal was refused.
    v_new.past_due_since := case when v_state = 'past_due' then coalesce(v_old.past_due_since, now()) end;
    v_is_entitled := case
        when v_state in ('active', 'trialing') then coalesce(v_reading ->> 'pause', '') <> 'void'
        when v_state = 'past_due' then v_new.past_due_since + private.setting_interval('billing.grace_period') > now()
        else false
    end;
    v_new_slug := private.stripe_status_slug(v_state, v_reading ->> 'pause', v_old_slug);
    if v_is_entitled and v_tier_id is null then
        v_alerts := v_alerts || 'unknown_price'::text;
        perform private.alert_billing(
            v_old.user_id, 'billing.unknown_price',
            jsonb_build_object('stripe_subscription_id', v_row_id, 'price_id', v_item ->> 'price')
        );
        v_tier_id := v_old.tier_id;
    elsif not v_is_entitled then
        select t.id into v_tier_id from public.subscription_tier as t where t.slug = 'free';
    end if;
    if private.stripe_rank(v_state) = 9 then
        v_alerts := v_alerts || 'unknown_status'::text;
        perform private.alert_billing(
            v_old.user_id, 'billing.unknown_status',
            jsonb_build_object('stripe_subscription_id', v_row_id, 'status', v_state)
        );
        v_tier_id := v_old.tier_id;
    end if;

    -- Paid twice, from two pages or by hand: the user has the better one, and an operator gives the other's money back.
    if (
        select count(*) > 1 from private.stripe_subscription as r
        where r.user_id = v_old.user_id and private.stripe_rank(private.stripe_state(r.reading)) <= 2
    ) then
        v_alerts := v_alerts || 'several_subscriptions'::text;
        perform private.alert_billing(
            v_old.user_id, 'billing.several_subscriptions',
            (
                select jsonb_build_object('stripe_subscription_ids', jsonb_agg(r.id order by r.id))
                from private.stripe_subscription as r
                where r.user_id = v_old.user_id and private.stripe_rank(private.stripe_state(r.reading)) <= 2
            )
        );
    end if;

    -- The cycle follows Stripe's period, once: a cycle that has since rolled by itself is ahead of Stripe, not behind.
    if v_start is not null and v_end is not null and v_state not in ('pending', 'incomplete', 'incomplete_expired') then
        if v_projected_start is distinct from v_start or v_old.cycle_start_date = v_start then
            perform private.reset_quota(
                v_old.user_id, v_start, v_end,
                case when v_old.stripe_subscription_id = v_row_id then 'plan renewed' else 'plan started' end
            );
            update private.stripe_subscription as r set projected_start = case when r.id = v_row_id then v_start end
            where r.user_id = v_old.user_id
                and r.projected_start is distinct from case when r.id = v_row_id then v_start end;
        end if;
    end if;

    v_new.tier_id := v_tier_id;
    select s.id into v_new.status_id from public.subscription_status as s where s.slug = v_new_slug;
    v_new.stripe_subscription_id := v_row_id;
    select
        max(i.value ->> 'id') filter (where p.quota_type = 'sync'),
        max(i.value ->> 'id') filter (where p.quota_type = 'ai_analysis'),
        max(i.value ->> 'id') filter (where p.quota_type = 'seo_submission')
    into v_new.stripe_subscription_item_id_syncs, v_new.stripe_subscription_item_id_ai, v_new.stripe_subscription_item_id_seo
    from jsonb_array_elements(v_reading -> 'items') as i (value)
    join private.stripe_price as p on p.price_id = i.value ->> 'price';
    v_new.is_auto_renew_enabled := (v_reading ->> 'renews')::boolean and v_state not in ('canceled', 'incomplete_expired');
    v_new.next_billing_date := case
        when v_new.is_auto_renew_enabled and v_state in ('active', 'trialing', 'past_due') then v_end
    end;
    v_new.canceled_at := private.to_time(v_reading -> 'canceled_at');
    v_new.cancellation_reason := left(v_reading ->> 'reason', 200);
    v_new.ends_at := private.to_time(coalesce(
        nullif(v_reading -> 'ended_at', 'null'),
        nullif(v_reading -> 'cancel_at', 'null'),
        case when v_new.is_auto_renew_enabled then null else to_jsonb(extract(epoch from v_end)) end
    ));
    v_new.trial_ends_at := case when v_state = 'trialing' then private.to_time(v_reading -> 'trial_end') end;

    update public.subscription as s set
        tier_id = v_new.tier_id,
        status_id = v_new.status_id,
        next_billing_date = v_new.next_billing_date,
        stripe_subscription_id = v_new.stripe_subscription_id,
        stripe_subscription_item_id_syncs = v_new.stripe_subscription_item_id_syncs,
        stripe_subscription_item_id_ai = v_new.stripe_subscription_item_id_ai,
        stripe_subscription_item_id_seo = v_new.stripe_subscription_item_id_seo,
        is_auto_renew_enabled = v_new.is_auto_renew_enabled,
        canceled_at = v_new.canceled_at,
        cancellation_reason = v_new.cancellation_reason,
        past_due_since = v_new.past_due_since,
        trial_ends_at = v_new.trial_ends_at,
        ends_at = v_new.ends_at
    where s.id = v_old.id and (
        s.tier_id, s.status_id, s.next_billing_date, s.stripe_subscription_id, s.stripe_subscription_item_id_syncs,
        s.stripe_subscription_item_id_ai, s.stripe_subscription_item_id_seo, s.is_auto_renew_enabled, s.canceled_at,
        s.cancellation_reason, s.past_due_since, s.trial_ends_at, s.ends_at
    ) is distinct from (
        v_new.tier_id, v_new.status_id, v_new.next_billing_date, v_new.stripe_subscription_id, v_new.stripe_subscription_item_id_syncs,
        v_new.stripe_subscription_item_id_ai, v_new.stripe_subscription_item_id_seo, v_new.is_auto_renew_enabled, v_new.canceled_at,
        v_new.cancellation_reason, v_new.past_due_since, v_new.trial_ends_at, v_new.ends_at
    );
    if found and project_subscription.source = 'reconcile' then
        insert into public.audit_log (user_id, action, entity_type, entity_id, old_values, new_values)
        values (
            v_old.user_id, 'billing.repaired', 'subscription', v_old.id,
            jsonb_build_object('tier_id', v_old.tier_id, 'status_id', v_old.status_id, 'stripe_subscription_id', v_old.stripe_subscription_id),
            jsonb_build_object('tier_id', v_new.tier_id, 'status_id', v_new.status_id, 'stripe_subscription_id', v_new.stripe_subscription_id)
        );
    end if;

    perform private.announce_plan(v_old, v_new, v_state, v_is_entitled, v_reading);
    if v_new.tier_id <> v_old.tier_id then
        perform private.enforce_account_limit(v_old.user_id);
    end if;
    return jsonb_build_object('changed', v_new is distinct from v_old, 'alerts', to_jsonb(v_alerts));
end;
$$;
comment on function private.project_subscription(uuid, text) is
    'Computes a user''s subscription row from what Stripe says, and does what a change brings: cycle, accounts, notices. {changed, alerts}. Safe to call at any time.';
revoke execute on function private.project_subscription(uuid, text) from public, anon, authenticated, service_role;

create function private.announce_plan(
    old_row public.subscription, new_row public.subscription, state text, is_entitled boolean, reading jsonb
)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_old_tier public.subscription_tier;
    v_new_tier public.subscription_tier;
    v_old_slug text;
    v_new_slug text;
begin
    select t.* into v_old_tier from public.subscription_tier as t where t.id = old_row.tier_id;
    select t.slug into v_old_slug from public.subscription_status as t where t.id = old_row.status_id;
    select t.slug into v_new_slug from public.subscription_status as t where t.id = new_row.status_id;
    select t.* into v_new_tier from public.subscription_tier as t where t.id = new_row.tier_id;
    if new_row.tier_id <> old_row.tier_id then
        perform private.notify_billing(
            old_row.user_id, 'subscription_changed',
            format('Your plan is now %s', v_new_tier.display_name),
            case
                when state = 'past_due' then 'A payment was refused and the grace period is over. Pay the open invoice to have your plan back.'
                when v_new_tier.sort_order < v_old_tier.sort_order then
                    format('It was %s. What the smaller plan does not cover is switched off, not deleted.', v_old_tier.display_name)
                else 'Thank you. The new limits apply at once.'
            end,
            null, jsonb_build_object('from', v_old_tier.slug, 'to', v_new_tier.slug, 'status', v_new_slug)
        );
    elsif v_new_slug <> v_old_slug and v_new_slug <> 'past_due' then
        perform private.notify_billing(
            old_row.user_id, 'subscription_changed', format('Your subscription is %s', v_new_slug), null, null,
            jsonb_build_object('from', v_old_slug, 'to', v_new_slug)
        );
    end if;
    if state in ('past_due', 'unpaid', 'incomplete') and v_new_slug <> v_old_slug then
        perform private.notify_billing(
            old_row.user_id, 'payment_failed', 'A payment did not go through',
            case
                when is_entitled then format(
                    'Your plan stays until %s (UTC); please check your payment method.',
                    to_char((new_row.past_due_since + private.setting_interval('billing.grace_period')) at time zone 'UTC', 'YYYY-MM-DD')
                )
                else 'Please check your payment method to have the plan.'
            end,
            'payment_failed:' || coalesce(reading -> 'invoice' ->> 'id', new_row.stripe_subscription_id || ':' || new_row.cycle_end_date::text),
            jsonb_build_object('stripe_subscription_id', new_row.stripe_subscription_id)
        );
    end if;
    if state = 'trialing' and new_row.trial_ends_at <= now() + private.setting_interval('billing.trial_notice') then
        perform private.notify_trial_end(old_row.user_id, new_row.stripe_subscription_id, new_row.trial_ends_at);
    end if;
end;
$$;
comment on function private.announce_plan(public.subscription, public.subscription, text, boolean, jsonb) is
    'Tells a user what a reading has changed: the plan, a refused payment, a trial about to end.';
revoke execute on function private.announce_plan(public.subscription, public.subscription, text, boolean, jsonb)
from public, anon, authenticated, service_role;

create function private.notify_trial_end(user_id uuid, stripe_subscription_id text, trial_ends_at timestamptz)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform private.notify_billing(
        notify_trial_end.user_id, 'trial_ending', 'Your trial is about to end',
        format('It ends on %s (UTC).', to_char(trial_ends_at at time zone 'UTC', 'YYYY-MM-DD')),
        'trial_ending:' || stripe_subscription_id || ':' || extract(epoch from trial_ends_at)::bigint,
        jsonb_build_object('trial_ends_at', trial_ends_at)
    );
end;
$$;
comment on function private.notify_trial_end(uuid, text, timestamptz) is 'Tells a user once that a trial ends.';
revoke execute on function private.notify_trial_end(uuid, text, timestamptz) from public, anon, authenticated, service_role;

create function private.stripe_owner(customer_id text, stripe_subscription_id text, named_user_id text)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id uuid;
begin
    select s.user_id into v_user_id from public.subscription as s where s.stripe_customer_id = stripe_owner.customer_id;
    if found then
        return v_user_id;
    end if;
    select r.user_id into v_user_id from private.stripe_subscription as r
    where r.id = stripe_owner.stripe_subscription_id or r.reading ->> 'customer' = stripe_owner.customer_id;
    if found then
        return v_user_id;
    end if;
    if named_user_id is null or named_user_id !~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' or customer_id is null then
        return null;
    end if;
    update public.subscription as s set stripe_customer_id = stripe_owner.customer_id
    where s.user_id = named_user_id::uuid and s.stripe_customer_id is null
    returning s.user_id into v_user_id;
    if found then
        return v_user_id;
    end if;
    -- Another event of this customer may have bound it in the same moment.
    return (select s.user_id from public.subscription as s where s.stripe_customer_id = stripe_owner.customer_id);
exception when unique_violation then
    return (select s.user_id from public.subscription as s where s.stripe_customer_id = stripe_owner.customer_id);
end;
$$;
comment on function private.stripe_owner(text, text, text) is
    'Whose a customer is: who claimed it. Metadata only helps where nobody did, and never to take a second customer.';
revoke execute on function private.stripe_owner(text, text, text) from public, anon, authenticated, service_role;

create function private.apply_stripe_state(event_id text, event_type text, ticket bigint, subscription jsonb, checkout jsonb)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id uuid;
    v_named text := coalesce(subscription ->> 'user_id', checkout ->> 'user_id');
    v_customer text := coalesce(subscription ->> 'customer', checkout ->> 'customer');
    v_is_newer boolean := false;
    v_answer jsonb;
    v_outcome text;
    v_alerts jsonb := '[]'::jsonb;
begin
    if event_id is not null then
        perform 1 from private.stripe_event as e where e.id = apply_stripe_state.event_id and e.done_at is null for update;
        if not found then
            return jsonb_build_object('outcome', 'duplicate', 'changed', false, 'alerts', v_alerts);
        end if;
    end if;

    v_user_id := private.stripe_owner(v_customer, subscription ->> 'id', v_named);
    if v_user_id is null then
        select c.user_id into v_user_id from private.stripe_checkout as c where c.session_id = checkout ->> 'id';
    end if;
    if v_user_id is null then
        v_outcome := case when v_named is null then 'not_ours' else 'refused' end;
    else
        perform 1 from public.subscription as s where s.user_id = v_user_id for update;
        if v_named is distinct from v_user_id::text and v_named is not null then
            v_alerts := v_alerts || '["customer_mismatch"]';
            perform private.alert_billing(
                v_user_id, 'billing.customer_mismatch',
                jsonb_build_object('stripe_customer_id', v_customer, 'named_user_id', left(v_named, 64))
            );
        end if;
        if checkout is not null then
            insert into private.stripe_checkout as c (
                user_id, session_id, status, payment_status, subscription_id, ticket
            ) values (
                v_user_id, checkout ->> 'id', coalesce(checkout ->> 'status', 'open'), checkout ->> 'payment_status',
                checkout ->> 'subscription', apply_stripe_state.ticket
            )
            on conflict (session_id) do update set
                status = excluded.status, payment_status = excluded.payment_status, subscription_id = excluded.subscription_id,
                ticket = excluded.ticket, url = null
            where c.ticket < excluded.ticket;
            v_is_newer := found;
        end if;
        if subscription is not null then
            insert into private.stripe_subscription as r (id, user_id, ticket, reading)
            values (subscription ->> 'id', v_user_id, apply_stripe_state.ticket, subscription)
            on conflict (id) do update set
                user_id = excluded.user_id, ticket = excluded.ticket, reading = excluded.reading, read_at = now()
            where r.ticket < excluded.ticket;
            v_is_newer := v_is_newer or found;
        end if;
        v_answer := private.project_subscription(v_user_id, case when event_id is null then 'reconcile' else 'event' end);
        v_alerts := v_alerts || (v_answer -> 'alerts');
        if event_type = 'customer.subscription.trial_will_end' and subscription ->> 'status' = 'trialing' then
            perform private.notify_trial_end(v_user_id, subscription ->> 'id', private.to_time(subscription -> 'trial_end'));
        end if;
        v_outcome := case when not v_is_newer then 'stale' when (v_answer ->> 'changed')::boolean then 'applied' else 'unchanged' end;
    end if;

    if event_id is not null then
        update private.stripe_event as e set done_at = now(), outcome = v_outcome, last_error = null
        where e.id = apply_stripe_state.event_id;
    end if;
    return jsonb_build_object(
        'outcome', v_outcome, 'user_id', v_user_id, 'changed', coalesce((v_answer ->> 'changed')::boolean, false), 'alerts', v_alerts
    );
end;
$$;
comment on function private.apply_stripe_state(text, text, bigint, jsonb, jsonb) is 'Body of public.apply_stripe_state.';
revoke execute on function private.apply_stripe_state(text, text, bigint, jsonb, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.apply_stripe_state(text, text, bigint, jsonb, jsonb) to service_role;

create function public.apply_stripe_state(
    event_id text, event_type text, ticket bigint, subscription jsonb default null, checkout jsonb default null
)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.apply_stripe_state(event_id, event_type, ticket, subscription, checkout);
end;
$$;
comment on function public.apply_stripe_state(text, text, bigint, jsonb, jsonb) is
    'Keeps what was read under its ticket, computes the user''s plan from it and marks the event done, all or nothing: {outcome, user_id, changed, alerts}. Without an event it is a reconciliation.';
revoke execute on function public.apply_stripe_state(text, text, bigint, jsonb, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.apply_stripe_state(text, text, bigint, jsonb, jsonb) to service_role;

create function private.forget_stripe_customer(event_id text, customer_id text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id uuid;
begin
    if event_id is not null then
        perform 1 from private.stripe_event as e where e.id = forget_stripe_customer.event_id and e.done_at is null for update;
        if not found then
            return jsonb_build_object('outcome', 'duplicate');
        end if;
    end if;
    update public.subscription as s set stripe_customer_id = null
    where s.stripe_customer_id = forget_stripe_customer.customer_id
    returning s.user_id into v_user_id;
    delete from private.stripe_customer_claim as c where c.user_id = v_user_id;
    -- Its pages are gone with it.
    update private.stripe_checkout as c set status = 'superseded', url = null where c.user_id = v_user_id and c.status = 'open';
    update private.stripe_event as e
    set done_at = now(), outcome = case when v_user_id is null then 'not_ours' else 'applied' end, last_error = null
    where e.id = forget_stripe_customer.event_id;
    return jsonb_build_object('outcome', case when v_user_id is null then 'not_ours' else 'applied' end, 'user_id', v_user_id);
end;
$$;
comment on function private.forget_stripe_customer(text, text) is 'Body of public.forget_stripe_customer.';
revoke execute on function private.forget_stripe_customer(text, text) from public, anon, authenticated, service_role;
grant execute on function private.forget_stripe_customer(text, text) to service_role;

create function public.forget_stripe_customer(event_id text, customer_id text)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.forget_stripe_customer(event_id, customer_id);
end;
$$;
comment on function public.forget_stripe_customer(text, text) is
    'A customer was deleted at Stripe, as an event says or (without one) a call found out: the next checkout makes another. {outcome, user_id}.';
revoke execute on function public.forget_stripe_customer(text, text) from public, anon, authenticated, service_role;
grant execute on function public.forget_stripe_customer(text, text) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Reconciliation: what maintenance does because events get lost.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.claim_stripe_readings(max_readings integer)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_answer jsonb;
begin
    with subscriptions as (
        select r.id
        from private.stripe_subscription as r
        join public.subscription as s on s.user_id = r.user_id
        where r.reading ->> 'status' not in ('canceled', 'incomplete_expired')
            or (s.stripe_subscription_id = r.id and s.tier_id <> (select t.id from public.subscription_tier as t where t.slug = 'free'))
        order by
            (s.cycle_end_date < now() or s.ends_at < now() or s.stripe_subscription_id is distinct from r.id) desc,
            r.checked_at
        limit max_readings
        for update of r skip locked
    ),
    taken as (
        update private.stripe_subscription as r set checked_at = now()
        from subscriptions as d where r.id = d.id
        returning r.id
    ),
    -- Rows whose subscription was never read here: restored from elsewhere, or every event was lost.
    unread as (
        select s.stripe_subscription_id as id from public.subscription as s
        where s.stripe_subscription_id is not null
            and not exists (select 1 from private.stripe_subscription as r where r.id = s.stripe_subscription_id)
        limit max_readings
    ),
    checkouts as (
        update private.stripe_checkout as c set checked_at = now()
        where c.id in (
            select d.id from private.stripe_checkout as d
            where d.session_id is not null and (d.status = 'open' or d.status = 'complete' and d.payment_status = 'unpaid')
                and d.created_at > now() - interval '40 days'
            order by d.checked_at
            limit max_readings
            for update skip locked
        )
        returning c.session_id as id
    ),
    found as (
        select 'subscription' as kind, t.id from taken as t
        union all
        select 'subscription', u.id from unread as u
        union all
        select 'checkout', c.id from checkouts as c
    )
    select coalesce(jsonb_agg(to_jsonb(f)), '[]') into v_answer from found as f;
    return v_answer;
end;
$$;
comment on function private.claim_stripe_readings(integer) is 'Body of public.claim_stripe_readings.';
revoke execute on function private.claim_stripe_readings(integer) from public, anon, authenticated, service_role;
grant execute on function private.claim_stripe_readings(integer) to service_role;

create function public.claim_stripe_readings(max_readings integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.claim_stripe_readings(max_readings);
end;
$$;
comment on function public.claim_stripe_readings(integer) is
    'What to read again from Stripe, the longest unread first, wrong-looking ones before all: [{kind: subscription|checkout, id}].';
revoke execute on function public.claim_stripe_readings(integer) from public, anon, authenticated, service_role;
grant execute on function public.claim_stripe_readings(integer) to service_role;

create function private.expire_grace_periods(max_users integer)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id uuid;
    v_count integer := 0;
begin
    for v_user_id in
        select s.user_id from public.subscription as s
        join public.subscription_tier as t on t.id = s.tier_id
        where s.past_due_since < now() - private.setting_interval('billing.grace_period') and t.slug <> 'free'
        order by s.user_id
        limit max_users
    loop
        if (private.project_subscription(v_user_id, 'grace') ->> 'changed')::boolean then
            v_count := v_count + 1;
        end if;
    end loop;
    return v_count;
end;
$$;
comment on function private.expire_grace_periods(integer) is 'Body of public.expire_grace_periods.';
revoke execute on function private.expire_grace_periods(integer) from public, anon, authenticated, service_role;
grant execute on function private.expire_grace_periods(integer) to service_role;

create function public.expire_grace_periods(max_users integer)
returns integer
language plpgsql
set search_path = ''
as $$
begin
    return private.expire_grace_periods(max_users);
end;
$$;
comment on function public.expire_grace_periods(integer) is 'Takes the plan from users whose grace period is over; how many.';
revoke execute on function public.expire_grace_periods(integer) from public, anon, authenticated, service_role;
grant execute on function public.expire_grace_periods(integer) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Checkout and portal.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.billing_account(user_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return (
        select jsonb_build_object(
            'customer_id', s.stripe_customer_id,
            'subscription_id', r.id,
            'item_id', i.value ->> 'id',
            'price_id', i.value ->> 'price'
        )
        from public.subscription as s
        left join private.stripe_subscription as r
            on r.id = s.stripe_subscription_id and private.stripe_state(r.reading) in ('active', 'trialing', 'past_due', 'unpaid', 'paused')
        left join lateral (
            select j.value from jsonb_array_elements(r.reading -> 'items') as j (value)
            where not exists (
                select 1 from private.stripe_price as p where p.price_id = j.value ->> 'price' and p.quota_type is not null
            )
            limit 1
        ) as i on true
        where s.user_id = billing_account.user_id
    );
end;
$$;
comment on function private.billing_account(uuid) is 'Body of public.billing_account.';
revoke execute on function private.billing_account(uuid) from public, anon, authenticated, service_role;
grant execute on function private.billing_account(uuid) to service_role;

create function public.billing_account(user_id uuid)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
    return private.billing_account(user_id);
end;
$$;
comment on function public.billing_account(uuid) is
    'What Stripe knows a user by: {customer_id, subscription_id, item_id, price_id}, each null where there is none.';
revoke execute on function public.billing_account(uuid) from public, anon, authenticated, service_role;
grant execute on function public.billing_account(uuid) to service_role;

create function private.begin_checkout(user_id uuid, tier text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_subscription public.subscription;
    v_tier public.subscription_tier;
    v_account jsonb;
    v_claim private.stripe_customer_claim;
    v_attempt private.stripe_checkout;
    v_superseded jsonb;
begin
    select t.* into v_tier from public.subscription_tier as t where t.slug = begin_checkout.tier and t.is_active;
    if not found then
        raise exception 'There is no such plan.' using errcode = 'PT404';
    end if;
    if v_tier.price_cents = 0 then
        raise exception 'This plan is free of charge; cancel the paid one in the portal.' using errcode = 'PT422', hint = 'plan_is_free';
    end if;
    if v_tier.stripe_price_id is null then
        raise exception 'This plan cannot be bought yet.' using errcode = 'PT409', hint = 'plan_not_for_sale';
    end if;
    select s.* into v_subscription from public.subscription as s where s.user_id = begin_checkout.user_id for update;
    if not found then
        raise exception 'There is no such user.' using errcode = 'PT404';
    end if;

    v_account := private.billing_account(begin_checkout.user_id);
    if v_account ->> 'subscription_id' is not null and v_subscription.stripe_customer_id is not null then
        if v_account ->> 'price_id' = v_tier.stripe_price_id then
            raise exception 'You have this plan already.' using errcode = 'PT409', hint = 'already_on_this_plan';
        end if;
        return jsonb_build_object(
            'kind', 'change',
            'customer_id', v_subscription.stripe_customer_id,
            'subscription', v_account ->> 'subscription_id',
            'item', v_account ->> 'item_id',
            'price', v_tier.stripe_price_id
        );
    end if;

    if exists (
        select 1 from private.stripe_subscription as r
        where r.user_id = begin_checkout.user_id and private.stripe_state(r.reading) = 'pending'
    ) then
        raise exception 'Your payment is under way; the plan starts when your bank has made it.'
            using errcode = 'PT409', hint = 'payment_pending';
    end if;

    insert into private.stripe_customer_claim as c (user_id, email)
    select u.id, u.email from public.users as u where u.id = begin_checkout.user_id
    on conflict on constraint stripe_customer_claim_pkey do nothing;
    select c.* into v_claim from private.stripe_customer_claim as c where c.user_id = begin_checkout.user_id;

    -- A page that is open for another plan must not be paid as well.
    with closed as (
        update private.stripe_checkout as c set status = 'superseded', url = null
        where c.user_id = begin_checkout.user_id and c.status = 'open' and (
            c.price_id is distinct from v_tier.stripe_price_id
            or c.created_at < now() - private.setting_interval('billing.checkout_reuse')
        )
        returning c.session_id
    )
    -- With those that could not be closed at Stripe before: until an event says that a page has expired, it may be open.
    select coalesce(jsonb_agg(o.session_id), '[]') into v_superseded
    from (
        select c.session_id from closed as c
        union
        select c.session_id from private.stripe_checkout as c
        where c.user_id = begin_checkout.user_id and c.status = 'superseded' and c.created_at > now() - interval '1 day'
    ) as o
    where o.session_id is not null;

    select c.* into v_attempt from private.stripe_checkout as c
    where c.user_id = begin_checkout.user_id and c.status = 'open'
    order by c.created_at desc
    limit 1;
    if not found then
        insert into private.stripe_checkout as c (user_id, price_id) values (begin_checkout.user_id, v_tier.stripe_price_id)
        returning c.* into v_attempt;
    end if;
    return jsonb_build_object(
        'kind', 'checkout',
        'attempt', v_attempt.id,
        'url', v_attempt.url,
        'customer_id', v_subscription.stripe_customer_id,
        'claim', v_claim.claim,
        'email', v_claim.email,
        'price_id', v_tier.stripe_price_id,
        'metered_price_ids', (
            select coalesce(jsonb_agg(p.price_id order by p.quota_type), '[]') from private.stripe_price as p
            where p.is_current and p.quota_type is not null
        ),
        'superseded', v_superseded
    );
end;
$$;
comment on function private.begin_checkout(uuid, text) is 'Body of public.begin_checkout.';
revoke execute on function private.begin_checkout(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.begin_checkout(uuid, text) to service_role;

create function public.begin_checkout(user_id uuid, tier text)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.begin_checkout(user_id, tier);
end;
$$;
comment on function public.begin_checkout(uuid, text) is
    'Prepares a checkout or, for who has a plan, its change. Claims the customer before it is made: {kind: checkout, attempt, url, customer_id, claim, email, price_id, metered_price_ids, superseded} or {kind: change, customer_id, subscription, item, price}.';
revoke execute on function public.begin_checkout(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.begin_checkout(uuid, text) to service_role;

create function private.record_stripe_customer(user_id uuid, claim uuid, customer_id text)
returns text
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_customer_id text;
begin
    update public.subscription as s set stripe_customer_id = record_stripe_customer.customer_id
    where s.user_id = record_stripe_customer.user_id and s.stripe_customer_id is null and exists (
        select 1 from private.stripe_customer_claim as c
        where c.user_id = record_stripe_customer.user_id and c.claim = record_stripe_customer.claim
    );
    select s.stripe_customer_id into v_customer_id from public.subscription as s
    where s.user_id = record_stripe_customer.user_id;
    if v_customer_id is null then
        raise exception 'The checkout was overtaken by another; please try again.' using errcode = 'PT409';
    end if;
    return v_customer_id;
end;
$$;
comment on function private.record_stripe_customer(uuid, uuid, text) is 'Body of public.record_stripe_customer.';
revoke execute on function private.record_stripe_customer(uuid, uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.record_stripe_customer(uuid, uuid, text) to service_role;

create function public.record_stripe_customer(user_id uuid, claim uuid, customer_id text)
returns text
language plpgsql
set search_path = ''
as $$
begin
    return private.record_stripe_customer(user_id, claim, customer_id);
end;
$$;
comment on function public.record_stripe_customer(uuid, uuid, text) is
    'Binds the customer that was made for a claim; the user''s customer, which is an earlier one if there is one.';
revoke execute on function public.record_stripe_customer(uuid, uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.record_stripe_customer(uuid, uuid, text) to service_role;

create function private.record_checkout(attempt uuid, session_id text, url text)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
begin
    update private.stripe_checkout as c set
        session_id = record_checkout.session_id,
        url = case when c.status = 'open' then record_checkout.url end
    where c.id = record_checkout.attempt and c.session_id is null;
    return exists (select 1 from private.stripe_checkout as c where c.id = record_checkout.attempt and c.status = 'open');
end;
$$;
comment on function private.record_checkout(uuid, text, text) is 'Body of public.record_checkout.';
revoke execute on function private.record_checkout(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function private.record_checkout(uuid, text, text) to service_role;

create function public.record_checkout(attempt uuid, session_id text, url text)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.record_checkout(attempt, session_id, url);
end;
$$;
comment on function public.record_checkout(uuid, text, text) is
    'Remembers the page that was opened for an attempt. False if another click has replaced the attempt meanwhile: the page must be closed.';
revoke execute on function public.record_checkout(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function public.record_checkout(uuid, text, text) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- What a plan covers. Accounts over the limit are switched off by the plan (disabled_by_plan_at), which is kept apart
-- from what the user switched off: the user's choice of those that stay first, then the oldest stay. Running syncs end
-- as they are; no new one starts. Counters are left alone: a smaller plan grants nothing until the cycle ends.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.enforce_account_limit(user_id uuid)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_max integer;
    v_disabled integer;
    v_restored integer;
begin
    -- With the profile, for a user who is just being deleted has no limit and wants no notices.
    select t.max_social_accounts into v_max
    from public.users as u
    join public.subscription as s on s.user_id = u.id
    join public.subscription_tier as t on t.id = s.tier_id
    where u.id = enforce_account_limit.user_id
    for update of s;
    if not found then
        return jsonb_build_object('disabled', 0, 'restored', 0);
    end if;
    with ranked as (
        select
            a.id,
            coalesce(row_number() over (order by (a.kept_by_user_at is null), a.created_at, a.id) > v_max, false) as is_over
        from public.social_account as a
        where a.user_id = enforce_account_limit.user_id and a.deleted_at is null
    ),
    changed as (
        update public.social_account as a set disabled_by_plan_at = case when r.is_over then now() end
        from ranked as r
        where a.id = r.id and r.is_over <> (a.disabled_by_plan_at is not null)
        returning r.is_over
    )
    select count(*) filter (where c.is_over), count(*) filter (where not c.is_over) into v_disabled, v_restored from changed as c;
    if v_disabled > 0 then
        perform private.notify_billing(
            enforce_account_limit.user_id, 'accounts_disabled_by_plan',
            format('%s of your accounts are switched off', v_disabled),
            format('Your plan covers %s. Choose which ones stay, or upgrade to have all of them back; nothing was deleted.', v_max),
            null, jsonb_build_object('disabled', v_disabled, 'max', v_max)
        );
    end if;
    if v_restored > 0 then
        perform private.notify_billing(
            enforce_account_limit.user_id, 'accounts_restored',
            format('%s of your accounts are switched on again', v_restored), null,
            null, jsonb_build_object('restored', v_restored)
        );
    end if;
    return jsonb_build_object('disabled', v_disabled, 'restored', v_restored);
end;
$$;
comment on function private.enforce_account_limit(uuid) is
    'Switches accounts off and on so that as many are on as the plan allows: {disabled, restored}.';
revoke execute on function private.enforce_account_limit(uuid) from public, anon, authenticated, service_role;

-- Definer: it moves columns that no client may write. An account that goes makes room for one that was switched off.
create function private.fill_account_slot()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform private.enforce_account_limit(old.user_id);
    return null;
end;
$$;
comment on function private.fill_account_slot() is 'Brings back an account that the plan had switched off when another one is gone.';
revoke execute on function private.fill_account_slot() from public, anon, authenticated, service_role;

create function private.choose_accounts(account_ids uuid[])
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id uuid := auth.uid();
    v_max integer;
begin
    if v_user_id is null then
        raise exception 'sign in to choose accounts' using errcode = 'PT401';
    end if;
    select t.max_social_accounts into v_max
    from public.subscription as s
    join public.subscription_tier as t on t.id = s.tier_id
    where s.user_id = v_user_id
    for update of s;
    if cardinality(account_ids) > v_max then
        raise exception 'your plan covers % accounts', v_max using errcode = 'PT422', hint = 'too_many_accounts';
    end if;
    if exists (
        select 1 from unnest(account_ids) as c (id)
        where not exists (
            select 1 from public.social_account as a where a.id = c.id and a.user_id = v_user_id and a.deleted_at is null
        )
    ) then
        raise exception 'no such account' using errcode = 'PT404';
    end if;
    update public.social_account as a set kept_by_user_at = case when a.id = any(account_ids) then now() end
    where a.user_id = v_user_id and (a.kept_by_user_at is not null) <> (a.id = any(account_ids));
    return private.enforce_account_limit(v_user_id);
end;
$$;
comment on function private.choose_accounts(uuid[]) is 'Body of public.choose_accounts.';
revoke execute on function private.choose_accounts(uuid[]) from public, anon, authenticated, service_role;
grant execute on function private.choose_accounts(uuid[]) to authenticated;

create function public.choose_accounts(account_ids uuid[])
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.choose_accounts(account_ids);
end;
$$;
comment on function public.choose_accounts(uuid[]) is
    'Chooses which of the caller''s accounts stay on when the plan does not cover all: {disabled, restored}. Accounts not named fill what is left, the oldest first.';
revoke execute on function public.choose_accounts(uuid[]) from public, anon, authenticated, service_role;
grant execute on function public.choose_accounts(uuid[]) to authenticated;

create function private.preview_plan_change(tier text)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_user_id uuid := auth.uid();
    v_old public.subscription_tier;
    v_new public.subscription_tier;
    v_subscription public.subscription;
    v_affected jsonb;
    v_accounts integer;
begin
    if v_user_id is null then
        raise exception 'sign in to preview a plan' using errcode = 'PT401';
    end if;
    select t.* into v_new from public.subscription_tier as t where t.slug = preview_plan_change.tier and t.is_active;
    if not found then
        raise exception 'there is no such plan' using errcode = 'PT404';
    end if;
    select s.* into v_subscription from public.subscription as s where s.user_id = v_user_id;
    select t.* into v_old from public.subscription_tier as t where t.id = v_subscription.tier_id;
    select
        count(*),
        coalesce(
            jsonb_agg(jsonb_build_object('id', r.id, 'account_name', r.account_name) order by r.place)
            filter (where r.place > v_new.max_social_accounts), '[]'
        )
    into v_accounts, v_affected
    from (
        select a.id, a.account_name, row_number() over (order by (a.kept_by_user_at is null), a.created_at, a.id) as place
        from public.social_account as a
        where a.user_id = v_user_id and a.deleted_at is null
    ) as r;
    return jsonb_build_object(
        'tier', v_new.slug,
        'from', v_old.slug,
        'direction', case
            when v_new.id = v_old.id then 'same' when v_new.sort_order > v_old.sort_order then 'upgrade' else 'downgrade'
        end,
        'price_cents', v_new.price_cents,
        'currency', v_new.currency,
        'cycle_end', v_subscription.cycle_end_date,
        'resources', jsonb_build_array(
            jsonb_build_object(
                'resource', 'social_accounts', 'used', v_accounts,
                'max_now', v_old.max_social_accounts, 'max_then', v_new.max_social_accounts,
                'policy', 'newest_switched_off', 'affected', v_affected
            ),
            private.preview_quota('sync', v_subscription.syncs_used, v_old.max_syncs_per_month, v_new.max_syncs_per_month),
            private.preview_quota(
                'ai_analysis', v_subscription.ai_analyses_used, v_old.max_ai_analyses_per_month, v_new.max_ai_analyses_per_month
            ),
            private.preview_quota(
                'seo_submission', v_subscription.seo_submissions_used,
                v_old.max_seo_submissions_per_month, v_new.max_seo_submissions_per_month
            )
        )
    );
end;
$$;
comment on function private.preview_plan_change(text) is 'Body of public.preview_plan_change.';
revoke execute on function private.preview_plan_change(text) from public, anon, authenticated, service_role;
grant execute on function private.preview_plan_change(text) to authenticated;

create function public.preview_plan_change(tier text)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
    return private.preview_plan_change(tier);
end;
$$;
comment on function public.preview_plan_change(text) is
    'What the caller''s plan would become: {tier, from, direction, price_cents, currency, resources: [{resource, used, max_now, max_then, policy, affected}]}. Changes nothing.';
revoke execute on function public.preview_plan_change(text) from public, anon, authenticated, service_role;
grant execute on function public.preview_plan_change(text) to authenticated;

create function private.preview_quota(quota_type text, used integer, max_now integer, max_then integer)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
    return jsonb_build_object(
        'resource', quota_type, 'used', used, 'max_now', max_now, 'max_then', max_then,
        'policy', 'nothing_granted_until_cycle_ends', 'affected', to_jsonb(coalesce(used >= max_then, false))
    );
end;
$$;
comment on function private.preview_quota(text, integer, integer, integer) is 'One counter''s part of a preview.';
revoke execute on function private.preview_quota(text, integer, integer, integer) from public, anon, authenticated, service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Usage, from the ledger to Stripe's meters.
-- ---------------------------------------------------------------------------------------------------------------------

-- Definer: it is fired by whoever settles. What is settled while the user's plan has the metered item is billed by it.
create function private.queue_usage()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into private.stripe_usage (charge_id, user_id, customer_id, event_name, value, occurred_at)
    select new.id, s.user_id, s.stripe_customer_id, p.event_name, new.amount, new.settled_at
    from public.subscription as s
    join private.stripe_subscription as r on r.id = s.stripe_subscription_id
    cross join lateral jsonb_array_elements(r.reading -> 'items') as i (value)
    join private.stripe_price as p on p.price_id = i.value ->> 'price' and p.quota_type = new.quota_type
    where s.user_id = new.user_id and s.stripe_customer_id is not null
        and i.value ->> 'id' in (
            s.stripe_subscription_item_id_syncs, s.stripe_subscription_item_id_ai, s.stripe_subscription_item_id_seo
        )
    on conflict do nothing;
    return null;
end;
$$;
comment on function private.queue_usage() is 'Puts a charge that became final into the outbox, in the transaction that settles it.';
revoke execute on function private.queue_usage() from public, anon, authenticated, service_role;

create function private.claim_stripe_usage(max_rows integer)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_answer jsonb;
begin
    update private.stripe_usage as u set refused_at = now(), last_error = 'too_old'
    where u.sent_at is null and u.refused_at is null
        and u.occurred_at < now() - private.setting_interval('billing.usage_window');

    with due as (
        select u.charge_id from private.stripe_usage as u
        where u.sent_at is null and u.refused_at is null and (u.leased_until is null or u.leased_until < now())
        order by u.occurred_at
        limit max_rows
        for update skip locked
    ),
    taken as (
        update private.stripe_usage as u
        set leased_until = now() + private.setting_interval('billing.usage_lease'), attempts = u.attempts + 1
        from due where u.charge_id = due.charge_id
        returning u.charge_id as id, u.customer_id, u.event_name, u.value, extract(epoch from u.occurred_at)::bigint as "timestamp"
    )
    select coalesce(jsonb_agg(to_jsonb(t)), '[]') into v_answer from taken as t;
    return v_answer;
end;
$$;
comment on function private.claim_stripe_usage(integer) is 'Body of public.claim_stripe_usage.';
revoke execute on function private.claim_stripe_usage(integer) from public, anon, authenticated, service_role;
grant execute on function private.claim_stripe_usage(integer) to service_role;

create function public.claim_stripe_usage(max_rows integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.claim_stripe_usage(max_rows);
end;
$$;
comment on function public.claim_stripe_usage(integer) is
    'Takes settled usage that Stripe has not been told: [{id, customer_id, event_name, value, timestamp}]. What is not finished comes again, under the same id.';
revoke execute on function public.claim_stripe_usage(integer) from public, anon, authenticated, service_role;
grant execute on function public.claim_stripe_usage(integer) to service_role;

create function private.finish_stripe_usage(usage_id uuid, error text)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    update private.stripe_usage as u set
        sent_at = case when error is null then now() end,
        refused_at = case when error is not null then now() end,
        last_error = left(error, 200),
        leased_until = null
    where u.charge_id = finish_stripe_usage.usage_id and u.sent_at is null;
end;
$$;
comment on function private.finish_stripe_usage(uuid, text) is 'Body of public.finish_stripe_usage.';
revoke execute on function private.finish_stripe_usage(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.finish_stripe_usage(uuid, text) to service_role;

create function public.finish_stripe_usage(usage_id uuid, error text default null)
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform private.finish_stripe_usage(usage_id, error);
end;
$$;
comment on function public.finish_stripe_usage(uuid, text) is 'Stripe has counted this usage, or (with an error) will never take it.';
revoke execute on function public.finish_stripe_usage(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.finish_stripe_usage(uuid, text) to service_role;
