create function fn_iu_rebase(p_site_key_sha256 text, p_is_new_site boolean) returns jsonb
language plpgsql volatile
set search_path from current
set lock_timeout to '10s'
as $$
declare
    v_was iu_gates.installation;
    v_seq bigint;
    v_xid xid8;
    v_cluster bigint;
    v_carried jsonb;
    v_facts jsonb;
begin
    if current_setting('transaction_isolation') <> 'read committed' or pg_current_xact_id_if_assigned() is not null then
        raise exception 'a re-base needs a READ COMMITTED transaction of its own'
            using errcode = 'IUG10', hint = 'iu-gates rebase';
    end if;
    -- The order of every window: the sequence, the own xid, the keys, the snapshot.
    v_seq := fn_iu_event_seq();
    v_xid := pg_current_xact_id();
    perform pg_advisory_xact_lock(18773001, 0);
    if (select max(e.event_id) from iu_event as e) > fn_iu_event_seq() then
        raise exception 'the sequence of events is behind the events'
            using errcode = 'IUG41', hint = 'iu-gates rebase';
    end if;
    select i.* into strict v_was from iu_gates.installation as i;
    select s.system_identifier into v_cluster from pg_control_system() as s;
    select coalesce(jsonb_object_agg(
        r.route_name, fn_iu_cursor_rebase(r.route_name, v_seq, v_xid, v_cluster, not p_is_new_site)), '{}')
    into v_carried
    from (select distinct c.route_name from iu_route_cursor as c) as r;
    -- Copied, and of workers that are not here.
    delete from iu_worker_heartbeat where true;
    if p_is_new_site then
        delete from iu_route_parked where true;
        perform iu_gates.fn_stop(null, 'disable', 'a copy became a site of its own');
    end if;
    v_facts := jsonb_build_object(
        'new_site', p_is_new_site, 'carried', v_carried,
        'from', jsonb_build_object('system_identifier', v_was.system_identifier::text, 'oid', v_was.database_oid::bigint));
    return v_facts || jsonb_build_object('ledger_seq', iu_gates.fn_rehome(p_site_key_sha256, v_facts));
end
$$;

comment on function fn_iu_rebase(text, boolean)
is 'Take this copy into use: cursors anew, events carried over, identity, verdicts void, ledger; one transaction';
revoke execute on function fn_iu_rebase(text, boolean) from public;
