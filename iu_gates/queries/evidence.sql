select l.seq, l.at, l.facts
from iu_gates.ledger as l
where l.kind = %(kind)s and l.subject = %(route)s
  -- A proof is about the route as it was defined.
  and coalesce(l.facts ->> 'definition_hash' = iu_gates.fn_route_definition_hash(%(route)s), true)
  and l.seq > coalesce((
      select max(s.seq) from iu_gates.ledger as s
      where s.kind = 'step' and s.subject = %(revision)s), 0)
order by l.seq desc
limit 1
