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
    else
        insert into iu_route_cursor (
            route_name, kind, cluster_id, old_stamp, old_snapshot, old_xid, old_seq,
            new_stamp, new_snapshot, new_xid, new_seq, new_high, late_xids, last_event_id, is_carry_over)
        values (p_cursor.route_name, p_cursor.kind, p_cursor.cluster_id,
                p_cursor.old_stamp, p_cursor.old_snapshot, p_cursor.old_xid, p_cursor.old_seq,
                p_cursor.new_stamp, p_cursor.new_snapshot, p_cursor.new_xid, p_cursor.new_seq,
                p_cursor.new_high, p_cursor.late_xids, coalesce(p_last_event_id, p_cursor.last_event_id),
                p_cursor.is_carry_over);
    end if;

    -- One came, so one goes: to delete thousands at once held up the batches behind it for a tenth of
    -- a second. Looked for from the newest, all of which live; behind lie the dead ones, as long as
    -- a session with an old snapshot keeps them.
    delete from iu_route_cursor as c
    where c.cursor_no = (
            select b.cursor_no from iu_route_cursor as b
            where b.route_name = p_cursor.route_name and b.kind = p_cursor.kind
            order by b.cursor_no desc offset 200 limit 1)
      and c.cluster_id = p_cursor.cluster_id and not c.is_start;
end
$$;

comment on function fn_iu_cursor_move(iu_route_cursor, bigint, boolean)
is 'Append the cursor''s next place, within its window or at its end, and drop the one of 200 moves ago';
revoke execute on function fn_iu_cursor_move(iu_route_cursor, bigint, boolean) from public;
