-- Applied changes of the host that nothing captured although capture was on: no event, and
-- above the baseline of their unit.
select (select count(*) from :"host" as u where u.:"version" > 1) as host,
       count(*) filter (where u.version_seq <= u.baseline) as baseline,
       count(*) filter (where u.baseline is null or u.version_seq > u.baseline) as missed,
       min(u.subject || ' version ' || u.version_seq)
       filter (where u.baseline is null or u.version_seq > u.baseline) as missed_example
from (
    select u.:"unit"::text as subject, u.:"version" as version_seq,
           (select max(b.max_version_seq) from iu_gates.capture_baseline as b where b.subject = u.:"unit"::text)
               as baseline
    from :"host" as u
    where u.:"version" > 1
      and not exists (
          select from :"iu_schema".iu_event as e
          where e.event_type = %(event_type)s and e.subject = u.:"unit"::text and e.version_seq = u.:"version")
) as u
