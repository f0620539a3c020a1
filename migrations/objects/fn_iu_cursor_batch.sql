create function fn_iu_cursor_batch(p_cursor iu_route_cursor, p_event_type text, p_filter jsonb, p_limit integer)
returns bigint[]
language plpgsql volatile
set search_path from current
-- A batch stops at its limit, which the planner does not know: it would rather read the whole rest of
-- the window and sort it, for each batch. Nothing is written here, so no check is planned under it (T12).
set enable_sort to off
as $$
declare
    v_new pg_snapshot := p_cursor.new_snapshot;
    v_old pg_snapshot := p_cursor.old_snapshot;
    v_new_xid xid8 := p_cursor.new_xid;
    v_old_xid xid8 := p_cursor.old_xid;
    v_cluster bigint := p_cursor.cluster_id;
    v_late bigint[] := '{}'::bigint[];
    v_fresh bigint[] := '{}'::bigint[];
begin
    if p_cursor.is_carry_over then
        return array(
            select c.event_id from iu_route_carry_over as c
            where c.route_name = p_cursor.route_name and c.window_stamp = p_cursor.new_stamp
              and c.event_id > p_cursor.last_event_id
              and (select e.event_id from iu_event as e
                   where e.event_id = c.event_id and e.event_type = p_event_type
                     and fn_iu_route_takes(p_filter, e.subject, e.payload)) is not null
            order by c.event_id limit p_limit);
    end if;
    -- Late committers first: all of theirs are up to old_seq, all fresh ones above it.
    if p_cursor.late_xids is not null and p_cursor.last_event_id < p_cursor.old_seq then
        v_late := array(
            select l.event_id
            from unnest(p_cursor.late_xids) as x (xact_id)
            cross join lateral (
                select e.event_id from iu_event as e
                where (e.xact_id, e.event_id) > (x.xact_id, p_cursor.last_event_id)
                  and (e.xact_id, e.event_id) <= (x.xact_id, p_cursor.old_seq)
                  and e.event_type = p_event_type and fn_iu_route_takes(p_filter, e.subject, e.payload)
                  and e.cluster_id = v_cluster
                order by e.xact_id, e.event_id limit p_limit) as l
            order by l.event_id limit p_limit);
    end if;
    if cardinality(v_late) < p_limit then
        -- Whether an event of another cluster is visible cannot be told: it is never stepped
        -- over, and stands as null.
        v_fresh := array(
            select case when e.cluster_id = v_cluster then e.event_id end
            from iu_event as e
            where e.event_id > greatest(p_cursor.last_event_id, p_cursor.old_seq)
              and e.event_id <= p_cursor.new_high
              and (e.cluster_id <> v_cluster
                   or (pg_visible_in_snapshot(e.xact_id, v_new) and e.xact_id <> v_new_xid
                       and not (pg_visible_in_snapshot(e.xact_id, v_old) and e.xact_id <> v_old_xid)))
              and e.event_type = p_event_type and fn_iu_route_takes(p_filter, e.subject, e.payload)
            order by e.event_id limit p_limit - cardinality(v_late));
    end if;
    if array_position(v_fresh, null) is not null then
        raise exception 'events of another cluster are in the window of route "%"', p_cursor.route_name
            using errcode = 'IUG41', hint = 'iu-gates rebase';
    end if;
    return v_late || v_fresh;
end
$$;

comment on function fn_iu_cursor_batch(iu_route_cursor, text, jsonb, integer)
is 'The next events of the open window, in event_id order, at most p_limit';
revoke execute on function fn_iu_cursor_batch(iu_route_cursor, text, jsonb, integer) from public;
