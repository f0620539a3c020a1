-- Events without any attempt, and, while the route is live, events held and not delivered yet.
select count(*) as captured,
       count(*) filter (where a.event_id is null or (r.live and not a.settled)) as waiting
from :"iu_schema".iu_event as e
cross join (
    select not o.dry_run and o.quota is null as live from :"iu_schema".iu_outbound_route as o
    where o.route_name = 'iu.version_applied.workflow'
) as r
left join (
    select t.event_id, bool_or(t.status <> 'held') as settled
    from :"iu_schema".iu_route_attempt as t group by t.event_id
) as a on a.event_id = e.event_id
