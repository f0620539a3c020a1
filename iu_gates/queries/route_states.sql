-- The mode is that of fn_iu_route_mode, in its words: an auditor may read the tables, and calls
-- no function of the worker. A test holds the two together.
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
       f.captured, f.dry_run as dry_run_events, f.held, f.sent, f.duplicate, f.parked, f.dead, f.waiting
from :"iu_schema".iu_outbound_route as r
cross join lateral (
    select count(*) as captured,
           count(*) filter (where a.dry_run) as dry_run,
           count(*) filter (where a.held and not a.settled) as held,
           count(*) filter (where a.sent) as sent,
           count(*) filter (where a.duplicate) as duplicate,
           count(d.event_id) as dead,
           count(p.event_id) as parked,
           count(*) filter (
               where a.event_id is null and d.event_id is null and p.event_id is null
                 and not coalesce(case
                     when b.is_carry_over and e.event_id > b.last_event_id then false
                     when e.cluster_id = b.cluster_id then pg_visible_in_snapshot(e.xact_id, b.old_snapshot)
                     else e.event_id <= b.old_seq end, false)) as waiting
    from :"iu_schema".iu_event as e
    left join (
        select t.event_id, bool_or(t.status = 'dry_run') as dry_run, bool_or(t.status = 'held') as held,
               bool_or(t.status in ('sent', 'replayed')) as sent, bool_or(t.status = 'duplicate') as duplicate,
               bool_or(t.status <> 'held') as settled
        from :"iu_schema".iu_route_attempt as t where t.route_name = r.route_name group by t.event_id
    ) as a on a.event_id = e.event_id
    -- The open ones: of an event there is one at most.
    left join :"iu_schema".iu_route_dead_letter as d
        on d.route_name = r.route_name and d.event_id = e.event_id
        and not exists (select from :"iu_schema".iu_route_redrive as v where v.dead_letter_id = d.dead_letter_id)
    left join :"iu_schema".iu_route_parked as p on p.route_name = r.route_name and p.event_id = e.event_id
    -- Where the route began, if not with the first event.
    left join (
        select c.cluster_id, c.old_snapshot, c.old_seq, c.is_carry_over, c.last_event_id
        from :"iu_schema".iu_route_cursor as c
        where c.route_name = r.route_name and c.is_start order by c.cursor_no desc limit 1
    ) as b on true
    where e.event_type = r.event_type
      -- As a CASE, the planner takes it for a coin toss, and not for a row or two.
      and case when r.event_filter is null then true
          else (r.event_filter -> 'subject' is null or e.subject = r.event_filter ->> 'subject')
              and (r.event_filter -> 'payload' is null or e.payload @> (r.event_filter -> 'payload')) end
) as f
order by r.route_name
