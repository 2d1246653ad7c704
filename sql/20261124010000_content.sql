-- Content: what the accounts have published, its history of edits, and the functions that read it for clients.
--
-- content_item has no owner column: ownership is derived through social_account. Policies ask
-- `social_account_id = any(array(select private.my_account_ids()))`, which is one init plan and an index condition;
-- the usual `in (select ...)` is a filter over the whole table.

-- Invoker rights would apply RLS of social_account inside the policy of content_item; a definer reads the ids directly.
create function private.my_account_ids()
returns setof uuid
language plpgsql
stable
security definer
rows 10
set search_path = ''
as $$
begin
    return query select a.id from public.social_account as a where a.user_id = auth.uid();
end;
$$;
comment on function private.my_account_ids() is 'The caller''s accounts; nothing about anybody else.';
revoke execute on function private.my_account_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_account_ids() to authenticated;

-- Immutable as a generated column needs: the configuration is named, arrays are joined word by word. The texts are cut so
-- that no input, however long, exceeds what a tsvector can hold.
create function private.content_search_vector(title text, description text, tags text[], hashtags text[])
returns tsvector
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
begin
    return
        setweight(to_tsvector('private.multilingual'::regconfig, left(coalesce(title, ''), 2000)), 'A')
        || setweight(
            to_tsvector(
                'private.multilingual'::regconfig,
                left(array_to_string(coalesce(tags, '{}'), ' ') || ' ' || array_to_string(coalesce(hashtags, '{}'), ' '), 20000)
            ),
            'B'
        )
        || setweight(to_tsvector('private.multilingual'::regconfig, left(coalesce(description, ''), 100000)), 'C');
end;
$$;
comment on function private.content_search_vector(text, text, text[], text[]) is
    'Title over tags and hashtags over description. Clients may execute it because their update of a title computes the column.';
revoke execute on function private.content_search_vector(text, text, text[], text[]) from public, anon, authenticated, service_role;
grant execute on function private.content_search_vector(text, text, text[], text[]) to authenticated;

create table public.content_item (
    id uuid primary key default gen_random_uuid(),
    social_account_id uuid not null references public.social_account (id) on delete cascade,
    platform_id uuid not null references public.platform (id) on delete restrict,
    content_type_id uuid not null references public.content_type (id) on delete restrict,
    platform_content_id text not null,
    platform_url text,
    title text,
    description text,
    thumbnail_url text,
    media_url text,
    duration_seconds integer,
    views_count integer,
    likes_count integer,
    comments_count integer,
    shares_count integer,
    tags text[] not null default '{}',
    hashtags text[] not null default '{}',
    category text,
    language text,
    search_vector tsvector generated always as (private.content_search_vector(title, description, tags, hashtags)) stored,
    published_at timestamptz,
    synced_at timestamptz,
    visibility public.visibility_enum not null default 'public',
    deleted_at timestamptz,
    upstream_deleted_at timestamptz,
    missing_since timestamptz,
    missing_count integer not null default 0,
    locally_edited_fields text[] not null default '{}',
    upstream jsonb not null default '{}',
    upstream_changed_at timestamptz,
    media jsonb not null default '[]',
    is_public boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint content_item_once_an_account unique (social_account_id, platform_content_id),
    constraint content_item_counts_not_negative check (
        duration_seconds >= 0 and views_count >= 0 and likes_count >= 0 and comments_count >= 0 and shares_count >= 0
    ),
    constraint content_item_title_length check (char_length(title) <= 2000),
    constraint content_item_description_length check (char_length(description) <= 100000),
    constraint content_item_tags_are_plain_lists check (
        cardinality(tags) <= 500 and cardinality(hashtags) <= 500
        and char_length(array_to_string(tags, '')) <= 20000 and char_length(array_to_string(hashtags, '')) <= 20000
        and array_position(tags, null) is null and array_position(hashtags, null) is null
    ),
    constraint content_item_category_length check (char_length(category) <= 200),
    constraint content_item_language_length check (char_length(language) <= 35)
);
comment on table public.content_item is 'Synced posts and videos. Owned through social_account; platform_id repeats the account''s, by trigger.';
comment on column public.content_item.search_vector is 'Title (A) over tags and hashtags (B) over description (C).';
comment on column public.content_item.views_count is 'Null when the platform does not say; larger numbers than an integer holds are stored as its maximum.';
comment on column public.content_item.deleted_at is 'The user''s own deletion here. Never touched by sync.';
comment on column public.content_item.upstream_deleted_at is 'Gone on the platform, by a definite answer seen twice. Server-owned; cleared if the item returns.';
comment on column public.content_item.missing_since is 'First definite answer that the item is gone; a second one sets upstream_deleted_at.';
comment on column public.content_item.missing_count is 'Definite answers in a row that the item is gone.';
comment on column public.content_item.locally_edited_fields is 'Fields that the user changed here; sync keeps what upstream says in `upstream` instead of overwriting.';
comment on column public.content_item.upstream is 'Last values that the platform sent for the locally edited fields.';
comment on column public.content_item.upstream_changed_at is 'When the platform last changed a field that had been edited here; its value is in `upstream` and the history.';
comment on column public.content_item.media is 'Pictures and videos of the item in order: [{type, url, width, height}].';
comment on column public.content_item.is_public is 'Maintained: not deleted here or upstream, visibility public, and the account is public.';
create index content_item_newest_idx on public.content_item (social_account_id, published_at desc) include (is_public);
create index content_item_feed_idx on public.content_item (published_at desc) where is_public;
create index content_item_platform_id_idx on public.content_item (platform_id);
create index content_item_content_type_id_idx on public.content_item (content_type_id);
create index content_item_search_idx on public.content_item using gin (search_vector);
-- Most profiles are private, so what visitors search is a small part of the table: a small index of its own.
create index content_item_public_search_idx on public.content_item using gin (search_vector) where is_public;
create index content_item_public_title_idx on public.content_item using gin (title extensions.gin_trgm_ops) where is_public;

create function private.derive_content_item()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_account_public boolean;
begin
    if tg_op = 'INSERT' then
        select a.platform_id, a.is_public into new.platform_id, v_account_public
        from public.social_account as a where a.id = new.social_account_id for share;
    else
        select a.platform_id, a.is_public into new.platform_id, v_account_public
        from public.social_account as a where a.id = new.social_account_id;
    end if;
    new.is_public := coalesce(v_account_public, false)
        and new.visibility = 'public' and new.deleted_at is null and new.upstream_deleted_at is null;
    return new;
end;
$$;
comment on function private.derive_content_item() is
    'Computes platform_id and is_public from the account; whatever was written to them is overruled. Locks as set_account_public explains.';
revoke execute on function private.derive_content_item() from public, anon, authenticated, service_role;

create function private.on_account_public_changed()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    update public.content_item as i set is_public = new.is_public where i.social_account_id = new.id;
    return null;
end;
$$;
comment on function private.on_account_public_changed() is 'Carries a change of an account''s visibility to its items.';
revoke execute on function private.on_account_public_changed() from public, anon, authenticated, service_role;

create function private.change_source()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
    return coalesce(nullif(current_setting('streamvibe.change_source', true), ''), 'manual');
end;
$$;
comment on function private.change_source() is
    'Who is editing: functions that write content set streamvibe.change_source for their transaction; anything else is a manual edit.';
revoke execute on function private.change_source() from public, anon, authenticated, service_role;

create function private.mark_local_edit()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_statement text := extract(epoch from statement_timestamp())::text;
    v_edited text[] := string_to_array(current_setting('streamvibe.edited_rows', true), ' ');
begin
    if private.change_source() <> 'sync' then
        -- How many items this statement has edited so far; their revisions are written when it has ended.
        if (old.title, old.description, old.tags, old.hashtags, old.category, old.language, old.visibility)
            is distinct from (new.title, new.description, new.tags, new.hashtags, new.category, new.language, new.visibility) then
            perform set_config(
                'streamvibe.edited_rows',
                v_statement || ' ' || case when v_edited[1] = v_statement then v_edited[2]::integer + 1 else 1 end, true
            );
        end if;
        new.locally_edited_fields := array(
            select distinct f.name
            from unnest(
                old.locally_edited_fields
                || case when new.title is distinct from old.title then '{title}'::text[] end
                || case when new.description is distinct from old.description then '{description}'::text[] end
                || case when new.tags is distinct from old.tags then '{tags}'::text[] end
                || case when new.hashtags is distinct from old.hashtags then '{hashtags}'::text[] end
                || case when new.category is distinct from old.category then '{category}'::text[] end
                || case when new.language is distinct from old.language then '{language}'::text[] end
                || case when new.visibility is distinct from old.visibility then '{visibility}'::text[] end
            ) as f (name)
            order by f.name
        );
        -- What the platform had said is kept, so that sync can tell a change there from the edit here.
        new.upstream := (
            select coalesce(jsonb_object_agg(f.key, f.value), '{}')
            from jsonb_each(jsonb_build_object(
                'title', old.title, 'description', old.description, 'tags', to_jsonb(old.tags), 'hashtags', to_jsonb(old.hashtags),
                'category', old.category, 'language', old.language, 'visibility', old.visibility
            )) as f
            where f.key = any(new.locally_edited_fields) and f.key <> all(old.locally_edited_fields)
        ) || old.upstream;
    end if;
    return new;
end;
$$;
comment on function private.mark_local_edit() is 'Remembers which fields were edited here, so that sync does not overwrite them.';
revoke execute on function private.mark_local_edit() from public, anon, authenticated, service_role;

create trigger derive before insert or update of social_account_id, platform_id, visibility, deleted_at, upstream_deleted_at, is_public
on public.content_item for each row execute function private.derive_content_item();
create trigger mark_local_edit before update of title, description, tags, hashtags, category, language, visibility
on public.content_item for each row execute function private.mark_local_edit();
create trigger refuse_account_change before update of social_account_id on public.content_item
for each row when (new.social_account_id is distinct from old.social_account_id)
execute function private.refuse_change('social_account_id');
create trigger set_updated_at before update on public.content_item
for each row when (new.updated_at is not distinct from old.updated_at) execute function private.set_updated_at();
create trigger account_public_changed after update on public.social_account
for each row when (new.is_public is distinct from old.is_public) execute function private.on_account_public_changed();

alter table public.content_item enable row level security;
create policy select_public on public.content_item for select to anon using (is_public);
create policy select_own_or_public on public.content_item for select to authenticated
using (is_public or social_account_id = any(array(select private.my_account_ids())) or (select private.is_admin()));
create policy update_own on public.content_item for update to authenticated
using (social_account_id = any(array(select private.my_account_ids())))
with check (social_account_id = any(array(select private.my_account_ids())));
comment on policy select_public on public.content_item is 'Visitors see the public items of public profiles.';
comment on policy select_own_or_public on public.content_item is 'Users see their own items and public ones, admins all.';
comment on policy update_own on public.content_item is 'Users change their items; the column grants say which parts.';
revoke all on table public.content_item from public, anon, authenticated, service_role;
grant select on table public.content_item to anon, authenticated, service_role;
grant update (title, description, tags, hashtags, category, language, visibility, deleted_at) on table public.content_item to authenticated;

-- Rows that hang off an item and name a user must name the item's owner. content_item has no owner column that a
-- composite key could use, so this is a trigger; it holds for good because items, accounts and connections never move.
create function private.content_owner(content_item_id uuid)
returns uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return (
        select a.user_id from public.content_item as i
        join public.social_account as a on a.id = i.social_account_id
        where i.id = content_owner.content_item_id
    );
end;
$$;
comment on function private.content_owner(uuid) is 'The user who owns an item, or null.';
revoke execute on function private.content_owner(uuid) from public, anon, authenticated, service_role;

create function private.own_content_row()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid;
begin
    if new.content_item_id is null then
        return new;
    end if;
    v_owner := private.content_owner(new.content_item_id);
    new.user_id := coalesce(new.user_id, v_owner);
    if new.user_id is distinct from v_owner then
        raise exception 'content item % does not belong to user %', new.content_item_id, new.user_id
            using errcode = '23503', constraint = tg_table_name || '_of_its_content_owner';
    end if;
    return new;
end;
$$;
comment on function private.own_content_row() is 'Fills user_id from the item''s owner and refuses a row that names another user.';
revoke execute on function private.own_content_row() from public, anon, authenticated, service_role;

create table public.content_revision (
    id uuid primary key default gen_random_uuid(),
    content_item_id uuid not null references public.content_item (id) on delete cascade,
    user_id uuid not null references public.users (id) on delete cascade,
    field_name text not null,
    old_value text,
    new_value text,
    change_source text not null default 'manual',
    change_reason text,
    created_at timestamptz not null default now(),
    constraint content_revision_source_known check (change_source in ('manual', 'ai_suggestion', 'bulk_edit', 'revert', 'sync'))
);
comment on table public.content_revision is 'Edits of content, one row a field, written by trigger. Arrays are JSON texts.';
create index content_revision_item_idx on public.content_revision (content_item_id, created_at desc);
create index content_revision_user_id_idx on public.content_revision (user_id);
create trigger own_content_row before insert or update of content_item_id, user_id on public.content_revision
for each row execute function private.own_content_row();
alter table public.content_revision enable row level security;
create policy select_own on public.content_revision for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own on public.content_revision is 'Users read the history of their content, admins all.';
revoke all on table public.content_revision from public, anon, authenticated, service_role;
grant select on table public.content_revision to authenticated, service_role;

create function private.write_content_revision()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_source text := private.change_source();
begin
    if v_source = 'manual' and nullif(split_part(current_setting('streamvibe.edited_rows', true), ' ', 2), '')::integer > 1 then
        v_source := 'bulk_edit';
    end if;
    insert into public.content_revision (content_item_id, user_id, field_name, old_value, new_value, change_source, change_reason)
    select
        new.id, private.content_owner(new.id), f.name, f.old_value, f.new_value, v_source,
        nullif(current_setting('streamvibe.change_reason', true), '')
    from (
        values
        ('title', old.title, new.title),
        ('description', old.description, new.description),
        ('tags', to_jsonb(old.tags)::text, to_jsonb(new.tags)::text),
        ('hashtags', to_jsonb(old.hashtags)::text, to_jsonb(new.hashtags)::text),
        ('category', old.category, new.category),
        ('language', old.language, new.language),
        ('visibility', old.visibility::text, new.visibility::text)
    ) as f (name, old_value, new_value)
    where f.new_value is distinct from f.old_value;
    return null;
end;
$$;
comment on function private.write_content_revision() is 'Keeps what each editable field was before a change; of several items edited by one request it is a bulk_edit.';
revoke execute on function private.write_content_revision() from public, anon, authenticated, service_role;
create trigger write_revision after update of title, description, tags, hashtags, category, language, visibility on public.content_item
for each row when (
    (old.title, old.description, old.tags, old.hashtags, old.category, old.language, old.visibility)
    is distinct from (new.title, new.description, new.tags, new.hashtags, new.category, new.language, new.visibility)
) execute function private.write_content_revision();

-- ---------------------------------------------------------------------------------------------------------------------
-- Search. RLS would keep @@ from its index (it is not leakproof), so the body is a definer that repeats the predicate of
-- content_item's policies. The statement is put together from constant pieces, with every value bound, because a plan
-- that has to serve all filters at once serves none of them by an index.
--
-- Words are looked for as they are; if nothing has them, the last one may be the beginning of a word; if there is still
-- nothing, titles with a similar word are found, so that a slip of the finger (two letters of eight) is forgiven. Which of the three it is
-- depends on the query alone and not on the page asked for: paging is stable.
-- ---------------------------------------------------------------------------------------------------------------------

create type public.content_search_hit as (
    id uuid, social_account_id uuid, platform text, content_type text, title text, description text, platform_url text,
    thumbnail_url text, published_at timestamptz, views_count integer, tags text[], rank real, highlight text, snippet text -- noqa: LT01
);
comment on type public.content_search_hit is
    'One item that search_content found: its rank, and title and description as HTML with the found words in <mark>.';

create function private.mark_words(document text, query tsquery, options text)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
    -- Escaped first: whatever stands in a title, the only tags of the answer are ours.
    return ts_headline(
        'private.multilingual'::regconfig,
        replace(replace(replace(coalesce(document, ''), '&', '&amp;'), '<', '&lt;'), '>', '&gt;'),
        query,
        'StartSel=<mark>, StopSel=</mark>, ' || options
    );
end;
$$;
comment on function private.mark_words(text, tsquery, text) is 'A text as HTML in which the words of the query are marked.';
revoke execute on function private.mark_words(text, tsquery, text) from public, anon, authenticated, service_role;

create function private.prefix_query(query text)
returns tsquery
language plpgsql
stable
set search_path = ''
as $$
declare
    v_words text[] := tsvector_to_array(to_tsvector('private.multilingual'::regconfig, prefix_query.query));
    v_last text := (tsvector_to_array(to_tsvector(
        'private.multilingual'::regconfig, substring(prefix_query.query from '[^[:space:]]+[[:space:]]*$')
    )))[1];
begin
    if v_last is null then
        return null;
    end if;
    return (
        select string_agg(quote_literal(w.word) || case when w.word = v_last then ':*' else '' end, ' & ')
        from unnest(v_words) as w (word)
    )::tsquery;
end;
$$;
comment on function private.prefix_query(text) is 'All words of a query, the last of them as the beginning of a word; null if it has none.';
revoke execute on function private.prefix_query(text) from public, anon, authenticated, service_role;

create function private.search_content(
    query text, scope text, platform text, content_type text, published_from timestamptz, published_to timestamptz,
    tags text[], max_results integer, skip integer
)
returns setof public.content_search_hit
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_account_ids uuid[];
    v_query tsquery;
    v_words text := search_content.query;
    v_filter text;
    v_match text;
    v_statement text;
    v_exists boolean;
    v_tier text;
begin
    if search_content.query is null or char_length(search_content.query) > 1000 then
        raise exception 'query must have at most 1000 characters' using errcode = 'PT422';
    end if;
    if search_content.scope is null or search_content.scope not in ('own', 'public') then
        raise exception 'scope must be own or public' using errcode = 'PT422';
    end if;
    if search_content.scope = 'own' and auth.uid() is null then
        raise exception 'sign in to search your own content' using errcode = 'PT401';
    end if;
    if max_results is null or max_results not between 1 and 100 or skip is null or skip not between 0 and 10000 then
        raise exception 'max_results must be 1 to 100, skip 0 to 10000' using errcode = 'PT422';
    end if;
    if char_length(search_content.platform) > 63 or char_length(search_content.content_type) > 63
        or char_length(array_to_string(search_content.tags, '')) > 20000 or cardinality(search_content.tags) > 500 then
        raise exception 'platform, content_type or tags are too long' using errcode = 'PT422';
    end if;

    v_filter := case search_content.scope
        when 'own' then 'i.social_account_id = any($2)'
        else 'i.is_public'
    end
    || case when search_content.platform is not null
        then ' and i.platform_id = (select p.id from public.platform as p where p.slug = $3)' else '' end
    || case when search_content.content_type is not null
        then ' and i.content_type_id = (select t.id from public.content_type as t where t.slug = $4)' else '' end
    || case when search_content.published_from is not null then ' and i.published_at >= $5' else '' end
    || case when search_content.published_to is not null then ' and i.published_at < $6' else '' end
    || case when search_content.tags is not null then ' and i.tags @> $7' else '' end;
    if search_content.scope = 'own' then
        v_account_ids := array(select private.my_account_ids());
    end if;

    foreach v_tier in array array['words', 'beginning', 'similar'] loop
        v_query := case v_tier
            when 'words' then websearch_to_tsquery('private.multilingual'::regconfig, v_words)
            else private.prefix_query(v_words)
        end;
        continue when v_query is null or (numnode(v_query) = 0 and v_tier <> 'similar');
        v_match := case v_tier
            when 'similar' then '$10 operator(extensions.<%) i.title'
            else 'i.search_vector @@ $1'
        end;
        if v_tier = 'similar' then
            perform set_config('pg_trgm.word_similarity_threshold', '0.5', true);
        end if;
        -- The best are chosen first; only they are joined and marked.
        v_statement := 'select h.id, h.social_account_id, p.slug, t.slug, h.title, h.description, h.platform_url, h.thumbnail_url,'
            || ' h.published_at, h.views_count, h.tags, h.rank,'
            || ' private.mark_words(h.title, $1, ''HighlightAll=true''),'
            || ' private.mark_words(left(h.description, 10000), $1, ''MaxFragments=1, MaxWords=30, MinWords=10'')'
            || ' from (select i.*, '
            || case v_tier
                when 'similar' then 'extensions.word_similarity($10, i.title)'
                else 'ts_rank_cd(i.search_vector, $1)'
            end
            || ' as rank from public.content_item as i where ' || v_match || ' and ' || v_filter
            || ' order by rank desc, i.published_at desc nulls last, i.id limit $8 offset $9) as h'
            || ' join public.platform as p on p.id = h.platform_id'
            || ' join public.content_type as t on t.id = h.content_type_id'
            || ' order by h.rank desc, h.published_at desc nulls last, h.id';
        return query execute v_statement using
            v_query, v_account_ids, search_content.platform, search_content.content_type, search_content.published_from,
            search_content.published_to, search_content.tags, max_results, skip, v_words;
        exit when found;
        if skip > 0 then
            execute 'select exists (select from public.content_item as i where ' || v_match || ' and ' || v_filter || ')'
            into v_exists
            using
                v_query, v_account_ids, search_content.platform, search_content.content_type, search_content.published_from,
                search_content.published_to, search_content.tags, max_results, skip, v_words;
            exit when v_exists;
        end if;
    end loop;
end;
$$;
comment on function private.search_content(text, text, text, text, timestamptz, timestamptz, text[], integer, integer) is
    'Body of public.search_content; repeats the policies of content_item.';
revoke execute on function private.search_content(text, text, text, text, timestamptz, timestamptz, text[], integer, integer)
from public, anon, authenticated, service_role;
grant execute on function private.search_content(text, text, text, text, timestamptz, timestamptz, text[], integer, integer)
to anon, authenticated;

create function public.search_content(
    query text, scope text default 'own', platform text default null, content_type text default null,
    published_from timestamptz default null, published_to timestamptz default null, tags text[] default null,
    max_results integer default 20, skip integer default 0
)
returns setof public.content_search_hit
language plpgsql
stable
set search_path = ''
as $$
begin
    return query select s.* from private.search_content(
        search_content.query, search_content.scope, search_content.platform, search_content.content_type,
        search_content.published_from, search_content.published_to, search_content.tags, max_results, skip
    ) as s;
end;
$$;
comment on function public.search_content(text, text, text, text, timestamptz, timestamptz, text[], integer, integer) is
    'Full-text search over the caller''s own items or everybody''s public ones, best first, with the found words marked.';
revoke execute on function public.search_content(text, text, text, text, timestamptz, timestamptz, text[], integer, integer)
from public, anon, authenticated, service_role;
grant execute on function public.search_content(text, text, text, text, timestamptz, timestamptz, text[], integer, integer)
to anon, authenticated;

create function private.public_profile(user_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_profile jsonb;
begin
    select jsonb_build_object(
        'user_id', u.id,
        'full_name', u.full_name,
        'avatar_url', u.avatar_url,
        'accounts', coalesce((
            select jsonb_agg(
                jsonb_build_object(
                    'id', a.id, 'platform', p.slug, 'account_name', a.account_name, 'account_url', a.account_url,
                    'avatar_url', a.avatar_url, 'follower_count', a.follower_count, 'is_primary', a.is_primary
                ) order by p.sort_order, a.is_primary desc, a.account_name
            )
            from public.social_account as a
            join public.platform as p on p.id = a.platform_id
            where a.user_id = u.id and a.is_public
        ), '[]')
    ) into v_profile
    from public.users as u
    join public.user_setting as s on s.user_id = u.id
    where u.id = public_profile.user_id and s.is_profile_public;
    if v_profile is null then
        -- The same answer for a private profile and for none at all.
        raise exception 'no such profile' using errcode = 'PT404';
    end if;
    return v_profile;
end;
$$;
comment on function private.public_profile(uuid) is 'Body of public.public_profile. Definer: visitors have no rights on users and user_setting.';
revoke execute on function private.public_profile(uuid) from public, anon, authenticated, service_role;
grant execute on function private.public_profile(uuid) to anon, authenticated;

create function public.public_profile(user_id uuid)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
    return private.public_profile(user_id);
end;
$$;
comment on function public.public_profile(uuid) is 'Name, picture and public accounts of a user whose profile is public; PT404 otherwise.';
revoke execute on function public.public_profile(uuid) from public, anon, authenticated, service_role;
grant execute on function public.public_profile(uuid) to anon, authenticated;
