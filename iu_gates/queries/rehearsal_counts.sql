-- The tables that a manifest counted, as far as they are here.
select format('%%s.%%s', n.nspname, c.relname) as label, n.nspname::text as schema, c.relname::text as name
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and format('%%s.%%s', n.nspname, c.relname) = any(%(labels)s)
order by 1
