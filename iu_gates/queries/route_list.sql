-- Each route, or one, with its two cursors and what lies before them.
select r.route_name as name, r.event_type, r.event_filter, r.target_kind, r.target_ref, r.on_dead_letter,
       r.max_tries, r.retry_seconds, r.trip_failures, r.trip_seconds, r.definition_hash, r.created_at,
       r.enabled, r.dry_run, r.live_from, r.quota, :"iu_schema".fn_iu_route_mode(r.route_name) as mode,
       (select g.gate_value = 'true' from :"iu_schema".iu_runtime_gate as g
        where g.gate_name = 'iu_core.route_worker_enabled') as is_gate_open,
       (select s.kind || ': ' || s.reason from iu_gates.stop as s
        where s.lifted_at is null and (s.route_name is null or s.route_name = r.route_name)
        order by s.kind = 'trip' desc, s.epoch limit 1) as stop,
       greatest((d.at).old_seq, (d.at).last_event_id) as delivery_event_id,
       (d.at).new_snapshot is not null as delivery_is_open, (d.at).moved_at as delivery_moved_at,
       greatest((e.at).old_seq, (e.at).last_event_id) as evaluation_event_id,
       (e.at).new_snapshot is not null as evaluation_is_open, (e.at).moved_at as evaluation_moved_at,
       b.events as behind, b.seconds as behind_seconds, b.held,
       (select count(*) from :"iu_schema".iu_route_parked as p where p.route_name = r.route_name) as parked,
       (select count(*) from :"iu_schema".iu_route_dead_letter as l
        where l.route_name = r.route_name
          and not exists (select from :"iu_schema".iu_route_redrive as v
                          where v.dead_letter_id = l.dead_letter_id)) as dead,
       t.attempted_at as last_attempt_at, t.status as last_status
from :"iu_schema".iu_outbound_route as r
cross join lateral (select :"iu_schema".fn_iu_cursor_current(r.route_name, 'live') as at) as d
cross join lateral (select :"iu_schema".fn_iu_cursor_current(r.route_name, 'held') as at) as e
cross join lateral (
    select count(*) as events,
           coalesce(extract(epoch from clock_timestamp() - min(n.captured_at)), 0)::float8 as seconds,
           count(*) filter (where (
               select a.event_id from :"iu_schema".iu_route_attempt as a
               where a.route_name = r.route_name and a.event_id = n.event_id and a.status = 'held') is not null) as held
    from :"iu_schema".fn_iu_cursor_pending(d.at, pg_current_snapshot(), null) as n
) as b
left join lateral (
    -- By the two indexes: the newest event with an effect or an evaluation, and the newest failure.
    select f.attempted_at, f.status from (
        (select a.attempted_at, a.status from :"iu_schema".iu_route_attempt as a
         where a.route_name = r.route_name and a.status in ('dry_run', 'held', 'sent')
         order by a.event_id desc limit 1)
        union all
        (select a.attempted_at, a.status from :"iu_schema".iu_route_attempt as a
         where a.route_name = r.route_name and a.status = 'failed' and a.sqlstate is not null
         order by a.attempted_at desc limit 1)) as f
    order by f.attempted_at desc limit 1
) as t on true
where %(route)s::text is null or r.route_name = %(route)s
order by r.route_name
