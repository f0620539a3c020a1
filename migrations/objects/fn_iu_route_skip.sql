create function fn_iu_route_skip(p_route text, p_to bigint) returns jsonb
language plpgsql volatile
set search_path from current
set lock_timeout to '10s'
as $$
declare
    v_route iu_outbound_route;
    v_at iu_route_cursor;
    v_seq bigint;
    v_xid xid8;
    v_stamp bigint;
    v_snapshot pg_snapshot;
    v_facts jsonb;
    v_kept bigint;
begin
    if current_setting('transaction_isolation') <> 'read committed' or pg_current_xact_id_if_assigned() is not null then
        raise exception 'a cursor is moved in a READ COMMITTED transaction of its own'
            using errcode = 'IUG10', hint = 'iu-gates route skip-to --help';
    end if;
    perform pg_advisory_xact_lock_shared(18773001, 0);
    select r.* into strict v_route from iu_outbound_route as r where r.route_name = p_route;
    -- The order of a batch: the key of all, sequence, own xid, keys of the route, cursor, snapshot (T9). Nobody
    -- has the cursor now.
    v_seq := fn_iu_event_seq();
    v_xid := pg_current_xact_id();
    perform pg_advisory_xact_lock_shared(18773002, v_route.route_no);
    perform pg_advisory_xact_lock(18773003, v_route.route_no);
    v_at := fn_iu_cursor_current(p_route, 'live');
    if exists (select from iu_event as e where e.event_id > v_at.old_seq and e.cluster_id <> v_at.cluster_id)
       or v_at.cluster_id <> (select s.system_identifier from pg_control_system() as s) then
        raise exception 'the cursor of route "%" belongs to another cluster', p_route
            using errcode = 'IUG41', hint = 'iu-gates rebase';
    end if;
    select pg_current_snapshot() into v_snapshot;
    v_stamp := nextval('iu_route_cursor_cursor_no_seq');

    with skipped as (
        insert into iu_route_attempt as a (route_name, event_id, status, idempotency_key, message)
        select p_route, e.event_id, 'skipped',
               fn_iu_idempotency_key(p_route, e.event_type, e.subject, e.version_seq), 'by decision of ' || session_user
        from fn_iu_cursor_pending(v_at, v_snapshot, v_xid) as e
        where p_to is null or e.event_id < p_to
        order by e.event_id
        returning a.event_id)
    select jsonb_build_object('count', count(*), 'first', min(s.event_id), 'last', max(s.event_id), 'to', p_to)
    into v_facts from skipped as s;
    if v_facts -> 'count' = '0' then
        return v_facts;
    end if;

    -- What is left of it is carried over; what commits later is late or fresh, as in any window.
    insert into iu_route_carry_over (route_name, window_stamp, event_id)
    select p_route, v_stamp, e.event_id from fn_iu_cursor_pending(v_at, v_snapshot, v_xid) as e
    where e.event_id >= p_to order by e.event_id;
    get diagnostics v_kept = row_count;
    insert into iu_route_cursor (
        route_name, kind, cluster_id, old_stamp, old_snapshot, old_xid, old_seq,
        new_stamp, new_snapshot, new_xid, new_seq, new_high, is_carry_over)
    select p_route, 'delivery', v_at.cluster_id, v_stamp, v_snapshot, v_xid, v_seq,
           w.stamp, w.snapshot, w.xid, w.seq, w.seq, v_kept > 0
    from (values (1)) as one (row)
    left join (values (v_stamp, v_snapshot, v_xid, v_seq)) as w (stamp, snapshot, xid, seq) on v_kept > 0;
    perform iu_gates.fn_ledger_append('skip', p_route, v_facts || jsonb_build_object('kept', v_kept));
    return v_facts || jsonb_build_object('kept', v_kept);
end
$$;

comment on function fn_iu_route_skip(text, bigint) is
'Give up, by decision, what a route has before it: up to an event, which is next then, or (null) all; never back';
revoke execute on function fn_iu_route_skip(text, bigint) from public;
