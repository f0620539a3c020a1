create function fn_iu_route_worker_run(
    p_route text, p_limit integer, p_site_key text,
    out state text, out events integer, out sent integer, out duplicates integer, out dead integer,
    out parked integer
)
language plpgsql volatile security definer
set search_path from current
as $$
declare
    v_cluster bigint;
    v_route iu_outbound_route;
    v_cursor iu_route_cursor;
    v_seq bigint;
    v_xid xid8;
    v_ids bigint[] := '{}'::bigint[];
    v_is_retry boolean;
    v_taken integer;
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'a batch needs a limit of at least 1, got %', p_limit using errcode = 'invalid_parameter_value';
    end if;
    -- The key of all batches before any table: a step that holds it alters the tables, and would wait for a
    -- batch that has looked at one and waits for the key.
    perform pg_advisory_xact_lock_shared(18773001, 0);
    v_cluster := fn_iu_worker_require(p_site_key);
    events := 0; sent := 0; duplicates := 0; dead := 0; parked := 0;
    select r.* into strict v_route from iu_outbound_route as r where r.route_name = p_route;

    -- 0. A read-only probe: nothing to do costs no xid and no WAL.
    state := fn_iu_route_mode(p_route);
    v_cursor := fn_iu_cursor_current(p_route, state);
    if v_cursor.cluster_id is distinct from v_cluster then
        raise exception 'the cursor of route "%" belongs to cluster %', p_route, v_cursor.cluster_id
            using errcode = 'IUG41', hint = 'iu-gates rebase';
    end if;
    if state = 'hold' then
        perform iu_gates.fn_fold_trip(p_route);
        return;
    end if;
    if not fn_iu_cursor_has_work(v_cursor)
       and (state <> 'live' or cardinality(fn_iu_route_due(p_route, 1)) = 0) then
        state := 'idle';
        return;
    end if;

    -- 1. The sequence, then the own xid, then the route's keys; the switches are read under all of them: who
    -- had the cursor's before may have spent the canary's quota.
    v_seq := fn_iu_event_seq();
    v_xid := pg_current_xact_id();
    perform pg_advisory_xact_lock_shared(18773002, v_route.route_no);
    if not pg_try_advisory_xact_lock(18773003, v_route.route_no) then
        state := 'standby';
        return;
    end if;
    select r.* into strict v_route from iu_outbound_route as r where r.route_name = p_route;
    state := fn_iu_route_mode(p_route);
    if state = 'hold' then
        return;
    end if;

    -- 2. Parked events that are due, else the next ones of the route's window.
    if state = 'live' then
        v_ids := fn_iu_route_due(p_route, p_limit);
    end if;
    v_is_retry := cardinality(v_ids) > 0;
    if not v_is_retry then
        v_cursor := fn_iu_cursor_current(p_route, state);
        if v_cursor.new_snapshot is null then
            v_cursor := fn_iu_cursor_open(v_cursor, v_seq, v_xid);
        end if;
        v_ids := fn_iu_cursor_batch(v_cursor, v_route.event_type, v_route.event_filter, p_limit);
    end if;
    events := cardinality(v_ids);
    v_taken := events;

    -- 3. Dry: evidence, nothing else. Live: the seam.
    if state in ('dry', 'held') then
        perform fn_iu_route_record(p_route, v_ids, case state when 'dry' then 'dry_run' else 'held' end);
    elsif v_route.quota is not null then
        select c.* into v_taken, sent, duplicates, dead, parked
        from fn_iu_canary_attempt(p_route, v_ids, v_route.quota) as c;
        events := v_taken;
    elsif events > 0 then
        select a.* into sent, duplicates, dead, parked from fn_iu_route_attempt(p_route, v_ids) as a;
    end if;

    -- 4. The cursor, in this same transaction; then whether this was one failure too many.
    if v_is_retry then
        perform fn_iu_route_release(p_route, v_ids);
    else
        perform fn_iu_cursor_move(v_cursor, v_ids[v_taken], v_taken = cardinality(v_ids) and v_taken < p_limit);
    end if;
    if dead + parked > 0 and fn_iu_route_trip(p_route) then
        state := 'trip';
    end if;
end
$$;

comment on function fn_iu_route_worker_run(text, integer, text)
is 'One batch of one route: hold, idle, standby, dry, held, live or trip, and how many events';
revoke execute on function fn_iu_route_worker_run(text, integer, text) from public;
