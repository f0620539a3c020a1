-- Host rows that have no event and should have one, in the order in which they are captured. Rows
-- from before capture began for the first time are taken only when they are asked for.
create temporary table iu_backfill on commit preserve rows as
with first_span as (
    select b.subject, max(b.max_version_seq) as version_seq
    from iu_gates.capture_baseline as b
    where b.span_no = (select min(s.span_no) from iu_gates.capture_span as s)
    group by b.subject
),

purged as (
    select p.subject, max(p.max_version_seq) as version_seq from iu_gates.purged_version as p group by p.subject
)

select row_number() over (order by u.:"unit", u.:"version") as n,
       u.:"unit" as unit, u.:"unit"::text as subject, u.:"version" as version_seq
from :"host" as u
left join first_span as f on f.subject = u.:"unit"::text
left join purged as p on p.subject = u.:"unit"::text
where u.:"version" > 1
  and (%(before_capture)s or u.:"version" > coalesce(f.version_seq, 1))
  and u.:"version" > coalesce(p.version_seq, 1)
  and not exists (
      select from :"iu_schema".iu_event as e
      where e.event_type = 'iu.version_applied' and e.subject = u.:"unit"::text and e.version_seq = u.:"version")
  and not exists (
      select from iu_gates.pruned_event as g
      where g.event_type = 'iu.version_applied' and g.subject = u.:"unit"::text
        and g.versions @> u.:"version"::bigint)
