-- The columns of the host's version table: what its domains are made of, what an INSERT must
-- fill, and what else stands in the way of a value that we make up.
with recursive part as (
    select a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.atthasdef,
           a.attidentity, a.attgenerated
    from pg_attribute as a
    join pg_class as c on c.oid = a.attrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = %(schema)s and c.relname = %(table)s and a.attnum > 0 and not a.attisdropped
),

base as (
    select p.attnum, p.atttypid, p.atttypmod, false as not_null, false as filled, false as checked
    from part as p
    union all
    select b.attnum, t.typbasetype, t.typtypmod, b.not_null or t.typnotnull,
           b.filled or t.typdefault is not null,
           b.checked or exists (select from pg_constraint as k where k.contypid = t.oid and k.contype = 'c')
    from base as b
    join pg_type as t on t.oid = b.atttypid and t.typtype = 'd'
)

select p.attname as name,
       format_type(b.atttypid, b.atttypmod) as type,
       p.attidentity <> 'a' and p.attgenerated = '' as writable,
       p.atthasdef or p.attidentity <> '' or b.filled as filled,
       p.attnotnull or b.not_null as not_null,
       b.checked or exists (
           select from pg_constraint as k
           where k.conrelid = p.attrelid and k.contype = 'c' and p.attnum = any(k.conkey)
       ) as checked,
       exists(
           select from pg_constraint as k
           where k.conrelid = p.attrelid and k.contype = 'f' and p.attnum = any(k.conkey)
       ) as refers,
       exists(
           select from pg_index as i
           where i.indrelid = p.attrelid and i.indisunique and p.attnum = any(i.indkey)
             and (select count(*) from part as v
                  where v.attnum = any(i.indkey) and v.attname in (%(unit)s, %(version)s)) < 2
       ) as is_unique
from part as p
join base as b on b.attnum = p.attnum
join pg_type as t on t.oid = b.atttypid and t.typtype <> 'd'
order by p.attnum
