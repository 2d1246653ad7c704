-- Audit: who changed what, in a form that cannot be altered without being noticed.
--
-- public.audit_log holds what people read. Beside it private.audit_link holds, for each entry, its place in a chain and a
-- hash over the previous link, a pseudonym of the actor and salted digests of the values. Erasing a person replaces the
-- values by a mark and the person's id by the pseudonym, and throws the salt away: nothing personal stays, the digests do,
-- and the chain remains whole. An entry may look erased only if the chain says that its person was deleted.
--
-- One chain would put every writer of the system behind one row lock until its commit. There are several chains instead,
-- chosen by transaction, and a link is made by a deferred trigger: the lock on the chain's head is taken when the
-- transaction is about to commit and held for that instant only. All entries of one transaction go to the same chain, so
-- two transactions cannot wait for each other in a circle.
--
-- What this cannot show: an owner of the database who rewrites a whole chain with its head. For that `maintenance` logs
-- the heads once a day (`audit_heads()`), outside of the database's reach.

create table public.audit_log (
    id uuid primary key default gen_random_uuid(),
    user_id uuid references public.users (id) on delete set null,
    action text not null,
    entity_type text,
    entity_id uuid,
    old_values jsonb,
    new_values jsonb,
    ip_address inet,
    user_agent text,
    created_at timestamptz not null default now()
);
comment on table public.audit_log is 'Security-relevant changes, written by triggers. Only the database''s owner could change it; no role of the API can.';
create index audit_log_user_id_idx on public.audit_log (user_id, created_at desc);
create index audit_log_entity_idx on public.audit_log (entity_type, entity_id);
alter table public.audit_log enable row level security;
create policy select_own on public.audit_log for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own on public.audit_log is 'Users read what was done with their account, admins all.';
revoke all on table public.audit_log from public, anon, authenticated, service_role;
grant select on table public.audit_log to authenticated, service_role;

create table private.audit_chain (
    chain smallint primary key,
    length bigint not null default 0,
    head bytea not null,
    linked_at timestamptz not null default '-infinity',
    constraint audit_chain_length_not_negative check (length >= 0)
) with (fillfactor = 50);
comment on table private.audit_chain is 'The head of each audit chain: how long it is and the hash of its last link.';
revoke all on table private.audit_chain from public, anon, authenticated, service_role;

insert into private.audit_chain (chain, head)
select c.chain, sha256(convert_to('streamvibe audit chain ' || c.chain, 'UTF8'))
from generate_series(0, 15) as c (chain);

create table private.audit_pseudonym (
    user_id uuid primary key references public.users (id) on delete cascade,
    pseudonym uuid not null unique default gen_random_uuid()
);
comment on table private.audit_pseudonym is 'Who a pseudonym of the audit chain is; gone with the user, so that it is nobody''s any more.';
revoke all on table private.audit_pseudonym from public, anon, authenticated, service_role;

create table private.audit_link (
    audit_id uuid primary key,
    chain smallint not null references private.audit_chain (chain) on delete restrict,
    position bigint not null,
    linked_at timestamptz not null,
    pseudonym uuid,
    subject uuid,
    entity uuid,
    salt bytea,
    values_digest bytea not null,
    hash bytea not null,
    constraint audit_link_place_once unique (chain, position),
    constraint audit_link_position_positive check (position > 0)
);
comment on table private.audit_link is 'Place and hash of each audit entry. The salt goes when its person is erased; the digest it made stays.';
comment on column private.audit_link.pseudonym is 'Who did it.';
comment on column private.audit_link.subject is 'Whom the values name, where that is somebody else: an admin grants a role.';
comment on column private.audit_link.entity is 'Whom entity_id names, where that is a person: hashed in its place.';
create index audit_link_by_time on private.audit_link (chain, linked_at);
create index audit_link_by_pseudonym on private.audit_link (pseudonym) where pseudonym is not null;
create index audit_link_by_subject on private.audit_link (subject) where subject is not null;
revoke all on table private.audit_link from public, anon, authenticated, service_role;

create table private.audit_archive (
    like public.audit_log including constraints including indexes,
    archived_at timestamptz not null default now()
);
comment on table private.audit_archive is 'Old entries of the audit log. Their links stay where they are, so they verify as before.';
revoke all on table private.audit_archive from public, anon, authenticated, service_role;

-- ---------------------------------------------------------------------------------------------------------------------
-- Writing
-- ---------------------------------------------------------------------------------------------------------------------

create function private.audit_values_digest(salt bytea, entry public.audit_log)
returns bytea
language sql
immutable
set search_path = ''
as $$
    -- jsonb prints its keys in one order, so equal values make equal text.
    select sha256(salt || convert_to(jsonb_build_array(
        entry.old_values, entry.new_values, host(entry.ip_address), entry.user_agent
    )::text, 'UTF8'));
$$;
comment on function private.audit_values_digest(bytea, public.audit_log) is
    'Digest of what an entry says about people: values, address and agent. Salted, so that a guess cannot be checked after erasure.';
revoke execute on function private.audit_values_digest(bytea, public.audit_log) from public, anon, authenticated, service_role;

create function private.audit_hash(previous bytea, link private.audit_link, entry public.audit_log)
returns bytea
language sql
immutable
set search_path = ''
as $$
    select sha256(previous || convert_to(jsonb_build_array(
        link.chain, link.position, extract(epoch from link.linked_at), link.pseudonym, link.subject, encode(link.values_digest, 'hex'),
        entry.id, entry.action, entry.entity_type, coalesce(link.entity, entry.entity_id), extract(epoch from entry.created_at)
    )::text, 'UTF8'));
$$;
comment on function private.audit_hash(bytea, private.audit_link, public.audit_log) is
    'Hash of a link over the one before it. It covers pseudonyms and the digest, not the persons and the values.';
revoke execute on function private.audit_hash(bytea, private.audit_link, public.audit_log) from public, anon, authenticated, service_role;

create function private.audit_pseudonym_of(user_id uuid)
returns uuid
language plpgsql
security definer -- no role may read who a pseudonym is
set search_path = ''
as $$
declare
    v_pseudonym uuid;
begin
    select p.pseudonym into v_pseudonym from private.audit_pseudonym as p where p.user_id = audit_pseudonym_of.user_id;
    if not found then
        insert into private.audit_pseudonym (user_id)
        select u.id from public.users as u where u.id = audit_pseudonym_of.user_id
        on conflict on constraint audit_pseudonym_pkey do nothing;
        select p.pseudonym into v_pseudonym from private.audit_pseudonym as p where p.user_id = audit_pseudonym_of.user_id;
    end if;
    return v_pseudonym;
end;
$$;
comment on function private.audit_pseudonym_of(uuid) is 'The pseudonym of a user in the audit chain, made when it is first needed; null for nobody.';
revoke execute on function private.audit_pseudonym_of(uuid) from public, anon, authenticated, service_role;

create function private.link_audit_entry()
returns trigger
language plpgsql
security definer -- writes the chain, whoever caused the entry
set search_path = ''
as $$
declare
    v_entry public.audit_log;
    v_link private.audit_link;
    v_previous bytea;
    v_subject text;
begin
    -- The entry as it is at commit: a user who is deleted in the same transaction is gone by now.
    select * into v_entry from public.audit_log as a where a.id = new.id;
    if not found then
        return null;
    end if;
    v_link.audit_id := v_entry.id;
    v_link.chain := pg_current_xact_id()::text::numeric % 16;
    v_link.pseudonym := private.audit_pseudonym_of(v_entry.user_id);
    v_subject := coalesce(v_entry.new_values, v_entry.old_values) ->> 'user_id';
    if v_subject is distinct from v_entry.user_id::text and v_subject ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        v_link.subject := private.audit_pseudonym_of(v_subject::uuid);
    end if;
    if v_entry.entity_type in ('users', 'user_setting') then
        v_link.entity := private.audit_pseudonym_of(v_entry.entity_id);
    end if;
    v_link.salt := uuid_send(gen_random_uuid());
    v_link.values_digest := private.audit_values_digest(v_link.salt, v_entry);

    select c.head, c.length + 1, greatest(clock_timestamp(), c.linked_at)
    into v_previous, v_link.position, v_link.linked_at
    from private.audit_chain as c
    where c.chain = v_link.chain
    for update;
    v_link.hash := private.audit_hash(v_previous, v_link, v_entry);

    insert into private.audit_link select v_link.*;
    update private.audit_chain as c
    set length = v_link.position, head = v_link.hash, linked_at = v_link.linked_at
    where c.chain = v_link.chain;
    return null;
end;
$$;
comment on function private.link_audit_entry() is 'Appends a new audit entry to the chain of its transaction, at commit.';
revoke execute on function private.link_audit_entry() from public, anon, authenticated, service_role;

create constraint trigger link_entry after insert on public.audit_log
deferrable initially deferred
for each row execute function private.link_audit_entry();

-- Append-only by grants (nobody but the owner holds UPDATE, DELETE or TRUNCATE) and, against the owner's own mistakes, by
-- triggers: an entry changes only by being erased, and goes only into the archive.
create function private.guard_audit_entry()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    -- The owner in person may do as owners can; the chain then shows it. A request may not, whichever function it calls:
    -- within a definer the current user is the owner too, but the session is not the owner's.
    if pg_has_role(session_user, (select c.relowner from pg_catalog.pg_class as c where c.oid = tg_relid), 'member') then
        return coalesce(new, old);
    end if;
    if tg_op = 'DELETE' then
        if exists (select from private.audit_archive as a where a.id = old.id) then
            return old;
        end if;
    elsif tg_op = 'UPDATE' then
        if (new.id, new.action, new.entity_type, new.created_at) is not distinct from (old.id, old.action, old.entity_type, old.created_at)
            and new.old_values is null and new.new_values = '{"erased": true}' and new.ip_address is null and new.user_agent is null
            and (new.user_id is null or new.user_id = old.user_id)
        then
            return new;
        end if;
    end if;
    raise exception 'the audit log is append-only' using errcode = 'PT403', hint = 'audit_append_only';
end;
$$;
comment on function private.guard_audit_entry() is 'Refuses every request''s change of the audit log but erasure of a person and moving to the archive.';
revoke execute on function private.guard_audit_entry() from public, anon, authenticated, service_role;

create trigger guard_entry before update or delete on public.audit_log
for each row execute function private.guard_audit_entry();
create trigger guard_table before truncate on public.audit_log
for each statement execute function private.guard_audit_entry();

create function private.request_header(name text)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
    return nullif(current_setting('request.headers', true), '')::jsonb ->> request_header.name;
exception
    when invalid_text_representation then
        return null;
end;
$$;
comment on function private.request_header(text) is 'A header of the request that the data API is serving, or null.';
revoke execute on function private.request_header(text) from public, anon, authenticated, service_role;

create function private.request_ip()
returns inet
language plpgsql
stable
set search_path = ''
as $$
begin
    return nullif(btrim(split_part(private.request_header('x-forwarded-for'), ',', 1)), '')::inet;
exception
    when invalid_text_representation then
        return null;
end;
$$;
comment on function private.request_ip() is 'The client''s address as the gateway reports it, or null.';
revoke execute on function private.request_ip() from public, anon, authenticated, service_role;

create function private.write_audit(
    user_id uuid, action text, entity_type text, entity_id uuid, old_values jsonb default null, new_values jsonb default null
)
returns void
language plpgsql
security definer -- nobody writes the log but through here
set search_path = ''
as $$
begin
    insert into public.audit_log (user_id, action, entity_type, entity_id, old_values, new_values, ip_address, user_agent)
    values (
        (select u.id from public.users as u where u.id = write_audit.user_id),
        write_audit.action, write_audit.entity_type, write_audit.entity_id, write_audit.old_values, write_audit.new_values,
        private.request_ip(), left(private.request_header('user-agent'), 512)
    );
end;
$$;
comment on function private.write_audit(uuid, text, text, uuid, jsonb, jsonb) is
    'Adds an entry to the audit log. The values must hold no secret; address and agent are taken from the request.';
revoke execute on function private.write_audit(uuid, text, text, uuid, jsonb, jsonb) from public, anon, authenticated, service_role;

-- Arguments: the column with the row's id and the one with the user it belongs to ('' if there is none), then the columns
-- of which only that they changed is written down.
create function private.audit_change()
returns trigger
language plpgsql
security definer -- the log is not writable by those whose changes it records
set search_path = ''
as $$
declare
    v_old jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    v_new jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    v_row jsonb := coalesce(v_new, v_old);
    v_owner uuid := v_row ->> nullif(tg_argv[1], '');
    v_column text;
begin
    if tg_op = 'DELETE' and not exists (select from public.users as u where u.id = v_owner) and v_owner is not null then
        -- The row goes because its user does: that it went is recorded, what it said is erased with the person.
        perform private.write_audit(
            auth.uid(), tg_table_name || '.delete', tg_table_name, (v_row ->> nullif(tg_argv[0], ''))::uuid, null, '{"erased": true}'
        );
        return null;
    end if;
    if tg_op = 'UPDATE' then
        select jsonb_object_agg(o.key, o.value), jsonb_object_agg(o.key, v_new -> o.key)
        into v_old, v_new
        from jsonb_each(v_old) as o
        where o.value is distinct from v_new -> o.key and o.key <> 'updated_at';
        if v_old is null then
            return null;
        end if;
    end if;
    for v_column in select unnest(tg_argv[2:]) loop
        v_old := case when v_old ? v_column then jsonb_set(v_old, array[v_column], '"[redacted]"') else v_old end;
        v_new := case when v_new ? v_column then jsonb_set(v_new, array[v_column], '"[redacted]"') else v_new end;
    end loop;
    perform private.write_audit(
        coalesce(auth.uid(), v_owner), tg_table_name || '.' || lower(tg_op), tg_table_name,
        (v_row ->> nullif(tg_argv[0], ''))::uuid, v_old, v_new
    );
    return null;
end;
$$;
comment on function private.audit_change() is
    'Records a change of a row: old and new values of what changed, secrets redacted, the caller or else the row''s user as the actor.';
revoke execute on function private.audit_change() from public, anon, authenticated, service_role;

-- What is recorded: whoever gets rights, connects or loses an account or an engine, changes plan, e-mail or what the public
-- sees; and every change of the lookups, prices included, and of the operators' settings.
create trigger audit after insert or update or delete on public.user_role
for each row execute function private.audit_change('id', 'user_id');
create trigger audit after insert or update of email on public.users -- that a user goes is written by erase_from_audit
for each row execute function private.audit_change('id', 'id');
create trigger audit after update of is_profile_public on public.user_setting
for each row when (new.is_profile_public is distinct from old.is_profile_public)
execute function private.audit_change('user_id', 'user_id');
create trigger audit after insert or update of is_active, is_verified, scopes, platform_user_id, vault_secret_name or delete
on public.platform_connection for each row execute function private.audit_change('id', 'user_id', 'vault_secret_name');
create trigger audit after insert or update of is_active, is_verified, site_url, vault_secret_name or delete
on public.seo_connection for each row execute function private.audit_change('id', 'user_id', 'vault_secret_name');
create trigger audit after update of tier_id, status_id, stripe_customer_id, stripe_subscription_id or delete
on public.subscription for each row execute function private.audit_change('id', 'user_id');
create trigger audit after insert or update of visibility, deleted_at, disabled_by_plan_at or delete
on public.social_account for each row execute function private.audit_change('id', 'user_id');
create trigger audit after insert or update or delete on public.subscription_status
for each row execute function private.audit_change('id', '');
create trigger audit after insert or update or delete on public.account_status
for each row execute function private.audit_change('id', '');
-- Trends come and go by the thousand; what is recorded is an admin's hand in them.
create trigger audit after insert or update or delete on public.trending_keyword
for each row when (auth.uid() is not null) execute function private.audit_change('id', '');
create trigger audit after insert or update or delete on public.platform
for each row execute function private.audit_change('id', '');
create trigger audit after insert or update or delete on public.content_type
for each row execute function private.audit_change('id', '');
create trigger audit after insert or update or delete on public.subscription_tier
for each row execute function private.audit_change('id', '');
create trigger audit after insert or update or delete on public.search_engine
for each row execute function private.audit_change('id', '');
create trigger audit after insert or update or delete on public.ai_provider
for each row execute function private.audit_change('id', '');
create trigger audit after insert or update or delete on public.ai_model
for each row execute function private.audit_change('id', '');
create trigger audit after insert or update or delete on private.setting
for each row execute function private.audit_change('', '');

-- ---------------------------------------------------------------------------------------------------------------------
-- Erasing, archiving, verifying
-- ---------------------------------------------------------------------------------------------------------------------

create function private.erase_from_audit()
returns trigger
language plpgsql
security definer -- the log is not writable by those whose rows go
set search_path = ''
as $$
declare
    v_pseudonym uuid;
    v_about uuid[];
begin
    select p.pseudonym into v_pseudonym from private.audit_pseudonym as p where p.user_id = old.id;
    -- What the person did, and what others did about the person; the latter stay the others' entries.
    v_about := array(select l.audit_id from private.audit_link as l where l.subject = v_pseudonym);
    update private.audit_link as l set salt = null where l.pseudonym = v_pseudonym or l.subject = v_pseudonym;
    update public.audit_log as a
    set
        user_id = nullif(a.user_id, old.id), entity_id = case when a.entity_id = old.id then v_pseudonym else a.entity_id end,
        old_values = null, new_values = '{"erased": true}', ip_address = null, user_agent = null
    where a.user_id = old.id or a.id = any(v_about);
    update private.audit_archive as a
    set
        user_id = nullif(a.user_id, old.id), entity_id = case when a.entity_id = old.id then v_pseudonym else a.entity_id end,
        old_values = null, new_values = '{"erased": true}', ip_address = null, user_agent = null
    where a.user_id = old.id or a.id = any(v_about);
    perform private.write_audit(null, 'users.delete', 'users', v_pseudonym, null, '{"erased": true}');
    return old;
end;
$$;
comment on function private.erase_from_audit() is
    'Before a user goes: what the audit log says about the person is erased, pseudonym and digests stay in the chain.';
revoke execute on function private.erase_from_audit() from public, anon, authenticated, service_role;

create trigger erase_from_audit before delete on public.users
for each row execute function private.erase_from_audit();

create function private.archive_audit_log(older_than interval, max_rows integer)
returns integer
language plpgsql
security definer -- moves rows that nobody else may touch
set search_path = ''
as $$
declare
    v_moved integer;
begin
    with old_rows as (
        select a.* from public.audit_log as a
        join private.audit_link as l on l.audit_id = a.id
        where a.created_at < now() - archive_audit_log.older_than
        order by a.created_at
        limit archive_audit_log.max_rows
        for update of a skip locked
    )
    insert into private.audit_archive
    select o.*, now() from old_rows as o;
    get diagnostics v_moved = row_count;
    delete from public.audit_log as a
    using private.audit_archive as r
    where r.id = a.id and r.archived_at = now();
    return v_moved;
end;
$$;
comment on function private.archive_audit_log(interval, integer) is 'Moves up to max_rows old entries into the archive; returns how many.';
revoke execute on function private.archive_audit_log(interval, integer) from public, anon, authenticated, service_role;

create function private.is_erased(link private.audit_link, entry public.audit_log)
returns boolean
language plpgsql
stable
security definer -- reads the archive, which no role may
set search_path = ''
as $$
begin
    return entry.old_values is null and entry.new_values = '{"erased": true}' and entry.ip_address is null and entry.user_agent is null
        and exists (
            select 1 from public.audit_log as a
            where a.entity_type = 'users' and a.entity_id in (link.pseudonym, link.subject) and a.action = 'users.delete'
            union all
            select 1 from private.audit_archive as a
            where a.entity_type = 'users' and a.entity_id in (link.pseudonym, link.subject) and a.action = 'users.delete'
        );
end;
$$;
comment on function private.is_erased(private.audit_link, public.audit_log) is
    'Whether an entry is erased as it should be: nothing is left of it, and there is an entry of its person''s deletion.';
revoke execute on function private.is_erased(private.audit_link, public.audit_log) from public, anon, authenticated, service_role;

create function private.verify_audit_log(from_time timestamptz, to_time timestamptz)
returns jsonb
language plpgsql
stable
security definer -- reads the chain, which no role may
set search_path = ''
as $$
declare
    v_chain private.audit_chain;
    v_link private.audit_link;
    v_entry public.audit_log;
    v_previous bytea;
    v_expected bigint;
    v_found boolean;
    v_reason text;
    v_checked bigint := 0;
    v_first jsonb;
    v_first_at timestamptz := 'infinity'::timestamptz;
begin
    -- Each chain as far as its first fault; the answer is the earliest of these.
    for v_chain in select c.* from private.audit_chain as c order by c.chain loop
        -- The link before the range is trusted: its own range says whether it is good.
        select l.position, l.hash into v_expected, v_previous
        from private.audit_link as l
        where l.chain = v_chain.chain and l.linked_at < from_time
        order by l.linked_at desc, l.position desc
        limit 1;
        if not found then
            v_expected := 0;
            v_previous := sha256(convert_to('streamvibe audit chain ' || v_chain.chain, 'UTF8'));
        end if;
        v_reason := null;
        for v_link in
            select l.* from private.audit_link as l
            where l.chain = v_chain.chain
                and l.linked_at >= from_time and l.linked_at < to_time
            order by l.position
        loop
            v_expected := v_expected + 1;
            v_checked := v_checked + 1;
            select a.* into v_entry
            from (
                select g.* from public.audit_log as g where g.id = v_link.audit_id
                union all
                select r.id, r.user_id, r.action, r.entity_type, r.entity_id, r.old_values, r.new_values, r.ip_address, r.user_agent, r.created_at
                from private.audit_archive as r where r.id = v_link.audit_id
            ) as a
            limit 1;
            v_found := found;
            v_reason := case
                when v_link.position <> v_expected then 'link missing before this one'
                when not v_found then 'entry missing'
                when v_link.hash <> private.audit_hash(v_previous, v_link, v_entry) then 'altered'
                -- Of whom the pseudonym is nobody's any more, no id may be left either.
                when v_entry.user_id is distinct from (select p.user_id from private.audit_pseudonym as p where p.pseudonym = v_link.pseudonym)
                    then 'actor altered'
                when v_entry.entity_id is distinct from coalesce(
                    (select p.user_id from private.audit_pseudonym as p where p.pseudonym = v_link.entity), v_link.entity, v_entry.entity_id
                ) then 'entity altered'
                when v_link.salt is not null and v_link.values_digest <> private.audit_values_digest(v_link.salt, v_entry)
                    then 'values altered'
                when v_link.salt is null and not private.is_erased(v_link, v_entry) then 'values altered'
            end;
            exit when v_reason is not null;
            v_previous := v_link.hash;
        end loop;
        if v_reason is not null then
            if v_link.linked_at < v_first_at then
                v_first_at := v_link.linked_at;
                v_first := jsonb_build_object(
                    'audit_id', v_link.audit_id, 'chain', v_link.chain, 'position', v_link.position, 'reason', v_reason
                );
            end if;
        elsif v_chain.linked_at < to_time and (v_expected, v_previous) is distinct from (v_chain.length, v_chain.head)
            and v_chain.linked_at < v_first_at then
            v_first_at := v_chain.linked_at;
            v_first := jsonb_build_object(
                'audit_id', null, 'chain', v_chain.chain, 'position', v_expected + 1, 'reason', 'end of the chain missing'
            );
        end if;
    end loop;

    select a.id, a.created_at into v_entry.id, v_entry.created_at
    from (
        select g.id, g.created_at from public.audit_log as g
        union all
        select r.id, r.created_at from private.audit_archive as r
    ) as a
    where a.created_at >= from_time and a.created_at < to_time
        and not exists (select from private.audit_link as l where l.audit_id = a.id)
    order by a.created_at
    limit 1;
    if found and v_entry.created_at < v_first_at then
        v_first := jsonb_build_object('audit_id', v_entry.id, 'chain', null, 'position', null, 'reason', 'entry without a link');
    end if;
    return coalesce(jsonb_build_object('ok', false) || v_first, '{"ok": true}') || jsonb_build_object('checked', v_checked);
end;
$$;
comment on function private.verify_audit_log(timestamptz, timestamptz) is
    'Body of public.verify_audit_log.';
revoke execute on function private.verify_audit_log(timestamptz, timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.verify_audit_log(timestamptz, timestamptz) to service_role;

-- In language sql, because plpgsql_check rightly dislikes parameters that are named like keywords; these are an API's.
create function public.verify_audit_log("from" timestamptz default '-infinity', "to" timestamptz default 'infinity')
returns jsonb
language sql
stable
set search_path = ''
as $$
    select private.verify_audit_log(coalesce("from", '-infinity'), coalesce("to", 'infinity'))
$$;
comment on function public.verify_audit_log(timestamptz, timestamptz) is
    'Checks the audit chains over a span of time: {ok, checked} or the earliest altered or missing entry {ok, checked, audit_id, chain, position, reason}.';
revoke execute on function public.verify_audit_log(timestamptz, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.verify_audit_log(timestamptz, timestamptz) to service_role;

create function private.audit_heads()
returns jsonb
language plpgsql
stable
security definer -- reads the chains, which no role may
set search_path = ''
as $$
begin
    return (
        select jsonb_agg(jsonb_build_object('chain', c.chain, 'length', c.length, 'head', encode(c.head, 'hex')) order by c.chain)
        from private.audit_chain as c
    );
end;
$$;
comment on function private.audit_heads() is 'Body of public.audit_heads.';
revoke execute on function private.audit_heads() from public, anon, authenticated, service_role;
grant execute on function private.audit_heads() to service_role;

create function public.audit_heads()
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
    return private.audit_heads();
end;
$$;
comment on function public.audit_heads() is 'Length and last hash of each audit chain, for keeping outside of the database.';
revoke execute on function public.audit_heads() from public, anon, authenticated, service_role;
grant execute on function public.audit_heads() to service_role;
