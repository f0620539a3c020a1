-- What the newest verdict of each gate, and what was asked to be approved, says of backups.
select distinct on (l.kind, l.subject) l.facts::text as said
from iu_gates.ledger as l
where l.kind in ('verdict', 'request', 'approval', 'rehearsal')
order by l.kind, l.subject, l.seq desc
