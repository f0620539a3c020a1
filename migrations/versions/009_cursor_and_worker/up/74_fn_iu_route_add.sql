create function fn_iu_route_add(p_route jsonb, p_policy jsonb, p_from bigint) returns bigint
language plpgsql volatile
set search_path from current
as $$
declare
    v_route iu_outbound_route := jsonb_populate_record(null::iu_outbound_route, p_route);
    v_start iu_route_cursor;
    v_begin bigint := p_from;
    v_carried bigint := 0;
begin
    if current_setting('transaction_isolation') <> 'read committed' or pg_current_xact_id_if_assigned() is not null then
        raise exception 'a route begins in a READ COMMITTED transaction of its own'
            using errcode = 'IUG10', hint = 'iu-gates route add --help';
    end if;
    -- No prune takes away the past that it begins with.
    perform pg_advisory_xact_lock_shared(18773008, 1);
    -- The order of every window: the sequence, the own xid, the snapshot (T9). What is visible in it
    -- is from before the route; what commits later is attempted, whenever its transaction began.
    v_start.old_seq := fn_iu_event_seq();
    v_start.old_xid := pg_current_xact_id();
    insert into iu_outbound_route (route_name, event_type, event_filter, target_kind, target_ref)
    values (v_route.route_name, v_route.event_type, v_route.event_filter, v_route.target_kind, v_route.target_ref);
    perform fn_iu_route_set(v_route.route_name, p_policy);
    select s.system_identifier into v_start.cluster_id from pg_control_system() as s;
    v_start.old_stamp := nextval('iu_route_cursor_cursor_no_seq');
    select pg_current_snapshot() into v_start.old_snapshot;
    if v_begin <= 1 and not exists (select from iu_event as e where e.cluster_id <> v_start.cluster_id) then
        -- From the first event on: nothing is visible in this snapshot.
        v_start.old_snapshot := '3:3:';
        v_start.old_xid := '3';
        v_start.old_seq := 0;
        v_begin := null;
    end if;
    insert into iu_route_carry_over (route_name, window_stamp, event_id)
    select v_route.route_name, v_start.old_stamp, e.event_id
    from iu_event as e
    where e.event_id >= v_begin and e.event_type = v_route.event_type
      and fn_iu_route_takes(v_route.event_filter, e.subject, e.payload)
      and (e.cluster_id <> v_start.cluster_id
           or (pg_visible_in_snapshot(e.xact_id, v_start.old_snapshot) and e.xact_id <> v_start.old_xid))
    order by e.event_id;
    get diagnostics v_carried = row_count;
    insert into iu_route_cursor (
        route_name, kind, cluster_id, old_stamp, old_snapshot, old_xid, old_seq,
        new_stamp, new_snapshot, new_xid, new_seq, new_high, last_event_id, is_carry_over, is_start)
    select v_route.route_name, 'delivery', v_start.cluster_id,
           v_start.old_stamp, v_start.old_snapshot, v_start.old_xid, v_start.old_seq,
           w.stamp, w.snapshot, w.xid, w.seq, w.seq, coalesce(w.last_event_id, 0), v_carried > 0, v_start.old_seq > 0
    from (values (1)) as one (row)
    left join (values (v_start.old_stamp, v_start.old_snapshot, v_start.old_xid, v_start.old_seq, v_begin - 1))
        as w (stamp, snapshot, xid, seq, last_event_id)
    on v_carried > 0;
    return v_carried;
end
$$;

comment on function fn_iu_route_add(jsonb, jsonb, bigint) is
'Add a route, off and dry, that begins at now, or at an event; returns how many past events it begins with';
revoke execute on function fn_iu_route_add(jsonb, jsonb, bigint) from public;
