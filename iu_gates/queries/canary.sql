with began as (
    select max(l.at) as at from iu_gates.ledger as l
    where l.kind = %(kind)s and l.subject = %(subject)s
      and (l.facts ->> 'direction' = 'up' or l.facts ->> 'did' = 'canary')
)

select count(a.attempt_id) as sent,
       (select b.at from began as b) as began_at,
       min(a.event_id) as event_id,
       (select r.quota from :"iu_schema".iu_outbound_route as r where r.route_name = %(route)s) as quota,
       (select count(*) from :"iu_schema".iu_route_dead_letter as d where d.route_name = %(route)s
        and d.given_up_at >= (select b.at from began as b)) as dead
from began as b
left join :"iu_schema".iu_route_attempt as a
    on a.route_name = %(route)s and a.status = 'sent' and a.attempted_at >= b.at
