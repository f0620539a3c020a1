-- What the ledger says of a backup: the lane step that it must hold (T39); what the last step
-- that it holds, or must hold, left; its own head as this ledger has it; its sha256 as it was
-- written down. `fn_backup_stale` (migrations/control/080_guard.sql) goes by the same rule.
with must as (
    select max(l.seq) as seq
    from iu_gates.ledger as l
    where l.kind = 'step'
      and (%(gate)s::text is null
           or l.facts ->> 'gate' is distinct from %(gate)s
           or (l.facts ->> 'direction' = 'down' and %(gate)s <> 'rollback'))
),

held as (
    select l.*
    from iu_gates.ledger as l, must
    where l.kind in ('step', 'adopt', 'control') and l.seq <= greatest(must.seq, %(snapshot_seq)s)
)

select must.seq as min_seq,
       (select max(h.seq) from held as h where h.kind <> 'control') as step_seq,
       (select h.facts -> 'revisions' from held as h where h.facts ? 'revisions'
        order by h.seq desc limit 1) as heads,
       (select h.facts ->> 'fingerprint' from held as h where h.facts ? 'fingerprint'
        order by h.seq desc limit 1) as fingerprint,
       (select l.hash from iu_gates.ledger as l where l.seq = %(snapshot_seq)s) as hash_at_head,
       coalesce(
           (select l.facts ->> 'sha256' from iu_gates.ledger as l
            where l.kind = 'backup' and l.subject = %(archive)s
            order by l.seq desc limit 1),
           -- One that was made before there was a ledger, and taken over.
           (select l.facts -> 'facts' ->> 'sha256' from iu_gates.ledger as l
            where l.kind = 'verdict' and l.subject = 'backup' and l.facts ->> 'outcome' = 'pass'
              and l.facts -> 'facts' ->> 'archive' like '%%/' || %(archive)s
            order by l.seq limit 1)) as sha256
from must
