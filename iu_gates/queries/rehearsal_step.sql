-- How long the transactions of the steps since an entry had run when each was recorded: the longest.
select max((l.facts ->> 'held_ms')::double precision) as held_ms
from iu_gates.ledger as l
where l.kind = 'step' and l.seq > %(after)s
