create function fn_iu_cursor_pending(p_cursor iu_route_cursor, p_snapshot pg_snapshot, p_own xid8)
returns setof iu_event
language sql stable
set search_path from current
as $$
    -- What is carried over and not reached, and what is visible in p_snapshot and not passed. Below
    -- the old snapshot's xmin everything is passed.
    select e.*
    from (
        select c.event_id from iu_route_carry_over as c
        where p_cursor.is_carry_over and c.route_name = p_cursor.route_name
          and c.window_stamp = p_cursor.new_stamp and c.event_id > p_cursor.last_event_id
        union all
        select n.event_id from iu_event as n
        where n.xact_id >= pg_snapshot_xmin(p_cursor.old_snapshot) and n.cluster_id = p_cursor.cluster_id
          and pg_visible_in_snapshot(n.xact_id, p_snapshot) and n.xact_id is distinct from p_own
          and not fn_iu_cursor_has_passed(p_cursor, n)) as f
    join iu_event as e on e.event_id = f.event_id
    join iu_outbound_route as r
        on r.route_name = p_cursor.route_name and r.event_type = e.event_type
        and fn_iu_route_takes(r.event_filter, e.subject, e.payload)
$$;

comment on function fn_iu_cursor_pending(iu_route_cursor, pg_snapshot, xid8)
is 'Events of a route that are visible in a snapshot and that this cursor has before it; p_own counts as running';
revoke execute on function fn_iu_cursor_pending(iu_route_cursor, pg_snapshot, xid8) from public;
