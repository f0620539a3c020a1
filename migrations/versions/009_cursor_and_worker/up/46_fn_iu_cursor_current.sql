create function fn_iu_cursor_current(p_route text, p_mode text) returns iu_route_cursor
language plpgsql stable
set search_path from current
as $$
declare
    v_delivery iu_route_cursor;
    v_evaluation iu_route_cursor;
begin
    select c.* into v_delivery from iu_route_cursor as c
    where c.route_name = p_route and c.kind = 'delivery' order by c.cursor_no desc limit 1;
    if p_mode <> 'held' then
        return v_delivery;
    end if;
    select c.* into v_evaluation from iu_route_cursor as c
    where c.route_name = p_route and c.kind = 'evaluation' order by c.cursor_no desc limit 1;
    -- Windows in the order of their snapshots; in the same window, how far, and ended is furthest.
    if v_evaluation.cursor_no is null
       or (coalesce(v_evaluation.new_stamp, v_evaluation.old_stamp),
           v_evaluation.new_stamp is null, v_evaluation.last_event_id)
          < (coalesce(v_delivery.new_stamp, v_delivery.old_stamp),
             v_delivery.new_stamp is null, v_delivery.last_event_id) then
        v_evaluation := v_delivery;
        v_evaluation.kind := 'evaluation';
    end if;
    return v_evaluation;
end
$$;

comment on function fn_iu_cursor_current(text, text) is
'The cursor that a mode moves: held moves evaluation alone, from where delivery stands if that is further';
revoke execute on function fn_iu_cursor_current(text, text) from public;
