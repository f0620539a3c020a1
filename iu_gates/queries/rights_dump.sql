-- What a pg_dump of this login could not read.
select count(*) filter (where not r.is_readable) as unreadable,
       min(r.name) filter (where not r.is_readable) as example,
       string_agg(r.name, ', ' order by r.name) filter (where r.is_secured) as secured
from (
    select c.oid::regclass::text as name,
           has_schema_privilege(n.oid, 'usage')
           and case c.relkind when 'S' then has_sequence_privilege(c.oid, 'select')
                   else has_table_privilege(c.oid, 'select') end as is_readable,
           row_security_active(c.oid) as is_secured
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'm', 'S') and c.relpersistence <> 't'
      and n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'
) as r
