select count(*) as events, min(p.event_id) as first, max(p.event_id) as last
from :"iu_schema".fn_iu_route_past(
    %(route)s, coalesce(%(first)s, 1) - 1, coalesce(%(last)s, 9223372036854775807), %(since)s, %(until)s, null
) as p (event_id)
