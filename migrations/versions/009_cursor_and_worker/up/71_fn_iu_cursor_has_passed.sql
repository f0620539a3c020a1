create function fn_iu_cursor_has_passed(p_cursor iu_route_cursor, p_event iu_event) returns boolean
language sql immutable
-- Inlined, as fn_iu_route_takes. What is carried over and not reached yet counts as passed here.
return case
    when p_event.cluster_id <> p_cursor.cluster_id then p_event.event_id <= p_cursor.old_seq
    when p_event.xact_id <> p_cursor.old_xid and pg_visible_in_snapshot(p_event.xact_id, p_cursor.old_snapshot)
        then true
    else coalesce(
        not p_cursor.is_carry_over and p_event.event_id <= p_cursor.last_event_id
        and p_event.xact_id <> p_cursor.new_xid and pg_visible_in_snapshot(p_event.xact_id, p_cursor.new_snapshot),
        false)
end;

comment on function fn_iu_cursor_has_passed(iu_route_cursor, iu_event) is
'True if the cursor''s snapshots, or its place in its window, say that an event was worked through';
revoke execute on function fn_iu_cursor_has_passed(iu_route_cursor, iu_event) from public;
