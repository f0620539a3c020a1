select count(*) filter (where a.idempotency_key is null) as unexplained,
       min(o.:"key") filter (where a.idempotency_key is null) as unexplained_example,
       count(*) as in_target
from :"outbox" as o
left join (
    select distinct t.idempotency_key
    from :"iu_schema".iu_route_attempt as t
    where t.route_name = %(route)s and t.status in ('sent', 'duplicate')
) as a on a.idempotency_key = o.:"key"
where starts_with(o.:"key", %(prefix)s)
