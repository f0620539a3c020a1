do $$
declare
    v_schema text := current_schema();
    v_role text;
begin
    if to_regrole('iu_gates_worker') is not null then
        execute format('grant usage on schema %I to iu_gates_worker', v_schema);
        execute format('grant select on iu_outbound_route, iu_runtime_gate, iu_worker_heartbeat to iu_gates_worker');
        grant execute on function fn_iu_route_worker_run(text, integer, text),
        fn_iu_worker_beat(text, text, text, integer, text, text) to iu_gates_worker;
    end if;
    -- Whoever votes, disables or looks on reads the state as it is.
    foreach v_role in array array['iu_gates_auditor', 'iu_gates_approver', 'iu_gates_operator'] loop
        if to_regrole(v_role) is not null then
            execute format('grant usage on schema %I to %I', v_schema, v_role);
            execute format('grant select on all tables in schema %I to %I', v_schema, v_role);
            execute format('grant execute on function fn_iu_route_mode(text) to %I', v_role);
        end if;
    end loop;
end
$$;
