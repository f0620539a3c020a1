select count(*) as events
from :"iu_schema".iu_event as e
where not exists (
    select from :"iu_schema".iu_route_attempt as a
    where a.event_id = e.event_id and a.status in ('sent', 'replayed', 'duplicate'))
