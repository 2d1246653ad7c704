-- Connections: OAuth grants and the accounts they open. A grant's tokens live in Vault under the connection's
-- vault_secret_name; the row only names them.

-- ---------------------------------------------------------------------------------------------------------------------
-- Vault. Definers, without any grant: only other functions of this schema call them. There is no vault function that
-- deletes; rows are deleted from vault.secrets. update_secret() says nothing about an unknown id, so the id is looked up.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.vault_put(name text, secret text, description text default '')
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_id uuid;
begin
    if vault_put.name is null or vault_put.secret is null or vault_put.secret = '' then
        raise exception 'a secret needs a name and a value' using errcode = 'PT422';
    end if;
    select s.id into v_id from vault.secrets as s where s.name = vault_put.name;
    if not found then
        -- create_secret() inserts what it is given and encrypts it by a second statement: the plain text would stay in the
        -- dead row until VACUUM. update_secret() encrypts before it writes. So a secret is made empty and then filled.
        v_id := vault.create_secret('-', vault_put.name, vault_put.description);
    end if;
    perform vault.update_secret(v_id, vault_put.secret);
end;
$$;
comment on function private.vault_put(text, text, text) is 'Creates or replaces the secret of this name. The caller holds the connection''s row, so two never create at once.';
revoke execute on function private.vault_put(text, text, text) from public, anon, authenticated, service_role;

create function private.vault_get(name text)
returns text
language plpgsql
security definer
set search_path = ''
as $$
begin
    return (select s.decrypted_secret from vault.decrypted_secrets as s where s.name = vault_get.name);
end;
$$;
comment on function private.vault_get(text) is 'The secret of this name, or null.';
revoke execute on function private.vault_get(text) from public, anon, authenticated, service_role;

create function private.vault_drop(name text)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
begin
    delete from vault.secrets as s where s.name = vault_drop.name;
    return found;
end;
$$;
comment on function private.vault_drop(text) is 'Deletes the secret of this name; true if there was one.';
revoke execute on function private.vault_drop(text) from public, anon, authenticated, service_role;

-- Triggers delete a secret with its row. What they cannot see (a TRUNCATE by the owner, rows deleted with triggers switched
-- off, a restore of these tables alone) is swept. Only names of our own making are looked at, and none younger than the
-- setting: its row may be in a transaction that has not ended.
insert into private.setting (key, value, comment) values
('vault.orphan_age', '"1 hour"', 'How old a secret without its row must be before the sweep takes it.');

create function private.sweep_secrets(max_rows integer)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_count integer;
begin
    delete from vault.secrets as d
    where d.id in (
        select s.id from vault.secrets as s
        where s.name ~ '^(platform_connection|seo_connection|revocation):'
            and s.created_at < now() - private.setting_interval('vault.orphan_age')
            and not exists (select 1 from public.platform_connection as c where c.vault_secret_name = s.name)
            and not exists (select 1 from public.seo_connection as c where c.vault_secret_name = s.name)
            and not exists (select 1 from private.revocation as r where r.vault_secret_name = s.name)
        limit max_rows
    );
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;
comment on function private.sweep_secrets(integer) is 'Deletes secrets whose row is gone without its trigger; how many. Called by purge_expired.';
revoke execute on function private.sweep_secrets(integer) from public, anon, authenticated, service_role;

create function private.drop_connection_secret()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform private.vault_drop(old.vault_secret_name);
    return null;
end;
$$;
comment on function private.drop_connection_secret() is
    'The secret goes with the row that names it, whatever deleted the row: a disconnect, a cascade from the user, a direct delete, a new name.';
revoke execute on function private.drop_connection_secret() from public, anon, authenticated, service_role;

-- ---------------------------------------------------------------------------------------------------------------------

create table public.platform_connection (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.users (id) on delete cascade,
    platform_id uuid not null references public.platform (id) on delete restrict,
    vault_secret_name text not null default 'platform_connection:' || gen_random_uuid() unique,
    scopes text[] not null default '{}',
    token_expires_at timestamptz,
    platform_user_id text,
    platform_username text,
    platform_display_name text,
    platform_avatar_url text,
    is_active boolean not null default true,
    is_verified boolean not null default false,
    last_verified_at timestamptz,
    last_error text,
    token_version integer not null default 0,
    refresh_lease_until timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- One grant for each of the user's identities there: reconnecting keeps the row and its children.
    constraint platform_connection_once_an_identity unique (user_id, platform_id, platform_user_id),
    -- For composite foreign keys: an account's owner and platform are its connection's.
    constraint platform_connection_id_with_owner unique (id, user_id, platform_id)
);
comment on table public.platform_connection is 'A user''s OAuth grant on a platform. The tokens are in Vault under vault_secret_name.';
comment on column public.platform_connection.token_version is 'Grows with each stored token; a refresh that lost the race sees it.';
comment on column public.platform_connection.refresh_lease_until is 'One worker refreshes at a time, until then.';
create index platform_connection_platform_id_idx on public.platform_connection (platform_id);
create index platform_connection_token_expiry_idx on public.platform_connection (token_expires_at) where is_active;

create trigger refuse_owner_change before update of user_id on public.platform_connection
for each row when (new.user_id is distinct from old.user_id) execute function private.refuse_change('user_id');
create trigger refuse_platform_change before update of platform_id on public.platform_connection
for each row when (new.platform_id is distinct from old.platform_id) execute function private.refuse_change('platform_id');
create trigger drop_secret after delete on public.platform_connection
for each row execute function private.drop_connection_secret();
create trigger drop_renamed_secret after update of vault_secret_name on public.platform_connection
for each row when (new.vault_secret_name is distinct from old.vault_secret_name) execute function private.drop_connection_secret();
create trigger set_updated_at before update on public.platform_connection
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.platform_connection enable row level security;
create policy select_own on public.platform_connection for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own on public.platform_connection is 'Users read their connections, admins all. Nobody reads a secret here.';
revoke all on table public.platform_connection from public, anon, authenticated, service_role;
grant select on table public.platform_connection to authenticated, service_role;

create table public.social_account (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.users (id) on delete cascade,
    connection_id uuid not null,
    platform_id uuid not null references public.platform (id) on delete restrict,
    status_id uuid not null references public.account_status (id) on delete restrict,
    account_name text not null,
    account_url text,
    description text,
    follower_count integer,
    following_count integer,
    post_count integer,
    sync_mode public.action_mode_enum not null default 'auto',
    last_synced_at timestamptz,
    last_sync_status text,
    next_sync_at timestamptz,
    visibility public.visibility_enum not null default 'public',
    is_primary boolean not null default false,
    deleted_at timestamptz,
    platform_account_id text,
    handle text,
    avatar_url text,
    is_public boolean not null default false,
    disabled_by_plan_at timestamptz,
    kept_by_user_at timestamptz,
    capabilities jsonb not null default '{}',
    meta jsonb not null default '{}',
    sync_lease_until timestamptz,
    sync_failures integer not null default 0,
    sync_interval interval,
    last_full_sync_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint social_account_of_its_connection foreign key (connection_id, user_id, platform_id)
    references public.platform_connection (id, user_id, platform_id) on delete cascade,
    -- For composite foreign keys: a run's owner is its account's.
    constraint social_account_id_with_owner unique (id, user_id),
    constraint social_account_once_a_user unique (user_id, platform_id, platform_account_id),
    constraint social_account_counts_not_negative check (follower_count >= 0 and following_count >= 0 and post_count >= 0)
);
comment on table public.social_account is 'A channel, page or profile that a connection opens. user_id and platform_id repeat the connection''s, held by a composite key.';
comment on column public.social_account.platform_account_id is 'The platform''s own id of the account; with user and platform it makes reconnecting find the row again.';
comment on column public.social_account.is_public is 'Maintained: not deleted, visibility public, and the owner''s profile is public.';
comment on column public.social_account.disabled_by_plan_at is 'Set when a downgrade left more accounts than the plan allows; apart from what the user switched off.';
comment on column public.social_account.kept_by_user_at is 'Set where the owner chose this account to stay on when the plan does not cover all.';
comment on column public.social_account.capabilities is 'What the granted scopes allow for this account, for example {"read_content": true}.';
comment on column public.social_account.meta is 'Platform-specific facts that sync needs, for example an uploads playlist. Never a secret.';
comment on column public.social_account.sync_lease_until is 'A dispatcher or worker has this account until then.';
comment on column public.social_account.sync_failures is 'Failed runs since the last good one; widens the wait.';
comment on column public.social_account.sync_interval is 'The cadence that the account''s own activity suggests; the user''s setting is the floor.';
comment on column public.social_account.last_full_sync_at is 'End of the last run that read everything: the age of the stored platform data.';
create index social_account_connection_idx on public.social_account (connection_id, user_id, platform_id);
create index social_account_platform_id_idx on public.social_account (platform_id);
create index social_account_status_id_idx on public.social_account (status_id);
create index social_account_due_idx on public.social_account (next_sync_at) where deleted_at is null and sync_mode = 'auto';
create index social_account_public_idx on public.social_account (user_id) where is_public;

-- Where the owner and the platform are left out they are the connection's; where they are given the key checks them.
create function private.fill_social_account()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    select coalesce(new.user_id, c.user_id), coalesce(new.platform_id, c.platform_id) into new.user_id, new.platform_id
    from public.platform_connection as c where c.id = new.connection_id;
    if new.status_id is null then
        select s.id into new.status_id from public.account_status as s where s.slug = 'active';
    end if;
    return new;
end;
$$;
comment on function private.fill_social_account() is 'Fills owner, platform and status of a new account from its connection.';
revoke execute on function private.fill_social_account() from public, anon, authenticated, service_role;

-- is_public is kept by one rule on three levels (settings, account, item): who inserts a child locks the parent's row
-- (FOR SHARE) so that a flip cannot slip in between; who changes a child reads the parent; who flips a parent touches
-- every child without a filter, so that it waits for any child that is just changing. No order of the two leaks an item.
create function private.set_account_public()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_profile_public boolean;
begin
    if tg_op = 'INSERT' then
        select s.is_profile_public into v_profile_public from public.user_setting as s where s.user_id = new.user_id for share;
    else
        select s.is_profile_public into v_profile_public from public.user_setting as s where s.user_id = new.user_id;
    end if;
    new.is_public := coalesce(v_profile_public, false) and new.visibility = 'public' and new.deleted_at is null;
    return new;
end;
$$;
comment on function private.set_account_public() is 'Computes social_account.is_public; whatever was written to it is overruled.';
revoke execute on function private.set_account_public() from public, anon, authenticated, service_role;

create function private.on_profile_public_changed()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    update public.social_account as a set is_public = new.is_profile_public where a.user_id = new.user_id;
    return null;
end;
$$;
comment on function private.on_profile_public_changed() is 'Carries a flip of the profile switch to the user''s accounts (and they carry it to their items).';
revoke execute on function private.on_profile_public_changed() from public, anon, authenticated, service_role;

-- One primary account for each of a user's platforms: choosing another unchooses the one before. No unique index, for that
-- would be asked row by row and one request may choose several; the first of them stays. What keeps two requests apart is
-- the lock on the subscription, which clients take before they touch an account and connecting holds anyway.
create function private.queue_choosing_primary()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform 1 from public.subscription as s where s.user_id = auth.uid() for update;
    return null;
end;
$$;
comment on function private.queue_choosing_primary() is 'Lets one request of a user at a time choose primary accounts.';
revoke execute on function private.queue_choosing_primary() from public, anon, authenticated, service_role;

create function private.clear_other_primary()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform 1 from public.subscription as s where s.user_id = new.user_id for update;
    update public.social_account as a set is_primary = false
    where a.user_id = new.user_id and a.platform_id = new.platform_id and a.is_primary and a.id <> new.id
        -- Unless another account of the same statement has been kept already.
        and exists (select 1 from public.social_account as k where k.id = new.id and k.is_primary);
    return null;
end;
$$;
comment on function private.clear_other_primary() is 'Choosing a primary account unchooses the one before on the same platform.';
revoke execute on function private.clear_other_primary() from public, anon, authenticated, service_role;

create trigger a_fill before insert on public.social_account
for each row when (new.user_id is null or new.platform_id is null or new.status_id is null)
execute function private.fill_social_account();
create trigger queue_choosing_primary before update of is_primary on public.social_account
for each statement execute function private.queue_choosing_primary();
create trigger clear_other_primary after insert or update of is_primary on public.social_account
for each row when (new.is_primary) execute function private.clear_other_primary();
create trigger refuse_owner_change before update of user_id on public.social_account
for each row when (new.user_id is distinct from old.user_id) execute function private.refuse_change('user_id');
create trigger refuse_platform_change before update of platform_id on public.social_account
for each row when (new.platform_id is distinct from old.platform_id) execute function private.refuse_change('platform_id');
create trigger set_public before insert or update of visibility, deleted_at, is_public on public.social_account
for each row execute function private.set_account_public();
create trigger set_updated_at before update on public.social_account
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
create trigger fill_slot_when_deleted after update of deleted_at on public.social_account
for each row when (new.deleted_at is not null and old.deleted_at is null and old.disabled_by_plan_at is null)
execute function private.fill_account_slot();
create trigger fill_slot_when_gone after delete on public.social_account
for each row when (old.deleted_at is null and old.disabled_by_plan_at is null) execute function private.fill_account_slot();
create trigger profile_public_changed after update of is_profile_public on public.user_setting
for each row when (new.is_profile_public is distinct from old.is_profile_public)
execute function private.on_profile_public_changed();

alter table public.social_account enable row level security;
create policy select_public on public.social_account for select to anon using (is_public);
create policy select_own_or_public on public.social_account for select to authenticated
using (user_id = (select auth.uid()) or is_public or (select private.is_admin()));
create policy update_own on public.social_account for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
comment on policy select_public on public.social_account is 'Visitors see the accounts of public profiles.';
comment on policy select_own_or_public on public.social_account is 'Users see their own accounts and public ones, admins all.';
comment on policy update_own on public.social_account is 'Users change their accounts; the column grants say which parts.';
revoke all on table public.social_account from public, anon, authenticated, service_role;
grant select on table public.social_account to anon, authenticated, service_role;
grant update (sync_mode, visibility, is_primary) on table public.social_account to authenticated;
