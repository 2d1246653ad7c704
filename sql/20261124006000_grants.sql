-- Grants: how a connection comes about (one-time states), how its tokens live (leases, versions) and how it ends.
--
-- Everything here is for the functions' service role; no client role executes any of it. Bodies run as definer because
-- they write tables and Vault, which service_role may not; the functions in `public` are their thin, invoker faces.
--
-- Left out on purpose: the PKCE verifier. The functions derive it from the state and the client's secret, so it is
-- stored nowhere; and of a state only the hash is kept, so that whoever reads this table cannot complete anything.

insert into private.setting (key, value, comment) values
('oauth.state_ttl', '"10 minutes"', 'How long a started authorisation may take.'),
('oauth.open_states', '20', 'Authorisations that one user may have open at once; the oldest ones go.'),
('token.refresh_lease', '"60 seconds"', 'How long one worker alone may refresh a token; longer than the call may take.'),
('sync.first_delay', '"15 minutes"', 'When the first sync of a new account starts if its owner does not start it.'),
('revocation.retry', '"10 minutes"', 'Wait before a failed revocation is tried again; doubles each time.'),
('revocation.give_up_after', '"7 days"', 'When a revocation that the platform never took is dropped, with its token.');

create table private.oauth_state (
    state_hash text primary key,
    user_id uuid not null references public.users (id) on delete cascade,
    platform_id uuid not null references public.platform (id) on delete cascade,
    return_to text,
    created_at timestamptz not null default clock_timestamp(),
    constraint oauth_state_hash_is_sha256 check (state_hash ~ '^[0-9a-f]{64}$')
);
comment on table private.oauth_state is 'Started authorisations. A row is deleted by the first attempt that presents its state, whoever makes it.';
comment on column private.oauth_state.created_at is 'The state dies oauth.state_ttl after this.';
create index oauth_state_user_id_idx on private.oauth_state (user_id, created_at);
create index oauth_state_platform_id_idx on private.oauth_state (platform_id);
create index oauth_state_created_at_idx on private.oauth_state (created_at);
revoke all on table private.oauth_state from public, anon, authenticated, service_role;

create table private.token_state (
    connection_id uuid primary key references public.platform_connection (id) on delete cascade,
    is_refreshable boolean not null default false,
    issued_at timestamptz not null default clock_timestamp(),
    refresh_not_before timestamptz,
    refresh_expires_at timestamptz,
    lease_token uuid,
    failures integer not null default 0,
    retry_at timestamptz
);
comment on table private.token_state is 'What is known about a connection''s token besides the token. The lease''s end is platform_connection.refresh_lease_until.';
comment on column private.token_state.refresh_not_before is 'Some platforms refuse to refresh a young token.';
comment on column private.token_state.lease_token is 'Whoever holds this may finish the refresh that is under way.';
comment on column private.token_state.retry_at is 'After a failed refresh nobody tries before this.';
revoke all on table private.token_state from public, anon, authenticated, service_role;

create table private.revocation (
    id uuid primary key default gen_random_uuid(),
    user_id uuid references public.users (id) on delete cascade,
    platform text not null,
    vault_secret_name text not null unique default 'revocation:' || gen_random_uuid(),
    attempts integer not null default 0,
    next_try_at timestamptz not null default clock_timestamp(),
    created_at timestamptz not null default clock_timestamp()
);
comment on table private.revocation is
    'Grants that were ended here and still have to be given back to the platform. The connection and its secret are gone; a copy of the token waits in Vault until the platform has taken it back.';
create index revocation_user_id_idx on private.revocation (user_id);
create index revocation_due_idx on private.revocation (next_try_at);
create trigger drop_secret after delete on private.revocation
for each row execute function private.drop_connection_secret();
revoke all on table private.revocation from public, anon, authenticated, service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Starting and completing an authorisation
-- ---------------------------------------------------------------------------------------------------------------------

create function private.refuse_leaving(user_id uuid)
returns void
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    if exists (select 1 from private.account_deletion as d where d.user_id = refuse_leaving.user_id) then
        raise exception 'This account is being deleted.' using errcode = 'PT409', hint = 'account_deletion_pending';
    end if;
end;
$$;
comment on function private.refuse_leaving(uuid) is 'Nobody connects anything while their account is being deleted (the table is made in departures.sql).';
revoke execute on function private.refuse_leaving(uuid) from public, anon, authenticated, service_role;

create function private.begin_oauth(user_id uuid, platform text, state_hash text, return_to text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_platform_id uuid;
    v_now timestamptz := clock_timestamp();
begin
    select p.id into v_platform_id from public.platform as p where p.slug = begin_oauth.platform and p.is_active;
    if not found then
        raise exception 'There is no platform of this name.' using errcode = 'PT404', hint = 'unknown_platform';
    end if;
    if not exists (select 1 from public.users as u where u.id = begin_oauth.user_id) then
        raise exception 'There is no such user.' using errcode = 'PT404', hint = 'unknown_user';
    end if;
    perform private.refuse_leaving(begin_oauth.user_id);
    insert into private.oauth_state (state_hash, user_id, platform_id, return_to, created_at)
    values (begin_oauth.state_hash, begin_oauth.user_id, v_platform_id, begin_oauth.return_to, v_now);
    delete from private.oauth_state as s
    where s.state_hash in (
        select o.state_hash from private.oauth_state as o
        where o.user_id = begin_oauth.user_id
        order by o.created_at desc
        offset private.setting_int('oauth.open_states')
    );
    return jsonb_build_object('expires_at', v_now + private.setting_interval('oauth.state_ttl'));
end;
$$;
comment on function private.begin_oauth(uuid, text, text, text) is 'Body of public.begin_oauth.';
revoke execute on function private.begin_oauth(uuid, text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.begin_oauth(uuid, text, text, text) to service_role;

create function public.begin_oauth(user_id uuid, platform text, state_hash text, return_to text default null)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.begin_oauth(user_id, platform, state_hash, return_to);
end;
$$;
comment on function public.begin_oauth(uuid, text, text, text) is
    'Remembers that a user started to connect a platform (service only): {expires_at}. PT404 for an unknown platform.';
revoke execute on function public.begin_oauth(uuid, text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.begin_oauth(uuid, text, text, text) to service_role;

-- A refusal is a result and not an exception: an exception would roll the burning back.
create function private.take_oauth_state(user_id uuid, platform text, state_hash text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_state private.oauth_state;
    v_platform text;
begin
    delete from private.oauth_state as s where s.state_hash = take_oauth_state.state_hash returning s.* into v_state;
    if not found then
        return jsonb_build_object('accepted', false, 'reason', 'unknown');
    end if;
    select p.slug into v_platform from public.platform as p where p.id = v_state.platform_id;
    return case
        when v_state.user_id <> take_oauth_state.user_id then jsonb_build_object('accepted', false, 'reason', 'wrong_user')
        when v_platform is distinct from take_oauth_state.platform
            then jsonb_build_object('accepted', false, 'reason', 'wrong_platform')
        when v_state.created_at + private.setting_interval('oauth.state_ttl') <= clock_timestamp()
            then jsonb_build_object('accepted', false, 'reason', 'expired')
        else jsonb_build_object('accepted', true, 'return_to', v_state.return_to)
    end;
end;
$$;
comment on function private.take_oauth_state(uuid, text, text) is 'Body of public.take_oauth_state.';
revoke execute on function private.take_oauth_state(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function private.take_oauth_state(uuid, text, text) to service_role;

create function public.take_oauth_state(user_id uuid, platform text, state_hash text)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.take_oauth_state(user_id, platform, state_hash);
end;
$$;
comment on function public.take_oauth_state(uuid, text, text) is
    'Burns a state, whoever presents it (service only): {accepted, return_to} or {accepted: false, reason}.';
revoke execute on function public.take_oauth_state(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function public.take_oauth_state(uuid, text, text) to service_role;

create function private.store_token(connection_id uuid, token jsonb)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_connection public.platform_connection;
    v_stored jsonb;
    v_now timestamptz := clock_timestamp();
begin
    -- The caller holds the connection's row.
    select c.* into v_connection from public.platform_connection as c where c.id = store_token.connection_id for update;
    if coalesce(token ->> 'access_token', '') = '' then
        raise exception 'a token needs an access token' using errcode = 'PT422';
    end if;
    -- What an answer leaves out stays as it was: an empty refresh token never replaces a good one.
    v_stored := coalesce(private.vault_get(v_connection.vault_secret_name)::jsonb, '{}')
        || jsonb_strip_nulls(jsonb_build_object(
            'access_token', token ->> 'access_token',
            'refresh_token', nullif(token ->> 'refresh_token', ''),
            'extra', token -> 'extra'
        ));
    perform private.vault_put(v_connection.vault_secret_name, v_stored::text, 'OAuth tokens of a platform connection');
    update public.platform_connection as c set
        token_version = c.token_version + 1,
        token_expires_at = v_now + make_interval(secs => (token ->> 'lifetime_seconds')::double precision),
        refresh_lease_until = null,
        last_verified_at = v_now
    where c.id = v_connection.id;
    insert into private.token_state as t (connection_id, is_refreshable, issued_at, refresh_not_before, refresh_expires_at)
    values (
        v_connection.id,
        coalesce((token ->> 'is_refreshable')::boolean, false) or v_stored ? 'refresh_token',
        v_now,
        v_now + make_interval(secs => coalesce((token ->> 'refresh_after_seconds')::double precision, 0)),
        v_now + make_interval(secs => (token ->> 'refresh_lifetime_seconds')::double precision)
    )
    on conflict on constraint token_state_pkey do update set
        is_refreshable = excluded.is_refreshable,
        issued_at = excluded.issued_at,
        refresh_not_before = excluded.refresh_not_before,
        refresh_expires_at = coalesce(excluded.refresh_expires_at, t.refresh_expires_at),
        lease_token = null,
        failures = 0,
        retry_at = null;
    return v_connection.token_version + 1;
end;
$$;
comment on function private.store_token(uuid, jsonb) is
    'Stores a connection''s newest token, dates it, and ends any lease; the new version. Lifetimes are seconds from now.';
revoke execute on function private.store_token(uuid, jsonb) from public, anon, authenticated, service_role;

create function private.complete_connection(user_id uuid, platform text, token jsonb, profile jsonb, last_error text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_platform_id uuid;
    v_connection public.platform_connection;
    v_active_status_id uuid;
    v_max integer;
    v_room integer;
    v_account jsonb;
    v_account_id uuid;
    v_account_ids uuid[] := array[]::uuid[];
    v_skipped text[] := array[]::text[];
    v_scopes text[];
begin
    select p.id into v_platform_id from public.platform as p where p.slug = complete_connection.platform;
    if not found then
        raise exception 'There is no platform of this name.' using errcode = 'PT404', hint = 'unknown_platform';
    end if;
    -- One connection of a user at a time: the account limit is counted and used under this lock.
    select t.max_social_accounts into v_max
    from public.subscription as s
    join public.subscription_tier as t on t.id = s.tier_id
    where s.user_id = complete_connection.user_id
    for update of s;
    if not found then
        raise exception 'There is no such user.' using errcode = 'PT404', hint = 'unknown_user';
    end if;
    perform private.refuse_leaving(complete_connection.user_id);
    select s.id into v_active_status_id from public.account_status as s where s.slug = 'active';
    v_scopes := array(select jsonb_array_elements_text(coalesce(nullif(token -> 'scopes', 'null'), '[]')));

    select c.* into v_connection from public.platform_connection as c
    where c.user_id = complete_connection.user_id
        and c.platform_id = v_platform_id
        and c.platform_user_id is not distinct from (profile ->> 'platform_user_id')
    for update;
    if found then
        update public.platform_connection as c set
            scopes = v_scopes,
            platform_username = profile ->> 'username',
            platform_display_name = profile ->> 'display_name',
            platform_avatar_url = profile ->> 'avatar_url',
            is_active = true,
            is_verified = complete_connection.last_error is null,
            last_error = complete_connection.last_error
        where c.id = v_connection.id;
    else
        insert into public.platform_connection (
            user_id, platform_id, scopes, platform_user_id, platform_username, platform_display_name, platform_avatar_url,
            is_active, is_verified, last_error
        ) values (
            complete_connection.user_id, v_platform_id, v_scopes, profile ->> 'platform_user_id', profile ->> 'username',
            profile ->> 'display_name', profile ->> 'avatar_url', true, complete_connection.last_error is null,
            complete_connection.last_error
        )
        returning * into v_connection;
    end if;
    perform private.store_token(v_connection.id, token);
    -- A grant that did not even let us see whose it is has been replaced by this one.
    delete from public.platform_connection as c
    where c.user_id = complete_connection.user_id and c.platform_id = v_platform_id
        and c.platform_user_id is null and c.id <> v_connection.id;

    select v_max - count(*) into v_room from public.social_account as a
    where a.user_id = complete_connection.user_id and a.deleted_at is null and a.disabled_by_plan_at is null;

    for v_account in select a.value from jsonb_array_elements(coalesce(profile -> 'accounts', '[]')) as a loop
        update public.social_account as a set
            connection_id = v_connection.id,
            status_id = v_active_status_id,
            account_name = v_account ->> 'account_name',
            account_url = v_account ->> 'account_url',
            handle = v_account ->> 'username',
            avatar_url = v_account ->> 'avatar_url',
            description = v_account ->> 'description',
            follower_count = (v_account ->> 'follower_count')::integer,
            following_count = (v_account ->> 'following_count')::integer,
            post_count = (v_account ->> 'post_count')::integer,
            meta = coalesce(v_account -> 'sync_hint', '{}'),
            capabilities = coalesce(v_account -> 'capabilities', '{}'),
            sync_failures = 0,
            last_sync_status = nullif(a.last_sync_status, 'disconnected'),
            deleted_at = null,
            -- A connection that comes back is read again soon; a live one keeps its rhythm.
            next_sync_at = case
                when v_connection.is_active and a.next_sync_at is not null then a.next_sync_at
                else clock_timestamp() + private.setting_interval('sync.first_delay')
            end
        where a.user_id = complete_connection.user_id
            and a.platform_id = v_platform_id
            and a.platform_account_id = v_account ->> 'platform_account_id'
            and (a.deleted_at is null or v_room is null or v_room > 0)
        returning a.id into v_account_id;
        if not found then
            if v_room <= 0 then
                v_skipped := v_skipped || (v_account ->> 'account_name');
                continue;
            end if;
            insert into public.social_account (
                user_id, connection_id, platform_id, status_id, platform_account_id, account_name, account_url, handle,
                avatar_url, description, follower_count, following_count, post_count, meta, capabilities, is_primary, next_sync_at
            ) values (
                complete_connection.user_id, v_connection.id, v_platform_id, v_active_status_id,
                v_account ->> 'platform_account_id', v_account ->> 'account_name', v_account ->> 'account_url',
                v_account ->> 'username', v_account ->> 'avatar_url', v_account ->> 'description',
                (v_account ->> 'follower_count')::integer, (v_account ->> 'following_count')::integer,
                (v_account ->> 'post_count')::integer, coalesce(v_account -> 'sync_hint', '{}'),
                coalesce(v_account -> 'capabilities', '{}'),
                not exists (
                    select 1 from public.social_account as o
                    where o.user_id = complete_connection.user_id and o.platform_id = v_platform_id and o.is_primary
                ),
                clock_timestamp() + private.setting_interval('sync.first_delay')
            )
            returning id into v_account_id;
            v_room := v_room - 1;
        end if;
        v_account_ids := v_account_ids || v_account_id;
    end loop;

    if cardinality(v_account_ids) = 0 and cardinality(v_skipped) > 0 then
        raise exception 'The plan allows % connected accounts; disconnect one or choose a larger plan.', v_max
            using errcode = 'PT402', hint = 'account_limit_reached';
    end if;
    return jsonb_build_object(
        'connection', (select private.connection_json(c) from public.platform_connection as c where c.id = v_connection.id),
        'accounts', coalesce((
            select jsonb_agg(to_jsonb(a) - 'meta' - 'sync_lease_until' order by a.created_at, a.id)
            from public.social_account as a where a.id = any(v_account_ids)
        ), '[]'),
        'skipped_accounts', to_jsonb(v_skipped)
    );
end;
$$;
comment on function private.complete_connection(uuid, text, jsonb, jsonb, text) is 'Body of public.complete_connection.';
revoke execute on function private.complete_connection(uuid, text, jsonb, jsonb, text) from public, anon, authenticated, service_role;
grant execute on function private.complete_connection(uuid, text, jsonb, jsonb, text) to service_role;

create function private.connection_json(connection public.platform_connection)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
    return to_jsonb(connection) - 'vault_secret_name' - 'token_version' - 'refresh_lease_until'
        || jsonb_build_object('platform', (select p.slug from public.platform as p where p.id = connection.platform_id));
end;
$$;
comment on function private.connection_json(public.platform_connection) is 'A connection as the functions answer it.';
revoke execute on function private.connection_json(public.platform_connection) from public, anon, authenticated, service_role;

create function public.complete_connection(user_id uuid, platform text, token jsonb, profile jsonb, last_error text default null)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.complete_connection(user_id, platform, token, profile, last_error);
end;
$$;
comment on function public.complete_connection(uuid, text, jsonb, jsonb, text) is
    'Stores a grant in one transaction (service only): token into Vault, connection, accounts within the plan''s limit. {connection, accounts, skipped_accounts}; PT402 if not one account fits. The same identity again keeps its rows.';
revoke execute on function public.complete_connection(uuid, text, jsonb, jsonb, text) from public, anon, authenticated, service_role;
grant execute on function public.complete_connection(uuid, text, jsonb, jsonb, text) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- The token's life. Many workers may want one token at once; one of them refreshes under a lease, the others take what it
-- stores. The version makes the two ends of a refresh one compare-and-swap.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.begin_token_refresh(connection_id uuid, ahead_seconds integer, rejected_version integer)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_connection public.platform_connection;
    v_state private.token_state;
    v_now timestamptz := clock_timestamp();
    v_is_expired boolean;
    v_is_rejected boolean;
    v_lease uuid;
    v_answer jsonb;
begin
    select c.* into v_connection from public.platform_connection as c where c.id = begin_token_refresh.connection_id for update;
    if not found or not v_connection.is_active then
        return jsonb_build_object('status', 'gone');
    end if;
    select t.* into v_state from private.token_state as t where t.connection_id = v_connection.id;
    v_is_expired := v_connection.token_expires_at is not null and v_connection.token_expires_at <= v_now;
    v_is_rejected := coalesce(rejected_version = v_connection.token_version, false);
    v_answer := jsonb_build_object(
        'version', v_connection.token_version,
        'token', private.vault_get(v_connection.vault_secret_name)::jsonb
    );
    if not v_is_rejected
        and (v_connection.token_expires_at is null or v_connection.token_expires_at > v_now + make_interval(secs => ahead_seconds)) then
        return v_answer || '{"status": "usable"}';
    end if;
    if not coalesce(v_state.is_refreshable, false) or v_state.refresh_not_before > v_now and not v_is_expired then
        return v_answer || jsonb_build_object('status', case when v_is_rejected or v_is_expired then 'dead' else 'usable' end);
    end if;
    if v_connection.refresh_lease_until > v_now or v_state.retry_at > v_now then
        -- Somebody is at it, or has just failed. A token that still has some time left serves meanwhile.
        return case when v_is_expired or v_is_rejected then v_answer - 'token' else v_answer end || jsonb_build_object(
            'status', case when v_is_expired or v_is_rejected then 'busy' else 'usable' end,
            'wait_seconds', extract(epoch from greatest(v_connection.refresh_lease_until, v_state.retry_at) - v_now)
        );
    end if;
    v_lease := gen_random_uuid();
    update public.platform_connection as c set refresh_lease_until = v_now + private.setting_interval('token.refresh_lease')
    where c.id = v_connection.id;
    update private.token_state as t set lease_token = v_lease where t.connection_id = v_connection.id;
    return v_answer || jsonb_build_object(
        'status', 'refresh', 'lease', v_lease, 'is_needed_now', v_is_expired or v_is_rejected
    );
end;
$$;
comment on function private.begin_token_refresh(uuid, integer, integer) is 'Body of public.begin_token_refresh.';
revoke execute on function private.begin_token_refresh(uuid, integer, integer) from public, anon, authenticated, service_role;
grant execute on function private.begin_token_refresh(uuid, integer, integer) to service_role;

create function public.begin_token_refresh(connection_id uuid, ahead_seconds integer default 0, rejected_version integer default null)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.begin_token_refresh(connection_id, ahead_seconds, rejected_version);
end;
$$;
comment on function public.begin_token_refresh(uuid, integer, integer) is
    'The token of a connection (service only): {status, version, token, lease, is_needed_now}. usable; refresh: the caller has the lease and must finish; busy: ask again soon; dead: it cannot be renewed; gone: no such live connection. A version that the platform rejected counts as expired.';
revoke execute on function public.begin_token_refresh(uuid, integer, integer) from public, anon, authenticated, service_role;
grant execute on function public.begin_token_refresh(uuid, integer, integer) to service_role;

create function private.finish_token_refresh(connection_id uuid, lease uuid, version integer, token jsonb)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
begin
    -- The version decides, not the lease: a token that was issued after all is stored even if the lease has run out,
    -- unless somebody stored a newer one meanwhile.
    perform 1 from public.platform_connection as c
    where c.id = finish_token_refresh.connection_id and c.token_version = finish_token_refresh.version
    for update;
    if not found then
        return false;
    end if;
    if token is not null then
        perform private.store_token(finish_token_refresh.connection_id, token);
        return true;
    end if;
    -- A failure that passes by: the next one tries after a growing pause.
    update private.token_state as t set
        failures = t.failures + 1,
        retry_at = clock_timestamp() + least(interval '1 second' * (2 ^ least(t.failures, 10)), interval '15 minutes'),
        lease_token = null
    where t.connection_id = finish_token_refresh.connection_id and t.lease_token = finish_token_refresh.lease;
    if found then
        update public.platform_connection as c set refresh_lease_until = null where c.id = finish_token_refresh.connection_id;
    end if;
    return found;
end;
$$;
comment on function private.finish_token_refresh(uuid, uuid, integer, jsonb) is 'Body of public.finish_token_refresh.';
revoke execute on function private.finish_token_refresh(uuid, uuid, integer, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.finish_token_refresh(uuid, uuid, integer, jsonb) to service_role;

create function public.finish_token_refresh(connection_id uuid, lease uuid, version integer, token jsonb default null)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.finish_token_refresh(connection_id, lease, version, token);
end;
$$;
comment on function public.finish_token_refresh(uuid, uuid, integer, jsonb) is
    'Ends a refresh (service only): stores the new token if `version` is still the stored one; without a token it gives the lease back. False if a newer token is there.';
revoke execute on function public.finish_token_refresh(uuid, uuid, integer, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.finish_token_refresh(uuid, uuid, integer, jsonb) to service_role;

create function private.mark_grant_dead(connection_id uuid, version integer, reason text)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_connection public.platform_connection;
    v_platform text;
begin
    -- First, because the runs that end with the grant may give their charges back.
    perform 1 from public.subscription as s
    where s.user_id = (select c.user_id from public.platform_connection as c where c.id = mark_grant_dead.connection_id)
    for update;
    -- Only for the newest token: an older one that died tells nothing.
    update public.platform_connection as c set
        is_active = false, is_verified = false, refresh_lease_until = null, last_error = mark_grant_dead.reason
    where c.id = mark_grant_dead.connection_id and c.is_active
        and (mark_grant_dead.version is null or c.token_version = mark_grant_dead.version)
    returning c.* into v_connection;
    if not found then
        return false;
    end if;
    select p.display_name into v_platform from public.platform as p where p.id = v_connection.platform_id;
    update public.social_account as a set
        status_id = (select s.id from public.account_status as s where s.slug = 'disconnected'),
        next_sync_at = null,
        last_sync_status = 'disconnected'
    where a.connection_id = v_connection.id;
    insert into public.notification (
        user_id, type, title, message, related_entity_type, related_entity_id, metadata, dedupe_key
    ) values (
        v_connection.user_id, 'connection_problem', format('%s needs to be connected again', v_platform),
        format('%s no longer lets StreamVibe read %s. Connect it again to go on syncing.', v_platform,
            coalesce(v_connection.platform_display_name, 'the account')),
        'platform_connection', v_connection.id, jsonb_build_object('reason', mark_grant_dead.reason),
        format('grant_dead:%s:%s', v_connection.id, v_connection.token_version)
    )
    on conflict do nothing;
    return true;
end;
$$;
comment on function private.mark_grant_dead(uuid, integer, text) is 'Body of public.mark_grant_dead.';
revoke execute on function private.mark_grant_dead(uuid, integer, text) from public, anon, authenticated, service_role;
grant execute on function private.mark_grant_dead(uuid, integer, text) to service_role;

create function public.mark_grant_dead(connection_id uuid, version integer, reason text)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.mark_grant_dead(connection_id, version, reason);
end;
$$;
comment on function public.mark_grant_dead(uuid, integer, text) is
    'The platform withdrew the grant that this token version stands for (service only): stops its jobs and tells the user once. False if a newer token is stored, or it was known.';
revoke execute on function public.mark_grant_dead(uuid, integer, text) from public, anon, authenticated, service_role;
grant execute on function public.mark_grant_dead(uuid, integer, text) to service_role;

create function private.tokens_to_refresh(platform text, ahead interval, max_results integer)
returns setof jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return query
    select to_jsonb(c.id)
    from public.platform_connection as c
    join public.platform as p on p.id = c.platform_id
    join private.token_state as t on t.connection_id = c.id
    where p.slug = tokens_to_refresh.platform
        and c.is_active
        and t.is_refreshable
        and c.token_expires_at < clock_timestamp() + ahead
        and coalesce(t.refresh_not_before, '-infinity') <= clock_timestamp()
        and coalesce(t.retry_at, '-infinity') <= clock_timestamp()
        and coalesce(c.refresh_lease_until, '-infinity') <= clock_timestamp()
    order by c.token_expires_at
    limit max_results;
end;
$$;
comment on function private.tokens_to_refresh(text, interval, integer) is 'Body of public.tokens_to_refresh.';
revoke execute on function private.tokens_to_refresh(text, interval, integer) from public, anon, authenticated, service_role;
grant execute on function private.tokens_to_refresh(text, interval, integer) to service_role;

create function public.tokens_to_refresh(platform text, ahead interval, max_results integer default 100)
returns setof jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
    return query select t.* from private.tokens_to_refresh(platform, ahead, max_results) as t;
end;
$$;
comment on function public.tokens_to_refresh(text, interval, integer) is
    'Ids of a platform''s connections whose tokens end within `ahead` and can be renewed (service only), soonest first.';
revoke execute on function public.tokens_to_refresh(text, interval, integer) from public, anon, authenticated, service_role;
grant execute on function public.tokens_to_refresh(text, interval, integer) to service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- The end. The rows and the secret go first, in one transaction; giving the grant back to the platform may take its time.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.disconnect(user_id uuid, connection_id uuid, is_revocable boolean)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_connection public.platform_connection;
    v_token text;
    v_platform text;
    v_revocation private.revocation;
begin
    -- The subscription before connection and accounts, as everywhere: an account that goes may let another one in.
    perform 1 from public.subscription as s where s.user_id = disconnect.user_id for update;
    select c.* into v_connection from public.platform_connection as c
    where c.id = disconnect.connection_id and c.user_id = disconnect.user_id
    for update;
    if not found then
        raise exception 'There is no such connection.' using errcode = 'PT404', hint = 'unknown_connection';
    end if;
    select p.slug into v_platform from public.platform as p where p.id = v_connection.platform_id;
    v_token := private.vault_get(v_connection.vault_secret_name);
    if disconnect.is_revocable and v_token is not null then
        insert into private.revocation (user_id, platform, next_try_at)
        -- The caller tries first; maintenance comes in if it dies.
        values (v_connection.user_id, v_platform, clock_timestamp() + private.setting_interval('revocation.retry'))
        returning * into v_revocation;
        perform private.vault_put(v_revocation.vault_secret_name, v_token, 'Token of an ended connection, to be revoked');
    end if;
    -- Accounts, items, runs and the secret go with it.
    delete from public.platform_connection as c where c.id = v_connection.id;
    return jsonb_build_object('platform', v_platform, 'revocation_id', v_revocation.id, 'token', v_token::jsonb);
end;
$$;
comment on function private.disconnect(uuid, uuid, boolean) is 'Body of public.disconnect.';
revoke execute on function private.disconnect(uuid, uuid, boolean) from public, anon, authenticated, service_role;
grant execute on function private.disconnect(uuid, uuid, boolean) to service_role;

create function public.disconnect(user_id uuid, connection_id uuid, is_revocable boolean default true)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    return private.disconnect(user_id, connection_id, is_revocable);
end;
$$;
comment on function public.disconnect(uuid, uuid, boolean) is
    'Ends a connection with everything synced through it (service only): {platform, revocation_id, token}, for the caller to revoke. PT404 if it is not the user''s.';
revoke execute on function public.disconnect(uuid, uuid, boolean) from public, anon, authenticated, service_role;
grant execute on function public.disconnect(uuid, uuid, boolean) to service_role;

create function private.claim_revocations(max_results integer)
returns setof jsonb
language plpgsql
security definer
set search_path = ''
as $$
begin
    delete from private.revocation as r
    where r.created_at < clock_timestamp() - private.setting_interval('revocation.give_up_after');
    return query
    update private.revocation as r set
        attempts = r.attempts + 1,
        next_try_at = clock_timestamp() + private.setting_interval('revocation.retry') * (2 ^ least(r.attempts, 8))
    where r.id in (
        select d.id from private.revocation as d
        where d.next_try_at <= clock_timestamp()
        order by d.next_try_at
        limit max_results
        for update skip locked
    )
    returning jsonb_build_object(
        'revocation_id', r.id, 'platform', r.platform, 'token', private.vault_get(r.vault_secret_name)::jsonb
    );
end;
$$;
comment on function private.claim_revocations(integer) is 'Body of public.claim_revocations.';
revoke execute on function private.claim_revocations(integer) from public, anon, authenticated, service_role;
grant execute on function private.claim_revocations(integer) to service_role;

create function public.claim_revocations(max_results integer default 20)
returns setof jsonb
language plpgsql
set search_path = ''
as $$
begin
    return query select c.* from private.claim_revocations(max_results) as c;
end;
$$;
comment on function public.claim_revocations(integer) is
    'Revocations whose time has come, each for one caller (service only): {revocation_id, platform, token}. Drops those that the platform has refused for too long.';
revoke execute on function public.claim_revocations(integer) from public, anon, authenticated, service_role;
grant execute on function public.claim_revocations(integer) to service_role;

create function private.finish_revocation(revocation_id uuid)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
begin
    delete from private.revocation as r where r.id = finish_revocation.revocation_id;
    return found;
end;
$$;
comment on function private.finish_revocation(uuid) is 'Body of public.finish_revocation.';
revoke execute on function private.finish_revocation(uuid) from public, anon, authenticated, service_role;
grant execute on function private.finish_revocation(uuid) to service_role;

create function public.finish_revocation(revocation_id uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    return private.finish_revocation(revocation_id);
end;
$$;
comment on function public.finish_revocation(uuid) is 'The platform has the grant back (service only): forgets the token.';
revoke execute on function public.finish_revocation(uuid) from public, anon, authenticated, service_role;
grant execute on function public.finish_revocation(uuid) to service_role;

create function private.purge_oauth_states()
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_count integer;
begin
    delete from private.oauth_state as s
    where s.created_at + private.setting_interval('oauth.state_ttl') <= clock_timestamp();
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;
comment on function private.purge_oauth_states() is 'Body of public.purge_oauth_states.';
revoke execute on function private.purge_oauth_states() from public, anon, authenticated, service_role;
grant execute on function private.purge_oauth_states() to service_role;

create function public.purge_oauth_states()
returns integer
language plpgsql
set search_path = ''
as $$
begin
    return private.purge_oauth_states();
end;
$$;
comment on function public.purge_oauth_states() is 'Forgets authorisations that were never completed in time (service only); how many.';
revoke execute on function public.purge_oauth_states() from public, anon, authenticated, service_role;
grant execute on function public.purge_oauth_states() to service_role;
