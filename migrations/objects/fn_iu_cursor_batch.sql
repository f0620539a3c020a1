create function fn_iu_cursor_batch(p_cursor iu_route_cursor, p_event_type text, p_limit integer)
returns bigint[]
language plpgsql volatile
set search_path from current
as $$
declare
    v_late bigint[] := '{}'::bigint[];
    v_fresh bigint[] := '{}'::bigint[];
begin
    -- Late committers first: all of theirs are up to old_seq, all fresh ones above it.
    if p_cursor.late_xids is not null and p_cursor.last_event_id < p_cursor.old_seq then
        select coalesce(array_agg(b.event_id order by b.event_id), '{}') into v_late from (
            select l.event_id
            from unnest(p_cursor.late_xids) as x (xact_id)
            cross join lateral (
                select e.event_id from iu_event as e
                where (e.xact_id, e.event_id) > (x.xact_id, p_cursor.last_event_id)
                  and (e.xact_id, e.event_id) <= (x.xact_id, p_cursor.old_seq)
                  and e.event_type = p_event_type
                order by e.xact_id, e.event_id limit p_limit) as l
            order by l.event_id limit p_limit) as b;
    end if;
    if cardinality(v_late) < p_limit then
        select coalesce(array_agg(b.event_id order by b.event_id), '{}') into v_fresh from (
            select e.event_id from iu_event as e
            where e.event_id > greatest(p_cursor.last_event_id, p_cursor.old_seq)
              and e.event_id <= p_cursor.new_high
              and pg_visible_in_snapshot(e.xact_id, p_cursor.new_snapshot) and e.xact_id <> p_cursor.new_xid
              and not (pg_visible_in_snapshot(e.xact_id, p_cursor.old_snapshot) and e.xact_id <> p_cursor.old_xid)
              and e.event_type = p_event_type
            order by e.event_id limit p_limit - cardinality(v_late)) as b;
    end if;
    return v_late || v_fresh;
end
$$;

comment on function fn_iu_cursor_batch(iu_route_cursor, text, integer)
is 'The next events of the open window, in event_id order, at most p_limit';
revoke execute on function fn_iu_cursor_batch(iu_route_cursor, text, integer) from public;
