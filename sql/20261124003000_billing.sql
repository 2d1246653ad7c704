-- Billing: the plan that a user is on and the counters of its running cycle.

create table public.subscription (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null unique references public.users (id) on delete cascade,
    tier_id uuid not null references public.subscription_tier (id) on delete restrict,
    status_id uuid not null references public.subscription_status (id) on delete restrict,
    syncs_used integer not null default 0,
    ai_analyses_used integer not null default 0,
    seo_submissions_used integer not null default 0,
    cycle_start_date timestamptz not null default now(),
    cycle_end_date timestamptz not null default now() + interval '1 month',
    cycle_anchor timestamptz,
    next_billing_date timestamptz,
    stripe_customer_id text unique,
    stripe_subscription_id text unique,
    stripe_subscription_item_id_syncs text,
    stripe_subscription_item_id_ai text,
    stripe_subscription_item_id_seo text,
    is_auto_renew_enabled boolean not null default true,
    canceled_at timestamptz,
    cancellation_reason text,
    past_due_since timestamptz,
    trial_ends_at timestamptz,
    ends_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint subscription_counters_not_negative check (
        least(syncs_used, ai_analyses_used, seo_submissions_used) >= 0 -- short: it is prepared anew in every charge
    )
    -- No check that a cycle ends after its start: a cycle is ended early by moving its end, wherever it began.
) with (fillfactor = 70); -- every charge updates a counter; room on the page keeps that a HOT update
comment on table public.subscription is 'One row a user: plan, state, cycle, and what the cycle has used. Counters move only through the quota functions.';
comment on column public.subscription.cycle_anchor is
    'Where monthly cycles are counted from, so that one begun on the 31st comes back to the 31st; null means cycle_start_date.';
comment on column public.subscription.past_due_since is 'When a refused renewal was first seen; the plan stays for a grace period from then on.';
comment on column public.subscription.ends_at is 'When the paid plan ends or ended, where that is known: cancelled, or not renewed.';
create index subscription_past_due_idx on public.subscription (past_due_since) where past_due_since is not null;
create index subscription_tier_id_idx on public.subscription (tier_id);
create index subscription_status_id_idx on public.subscription (status_id);

create trigger refuse_owner_change before update of user_id on public.subscription
for each row when (new.user_id is distinct from old.user_id) execute function private.refuse_change('user_id');
create trigger set_updated_at before update on public.subscription
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.subscription enable row level security;
create policy select_own on public.subscription for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own on public.subscription is 'Users read their subscription, admins all.';
revoke all on table public.subscription from public, anon, authenticated, service_role;
grant select on table public.subscription to authenticated, service_role;

-- Users who signed up before this schema was installed.
select private.provision_user(u.id, u.email, u.raw_user_meta_data) from auth.users as u;
