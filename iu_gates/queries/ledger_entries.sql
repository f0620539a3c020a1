select l.seq, l.at, l.kind, l.subject, l.actor, l.address, l.application, l.facts, l.hash
from iu_gates.ledger as l
where (%(kind)s::text is null or l.kind = %(kind)s)
  and (%(since_seq)s::bigint is null or l.seq >= %(since_seq)s)
  and (%(since_at)s::timestamptz is null or l.at >= %(since_at)s)
order by l.seq desc
limit %(limit)s
