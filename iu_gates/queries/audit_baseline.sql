-- What the host wrote while nothing captured: rows without an event whose writer had committed
-- when the newest span began. xmin is 32 bits wide; the newest transaction with those bits is
-- taken, and that is right for two thousand million transactions.
insert into iu_gates.capture_baseline (span_no, subject, max_version_seq)
select s.span_no, u.:"unit"::text, max(u.:"version")
from iu_gates.capture_span as s
cross join :"host" as u
cross join lateral (
    select (w.here - ((w.here - u.xmin::text::bigint) %% 4294967296 + 4294967296) %% 4294967296) as xid
    from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as here) as w
) as x
where s.baseline_at is null
  and u.:"version" > 1
  and pg_visible_in_snapshot(greatest(x.xid, 3)::text::xid8, s.began_snapshot)
  and not exists (
      select from :"iu_schema".iu_event as e
      where e.event_type = %(event_type)s and e.subject = u.:"unit"::text and e.version_seq = u.:"version")
group by s.span_no, u.:"unit"::text
on conflict (subject, span_no) do nothing
