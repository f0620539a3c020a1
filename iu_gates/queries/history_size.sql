-- How much history there is, and how much of it is older than the policy keeps. What stays for a
-- dead letter or a try to come is not overdue.
select count(*) as events,
       min(e.captured_at) as oldest,
       (select sum(pg_total_relation_size(c.oid))::bigint from pg_class as c
        join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = %(schema)s and c.relname in ('iu_event', 'iu_route_attempt')) as size_bytes,
       count(*) filter (where e.captured_at <= now() - %(keep)s::interval) as beyond,
       count(*) filter (where e.captured_at <= now() - %(keep)s::interval - interval '2 days'
                        and not exists (select from :"iu_schema".iu_route_parked as p where p.event_id = e.event_id)
                        and not exists (
                            select from :"iu_schema".iu_route_dead_letter as d
                            where d.event_id = e.event_id
                              and not exists (select from :"iu_schema".iu_route_redrive as v
                                              where v.dead_letter_id = d.dead_letter_id))) as overdue
from :"iu_schema".iu_event as e
