create function fn_iu_cluster_id() returns bigint
language plpgsql volatile
set search_path from current
as $$
declare
    v_known text := current_setting('iu_gates.cluster', true);
begin
    -- Read from the control file once a session: for each row it cost a third (T4).
    if coalesce(v_known, '') = '' then
        select s.system_identifier::text into v_known from pg_control_system() as s;
        perform set_config('iu_gates.cluster', v_known, false);
    end if;
    return v_known::bigint;
end
$$;

comment on function fn_iu_cluster_id() is 'System identifier of this cluster, read once a session';
revoke execute on function fn_iu_cluster_id() from public;
