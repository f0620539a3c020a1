select l.seq, l.at, l.facts
from iu_gates.ledger as l
where l.kind = %(kind)s and l.subject = %(route)s
  and l.seq > coalesce((
      select max(s.seq) from iu_gates.ledger as s
      where s.kind = 'step' and s.subject = %(revision)s), 0)
order by l.seq desc
limit 1
