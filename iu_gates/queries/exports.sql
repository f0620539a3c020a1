select l.facts from iu_gates.ledger as l
where l.kind = 'export' and starts_with(l.facts ->> 'digest', %(digest)s)
order by l.seq desc
