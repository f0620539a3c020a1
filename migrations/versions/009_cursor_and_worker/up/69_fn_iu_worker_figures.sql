create function fn_iu_worker_figures()
returns table (figure text, route_name text, label text, amount double precision)
language sql volatile security definer
set search_path from current
as $$
    -- Bounded, however long the history is (P12): at most 1,000 events a route are looked at.
    -- Beyond those its lag is what the sequence says.
    with route as materialized (
        select r.route_name, r.event_type, r.event_filter, fn_iu_route_mode(r.route_name) as mode,
               fn_iu_cursor_current(r.route_name, 'live') as at
        from iu_outbound_route as r
    ),
    waiting as materialized (
        select r.route_name, fn_iu_event_seq() - (r.at).old_seq as ids, n.waiting, n.looked_at, n.since
        from route as r
        cross join lateral (
            select count(*) as looked_at, count(*) filter (where e.is_ours) as waiting,
                   min(e.captured_at) filter (where e.is_ours) as since
            from ((select w.event_type = r.event_type and fn_iu_route_takes(r.event_filter, w.subject, w.payload)
                          as is_ours, w.captured_at
                   from iu_route_carry_over as c
                   join iu_event as w on w.event_id = c.event_id
                   where (r.at).is_carry_over and c.route_name = r.route_name
                     and c.window_stamp = (r.at).new_stamp and c.event_id > (r.at).last_event_id
                   order by c.event_id limit 1000)
                  union all
                  (select w.event_type = r.event_type and fn_iu_route_takes(r.event_filter, w.subject, w.payload),
                          w.captured_at from iu_event as w
                   where w.event_id > greatest((r.at).old_seq, (r.at).last_event_id)
                     and not (pg_visible_in_snapshot(w.xact_id, (r.at).old_snapshot)
                              and w.xact_id <> (r.at).old_xid)
                   order by w.event_id limit 1000)) as e) as n
    )
    select 'captured', null, null, fn_iu_event_seq()::double precision
    union all
    select 'lag_events', w.route_name, null, case when w.looked_at < 1000 then w.waiting else greatest(w.waiting, w.ids) end
    from waiting as w
    union all
    select 'lag_seconds', w.route_name, null,
           coalesce(greatest(extract(epoch from clock_timestamp() - w.since), 0), 0)
    from waiting as w
    union all
    select 'window_age', r.route_name, null,
           case when (r.at).new_snapshot is null then 0 else extract(epoch from clock_timestamp() - (r.at).moved_at) end
    from route as r
    union all
    select 'mode', r.route_name, m.mode, (m.mode = r.mode)::integer
    from route as r cross join (values ('hold'), ('dry'), ('held'), ('live')) as m (mode)
    union all
    select 'parked', r.route_name, null, (
        select count(*) from (select from iu_route_parked as p where p.route_name = r.route_name limit 1001) as l)
    from route as r
    union all
    select 'dead_letters', r.route_name, null, (
        select count(*) from (
            select from iu_route_dead_letter as d
            where d.route_name = r.route_name
              and (select e.dead_letter_id from iu_route_redrive as e where e.dead_letter_id = d.dead_letter_id) is null
            limit 1001) as l)
    from route as r
    union all
    select 'gate', null, g.gate_name, (g.gate_value = 'true')::integer from iu_runtime_gate as g
    union all
    -- Of the first route's way the label is empty; a further one has gates of its own.
    select 'verdict', '', g.name, (iu_gates.fn_not_in_force(g.name) is null)::integer
    from unnest(array['host', 'backup', 'substrate', 'invocation', 'dry_run', 'seam', 'check_relaxed', 'disable_proven',
                      'rehearsal', 'approval', 'canary', 'live']) as g (name)
    union all
    select 'verdict', r.route_name, g.name, (iu_gates.fn_not_in_force(r.route_name || '/' || g.name) is null)::integer
    from route as r
    cross join unnest(array['dry_run', 'seam', 'approval', 'canary', 'live']) as g (name)
    where r.route_name <> 'iu.version_applied.workflow'
    union all
    select 'heartbeat', null, h.worker_id, extract(epoch from clock_timestamp() - h.seen_at) from iu_worker_heartbeat as h
    union all
    (select 'blocking', null, b.holder, extract(epoch from clock_timestamp() - b.began)
     from (select a.pid::text, a.xact_start from pg_stat_activity as a
           where a.backend_xid is not null and a.pid <> pg_backend_pid()
           union all
           select 'prepared ' || p.gid, p.prepared from pg_prepared_xacts as p) as b (holder, began)
     order by b.began limit 1)
$$;

comment on function fn_iu_worker_figures() is 'What a worker shows to Prometheus; docs/metrics.md';
revoke execute on function fn_iu_worker_figures() from public;
