-- Each entry's hash, and the very text that was hashed: see docs/ledger.md. Written out here, so
-- that it does not lean on a function that somebody may have replaced.
select l.hash,
       jsonb_build_array(
           l.previous_hash, l.seq, to_char(l.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           l.kind, l.subject, l.actor, l.address, l.application, l.facts)::text as entry,
       l.seq, l.previous_hash
from iu_gates.ledger as l
order by l.seq
