create function fn_iu_gate_set(p_value text) returns void
language plpgsql
set search_path from current
as $$
begin
    if p_value = 'true' then
        perform iu_gates.fn_require_no_new_stop();
        perform iu_gates.fn_lift_stops(null);
    end if;
    perform set_config('iu_gates.switch_by', 'function', true);
    update iu_runtime_gate set gate_value = p_value, changed_at = clock_timestamp()
    where gate_name = 'iu_core.route_worker_enabled';
    if not found then
        raise exception 'the row of the worker gate is missing'
            using errcode = 'IUG40', hint = 'iu-gates doctor';
    end if;
    perform set_config('iu_gates.switch_by', '', true);
end
$$;

comment on function fn_iu_gate_set(text) is 'The worker gate: true or false';
revoke execute on function fn_iu_gate_set(text) from public;
