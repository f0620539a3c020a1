create function fn_iu_cursor_open(p_cursor iu_route_cursor, p_seq bigint, p_xid xid8) returns iu_route_cursor
language plpgsql volatile
set search_path from current
as $$
declare
    v_cursor iu_route_cursor := p_cursor;
begin
    select pg_current_snapshot() into v_cursor.new_snapshot;
    v_cursor.new_stamp := nextval('iu_route_cursor_cursor_no_seq');
    v_cursor.new_xid := p_xid;
    v_cursor.new_seq := p_seq;
    v_cursor.new_high := fn_iu_event_seq();
    v_cursor.late_xids := fn_iu_late_xids(p_cursor, v_cursor.new_snapshot, p_xid);
    v_cursor.last_event_id := 0;
    return v_cursor;
end
$$;

comment on function fn_iu_cursor_open(iu_route_cursor, bigint, xid8)
is 'Open the next window; p_seq was read before p_xid, the own xid, was taken, and the cursor is locked';
revoke execute on function fn_iu_cursor_open(iu_route_cursor, bigint, xid8) from public;
