select l.seq, l.at, l.kind, l.subject, l.actor, l.address, l.application, l.facts, l.hash
from iu_gates.ledger as l
where %(kind)s::text is null or l.kind = %(kind)s
order by l.seq desc
limit %(limit)s
