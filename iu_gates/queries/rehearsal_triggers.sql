-- Triggers of the host on the two tables that a rehearsal writes; ours are of our schema.
select n.nspname::text as schema, c.relname::text as table, t.tgname::text as name
from pg_trigger as t
join pg_class as c on c.oid = t.tgrelid
join pg_namespace as n on n.oid = c.relnamespace
join pg_proc as p on p.oid = t.tgfoid
join pg_namespace as o on o.oid = p.pronamespace
where not t.tgisinternal and t.tgparentid = 0 and t.tgenabled <> 'D'
  and n.nspname = %(schema)s and c.relname = any(%(tables)s) and o.nspname <> %(ours)s
order by 1, 2, 3
