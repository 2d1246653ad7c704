-- Departures: users who leave, people who withdraw their consent at Meta, and platform data that has grown too old.
-- Each is a list of what is still to be done, so that whoever is interrupted, or told "later" by a platform, goes on.

insert into private.setting (key, value, comment) values
('account_deletion.retry', '"5 minutes"', 'Wait before a deletion that could not be finished is taken up again; doubles.'),
('account_deletion.longest_retry', '"6 hours"', 'Longest such wait.'),
('data_deletion.keep', '"180 days"', 'How long the status page of a finished deletion request answers.'),
('retention.after_revocation', '"30 days"', 'Data of a withdrawn grant is deleted after this, if the user does not connect again.'),
-- https://developers.google.com/youtube/terms/developer-policies: stored API data is refreshed or deleted within 30 days.
('retention.youtube', '"30 days"', 'YouTube''s data that no sync has refreshed for so long is deleted.');

create table private.account_deletion (
    user_id uuid primary key references public.users (id) on delete cascade,
    requested_at timestamptz not null default clock_timestamp(),
    attempts integer not null default 0,
    next_try_at timestamptz not null,
    is_billing_ended boolean not null default false
);
comment on table private.account_deletion is
    'Users who asked to be deleted. The row goes with its user, once their grants are given back and their subscription is canceled.';
create index account_deletion_due_idx on private.account_deletion (next_try_at);
revoke all on table private.account_deletion from public, anon, authenticated, service_role;

create table private.data_deletion (
    code uuid primary key default gen_random_uuid(),
    platform text not null,
    connections integer not null,
    requested_at timestamptz not null default clock_timestamp()
);
comment on table private.data_deletion is 'Deletion requests that came from a platform, done when they are recorded; for the status page that its terms ask for.';
revoke all on table private.data_deletion from public, anon, authenticated, service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- A user leaves
-- ---------------------------------------------------------------------------------------------------------------------

-- The items of a large account are many rows, and a request of the API has a few seconds: they go in portions before the
-- one transaction that ends a connection or an account.
create function private.purge_items(user_id uuid, connection_id uuid, max_rows integer)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_count integer;
begin
    delete from public.content_item as i
    where i.id in (
        select s.id from public.content_item as s
        where s.social_account_id = any(array(
            select a.id from public.social_account as a
            where a.user_id = purge_items.user_id
                and (purge_items.connection_id is null or a.connection_id = purge_items.connection_id)
        ))
        limit max_rows
    );
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;
comment on function private.purge_items(uuid, uuid, integer) is 'Body of public.purge_items.';
revoke execute on function private.purge_items(uuid, uuid, integer) from public, anon, authenticated, service_role;
grant execute on function private.purge_items(uuid, uuid, integer) to service_role;

create function public.purge_items(user_id uuid, connection_id uuid default null, max_rows integer default 5000)
returns integer
language plpgsql
set search_path = ''
as $$
begin
    return private.purge_items(user_id, connection_id, max_rows);
end;
$$;
comment on function public.purge_items(uuid, uuid, integer) is
    'Deletes items of a user, or of one of the user''s connections (service only), at most max_rows; how many.';
revoke execute on function public.purge_items(uuid, uuid, integer) from public, anon, authenticated, service_role;
grant execute on function public.purge_items(uuid, uuid, integer) to service_role;

create function private.begin_account_deletion(user_id uuid)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_connection_id uuid;
begin
    -- The lock that connecting takes too: what is connected now is ended here, and nothing is connected after.
    perform 1 from public.subscription as s where s.user_id = begin_account_deletion.user_id for update;
    if not exists (select 1 from public.users as u where u.id = begin_account_deletion.user_id) then
        return '{"status": "deleted"}'::jsonb;
    end if;
    insert into private.account_deletion (user_id, next_try_at)
    values (begin_account_deletion.user_id, clock_timestamp() + private.setting_interval('account_deletion.retry'))
    on conflict do nothing;
    delete from private.oauth_state as o where o.user_id = begin_account_deletion.user_id;
    for v_connection_id in
        select c.id from public.platform_connection as c where c.user_id = begin_account_deletion.user_id order by c.id
    loop
        perform private.disconnect(begin_account_deletion.user_id, v_connection_id, true);
    end loop;
    return jsonb_build_object(
        'status', 'pending',
        'is_billing_ended', (select d.is_billing_ended from private.account_deletion as d where d.user_id = begin_account_deletion.user_id),
        'revocations', coalesce((
            select jsonb_agg(jsonb_build_object(
                'revocation_id', r.id, 'platform', r.platform, 'token', private.vault_get(r.vault_secret_name)::jsonb
            ))
            from private.revocation as r where r.user_id = begin_account_deletion.user_id
        ), '[]')
    );
end;
$$;
comment on function private.begin_account_deletion(uuid) is 'Body of public.begin_account_deletion.';
revoke execute on function private.begin_account_deletion(uuid) from public, anon, authenticated, service_role;
grant execute on function private.begin_account_deletion(uuid) to service_role;

create function public.begin_account_deletion(user_id uuid)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.begin_account_deletion(user_id);
end;
$$;
comment on function public.begin_account_deletion(uuid) is
    'A user leaves (service only): ends every connection and answers what is still to be done outside, {status, is_billing_ended, revocations}. deleted: the user is gone already.';
revoke execute on function public.begin_account_deletion(uuid) from public, anon, authenticated, service_role;
grant execute on function public.begin_account_deletion(uuid) to service_role;

create function private.finish_account_deletion(user_id uuid, is_billing_ended boolean)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_deletion private.account_deletion;
begin
    update private.account_deletion as d set
        is_billing_ended = d.is_billing_ended or finish_account_deletion.is_billing_ended,
        attempts = d.attempts + 1,
        next_try_at = clock_timestamp() + least(
            private.setting_interval('account_deletion.retry') * (2 ^ least(d.attempts, 10)),
            private.setting_interval('account_deletion.longest_retry')
        )
    where d.user_id = finish_account_deletion.user_id
    returning d.* into v_deletion;
    if not found then
        return not exists (select 1 from auth.users as u where u.id = finish_account_deletion.user_id);
    end if;
    if not v_deletion.is_billing_ended
        or exists (select 1 from private.revocation as r where r.user_id = finish_account_deletion.user_id) then
        return false;
    end if;
    -- Every table hangs off this row; secrets go by the triggers of the rows that name them.
    delete from auth.users as u where u.id = finish_account_deletion.user_id;
    return true;
end;
$$;
comment on function private.finish_account_deletion(uuid, boolean) is 'Body of public.finish_account_deletion.';
revoke execute on function private.finish_account_deletion(uuid, boolean) from public, anon, authenticated, service_role;
grant execute on function private.finish_account_deletion(uuid, boolean) to service_role;

create function public.finish_account_deletion(user_id uuid, is_billing_ended boolean)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.finish_account_deletion(user_id, is_billing_ended);
end;
$$;
comment on function public.finish_account_deletion(uuid, boolean) is
    'Deletes a leaving user with all rows and secrets (service only), if the subscription is canceled and no grant is left to be given back. Otherwise false, and it comes up again later.';
revoke execute on function public.finish_account_deletion(uuid, boolean) from public, anon, authenticated, service_role;
grant execute on function public.finish_account_deletion(uuid, boolean) to service_role;

create function private.claim_account_deletions(max_results integer)
returns setof uuid
language plpgsql
security definer
set search_path = ''
as $$
begin
    return query
    update private.account_deletion as d set
        next_try_at = clock_timestamp() + private.setting_interval('account_deletion.retry')
    where d.user_id in (
        select c.user_id from private.account_deletion as c
        where c.next_try_at <= clock_timestamp()
        order by c.next_try_at
        limit max_results
        for update skip locked
    )
    returning d.user_id;
end;
$$;
comment on function private.claim_account_deletions(integer) is 'Body of public.claim_account_deletions.';
revoke execute on function private.claim_account_deletions(integer) from public, anon, authenticated, service_role;
grant execute on function private.claim_account_deletions(integer) to service_role;

create function public.claim_account_deletions(max_results integer default 20)
returns setof uuid
language plpgsql
set search_path = ''
as $$
begin
    return query select c.* from private.claim_account_deletions(max_results) as c;
end;
$$;
comment on function public.claim_account_deletions(integer) is 'Users whose deletion is to be taken up again, each for one caller (service only).';
revoke execute on function public.claim_account_deletions(integer) from public, anon, authenticated, service_role;
grant execute on function public.claim_account_deletions(integer) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Somebody withdraws consent, or asks for deletion, at the platform
-- ---------------------------------------------------------------------------------------------------------------------

create function private.forget_platform_user(platform text, platform_user_id text, is_deletion boolean)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_connection public.platform_connection;
    v_count integer := 0;
    v_code uuid;
begin
    for v_connection in
        select c.* from public.platform_connection as c
        join public.platform as p on p.id = c.platform_id
        where p.slug = forget_platform_user.platform
            and (
                c.platform_user_id = forget_platform_user.platform_user_id
                or exists (
                    select 1 from public.social_account as a
                    where a.connection_id = c.id and a.meta ->> 'app_scoped_id' = forget_platform_user.platform_user_id
                )
            )
        order by c.id
    loop
        v_count := v_count + 1;
        perform private.mark_grant_dead(v_connection.id, null, 'withdrawn_at_the_platform');
        -- The token is worth nothing any more; nobody should keep it.
        perform private.vault_drop(v_connection.vault_secret_name);
        if is_deletion then
            delete from public.platform_connection as c where c.id = v_connection.id;
        end if;
    end loop;
    if is_deletion then
        insert into private.data_deletion (platform, connections) values (forget_platform_user.platform, v_count)
        returning code into v_code;
    end if;
    return jsonb_build_object('connections', v_count, 'code', v_code);
end;
$$;
comment on function private.forget_platform_user(text, text, boolean) is 'Body of public.forget_platform_user.';
revoke execute on function private.forget_platform_user(text, text, boolean) from public, anon, authenticated, service_role;
grant execute on function private.forget_platform_user(text, text, boolean) to service_role;

create function public.forget_platform_user(platform text, platform_user_id text, is_deletion boolean)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.forget_platform_user(platform, platform_user_id, is_deletion);
end;
$$;
comment on function public.forget_platform_user(text, text, boolean) is
    'A platform says that this person withdrew consent, or wants their data deleted (service only): stops and drops the secret, or deletes everything synced. {connections, code}; the code is for the status page.';
revoke execute on function public.forget_platform_user(text, text, boolean) from public, anon, authenticated, service_role;
grant execute on function public.forget_platform_user(text, text, boolean) to service_role;

create function private.data_deletion_status(code uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
#variable_conflict use_column
begin
    return (
        select jsonb_build_object('status', 'completed', 'platform', d.platform, 'requested_at', d.requested_at)
        from private.data_deletion as d where d.code = data_deletion_status.code
    );
end;
$$;
comment on function private.data_deletion_status(uuid) is 'Body of public.data_deletion_status.';
revoke execute on function private.data_deletion_status(uuid) from public, anon, authenticated, service_role;
grant execute on function private.data_deletion_status(uuid) to service_role;

create function public.data_deletion_status(code uuid)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
    return private.data_deletion_status(code);
end;
$$;
comment on function public.data_deletion_status(uuid) is 'What became of a deletion request (service only): {status, platform, requested_at}, or null.';
revoke execute on function public.data_deletion_status(uuid) from public, anon, authenticated, service_role;
grant execute on function public.data_deletion_status(uuid) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Data that has grown too old
-- ---------------------------------------------------------------------------------------------------------------------

create function private.purge_stale_content(max_rows integer)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_count integer;
begin
    -- What is kept of the account itself is its name, by which its owner can find it to connect it again.
    update public.social_account as a set
        description = null, avatar_url = null, follower_count = null, following_count = null, post_count = null
    where a.id in (
        select o.id
        from public.social_account as o
        join public.platform_connection as c on c.id = o.connection_id
        join public.platform as p on p.id = o.platform_id
        left join private.setting as k on k.key = 'retention.' || p.slug
        where (
            not c.is_active and c.updated_at < now() - private.setting_interval('retention.after_revocation')
            or coalesce(o.last_full_sync_at, o.last_synced_at, o.created_at) < now() - (k.value #>> '{}')::interval
        )
        and (o.description, o.avatar_url, o.follower_count, o.following_count, o.post_count) is distinct from
        (null, null, null, null, null)
        limit max_rows
    );
    delete from private.data_deletion as d where d.requested_at < now() - private.setting_interval('data_deletion.keep');
    delete from public.content_item as i
    where i.id in (
        select s.id
        from public.social_account as a
        join public.platform_connection as c on c.id = a.connection_id
        join public.platform as p on p.id = a.platform_id
        left join private.setting as k on k.key = 'retention.' || p.slug
        join public.content_item as s on s.social_account_id = a.id
        where
            (not c.is_active and c.updated_at < now() - private.setting_interval('retention.after_revocation'))
            or coalesce(a.last_full_sync_at, a.last_synced_at, a.created_at) < now() - (k.value #>> '{}')::interval
        limit max_rows
    );
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;
comment on function private.purge_stale_content(integer) is 'Body of public.purge_stale_content.';
revoke execute on function private.purge_stale_content(integer) from public, anon, authenticated, service_role;
grant execute on function private.purge_stale_content(integer) to service_role;

create function public.purge_stale_content(max_rows integer default 1000)
returns integer
language plpgsql
set search_path = ''
as $$
begin
    return private.purge_stale_content(max_rows);
end;
$$;
comment on function public.purge_stale_content(integer) is
    'Deletes items of grants that were withdrawn long ago, and of platforms whose terms limit the age of stored data, with what is known of their accounts but the name (service only); how many items, at most max_rows.';
revoke execute on function public.purge_stale_content(integer) from public, anon, authenticated, service_role;
grant execute on function public.purge_stale_content(integer) to service_role;

create function private.roll_cycles(max_rows integer)
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
        where s.cycle_end_date <= now()
        order by s.cycle_end_date
        limit max_rows
        for update skip locked -- somebody who charges rolls it in passing
    loop
        if private.roll_cycle(v_user_id) then
            v_count := v_count + 1;
        end if;
    end loop;
    return v_count;
end;
$$;
comment on function private.roll_cycles(integer) is 'Body of public.roll_cycles.';
revoke execute on function private.roll_cycles(integer) from public, anon, authenticated, service_role;
grant execute on function private.roll_cycles(integer) to service_role;

create function public.roll_cycles(max_rows integer default 500)
returns integer
language plpgsql
set search_path = ''
as $$
begin
    return private.roll_cycles(max_rows);
end;
$$;
comment on function public.roll_cycles(integer) is 'Rolls quota cycles that have ended (service only); how many.';
revoke execute on function public.roll_cycles(integer) from public, anon, authenticated, service_role;
grant execute on function public.roll_cycles(integer) to service_role;
