-- Counted from the rows themselves, not by the cursor's ways. At most 1,000 of a kind are named.
with event as (
    select e.event_id, e.cluster_id, e.subject, e.version_seq, e.xact_id, e.captured_at
    from :"iu_schema".iu_event as e
    where e.event_type = %(event_type)s
      and (%(filter)s::jsonb -> 'subject' is null or e.subject = %(filter)s::jsonb ->> 'subject')
      and (%(filter)s::jsonb -> 'payload' is null or e.payload @> (%(filter)s::jsonb -> 'payload'))
),

attempt as (
    select a.event_id,
           count(*) filter (where a.status = 'dry_run') as dry_run,
           count(*) filter (where a.status = 'held') as held,
           count(*) filter (where a.status = 'sent') as sent,
           count(*) filter (where a.status = 'duplicate') as duplicate,
           count(*) filter (where a.status = 'replayed') as replayed,
           count(*) filter (where a.status = 'skipped') as skipped,
           min(a.attempt_id) filter (where a.status in ('sent', 'dry_run')) as first_effect
    from :"iu_schema".iu_route_attempt as a
    where a.route_name = %(route)s
    group by a.event_id
),

-- A redriven dead letter is not open, and its event has lost its place in the order for good.
dead as (
    select d.event_id, bool_or(r.dead_letter_id is null) as is_open
    from :"iu_schema".iu_route_dead_letter as d
    left join :"iu_schema".iu_route_redrive as r on r.dead_letter_id = d.dead_letter_id
    where d.route_name = %(route)s
    group by d.event_id
),

parked as (
    select p.event_id from :"iu_schema".iu_route_parked as p where p.route_name = %(route)s
),

place as (
    select c.* from :"iu_schema".iu_route_cursor as c
    where c.route_name = %(route)s and c.kind = 'delivery' order by c.cursor_no desc limit 1
),

carried as (
    select c.event_id
    from :"iu_schema".iu_route_carry_over as c
    join place as p on p.is_carry_over and c.window_stamp = p.new_stamp and c.event_id > p.last_event_id
    where c.route_name = %(route)s
),

beginning as (
    select c.cluster_id, c.old_snapshot, c.old_seq, c.is_carry_over, c.last_event_id
    from :"iu_schema".iu_route_cursor as c
    where c.route_name = %(route)s and c.is_start order by c.cursor_no desc limit 1
),

fate as (
    select e.*,
           coalesce(a.dry_run, 0) as dry_run, coalesce(a.held, 0) as held, coalesce(a.sent, 0) as sent,
           coalesce(a.duplicate, 0) as duplicate, coalesce(a.replayed, 0) as replayed,
           coalesce(a.skipped, 0) as skipped, a.first_effect,
           d.event_id is not null as was_dead, coalesce(d.is_open, false) as dead,
           k.event_id is not null as parked, c.event_id is not null as carried,
           coalesce(a.sent + a.dry_run + a.duplicate + a.replayed + a.skipped, 0) = 0 and not coalesce(d.is_open, false)
           and k.event_id is null as open
    from event as e
    left join attempt as a on a.event_id = e.event_id
    left join dead as d on d.event_id = e.event_id
    left join parked as k on k.event_id = e.event_id
    left join carried as c on c.event_id = e.event_id
),

-- Of what is open: was it there before the route began; has the cursor passed it.
seen as (
    select f.*, f.subject || ' version ' || f.version_seq as name,
           f.sent > 1 or f.dry_run > 1 or f.sent + f.dry_run > 1 as is_repeated,
           case when not f.open or b.cluster_id is null then false
               -- It began with an event of the past, and carried over what came from there on.
               when b.is_carry_over and f.event_id > b.last_event_id then false
               when f.cluster_id = b.cluster_id then pg_visible_in_snapshot(f.xact_id, b.old_snapshot)
               else f.event_id <= b.old_seq end as is_before,
           case when not f.open or f.carried or p.cluster_id is null then false
               when f.cluster_id <> p.cluster_id then f.event_id <= p.old_seq
               when f.xact_id <> p.old_xid and pg_visible_in_snapshot(f.xact_id, p.old_snapshot) then true
               else not p.is_carry_over and p.new_snapshot is not null and f.event_id <= p.last_event_id
                   and f.xact_id <> p.new_xid and pg_visible_in_snapshot(f.xact_id, p.new_snapshot) end as is_passed
    from fate as f
    left join place as p on true
    left join beginning as b on true
),

reordered as (
    select count(*) as n,
           (array_agg(o.subject || ' version ' || o.version_seq order by o.event_id))[1:1000] as names
    from (select f.event_id, f.subject, f.version_seq, f.first_effect,
                 max(f.first_effect) over (partition by f.subject order by f.event_id
                                           rows between unbounded preceding and 1 preceding) as before
          from fate as f where f.first_effect is not null and not f.was_dead) as o
    where o.first_effect < o.before
),

orphan as (
    select count(distinct a.event_id) as n, (array_agg(a.event_id::text order by a.event_id))[1:1000] as names
    from :"iu_schema".iu_route_attempt as a
    where a.route_name = %(route)s
      and not exists (
          select from :"iu_schema".iu_event as e where e.event_id = a.event_id and e.event_type = %(event_type)s)
)

select count(*) as captured,
       count(*) filter (where s.dry_run > 0 and s.replayed = 0) as dry_run,
       count(*) filter (where s.sent + s.replayed > 0) as delivered,
       count(*) filter (where s.open and s.held > 0) as held,
       count(*) filter (where s.open and s.held = 0 and not s.is_before) as waiting,
       count(*) filter (where s.open and s.is_before) as left_out,
       count(*) filter (where s.carried) as carried,
       count(*) filter (where s.parked) as parked,
       count(*) filter (where s.open and s.held = 0 and not s.is_before
                        and s.captured_at < now() - interval '2 seconds') as late,
       count(*) filter (where s.duplicate > 0 and s.sent + s.replayed = 0 and s.dry_run = 0) as duplicates,
       count(*) filter (where s.dead) as dead,
       count(*) filter (where s.skipped > 0 and s.sent + s.replayed + s.duplicate = 0) as skipped_by_decision,
       (array_agg(s.name order by s.event_id)
        filter (where s.skipped > 0 and s.sent + s.replayed + s.duplicate = 0))[1:1000] as skipped_by_decision_names,
       count(*) filter (where s.is_repeated) as repeated,
       (array_agg(s.name order by s.event_id) filter (where s.is_repeated))[1:1000] as repeated_names,
       count(*) filter (where s.is_passed and not s.is_before) as skipped,
       (array_agg(s.name order by s.event_id) filter (where s.is_passed and not s.is_before))[1:1000]
           as skipped_names,
       (select r.n from reordered as r) as reordered,
       (select r.names from reordered as r) as reordered_names,
       (select o.n from orphan as o) as orphans,
       (select o.names from orphan as o) as orphans_names
from seen as s
