select l.seq, l.at, l.subject, l.actor, l.facts
from iu_gates.ledger as l
where l.kind = %(kind)s and (%(subject)s::text is null or l.subject = %(subject)s)
order by l.seq desc
limit 1
