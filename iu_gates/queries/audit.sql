-- Counted from the rows themselves, not by the cursor's ways. At most 1,000 of a kind are named.
with event as (
    select e.event_id, e.cluster_id, e.subject, e.version_seq, e.xact_id, e.captured_at
    from :"iu_schema".iu_event as e
    where e.event_type = %(event_type)s
      and (%(filter)s::jsonb -> 'subject' is null or e.subject = %(filter)s::jsonb ->> 'subject')
      and (%(filter)s::jsonb -> 'payload' is null or e.payload @> (%(filter)s::jsonb -> 'payload'))
),

-- What became of an event, as bits: 1 sent, 2 dry_run, 4 held, 8 duplicate, 16 replayed, 32 skipped.
attempt as (
    select a.event_id,
           bit_or(case a.status when 'sent' then 1 when 'dry_run' then 2 when 'held' then 4
                      when 'duplicate' then 8 when 'replayed' then 16 when 'skipped' then 32 else 0 end) as done,
           count(*) filter (where a.status in ('sent', 'dry_run')) as effects,
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
    select e.*, coalesce(a.done, 0) as done, coalesce(a.effects, 0) as effects, a.first_effect,
           d.event_id is not null as was_dead, coalesce(d.is_open, false) as dead,
           k.event_id is not null as parked, c.event_id is not null as carried,
           coalesce(a.done, 0) & 59 = 0 and not coalesce(d.is_open, false) and k.event_id is null as open
    from event as e
    left join attempt as a on a.event_id = e.event_id
    left join dead as d on d.event_id = e.event_id
    left join parked as k on k.event_id = e.event_id
    left join carried as c on c.event_id = e.event_id
),

-- Subqueries, not joins: they are evaluated for what is open alone.
-- Of what is open: was it there before the route began; has the cursor passed it. Of what is not:
-- was it attempted before an earlier one of its unit.
seen as (
    select f.*,
           case when not f.open or (select b.cluster_id from beginning as b) is null then false
               -- It began with an event of the past, and carried over what came from there on.
               when (select b.is_carry_over and f.event_id > b.last_event_id from beginning as b) then false
               when f.cluster_id = (select b.cluster_id from beginning as b)
                   then pg_visible_in_snapshot(f.xact_id, (select b.old_snapshot from beginning as b))
               else f.event_id <= (select b.old_seq from beginning as b) end as is_before,
           case when not f.open or f.carried or (select p.cluster_id from place as p) is null then false
               when f.cluster_id <> (select p.cluster_id from place as p)
                   then f.event_id <= (select p.old_seq from place as p)
               else (
                   select f.xact_id <> p.old_xid and pg_visible_in_snapshot(f.xact_id, p.old_snapshot)
                       or not p.is_carry_over and p.new_snapshot is not null and f.event_id <= p.last_event_id
                       and f.xact_id <> p.new_xid and pg_visible_in_snapshot(f.xact_id, p.new_snapshot)
                   from place as p) end as is_passed,
           not f.was_dead and f.first_effect < max(f.first_effect) filter (where not f.was_dead) over (
               partition by f.subject order by f.event_id rows between unbounded preceding and 1 preceding)
               as is_ahead
    from fate as f
),

orphan as (
    select count(distinct a.event_id) as n, (array_agg(a.event_id::text order by a.event_id))[1:1000] as names
    from :"iu_schema".iu_route_attempt as a
    where a.route_name = %(route)s
      and not exists (
          select from :"iu_schema".iu_event as e where e.event_id = a.event_id and e.event_type = %(event_type)s)
)

-- No order in an aggregate: whoever has one has the server sort every row, named or not. They come in
-- the order of units and events as it is.
select count(*) as captured,
       count(*) filter (where s.done & 18 = 2) as dry_run,
       count(*) filter (where s.done & 17 > 0) as delivered,
       count(*) filter (where s.open and s.done & 4 > 0) as held,
       count(*) filter (where s.open and s.done & 4 = 0 and not s.is_before) as waiting,
       count(*) filter (where s.open and s.is_before) as left_out,
       count(*) filter (where s.carried) as carried,
       count(*) filter (where s.parked) as parked,
       count(*) filter (where s.open and s.done & 4 = 0 and not s.is_before
                        and s.captured_at < now() - interval '2 seconds') as late,
       count(*) filter (where s.done & 27 = 8) as duplicates,
       count(*) filter (where s.dead) as dead,
       count(*) filter (where s.done & 57 = 32) as skipped_by_decision,
       (array_agg(s.subject || ' version ' || s.version_seq) filter (where s.done & 57 = 32))[1:1000]
           as skipped_by_decision_names,
       count(*) filter (where s.effects > 1) as repeated,
       (array_agg(s.subject || ' version ' || s.version_seq) filter (where s.effects > 1))[1:1000] as repeated_names,
       count(*) filter (where s.is_passed and not s.is_before) as skipped,
       (array_agg(s.subject || ' version ' || s.version_seq) filter (where s.is_passed and not s.is_before))[1:1000]
           as skipped_names,
       count(*) filter (where s.is_ahead) as ahead,
       array_agg(s.subject) filter (where s.is_ahead) as ahead_subjects,
       (select o.n from orphan as o) as orphans,
       (select o.names from orphan as o) as orphans_names
from seen as s
