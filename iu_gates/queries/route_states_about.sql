-- As route_states, for a history that is too long to be counted at each look. What is captured, dry,
-- sent and duplicate is what a share of the pages holds, for all of them. What waits, is held, parked
-- or dead is counted: none of it lies below the snapshot up to which a cursor has worked all through.
with events as materialized (
    select e.event_type, e.subject, e.payload, (e.ctid::text::point)[0] as page
    from :"iu_schema".iu_event as e tablesample system(%(events)s::real)
),

attempts as materialized (
    select a.route_name, a.status, (a.ctid::text::point)[0] as page
    from :"iu_schema".iu_route_attempt as a tablesample system(%(attempts)s::real)
)

select r.route_name, r.target_kind, r.target_ref, r.enabled, r.dry_run, r.quota, r.live_from,
       (to_jsonb(r) ->> 'live_since')::timestamptz as live_since,
       case
           when iu_gates.fn_is_stopped(r.route_name) then 'hold'
           when not exists (select from :"iu_schema".iu_runtime_gate as g
                            where g.gate_name = 'iu_core.route_worker_enabled' and g.gate_value = 'true') then 'hold'
           when not r.enabled then 'hold'
           when not r.dry_run and r.quota is distinct from 0 then 'live'
           when r.live_from is null then 'dry'
           else 'held'
       end as mode,
       s.captured, t.dry_run as dry_run_events, f.held, t.sent, t.duplicate, f.waiting,
       (select count(*) from :"iu_schema".iu_route_parked as p where p.route_name = r.route_name) as parked,
       (select count(*) from :"iu_schema".iu_route_dead_letter as d
        where d.route_name = r.route_name
          and not exists (select from :"iu_schema".iu_route_redrive as v
                          where v.dead_letter_id = d.dead_letter_id)) as dead
from :"iu_schema".iu_outbound_route as r
cross join lateral (
    select count(*) filter (
        where e.event_type = r.event_type
          and (r.event_filter -> 'subject' is null or e.subject = r.event_filter ->> 'subject')
          and (r.event_filter -> 'payload' is null or e.payload @> (r.event_filter -> 'payload')))
        * %(event_pages)s::bigint / greatest(count(distinct e.page), 1) as captured
    from events as e
) as s
cross join lateral (
    select count(*) filter (where a.route_name = r.route_name and a.status = 'dry_run')
        * %(attempt_pages)s::bigint / greatest(count(distinct a.page), 1) as dry_run,
           count(*) filter (where a.route_name = r.route_name and a.status in ('sent', 'replayed'))
        * %(attempt_pages)s::bigint / greatest(count(distinct a.page), 1) as sent,
           count(*) filter (where a.route_name = r.route_name and a.status = 'duplicate')
        * %(attempt_pages)s::bigint / greatest(count(distinct a.page), 1) as duplicate
    from attempts as a
) as t
cross join lateral (
    select c.cluster_id, c.route_name, c.old_snapshot, c.new_stamp, c.is_carry_over, c.last_event_id
    from :"iu_schema".iu_route_cursor as c
    where c.route_name = r.route_name and c.kind = 'delivery' order by c.cursor_no desc limit 1
) as at
cross join lateral (
    select count(*) filter (where a.held and not a.settled) as held,
           count(*) filter (where a.held is null and d.event_id is null and p.event_id is null
                            and not coalesce(b.is_before, false)) as waiting
    from (
        select n.event_id, n.event_type, n.subject, n.payload, n.cluster_id, n.xact_id
        from :"iu_schema".iu_event as n
        where n.xact_id >= pg_snapshot_xmin(at.old_snapshot) and n.cluster_id = at.cluster_id
        union all
        select w.event_id, w.event_type, w.subject, w.payload, w.cluster_id, w.xact_id
        from :"iu_schema".iu_route_carry_over as c
        join :"iu_schema".iu_event as w on w.event_id = c.event_id
        where at.is_carry_over and c.route_name = r.route_name and c.window_stamp = at.new_stamp
          and c.event_id > at.last_event_id and w.cluster_id <> at.cluster_id
    ) as e
    left join lateral (
        select bool_or(t.status = 'held') as held, bool_or(t.status <> 'held') as settled
        from :"iu_schema".iu_route_attempt as t where t.route_name = r.route_name and t.event_id = e.event_id
    ) as a on true
    left join :"iu_schema".iu_route_dead_letter as d
        on d.route_name = r.route_name and d.event_id = e.event_id
        and not exists (select from :"iu_schema".iu_route_redrive as v where v.dead_letter_id = d.dead_letter_id)
    left join :"iu_schema".iu_route_parked as p on p.route_name = r.route_name and p.event_id = e.event_id
    left join lateral (
        select case
                   when c.is_carry_over and e.event_id > c.last_event_id then false
                   when e.cluster_id = c.cluster_id then pg_visible_in_snapshot(e.xact_id, c.old_snapshot)
                   else e.event_id <= c.old_seq
               end as is_before
        from :"iu_schema".iu_route_cursor as c
        where c.route_name = r.route_name and c.is_start order by c.cursor_no desc limit 1
    ) as b on true
    where e.event_type = r.event_type
      and (r.event_filter -> 'subject' is null or e.subject = r.event_filter ->> 'subject')
      and (r.event_filter -> 'payload' is null or e.payload @> (r.event_filter -> 'payload'))
) as f
order by r.route_name
