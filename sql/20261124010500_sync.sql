-- Sync: runs and where they have got to.

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
    started_at timestamptz,
    finished_at timestamptz,
    heartbeat_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint sync_run_of_the_accounts_owner foreign key (social_account_id, user_id)
    references public.social_account (id, user_id) on delete cascade,
    constraint sync_run_status_known check (status in ('queued', 'running', 'succeeded', 'partial', 'failed', 'canceled')),
    constraint sync_run_trigger_known check (trigger in ('manual', 'scheduled', 'backfill')),
    constraint sync_run_counts_not_negative check (
        items_seen >= 0 and items_created >= 0 and items_updated >= 0 and items_unchanged >= 0 and pages_done >= 0
    )
);
comment on table public.sync_run is 'One attempt to bring an account up to date, with its progress. Its owner watches it.';
create index sync_run_account_idx on public.sync_run (social_account_id, user_id, created_at desc);
create index sync_run_user_id_idx on public.sync_run (user_id, created_at desc);
create unique index sync_run_one_active on public.sync_run (social_account_id) where status in ('queued', 'running');
create trigger set_updated_at before update on public.sync_run
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.sync_run enable row level security;
create policy select_own on public.sync_run for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own on public.sync_run is 'Users watch their runs, admins all.';
revoke all on table public.sync_run from public, anon, authenticated, service_role;
grant select on table public.sync_run to authenticated, service_role;

create table private.sync_checkpoint (
    run_id uuid primary key references public.sync_run (id) on delete cascade,
    cursor jsonb not null default '{}',
    updated_at timestamptz not null default now()
);
comment on table private.sync_checkpoint is 'Where a run continues; moved in the transaction that stores the page.';
revoke all on table private.sync_checkpoint from public, anon, authenticated, service_role;
