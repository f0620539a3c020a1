select max(pg_relation_size(c.oid) / current_setting('block_size')::bigint)
           filter (where c.relname = 'iu_event') as event_pages,
       max(pg_relation_size(c.oid) / current_setting('block_size')::bigint)
           filter (where c.relname = 'iu_route_attempt') as attempt_pages
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = %(schema)s and c.relname in ('iu_event', 'iu_route_attempt')
