create function fn_iu_cursor_move(p_cursor iu_route_cursor, p_last_event_id bigint, p_exhausted boolean)
returns void
language sql volatile
set search_path from current
as $$
    insert into iu_route_cursor (
        route_name, kind, cluster_id, old_stamp, old_snapshot, old_xid, old_seq,
        new_stamp, new_snapshot, new_xid, new_seq, new_high, late_xids, last_event_id, is_carry_over)
    select p_cursor.route_name, p_cursor.kind, p_cursor.cluster_id, c.*
    from (
        select p_cursor.new_stamp, p_cursor.new_snapshot, p_cursor.new_xid, p_cursor.new_seq,
               null::bigint, null::pg_snapshot, null::xid8, null::bigint, null::bigint, null::xid8[], 0::bigint, false
        where p_exhausted
        union all
        select p_cursor.old_stamp, p_cursor.old_snapshot, p_cursor.old_xid, p_cursor.old_seq,
               p_cursor.new_stamp, p_cursor.new_snapshot, p_cursor.new_xid, p_cursor.new_seq,
               p_cursor.new_high, p_cursor.late_xids, coalesce(p_last_event_id, p_cursor.last_event_id),
               p_cursor.is_carry_over
        where not p_exhausted) as c
$$;

comment on function fn_iu_cursor_move(iu_route_cursor, bigint, boolean)
is 'Append the cursor''s next place: within its window, or at the window''s end';
revoke execute on function fn_iu_cursor_move(iu_route_cursor, bigint, boolean) from public;
