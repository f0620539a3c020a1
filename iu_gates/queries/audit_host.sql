-- Applied changes of the host, all of one event type, that nothing captured. No fault: from before capture began, or
-- purged (known by how far each unit had come), or pruned (known version by version). A gap:
-- written while the trigger was away, for `backfill` to capture. Missed: written while it was there.
with known as (
    select k.subject, max(k.version_seq) filter (where k.is_settled) as settled, max(k.version_seq) as version_seq
    from (
        select b.subject, b.max_version_seq as version_seq,
               b.span_no = (select min(s.span_no) from iu_gates.capture_span as s) as is_settled
        from iu_gates.capture_baseline as b
        union all
        select p.subject, p.max_version_seq, true from iu_gates.purged_version as p
    ) as k
    group by k.subject
)

select (
           select count(*) from :"host" as u where u.:"version" > 1 and %(event_type)s = 'iu.version_applied'
       ) as host,
       count(*) filter (where u.is_pruned) as pruned,
       count(*) filter (where u.is_settled and not u.is_pruned) as baseline,
       count(*) filter (where not u.is_settled and u.is_known and not u.is_pruned) as gap,
       count(*) filter (where not u.is_known and not u.is_pruned) as missed,
       (array_agg(u.name) filter (where not u.is_known and not u.is_pruned))[1:1000] as missed_names
from (
    select h.subject || ' version ' || h.version_seq as name,
           coalesce(g.versions @> h.version_seq::bigint, false) as is_pruned,
           coalesce(h.version_seq <= k.settled, false) as is_settled,
           coalesce(h.version_seq <= k.version_seq, false) as is_known
    from (
        select u.:"unit"::text as subject, u.:"version" as version_seq
        from :"host" as u
        where u.:"version" > 1 and %(event_type)s = 'iu.version_applied'
    ) as h
    left join known as k on k.subject = h.subject
    left join iu_gates.pruned_event as g on g.event_type = %(event_type)s and g.subject = h.subject
    where not exists (
        select from :"iu_schema".iu_event as e
        where e.event_type = %(event_type)s and e.subject = h.subject and e.version_seq = h.version_seq)
) as u
