-- The entry of a number, or those whose hash begins so, and whether the hash is the one kept.
select l.seq, l.hash, starts_with(l.hash, %(digits)s) as matches
from iu_gates.ledger as l
where case when %(seq)s::bigint is null then starts_with(l.hash, %(digits)s) else l.seq = %(seq)s end
order by l.seq
