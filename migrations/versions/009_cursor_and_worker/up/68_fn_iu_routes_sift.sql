create function fn_iu_routes_sift(p_routes text[], p_site_key text) returns text[]
language plpgsql volatile security definer
set search_path from current
as $$
declare
    v_cluster bigint;
    v_seq bigint;
    v_xid xid8;
    v_due text[] := '{}'::text[];
    v_mine text[] := '{}'::text[];
    v_types text[];
    v_route record;
    v_mode text;
    v_at iu_route_cursor;
    v_window iu_route_cursor;
begin
    -- The order of a batch: the key of all, sequence, own xid, keys of the routes, cursors, and only then
    -- the snapshot (T9), one for all. What is read after it shows all that it shows, so that a type that
    -- is not found is in nobody's window.
    perform pg_advisory_xact_lock_shared(18773001, 0);
    v_cluster := fn_iu_worker_require(p_site_key);
    v_seq := fn_iu_event_seq();
    v_xid := pg_current_xact_id();
    for v_route in select r.* from iu_outbound_route as r
                   where r.route_name = any (p_routes) order by r.route_no loop
        perform pg_advisory_xact_lock_shared(18773002, v_route.route_no);
        v_mode := fn_iu_route_mode(v_route.route_name);
        if v_mode = 'held' then
            v_due := v_due || v_route.route_name;
        elsif v_mode <> 'hold' and pg_try_advisory_xact_lock(18773003, v_route.route_no) then
            v_mine := v_mine || v_route.route_name;
        end if;
    end loop;
    if v_mine = '{}' then
        return v_due;
    end if;
    v_window := fn_iu_cursor_open(fn_iu_cursor_current(v_mine[1], 'live'), v_seq, v_xid);
    select array_agg(distinct e.event_type) into v_types
    from iu_event as e
    where e.event_id > (select min((fn_iu_cursor_current(m.route_name, 'live')).old_seq)
                        from unnest(v_mine) as m (route_name));
    for v_route in select r.* from iu_outbound_route as r
                   where r.route_name = any (v_mine) order by r.route_no loop
        v_at := fn_iu_cursor_current(v_route.route_name, 'live');
        if v_at.new_snapshot is not null or v_at.cluster_id <> v_cluster or v_route.event_type = any (v_types)
           or fn_iu_late_xids(v_at, v_window.new_snapshot, v_xid) is not null then
            v_due := v_due || v_route.route_name;
        else
            v_window.route_name := v_at.route_name;
            v_window.kind := v_at.kind;
            v_window.cluster_id := v_at.cluster_id;
            perform fn_iu_cursor_move(v_window, 0, true);
        end if;
    end loop;
    return v_due;
end
$$;

comment on function fn_iu_routes_sift(text[], text)
is 'Move routes forward over events that are not theirs, all with one snapshot; the others are returned';
revoke execute on function fn_iu_routes_sift(text[], text) from public;
