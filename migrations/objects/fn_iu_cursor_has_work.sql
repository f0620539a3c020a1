create function fn_iu_cursor_has_work(p_cursor iu_route_cursor) returns boolean
language plpgsql volatile
set search_path from current
as $$
declare
    v_event_id bigint;
    v_seq bigint := fn_iu_event_seq();
begin
    -- Read-only: no xid, no WAL (T15). `select into` keeps ORDER BY and LIMIT (T12).
    -- Many ids drawn and none visible is a long transaction: the next window steps over its
    -- rows, so that they are not looked at again by every poll.
    if p_cursor.new_snapshot is not null or v_seq > p_cursor.old_seq + 1000 then
        return true;
    end if;
    if v_seq > p_cursor.old_seq then
        select e.event_id into v_event_id
        from iu_event as e
        where e.event_id > p_cursor.old_seq
          and (e.cluster_id <> p_cursor.cluster_id
               or not (pg_visible_in_snapshot(e.xact_id, p_cursor.old_snapshot) and e.xact_id <> p_cursor.old_xid))
        order by e.event_id limit 1;
    end if;
    return v_event_id is not null
           or fn_iu_late_xids(p_cursor, pg_current_snapshot(), null) is not null;
end
$$;

comment on function fn_iu_cursor_has_work(iu_route_cursor) is 'True if a batch would find something';
revoke execute on function fn_iu_cursor_has_work(iu_route_cursor) from public;
