"""The catalog queries behind the schema cache. Each yields one JSON array; an empty search_path qualifies all names."""

from __future__ import annotations

# What each type is in the end: domains may rest on domains. The rows that count are those with next = 0.
_BASE_TYPES = """
base (oid, base, next) as (
  select oid, coalesce(nullif(typbasetype, 0), oid), typbasetype from pg_type
  union
  select b.oid, coalesce(nullif(t.typbasetype, 0), t.oid), t.typbasetype
  from base b join pg_type t on t.oid = b.next
)
"""

# Bits of pg_relation_is_updatable: 8 insert, 4 update, 16 delete (1 << CMD_*).
# A column's type is shown twice: `type` looks through domains, `nominal_type` does not.
TABLES = f"""
with recursive {_BASE_TYPES}
select coalesce(jsonb_agg(to_jsonb(t)), '[]')
from (
  select
    n.nspname as schema,
    c.relname as name,
    obj_description(c.oid, 'pg_class') as description,
    c.relkind in ('v', 'm') as is_view,
    c.relkind in ('r', 'p') or u.may & 8 = 8 as insertable,
    c.relkind in ('r', 'p') or u.may & 4 = 4 as updatable,
    c.relkind in ('r', 'p') or u.may & 16 = 16 as deletable,
    coalesce((
      select jsonb_agg(a.attname order by a.attnum)
      from pg_constraint k
      join pg_attribute a on a.attrelid = k.conrelid and a.attnum = any(k.conkey)
      where k.conrelid = c.oid and k.contype = 'p'
    ), '[]') as primary_key,
    coalesce((
      select jsonb_agg(jsonb_build_object(
        'name', a.attname,
        'description', col_description(c.oid, a.attnum),
        'nullable', not (a.attnotnull or (t.typtype = 'd' and t.typnotnull)),
        'type', case
          when t.typtype = 'd' and b.typnamespace = 'pg_catalog'::regnamespace then format_type(b.oid, null)
          when t.typtype <> 'd' and t.typnamespace = 'pg_catalog'::regnamespace then format_type(a.atttypid, null)
          else format_type(a.atttypid, a.atttypmod)
        end,
        'nominal_type', format_type(a.atttypid, a.atttypmod),
        'max_length', information_schema._pg_char_max_length(
          information_schema._pg_truetypid(a, t), information_schema._pg_truetypmod(a, t)),
        'default', case
          when t.typbasetype <> 0 and d.adbin is null then pg_get_expr(t.typdefaultbin, 0)
          when a.attidentity = 'd' then (
            select format('nextval(%L)', q.relnamespace::regnamespace::text || '.' || quote_ident(q.relname))
            from pg_depend i join pg_class q on q.oid = i.objid
            where i.refobjid = c.oid and i.refobjsubid = a.attnum and i.deptype = 'i' and q.relkind = 'S')
          when a.attgenerated <> '' then null
          else pg_get_expr(d.adbin, d.adrelid)
        end,
        'enum', coalesce((
          select jsonb_agg(e.enumlabel order by e.enumsortorder)
          from pg_enum e where e.enumtypid = b.oid), '[]')
      ) order by a.attnum)
      from pg_attribute a
      join pg_type t on t.oid = a.atttypid
      join base on base.oid = t.oid and base.next = 0
      join pg_type b on b.oid = base.base
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    ), '[]') as columns
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  cross join lateral (
    select case when c.relkind in ('v', 'f') then pg_relation_is_updatable(c.oid, true) else 0 end as may
  ) u
  where c.relkind in ('r', 'v', 'm', 'f', 'p') and not c.relispartition and n.nspname = any($1)
  order by n.nspname, c.relname
) t
"""

# Foreign keys with their column pairs. A key whose columns are together unique makes the relationship one-to-one.
FOREIGN_KEYS = """
select coalesce(jsonb_agg(to_jsonb(f) order by f.conrelid, f.name), '[]')
from (
  select
    k.conrelid,
    k.conname as name,
    n1.nspname as schema,
    c1.relname as table,
    n2.nspname as foreign_schema,
    c2.relname as foreign_table,
    (
      select jsonb_agg(jsonb_build_array(a1.attname, a2.attname) order by u.position)
      from unnest(k.conkey, k.confkey) with ordinality as u (col, ref, position)
      join pg_attribute a1 on a1.attrelid = k.conrelid and a1.attnum = u.col
      join pg_attribute a2 on a2.attrelid = k.confrelid and a2.attnum = u.ref
    ) as columns,
    exists (
      select from pg_constraint u
      where u.conrelid = k.conrelid and u.contype in ('p', 'u') and u.conkey @> k.conkey and u.conkey <@ k.conkey
    ) as one_to_one
  from pg_constraint k
  join pg_class c1 on c1.oid = k.conrelid
  join pg_namespace n1 on n1.oid = c1.relnamespace
  join pg_class c2 on c2.oid = k.confrelid
  join pg_namespace n2 on n2.oid = c2.relnamespace
  where k.contype = 'f' and k.conparentid = 0
) f
"""

# Primary and foreign keys by attribute number, both sides of a foreign key, for following them through views.
KEYS = """
select coalesce(jsonb_agg(jsonb_build_object(
  'kind', k.kind, 'name', k.name, 'oid', k.oid::bigint, 'schema', n.nspname, 'table', c.relname, 'columns', (
    select jsonb_agg(jsonb_build_array(a.attnum, a.attname) order by u.position)
    from unnest(k.key) with ordinality as u (col, position)
    join pg_attribute a on a.attrelid = k.oid and a.attnum = u.col)
)), '[]')
from (
  select
    case contype when 'p' then 'primary' else 'foreign' end as kind, conname as name, conrelid as oid, conkey as key
  from pg_constraint where contype in ('p', 'f')
  union all
  select 'referenced', conname, confrelid, confkey from pg_constraint where contype = 'f'
) k
join pg_class c on c.oid = k.oid
join pg_namespace n on n.oid = c.relnamespace
"""

# The rewrite rule of each view tells which table column each of its columns is.
VIEWS = """
select coalesce(jsonb_agg(jsonb_build_object(
  'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname, 'definition', r.ev_action::text, 'columns', (
    select jsonb_object_agg(a.attnum, a.attname) from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
)), '[]')
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
where c.relkind in ('v', 'm') and n.nspname = any($1)
"""

# Functions that take one row of a relation and return rows of another: relationships that are computed.
COMPUTED_RELATIONSHIPS = """
select coalesce(jsonb_agg(jsonb_build_object(
  'schema', pn.nspname, 'name', p.proname,
  'table_schema', n1.nspname, 'table', c1.relname, 'foreign_schema', n2.nspname, 'foreign_table', c2.relname,
  'to_one', not p.proretset or p.prorows = 1
)), '[]')
from pg_proc p
join pg_namespace pn on pn.oid = p.pronamespace
join pg_class c1 on c1.reltype = p.proargtypes[0] and c1.relkind in ('r', 'v', 'm', 'f', 'p')
join pg_namespace n1 on n1.oid = c1.relnamespace
join pg_class c2 on c2.reltype = p.prorettype and c2.relkind in ('r', 'v', 'm', 'f', 'p')
join pg_namespace n2 on n2.oid = c2.relnamespace
where p.pronargs = 1
"""

# Functions that may be called: all parameters named, or a single unnamed one of a type that takes a whole body.
# Types that ignore their length are widened, lest `character` cut an argument to one letter.
FUNCTIONS = f"""
with recursive {_BASE_TYPES},
arguments as (
  select
    p.oid,
    jsonb_agg(jsonb_build_object(
      'name', coalesce(a.name, ''),
      'type', format_type(a.type, null),
      'cast', case a.type
        when 'bit'::regtype then 'bit varying'
        when 'bit[]'::regtype then 'bit varying[]'
        when 'character'::regtype then 'character varying'
        when 'character[]'::regtype then 'character varying[]'
        else format_type(a.type, null)
      end,
      'required', a.position <= p.pronargs - p.pronargdefaults,
      'variadic', coalesce(a.mode = 'v', false)
    ) order by a.position) as params,
    case count(*) - count(a.name)
      when 0 then true
      when 1 then count(*) = 1 and min(a.type::oid) in (
        'bytea'::regtype, 'json'::regtype, 'jsonb'::regtype, 'text'::regtype, 'xml'::regtype)
      else false
    end as callable
  from pg_proc p, unnest(p.proargnames, p.proargtypes, p.proargmodes) with ordinality as a (name, type, mode, position)
  where a.type is not null
  group by p.oid
)
select coalesce(jsonb_agg(jsonb_build_object(
  'schema', n.nspname,
  'name', p.proname,
  'description', obj_description(p.oid, 'pg_proc'),
  'params', coalesce(a.params, '[]'),
  'return_schema', tn.nspname,
  'return_type', coalesce(c.relname, t.typname),
  'returns_set', p.proretset,
  'returns_composite', t.typtype = 'c' or coalesce(p.proargmodes::text[] && '{{t,b,o}}', false),
  'volatility', p.provolatile,
  'is_variadic', p.provariadic <> 0,
  'settings', coalesce((
    select jsonb_agg(jsonb_build_array(
      substr(s, 1, strpos(s, '=') - 1), substr(s, strpos(s, '=') + 1)))
    from unnest(p.proconfig) s), '[]')
) order by p.oid), '[]')
from pg_proc p
left join arguments a on a.oid = p.oid
join pg_namespace n on n.oid = p.pronamespace
join base b on b.oid = p.prorettype and b.next = 0
join pg_type t on t.oid = b.base
join pg_namespace tn on tn.oid = t.typnamespace
left join pg_class c on c.oid = t.typrelid
where p.prokind = 'f' and t.oid <> 'trigger'::regtype and coalesce(a.callable, true) and n.nspname = any($1)
"""

# Implicit casts between a domain and text or json: how the domain is read from requests and shown in answers.
REPRESENTATIONS = """
select coalesce(jsonb_agg(jsonb_build_object(
  'source', format_type(c.castsource, null), 'target', format_type(c.casttarget, null),
  'function', c.castfunc::regproc::text)), '[]')
from pg_cast c
join pg_type s on s.oid = c.castsource
join pg_type t on t.oid = c.casttarget
where c.castcontext = 'i' and c.castmethod = 'f' and has_function_privilege(c.castfunc, 'execute')
  and (
    (s.typtype = 'd' and c.casttarget in ('json'::regtype, 'text'::regtype))
    or (t.typtype = 'd' and c.castsource in ('json'::regtype, 'text'::regtype)))
"""

# Aggregates and functions whose result is a domain named like a media type produce that media type.
MEDIA_HANDLERS = """
with media_types as (
  select
    oid, typname, typnamespace, lower(typname) as media_type,
    case typname when '*/*' then 'application/octet-stream' else typname end as produced
  from pg_type
  where typbasetype <> 0 and (typname ~* '^[a-z0-9.-]+/[a-z0-9.+-]+$' or typname = '*/*')
)
select coalesce(jsonb_agg(to_jsonb(h)), '[]')
from (
  select
    pn.nspname as schema, p.proname as name, an.nspname as target_schema, at.typname as target,
    m.media_type, m.produced
  from media_types m
  join pg_proc p on p.prorettype = m.oid and p.prokind = 'a' and p.pronargs = 1
  join pg_namespace pn on pn.oid = p.pronamespace
  join pg_type at on at.oid = p.proargtypes[0]
  join pg_namespace an on an.oid = at.typnamespace
  where pn.nspname = any($1) and (
    at.oid = 'anyelement'::regtype
    or at.oid in (select reltype from pg_class where relkind in ('r', 'v', 'm', 'f', 'p')))
  union all
  select tn.nspname, m.typname, pn.nspname, p.proname, m.media_type, m.produced
  from media_types m
  join pg_namespace tn on tn.oid = m.typnamespace
  join pg_proc p on p.prorettype = m.oid and p.prokind = 'f' and not p.proretset
  join pg_namespace pn on pn.oid = p.pronamespace
  where pn.nspname = any($1)
) h
"""

# Fails where a schema does not exist.
CHECK_SCHEMAS = "select count(quote_ident(s)::regnamespace) from unnest($1::text[]) s"

TIMEZONES = "select jsonb_agg(name) from pg_timezone_names"

# Settings of the roles that the login role may become, and their isolation levels. A superuser's setting is applied
# only where the login role may set it.
ROLE_SETTINGS = """
select coalesce(jsonb_agg(jsonb_build_array(r.rolname, k.name, k.value) order by s.setdatabase), '[]')
from pg_db_role_setting s
join pg_roles r on r.oid = s.setrole
cross join lateral (
  select substr(c, 1, strpos(c, '=') - 1) as name, substr(c, strpos(c, '=') + 1) as value from unnest(s.setconfig) c
) k
left join pg_settings p on p.name = k.name
where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
  and pg_has_role(current_user, r.oid, 'member')
  and (p.context is null or p.context = 'user' or has_parameter_privilege(current_user, k.name, 'set'))
"""

# What `alter role authenticator set pgrst.db_schemas = '...'` says, the setting for this database over that for all.
DATABASE_CONFIG = """
select coalesce(jsonb_object_agg(k.name, k.value order by s.setdatabase), '{}')
from pg_db_role_setting s
cross join lateral (
  select substr(c, 1, strpos(c, '=') - 1) as name, substr(c, strpos(c, '=') + 1) as value from unnest(s.setconfig) c
) k
where s.setrole = current_user::regrole and k.name like 'pgrst.%'
  and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
"""
