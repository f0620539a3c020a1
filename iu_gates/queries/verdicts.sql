-- "expired" is true where the verdict only ran out: it passed, and nothing voided it.
select g.gate,
       l.facts ->> 'outcome' as outcome,
       l.at,
       f.reason,
       coalesce(f.reason like 'the last verdict was too old%%', false) as expired
from unnest(%(gates)s::text[]) as g (gate)
left join lateral (
    select v.facts, v.at
    from iu_gates.ledger as v
    where v.kind = 'verdict' and v.subject = g.gate
    order by v.seq desc
    limit 1
) as l on true
cross join lateral iu_gates.fn_not_in_force(g.gate) as f (reason)
