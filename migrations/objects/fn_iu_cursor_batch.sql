create function fn_iu_cursor_batch(p_cursor iu_route_cursor, p_event_type text, p_limit integer)
returns bigint[]
language plpgsql volatile
set search_path from current
as $$
declare
    v_late bigint[] := '{}'::bigint[];
    v_fresh bigint[] := '{}'::bigint[];
    v_is_foreign boolean := false;
begin
    if p_cursor.is_carry_over then
        select coalesce(array_agg(b.event_id order by b.event_id), '{}') into v_fresh from (
            select c.event_id from iu_route_carry_over as c
            where c.route_name = p_cursor.route_name and c.window_stamp = p_cursor.new_stamp
              and c.event_id > p_cursor.last_event_id
              and (select e.event_type from iu_event as e where e.event_id = c.event_id) = p_event_type
            order by c.event_id limit p_limit) as b;
        return v_fresh;
    end if;
    -- Late committers first: all of theirs are up to old_seq, all fresh ones above it.
    if p_cursor.late_xids is not null and p_cursor.last_event_id < p_cursor.old_seq then
        select coalesce(array_agg(b.event_id order by b.event_id), '{}') into v_late from (
            select l.event_id
            from unnest(p_cursor.late_xids) as x (xact_id)
            cross join lateral (
                select e.event_id from iu_event as e
                where (e.xact_id, e.event_id) > (x.xact_id, p_cursor.last_event_id)
                  and (e.xact_id, e.event_id) <= (x.xact_id, p_cursor.old_seq)
                  and e.event_type = p_event_type and e.cluster_id = p_cursor.cluster_id
                order by e.xact_id, e.event_id limit p_limit) as l
            order by l.event_id limit p_limit) as b;
    end if;
    if cardinality(v_late) < p_limit then
        -- Whether an event of another cluster is visible cannot be told: it is never stepped over.
        select coalesce(array_agg(b.event_id order by b.event_id), '{}'), coalesce(bool_or(b.is_foreign), false)
        into v_fresh, v_is_foreign from (
            select e.event_id, e.cluster_id <> p_cursor.cluster_id as is_foreign from iu_event as e
            where e.event_id > greatest(p_cursor.last_event_id, p_cursor.old_seq)
              and e.event_id <= p_cursor.new_high
              and (e.cluster_id <> p_cursor.cluster_id
                   or (pg_visible_in_snapshot(e.xact_id, p_cursor.new_snapshot) and e.xact_id <> p_cursor.new_xid
                       and not (pg_visible_in_snapshot(e.xact_id, p_cursor.old_snapshot)
                                and e.xact_id <> p_cursor.old_xid)))
              and e.event_type = p_event_type
            order by e.event_id limit p_limit - cardinality(v_late)) as b;
    end if;
    if v_is_foreign then
        raise exception 'events of another cluster are in the window of route "%"', p_cursor.route_name
            using errcode = 'IUG41', hint = 'iu-gates rebase';
    end if;
    return v_late || v_fresh;
end
$$;

comment on function fn_iu_cursor_batch(iu_route_cursor, text, integer)
is 'The next events of the open window, in event_id order, at most p_limit';
revoke execute on function fn_iu_cursor_batch(iu_route_cursor, text, integer) from public;
