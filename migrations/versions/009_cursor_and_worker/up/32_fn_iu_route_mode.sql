create function fn_iu_route_mode(p_route text) returns text
language sql stable
set search_path from current
as $$
    select case
        when iu_gates.fn_is_stopped(p_route) then 'hold'
        when not exists (select from iu_runtime_gate as g
                         where g.gate_name = 'iu_core.route_worker_enabled' and g.gate_value = 'true') then 'hold'
        when not r.enabled then 'hold'
        when not r.dry_run and r.quota is distinct from 0 then 'live'
        when r.live_from is null then 'dry'
        else 'held'
    end
    from iu_outbound_route as r
    where r.route_name = p_route
$$;

comment on function fn_iu_route_mode(text) is
'What a worker does with the route now: hold nothing moves, dry consumes, held evaluates, live delivers';
revoke execute on function fn_iu_route_mode(text) from public;
