create function fn_iu_routes_due(
    p_seen pg_snapshot, p_far bigint,
    out seen pg_snapshot, out due text[], out far text[], out held_back text[]
)
language plpgsql stable security definer
set search_path from current
as $$
declare
    v_seq bigint;
    v_types text[];
    v_count bigint;
begin
    -- STABLE: every statement here reads in the snapshot that is returned as `seen`.
    seen := pg_current_snapshot(); far := '{}'; held_back := '{}';

    -- What became visible since p_seen: of its running transactions those that have ended, and
    -- all from its xmax on. Searched between the transactions that run now, whose rows are
    -- never touched (T8).
    if p_seen is not null then
        with fence (lo, hi) as (
            select f.x, coalesce(lead(f.x) over (order by f.x), pg_snapshot_xmax(seen))
            from (select s.x from pg_snapshot_xip(seen) as s (x) where s.x >= pg_snapshot_xmax(p_seen)
                  union all
                  select (pg_snapshot_xmax(p_seen)::text::bigint - 1)::text::xid8) as f (x)
        ),
        fresh (event_type) as (
            select n.event_type from fence as f cross join lateral (
                select e.event_type from iu_event as e where e.xact_id > f.lo and e.xact_id < f.hi
                order by e.xact_id, e.event_id limit 1001) as n
            limit 1001
        ),
        late (event_type) as (
            select n.event_type from pg_snapshot_xip(p_seen) as s (x) cross join lateral (
                select e.event_type from iu_event as e
                where (e.xact_id, e.event_id) > (s.x, 0::bigint)
                  and (e.xact_id, e.event_id) < (s.x, 9223372036854775807)
                order by e.xact_id, e.event_id limit 1001) as n
            where pg_visible_in_snapshot(s.x, seen)
            limit 1001
        )
        select array_agg(distinct n.event_type), count(*) into v_types, v_count
        from (select f.event_type from fresh as f union all select l.event_type from late as l) as n;
        if v_count <= 1000 then
            select coalesce(array_agg(r.route_name order by r.route_name), '{}') into due
            from iu_outbound_route as r
            where v_count > 0 and r.enabled and r.event_type = any (v_types);
            return;
        end if;
    end if;

    -- All routes, by their cursors. Routes with the same place in the events are looked at once.
    v_seq := fn_iu_event_seq();
    with route as materialized (
        select r.route_name, r.event_type, fn_iu_route_mode(r.route_name) as mode from iu_outbound_route as r
    ),
    reader as materialized (
        select r.route_name, r.event_type, fn_iu_cursor_current(r.route_name, r.mode) as at
        from route as r where r.mode <> 'hold'
    ),
    place as materialized (
        select distinct on ((q.at).old_snapshot::text, (q.at).old_xid, (q.at).old_seq) q.at
        from reader as q where (q.at).new_snapshot is null
    ),
    look as materialized (
        select (p.at).old_snapshot::text as old_snapshot, (p.at).old_xid, (p.at).old_seq,
               fn_iu_late_xids(p.at, seen, null) is not null as is_late,
               v_seq > (p.at).old_seq + p_far as is_far,
               case when v_seq > (p.at).old_seq and v_seq <= (p.at).old_seq + p_far then (
                   select array_agg(distinct e.event_type) from iu_event as e
                   where e.event_id > (p.at).old_seq
                     and (e.cluster_id <> (p.at).cluster_id
                          or not (pg_visible_in_snapshot(e.xact_id, (p.at).old_snapshot)
                                  and e.xact_id <> (p.at).old_xid))) end as types
        from place as p
    ),
    found as (
        select r.route_name,
               (r.at).new_snapshot is not null or l.is_late or r.event_type = any (l.types)
               or (select p.due_at from iu_route_parked as p
                   where p.route_name = r.route_name and p.due_at <= clock_timestamp() limit 1) is not null as is_due,
               l.is_far
        from reader as r
        left join look as l on (r.at).new_snapshot is null
          and l.old_snapshot = (r.at).old_snapshot::text and l.old_xid = (r.at).old_xid and l.old_seq = (r.at).old_seq
    )
    select coalesce(array_agg(f.route_name order by f.route_name) filter (where f.is_due), '{}'),
           coalesce(array_agg(f.route_name order by f.route_name) filter (where f.is_far and f.is_due is not true), '{}'),
           coalesce((select array_agg(r.route_name order by r.route_name) from route as r where r.mode = 'hold'), '{}')
    into due, far, held_back
    from found as f;
end
$$;

comment on function fn_iu_routes_due(pg_snapshot, bigint) is
'Routes with something to do: by the types of what became visible since p_seen, or all by their cursors';
revoke execute on function fn_iu_routes_due(pg_snapshot, bigint) from public;
