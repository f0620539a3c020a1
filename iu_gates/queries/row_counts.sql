select n.nspname::text as schema, c.relname::text as name
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind = 'r'
  and n.nspname in ('iu_gates', (select i.iu_schema from iu_gates.installation as i))
  and has_table_privilege(c.oid, 'select')
order by 1, 2
