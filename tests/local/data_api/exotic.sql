-- What is rare: hidden tables behind views, views on views, wide keys, names with every letter, handlers of media types.
create schema "we!rd ""é";
create schema hidden;
create schema side;
grant usage on schema "we!rd ""é", hidden, side to anon;
set search_path = "we!rd ""é";

create table hidden.actors (a int, b int, name text, primary key (a, b));
create table hidden.films (id int primary key, title text);
create table hidden.roles (
  film int references hidden.films, a int, b int, part text,
  constraint roles_actor foreign key (a, b) references hidden.actors, primary key (film, a, b));
create table hidden.awards (film int unique references hidden.films, name text, id int primary key);
insert into hidden.actors values (1, 1, 'Ada'), (1, 2, 'Bo');
insert into hidden.films values (1, 'One'), (2, 'Two');
insert into hidden.roles values (1, 1, 1, 'lead'), (1, 1, 2, 'side'), (2, 1, 1, 'cameo');
insert into hidden.awards values (1, 'Gold', 7);
create view actors as select a as "first", b as "second", name from hidden.actors;
create view films as select id as "film-id", title from hidden.films;
create view roles as select * from hidden.roles;
create view awards as select * from hidden.awards;
create view side.inner_films as select "film-id" as fid, title from films;
create view outer_films as select fid as id, upper(title) as loud from side.inner_films;
create view twice as select film as one, film as other, a, b from hidden.roles;
create materialized view part_count as select film, count(*) as n from hidden.roles group by film;
create view only_half as select film, a from hidden.roles;

create table "únï" (id int primary key, "näme" text, "with ""quote""" text);
insert into "únï" values (1, 'ä', 'q');
create table many_types (id int primary key, j json, b bytea, bits bit(3), c char(3), v varchar(4), ts timestamptz, i interval);
insert into many_types values (1, '{"a": [1, {"b": 2}]}', '\x6869', '101', 'ab', 'abcd', '2020-01-02 03:04:05+00', '1 day');

create type point2 as (x int, y int);
create type size as enum ('s', 'l');
create domain some_size as size;
create domain own_size as some_size;
create domain label as text;
create domain own_label as label default 'none';
create domain words as tsvector;
create table clothes (id int primary key, size own_size, label own_label, found words);
insert into clothes values (1, 'l', 'red', 'warm');
create table shapes (id int primary key, corner point2, corners point2[]);
insert into shapes values (1, (1, 2), array[(3, 4)::point2]);

create domain "application/vnd.shout" as text;
create domain "*/*" as text;
create domain "application/vnd.Quiet" as text;
create function quiet() returns "application/vnd.Quiet" language sql as $$ select 'hush'::"we!rd ""é"."application/vnd.Quiet" $$;
create function shout_step(state text, item films) returns "application/vnd.shout" language sql as $$ select (state || upper(item.title))::"we!rd ""é"."application/vnd.shout" $$;
create aggregate shout(films) (sfunc = shout_step, stype = "application/vnd.shout", initcond = '');
create function any_step(state text, item awards) returns "*/*" language sql as $$ select (state || item.name)::"we!rd ""é"."*/*" $$;
create aggregate any_awards(awards) (sfunc = any_step, stype = "*/*", initcond = '');
create domain "application/json" as json;
create function own_json_step(state json, item anyelement) returns "application/json" language sql as $$ select '{"own": true}'::json::"we!rd ""é"."application/json" $$;
create function typed() returns "application/vnd.shout" language sql as $$ select 'HEY'::"we!rd ""é"."application/vnd.shout" $$;

create function echo_char(c char, b bit, v varchar) returns text language sql as $$ select c || '/' || b::text || '/' || v $$;
create function raw_json(json) returns text language sql as $$ select 'json' $$;
create function raw_both(json) returns text language sql as $$ select 'json' $$;
create function raw_both(jsonb) returns text language sql as $$ select 'jsonb' $$;
create function raw_or_named(jsonb) returns text language sql as $$ select 'whole' $$;
create function raw_or_named(a int) returns text language sql as $$ select 'named' $$;
create function defaults(a int default 1, b text default 'x', variadic c int[] default '{}') returns text language sql as $$ select a || b || array_to_string(c, ',') $$;
create function pairs() returns setof point2 language sql as $$ select 1, 2 union all select 3, 4 $$;
create function one_pair() returns point2 language sql as $$ select 5, 6 $$;
create function rows_of(out a int, out b text) returns setof record language sql as $$ values (1, 'x'), (2, 'y') $$;
create function both_ways(inout a int, inout b int default 2) language sql as $$ select a + 1, b + 1 $$;
create function null_int() returns int language sql as $$ select null::int $$;
create function json_text() returns json language sql as $$ select '{"a":1}'::json $$;
create function level() returns text language sql set default_transaction_isolation = 'REPEATABLE READ' as $$ select current_setting('transaction_isolation') $$;
create function fulltime() returns timestamptz language sql as $$ select '2020-01-02 03:04:05+00'::timestamptz $$;
create procedure do_nothing() language sql as $$ select 1 $$;
create function films_like(word text) returns setof films language sql stable rows 5 as $$ select * from films where title ilike word $$;
create function is_long(films) returns boolean language sql stable as $$ select length($1.title) > 3 $$;
create function is_long(actors) returns boolean language sql stable as $$ select length($1.name) > 3 $$;
create function roles(films) returns setof roles language sql stable as $$ select * from roles where film = $1."film-id" and part = 'lead' $$;
grant select on all tables in schema "we!rd ""é" to anon;
