-- Applied changes of the host that nothing captured although capture was on: no event, and
-- above the baseline of their unit. Purged events are known by how far each unit had come.
with known as (
    select k.subject, max(k.max_version_seq) as version_seq
    from (
        select c.subject, c.max_version_seq from iu_gates.capture_baseline as c
        union all
        select p.subject, p.max_version_seq from iu_gates.purged_version as p
    ) as k
    group by k.subject
)

select (select count(*) from :"host" as u where u.:"version" > 1) as host,
       count(*) filter (where u.is_known) as baseline,
       count(*) filter (where not u.is_known) as missed,
       min(u.subject || ' version ' || u.version_seq) filter (where not u.is_known) as missed_example
from (
    select h.subject, h.version_seq, coalesce(h.version_seq <= k.version_seq, false) as is_known
    from (select u.:"unit"::text as subject, u.:"version" as version_seq from :"host" as u where u.:"version" > 1) as h
    left join known as k on k.subject = h.subject
    where not exists (
        select from :"iu_schema".iu_event as e
        where e.event_type = %(event_type)s and e.subject = h.subject and e.version_seq = h.version_seq)
) as u
