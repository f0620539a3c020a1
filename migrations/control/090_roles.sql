-- Group roles, made where we may and otherwise left to the DBA (`iu-gates doctor` prints the
-- SQL). Nothing is granted to PUBLIC. `advance` and `rollback` change the schema and so need
-- the owner; voting, disabling, working and reading do not.

do $$
declare
    v_role text;
    v_may boolean;
begin
    select r.rolsuper or r.rolcreaterole into v_may from pg_roles as r where r.rolname = current_user;
    foreach v_role in array array['iu_gates_approver', 'iu_gates_operator', 'iu_gates_worker', 'iu_gates_auditor'] loop
        if to_regrole(v_role) is null and v_may then
            begin
                execute format('create role %I nologin', v_role);
            exception when duplicate_object or unique_violation or insufficient_privilege then
                null;
            end;
        end if;
        if to_regrole(v_role) is not null then
            execute format('grant usage on schema iu_gates to %I', v_role);
            execute format('grant select on all tables in schema iu_gates to %I', v_role);
            -- Alembic makes its version table later, and `status` reads it.
            execute format('alter default privileges in schema iu_gates grant select on tables to %I', v_role);
            execute format('grant execute on function iu_gates.fn_is_scratch(), iu_gates.fn_is_stopped(text), '
                           'iu_gates.fn_stops_in_force(), iu_gates.fn_catalog(), iu_gates.fn_catalog_hashes(), '
                           'iu_gates.fn_drift(), iu_gates.fn_not_in_force(text), iu_gates.fn_votes(text), '
                           'iu_gates.fn_route_definition_hash(text), iu_gates.fn_fingerprint(jsonb), '
                           'iu_gates.fn_ledger_verify(), iu_gates.fn_ledger_hash(iu_gates.ledger), '
                           'iu_gates.fn_batches_in_hand(integer), iu_gates.fn_history() to %I', v_role);
        end if;
    end loop;
    if to_regrole('iu_gates_approver') is not null then
        grant execute on function iu_gates.fn_vote(text, text, text) to iu_gates_approver;
    end if;
    foreach v_role in array array['iu_gates_approver', 'iu_gates_operator'] loop
        if to_regrole(v_role) is not null then
            execute format('grant execute on function iu_gates.fn_stop(text, text, text), '
                           'iu_gates.fn_take_barrier(integer, integer), iu_gates.fn_fold_stops() to %I', v_role);
        end if;
    end loop;
end
$$;
