create function fn_iu_cursor_move(p_cursor iu_route_cursor, p_last_event_id bigint, p_exhausted boolean)
returns void
language plpgsql volatile
set search_path from current
as $$
begin
    if p_exhausted then
        insert into iu_route_cursor (route_name, kind, cluster_id, old_stamp, old_snapshot, old_xid, old_seq)
        values (p_cursor.route_name, p_cursor.kind, p_cursor.cluster_id,
                p_cursor.new_stamp, p_cursor.new_snapshot, p_cursor.new_xid, p_cursor.new_seq);
        return;
    end if;
    insert into iu_route_cursor (
        route_name, kind, cluster_id, old_stamp, old_snapshot, old_xid, old_seq,
        new_stamp, new_snapshot, new_xid, new_seq, new_high, late_xids, last_event_id, is_carry_over)
    values (p_cursor.route_name, p_cursor.kind, p_cursor.cluster_id,
            p_cursor.old_stamp, p_cursor.old_snapshot, p_cursor.old_xid, p_cursor.old_seq,
            p_cursor.new_stamp, p_cursor.new_snapshot, p_cursor.new_xid, p_cursor.new_seq,
            p_cursor.new_high, p_cursor.late_xids, coalesce(p_last_event_id, p_cursor.last_event_id),
            p_cursor.is_carry_over);
end
$$;

comment on function fn_iu_cursor_move(iu_route_cursor, bigint, boolean)
is 'Append the cursor''s next place: within its window, or at the window''s end';
revoke execute on function fn_iu_cursor_move(iu_route_cursor, bigint, boolean) from public;
