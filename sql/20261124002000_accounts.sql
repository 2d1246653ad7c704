-- Accounts: who a user is, what they prefer, which roles they hold, and how all of it comes to be when Auth signs them up.

create table public.users (
    id uuid primary key references auth.users (id) on delete cascade,
    email text,
    full_name text,
    avatar_url text,
    timezone text not null default 'UTC',
    language text not null default 'en',
    is_onboarded boolean not null default false,
    onboarded_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint users_full_name_length check (char_length(full_name) <= 200),
    constraint users_avatar_url_is_web check (char_length(avatar_url) <= 2048 and avatar_url ~ '^https?://'),
    constraint users_timezone_length check (char_length(timezone) between 1 and 64),
    constraint users_language_is_bcp_47 check (language ~ '^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$')
);
comment on table public.users is 'Profiles; one row for each row of auth.users, made and kept in step by triggers there.';
comment on column public.users.email is 'Copy of auth.users.email. Null for users without one (phone, anonymous).';
comment on column public.users.onboarded_at is 'Set once, when is_onboarded first becomes true.';

create function private.check_user()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if new.is_onboarded and new.onboarded_at is null then
        new.onboarded_at := now();
    end if;
    if tg_op = 'INSERT' or new.timezone is distinct from old.timezone then
        -- Raises invalid_parameter_value for a zone that the server does not know.
        perform now() at time zone new.timezone;
    end if;
    return new;
end;
$$;
comment on function private.check_user() is 'Remembers when onboarding was first done and refuses unknown time zones.';
revoke execute on function private.check_user() from public, anon, authenticated, service_role;

create trigger check_user before insert or update of is_onboarded, timezone on public.users
for each row execute function private.check_user();
create trigger set_updated_at before update on public.users
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.users enable row level security;
create policy select_own on public.users for select to authenticated
using (id = (select auth.uid()) or (select private.is_admin()));
create policy update_own on public.users for update to authenticated
using (id = (select auth.uid())) with check (id = (select auth.uid()));
comment on policy select_own on public.users is 'Users read their profile, admins all.';
comment on policy update_own on public.users is 'Users change their profile; the column grants say which parts.';
revoke all on table public.users from public, anon, authenticated, service_role;
grant select on table public.users to authenticated, service_role;
grant update (full_name, avatar_url, timezone, language, is_onboarded) on table public.users to authenticated;

create table public.user_setting (
    user_id uuid primary key references public.users (id) on delete cascade,
    is_email_notifications_enabled boolean not null default true,
    is_push_notifications_enabled boolean not null default false,
    is_weekly_digest_enabled boolean not null default true,
    is_auto_sync_enabled boolean not null default true,
    sync_frequency_hours integer not null default 24,
    is_auto_ai_analysis_enabled boolean not null default false,
    is_auto_apply_ai_suggestions_enabled boolean not null default false,
    is_auto_seo_submission_enabled boolean not null default false,
    is_profile_public boolean not null default false,
    is_analytics_enabled boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint user_setting_sync_frequency_hours_in_range check (sync_frequency_hours between 1 and 720)
);
comment on table public.user_setting is 'Preferences, one row a user. is_profile_public is the one switch that shows anything to visitors.';
create trigger set_updated_at before update on public.user_setting
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.user_setting enable row level security;
create policy select_own on public.user_setting for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
create policy update_own on public.user_setting for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
comment on policy select_own on public.user_setting is 'Users read their settings, admins all.';
comment on policy update_own on public.user_setting is 'Users change their settings.';
revoke all on table public.user_setting from public, anon, authenticated, service_role;
grant select on table public.user_setting to authenticated, service_role;
grant update (
    is_email_notifications_enabled, is_push_notifications_enabled, is_weekly_digest_enabled, is_auto_sync_enabled,
    sync_frequency_hours, is_auto_ai_analysis_enabled, is_auto_apply_ai_suggestions_enabled,
    is_auto_seo_submission_enabled, is_profile_public, is_analytics_enabled
) on table public.user_setting to authenticated;

create table public.user_ai_setting (
    user_id uuid primary key references public.users (id) on delete cascade,
    preferred_provider_id uuid references public.ai_provider (id) on delete set null,
    preferred_model_id uuid,
    tone text not null default 'professional',
    language text not null default 'en',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint user_ai_setting_model_of_its_provider foreign key (preferred_model_id, preferred_provider_id)
    references public.ai_model (id, provider_id) on delete set null (preferred_model_id),
    constraint user_ai_setting_model_with_provider check (preferred_model_id is null or preferred_provider_id is not null),
    constraint user_ai_setting_tone_length check (char_length(tone) between 1 and 100),
    constraint user_ai_setting_language_is_bcp_47 check (language ~ '^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$')
);
comment on table public.user_ai_setting is 'How suggestions are written for a user, and by whom if they care. One row a user.';
create index user_ai_setting_provider_idx on public.user_ai_setting (preferred_provider_id);
create index user_ai_setting_model_idx on public.user_ai_setting (preferred_model_id, preferred_provider_id);

create function private.match_model_to_provider()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if new.preferred_model_id is null then
        return new;
    end if;
    if tg_op = 'UPDATE' and new.preferred_provider_id is distinct from old.preferred_provider_id
        and new.preferred_model_id is not distinct from old.preferred_model_id then
        new.preferred_model_id := null;
    elsif tg_op = 'INSERT' or new.preferred_provider_id is not distinct from old.preferred_provider_id then
        new.preferred_provider_id := coalesce(
            (select m.provider_id from public.ai_model as m where m.id = new.preferred_model_id), new.preferred_provider_id
        );
    end if;
    return new;
end;
$$;
comment on function private.match_model_to_provider() is
    'Choosing a model chooses its provider; choosing another provider drops the old one''s model.';
revoke execute on function private.match_model_to_provider() from public, anon, authenticated, service_role;

create trigger match_model_to_provider before insert or update of preferred_provider_id, preferred_model_id
on public.user_ai_setting for each row execute function private.match_model_to_provider();
create trigger set_updated_at before update on public.user_ai_setting
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
alter table public.user_ai_setting enable row level security;
create policy select_own on public.user_ai_setting for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
create policy insert_own on public.user_ai_setting for insert to authenticated with check (user_id = (select auth.uid()));
create policy update_own on public.user_ai_setting for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
comment on policy select_own on public.user_ai_setting is 'Users read their settings, admins all.';
comment on policy insert_own on public.user_ai_setting is 'Users create their own row where there is none.';
comment on policy update_own on public.user_ai_setting is 'Users change their settings.';
revoke all on table public.user_ai_setting from public, anon, authenticated, service_role;
grant select on table public.user_ai_setting to authenticated, service_role;
grant insert (user_id, preferred_provider_id, preferred_model_id, tone, language) on table public.user_ai_setting to authenticated;
grant update (preferred_provider_id, preferred_model_id, tone, language) on table public.user_ai_setting to authenticated;

create table public.user_role (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.users (id) on delete cascade,
    role public.app_role_enum not null default 'user',
    granted_by text,
    granted_at timestamptz not null default now(),
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    constraint user_role_once_a_user unique (user_id, role),
    constraint user_role_granted_by_length check (char_length(granted_by) <= 200)
);
comment on table public.user_role is 'Roles that users hold. Admins grant and take them; nobody derives a role from anything else.';
comment on column public.user_role.granted_by is 'Who granted it: the admin''s user id, or the name of what did ("signup").';

create function private.stamp_granted_by()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    -- A client cannot say that somebody else granted the role.
    if auth.uid() is not null then
        new.granted_by := auth.uid()::text;
    end if;
    return new;
end;
$$;
comment on function private.stamp_granted_by() is 'Names the signed-in admin as the one who granted a role.';
revoke execute on function private.stamp_granted_by() from public, anon, authenticated, service_role;

create trigger stamp_granted_by before insert or update on public.user_role
for each row execute function private.stamp_granted_by();
alter table public.user_role enable row level security;
create policy select_own on public.user_role for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
create policy insert_admin on public.user_role for insert to authenticated with check ((select private.is_admin()));
create policy update_admin on public.user_role for update to authenticated
using ((select private.is_admin())) with check ((select private.is_admin()));
create policy delete_admin on public.user_role for delete to authenticated using ((select private.is_admin()));
comment on policy select_own on public.user_role is 'Users read their roles, admins all.';
comment on policy insert_admin on public.user_role is 'Admins grant roles.';
comment on policy update_admin on public.user_role is 'Admins change roles.';
comment on policy delete_admin on public.user_role is 'Admins take roles away.';
revoke all on table public.user_role from public, anon, authenticated, service_role;
grant select on table public.user_role to authenticated, service_role;
grant insert, update, delete on table public.user_role to authenticated;

-- ---------------------------------------------------------------------------------------------------------------------
-- Provisioning. Definers: Auth's own role fires them and has no rights in public. What Auth knows about a user
-- (raw_user_meta_data) is written by that user, so it is cut to what the checks allow: a sign-up never fails on it,
-- and no role or plan is ever read from it.
-- ---------------------------------------------------------------------------------------------------------------------

create function private.provision_user(user_id uuid, email text, metadata jsonb)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_full_name text := left(nullif(trim(coalesce(metadata ->> 'full_name', metadata ->> 'name')), ''), 200);
    v_avatar_url text := coalesce(metadata ->> 'avatar_url', metadata ->> 'picture');
    v_language text := metadata ->> 'language';
    v_now timestamptz := now();
begin
    if char_length(v_avatar_url) > 2048 or v_avatar_url !~ '^https?://' then
        v_avatar_url := null;
    end if;
    if v_language is null or v_language !~ '^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$' then
        v_language := 'en';
    end if;

    insert into public.users (id, email, full_name, avatar_url, language)
    values (provision_user.user_id, provision_user.email, v_full_name, v_avatar_url, v_language)
    on conflict do nothing;
    insert into public.user_setting (user_id) values (provision_user.user_id) on conflict do nothing;
    insert into public.user_ai_setting (user_id, language) values (provision_user.user_id, v_language) on conflict do nothing;
    insert into public.user_role (user_id, role, granted_by) values (provision_user.user_id, 'user', 'signup') on conflict do nothing;
    insert into public.subscription (user_id, tier_id, status_id, cycle_start_date, cycle_end_date)
    select provision_user.user_id, t.id, s.id, v_now, v_now + interval '1 month'
    from public.subscription_tier as t
    cross join public.subscription_status as s
    where t.slug = 'free' and s.slug = 'active'
    on conflict do nothing;
end;
$$;
comment on function private.provision_user(uuid, text, jsonb) is
    'Gives a user everything that each user has: profile, settings, role, free and active subscription. Safe to call again.';
revoke execute on function private.provision_user(uuid, text, jsonb) from public, anon, authenticated, service_role;

create function private.on_auth_user_created()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform private.provision_user(new.id, new.email, new.raw_user_meta_data);
    return null;
end;
$$;
comment on function private.on_auth_user_created() is 'Provisions a user that Auth has created.';
revoke execute on function private.on_auth_user_created() from public, anon, authenticated, service_role;

create function private.on_auth_user_email_changed()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    update public.users as u set email = new.email where u.id = new.id and u.email is distinct from new.email;
    return null;
end;
$$;
comment on function private.on_auth_user_email_changed() is 'Keeps users.email in step with Auth.';
revoke execute on function private.on_auth_user_email_changed() from public, anon, authenticated, service_role;

create function private.on_auth_user_leaving()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    -- Parents go before their children; everybody else locks a child first and then, by a foreign key, the profile.
    perform 1 from public.subscription as s where s.user_id = old.id for update;
    perform 1 from public.user_setting as s where s.user_id = old.id for update;
    perform 1 from public.platform_connection as c where c.user_id = old.id order by c.id for update;
    perform 1 from public.social_account as a where a.user_id = old.id order by a.id for update;
    return old;
end;
$$;
comment on function private.on_auth_user_leaving() is
    'Locks what charges and syncs lock, in their order, before a user is deleted, so that neither waits for the other in a circle.';
revoke execute on function private.on_auth_user_leaving() from public, anon, authenticated, service_role;

create trigger streamvibe_user_leaving before delete on auth.users
for each row execute function private.on_auth_user_leaving();
create trigger streamvibe_user_created after insert on auth.users
for each row execute function private.on_auth_user_created();
create trigger streamvibe_user_email_changed after update on auth.users
for each row when (old.email is distinct from new.email) execute function private.on_auth_user_email_changed();
