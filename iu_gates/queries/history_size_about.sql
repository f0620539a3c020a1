-- As history_size, for a history that is too long to be counted at each look: what a share of the pages
-- holds, for all of them. Numbers are drawn as events are captured, so the oldest has the lowest.
select coalesce(s.events, 0) * %(event_pages)s::bigint / greatest(s.pages, 1) as events,
       (select e.captured_at from :"iu_schema".iu_event as e order by e.event_id limit 1) as oldest,
       (select sum(pg_total_relation_size(c.oid))::bigint from pg_class as c
        join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = %(schema)s and c.relname in ('iu_event', 'iu_route_attempt')) as size_bytes,
       s.beyond * %(event_pages)s::bigint / greatest(s.pages, 1) as beyond,
       s.overdue * %(event_pages)s::bigint / greatest(s.pages, 1) as overdue
from (
    select count(*) as events, count(distinct split_part(e.ctid::text, ',', 1)) as pages,
           count(*) filter (where e.captured_at <= now() - %(keep)s::interval) as beyond,
           count(*) filter (where e.captured_at <= now() - %(keep)s::interval - interval '2 days') as overdue
    from :"iu_schema".iu_event as e tablesample system(%(events)s::real)
) as s
