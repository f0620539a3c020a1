-- Dead letters by what is asked for; a parameter that is null asks for nothing.
select d.dead_letter_id, d.route_name as route, d.event_id, d.subject, d.version_seq, d.reason, d.sqlstate, d.message,
       d.tries, d.given_up_at, d.idempotency_key, r.on_dead_letter, v.redriven_at, v.redriven_by,
       case when %(payload)s then d.payload end as payload
from :"iu_schema".iu_route_dead_letter as d
join :"iu_schema".iu_outbound_route as r on r.route_name = d.route_name
left join :"iu_schema".iu_route_redrive as v on v.dead_letter_id = d.dead_letter_id
where (%(ids)s::bigint[] is null or d.dead_letter_id = any(%(ids)s::bigint[]))
  and (%(route)s::text is null or d.route_name = %(route)s)
  and (%(subject)s::text is null or d.subject = %(subject)s)
  and (%(reason)s::text is null or d.reason = %(reason)s)
  and (%(sqlstate)s::text is null or starts_with(d.sqlstate, %(sqlstate)s))
  and (%(since)s::timestamptz is null or d.given_up_at >= %(since)s)
  and (%(redriven_too)s or v.dead_letter_id is null)
order by d.dead_letter_id desc
limit %(limit)s
