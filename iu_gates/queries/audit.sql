-- Counted from the rows themselves, not by the cursor's ways.
with event as (
    select e.event_id, e.subject, e.version_seq, e.xact_id, e.captured_at
    from :"iu_schema".iu_event as e
    where e.event_type = %(event_type)s
),

attempt as (
    select a.event_id,
           count(*) filter (where a.status = 'dry_run') as dry_run,
           count(*) filter (where a.status = 'held') as held,
           count(*) filter (where a.status = 'sent') as sent,
           count(*) filter (where a.status = 'duplicate') as duplicate,
           min(a.attempt_id) filter (where a.status in ('sent', 'dry_run')) as first_effect
    from :"iu_schema".iu_route_attempt as a
    where a.route_name = %(route)s
    group by a.event_id
),

dead as (
    select d.event_id from :"iu_schema".iu_route_dead_letter as d where d.route_name = %(route)s
),

fate as (
    select
        e.event_id,
        e.subject,
        e.version_seq,
        e.xact_id,
        e.captured_at,
        coalesce(a.dry_run, 0) as dry_run,
        coalesce(a.held, 0) as held,
           coalesce(a.sent, 0) as sent, coalesce(a.duplicate, 0) as duplicate, a.first_effect,
           d.event_id is not null as dead,
           coalesce(a.sent + a.dry_run, 0) = 0 and coalesce(a.duplicate, 0) = 0 and d.event_id is null as open
    from event as e
    left join attempt as a on a.event_id = e.event_id
    left join dead as d on d.event_id = e.event_id
),

reordered as (
    select count(*) as n, min(f.subject) as example
    from (select f.subject, f.first_effect,
                 max(f.first_effect) over (partition by f.subject order by f.event_id
                                           rows between unbounded preceding and 1 preceding) as before
          from fate as f where f.first_effect is not null) as f
    where f.first_effect < f.before
),

place as (
    select c.old_snapshot, c.old_xid from :"iu_schema".iu_route_cursor as c
    where c.route_name = %(route)s and c.kind = 'delivery' order by c.cursor_no desc limit 1
)

select count(*) as captured,
       count(*) filter (where f.dry_run > 0) as dry_run,
       count(*) filter (where f.sent > 0) as delivered,
       count(*) filter (where f.open and f.held > 0) as held,
       count(*) filter (where f.open and f.held = 0) as waiting,
       count(*) filter (where f.open and f.held = 0
                        and f.captured_at < now() - interval '2 seconds') as late,
       count(*) filter (where f.duplicate > 0 and f.sent = 0 and f.dry_run = 0) as duplicates,
       count(*) filter (where f.dead) as dead,
       count(*) filter (where f.sent > 1 or f.dry_run > 1 or f.sent + f.dry_run > 1) as repeated,
       min(f.subject) filter (where f.sent > 1 or f.dry_run > 1 or f.sent + f.dry_run > 1) as repeated_example,
       count(*) filter (where f.open and f.held = 0 and f.passed) as skipped,
       min(f.subject || ' version ' || f.version_seq)
       filter (where f.open and f.held = 0 and f.passed) as skipped_example,
       (select r.n from reordered as r) as reordered,
       (select r.example from reordered as r) as reordered_example,
       (select count(*) from attempt as a where not exists (select from event as e where e.event_id = a.event_id))
           as orphans
from (
    select g.*, pg_visible_in_snapshot(g.xact_id, p.old_snapshot) and g.xact_id <> p.old_xid as passed
    from fate as g left join place as p on true
) as f
