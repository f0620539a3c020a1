select coalesce(max(a.attempt_id), 0) as last,
       count(*) filter (where a.attempt_id > %(after)s) as deliveries
from :"iu_schema".iu_route_attempt as a
where a.status = 'sent'
