-- One row for the table (its kind stands in "type"), one for each column, one for each full unique
-- index, valid or left over by a concurrent build that did not end, and one for each rule of INSERT.
-- A type is written so that it can be cast to under any search_path; the base of a domain is what it
-- is made of.
with recursive place as (
    select c.oid, c.relkind
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = %(schema)s and c.relname = %(table)s and c.relkind in ('r', 'p')
),

part as (
    select a.attname::text as name, a.attnum, a.attnotnull, a.atthasdef, a.attidentity, a.attgenerated,
           a.atttypid, a.atttypmod
    from pg_attribute as a
    join place as p on p.oid = a.attrelid
    where a.attnum > 0 and not a.attisdropped
),

base as (
    select d.attnum, d.atttypid, d.atttypmod, false as not_null, false as filled from part as d
    union all
    select b.attnum, t.typbasetype, t.typtypmod, b.not_null or t.typnotnull,
           b.filled or t.typdefault is not null
    from base as b
    join pg_type as t on t.oid = b.atttypid and t.typtype = 'd'
)

select 'table' as kind, null::text as name, place.relkind::text as type, null::text as base,
       null::boolean as not_null, null::boolean as filled, null::boolean as writable,
       null::text[] as key_columns
from place
union all
select 'column', c.name,
       case when t.typnamespace = 'pg_catalog'::regnamespace then format_type(c.atttypid, c.atttypmod)
            else format('%%I.%%I', t.typnamespace::regnamespace::name, t.typname) end,
       case when u.typnamespace = 'pg_catalog'::regnamespace then format_type(b.atttypid, b.atttypmod)
            else u.typname::text end,
       c.attnotnull or b.not_null,
       c.atthasdef or c.attidentity <> '' or c.attgenerated <> '' or b.filled,
       c.attidentity <> 'a' and c.attgenerated = '',
       null
from part as c
join pg_type as t on t.oid = c.atttypid
join base as b on b.attnum = c.attnum
join pg_type as u on u.oid = b.atttypid and u.typtype <> 'd'
union all
select case when i.indisvalid then 'key' else 'leftover' end, x.relname::text, null, null, null, null, null,
       (select array_agg(a.attname::text order by k.n)
        from unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) with ordinality as k (attnum, n)
        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum)
from pg_index as i
join pg_class as x on x.oid = i.indexrelid
join place as p on p.oid = i.indrelid
where i.indisunique and i.indimmediate and i.indpred is null and i.indexprs is null
union all
select 'rule', r.rulename::text, null, null, null, null, null, null
from pg_rewrite as r
join place as p on p.oid = r.ev_class
where r.ev_type = '3' and r.ev_enabled <> 'D'
