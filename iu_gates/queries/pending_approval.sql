select l.subject, l.facts ->> 'digest' as digest, l.actor as requested_by, l.at as requested_at,
       l.facts -> 'contents' as contents, (l.facts ->> 'needed')::integer as needed
from iu_gates.ledger as l
where l.kind = 'request' and (%(digest)s::text is null or l.facts ->> 'digest' like %(digest)s)
  and (%(subject)s::text is null or l.subject = %(subject)s)
order by l.seq desc
limit 1
