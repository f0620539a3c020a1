create function fn_iu_canary_attempt(p_route text, p_event_ids bigint[], p_quota bigint)
returns table (taken integer, sent integer, duplicates integer, dead integer, parked integer)
language plpgsql
set search_path from current
as $$
declare
    v_one record;
    v_event_id bigint;
begin
    -- One event at a time until the quota is spent. An event that the target has already is no
    -- delivery and spends nothing (T29).
    taken := 0; sent := 0; duplicates := 0; dead := 0; parked := 0;
    foreach v_event_id in array p_event_ids loop
        exit when sent >= p_quota;
        select a.* into v_one from fn_iu_route_attempt(p_route, array[v_event_id]) as a;
        taken := taken + 1;
        sent := sent + v_one.sent;
        duplicates := duplicates + v_one.duplicates;
        dead := dead + v_one.dead;
        parked := parked + v_one.parked;
    end loop;
    perform set_config('iu_gates.switch_by', 'function', true);
    update iu_outbound_route as r set quota = r.quota - sent where r.route_name = p_route and sent > 0;
    perform set_config('iu_gates.switch_by', '', true);
    return next;
end
$$;

comment on function fn_iu_canary_attempt(text, bigint[], bigint)
is 'Deliver at most the quota, in order, and spend it';
revoke execute on function fn_iu_canary_attempt(text, bigint[], bigint) from public;
