select t.content
from iu_gates.ledger as l
join iu_gates.catalog_text as t on t.sha256 = l.facts ->> 'control'
where l.kind in ('step', 'adopt', 'control') and l.facts ? 'control'
order by l.seq desc
limit 1
