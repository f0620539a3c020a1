create function fn_iu_route_replay(
    p_route text, p_after bigint, p_to bigint, p_since timestamptz, p_until timestamptz, p_limit integer,
    p_site_key text,
    out events integer, out replayed integer, out duplicates integer, out last_event_id bigint,
    out failed_event_id bigint, out failed_sqlstate text, out failed_message text
)
language plpgsql volatile
set search_path from current
set lock_timeout to '10s'
as $$
declare
    v_cluster bigint;
    v_route iu_outbound_route;
    v_ids bigint[];
    v_size integer;
    v_state text;
    v_message text;
    v_context text;
    v_one record;
begin
    -- The keys of a batch, that of all before any table: a stop waits for this one, and the next one finds it.
    perform pg_advisory_xact_lock_shared(18773001, 0);
    v_cluster := fn_iu_worker_require(p_site_key);
    select r.* into strict v_route from iu_outbound_route as r where r.route_name = p_route;
    perform pg_advisory_xact_lock_shared(18773002, v_route.route_no);
    perform pg_advisory_xact_lock(18773003, v_route.route_no);
    -- No prune takes away what it is about to do.
    perform pg_advisory_xact_lock_shared(18773008, 1);
    select r.* into strict v_route from iu_outbound_route as r where r.route_name = p_route;
    if fn_iu_route_mode(p_route) <> 'live' or v_route.quota is not null then
        raise exception 'route "%" is not live, and delivers nothing again', p_route
            using errcode = 'IUG40', hint = format('iu-gates route show %s', p_route);
    end if;
    if (fn_iu_cursor_current(p_route, 'live')).cluster_id <> v_cluster then
        raise exception 'the cursor of route "%" belongs to another cluster', p_route
            using errcode = 'IUG41', hint = 'iu-gates rebase';
    end if;
    events := 0; replayed := 0; duplicates := 0;
    v_ids := array(select p.* from fn_iu_route_past(p_route, p_after, p_to, p_since, p_until, p_limit) as p);
    v_size := cardinality(v_ids);

    -- All at once; where something fails, halves, until one event stands alone. It ends the replay:
    -- none of its subject goes before it.
    while events < cardinality(v_ids) loop
        begin
            set constraints all immediate;
            select a.replayed, a.duplicates into v_one
            from fn_iu_route_again(p_route, v_ids[events + 1:events + v_size]) as a;
            replayed := replayed + v_one.replayed;
            duplicates := duplicates + v_one.duplicates;
            events := least(events + v_size, cardinality(v_ids));
        exception when others or assert_failure then
            get stacked diagnostics v_state = returned_sqlstate, v_message = message_text,
                                    v_context = pg_exception_context;
            if fn_iu_route_fault(v_state, v_context) is null then
                raise;
            end if;
            if v_size = 1 then
                failed_event_id := v_ids[events + 1];
                failed_sqlstate := v_state;
                failed_message := v_message;
                insert into iu_route_attempt (route_name, event_id, status, idempotency_key, sqlstate, message)
                select p_route, e.event_id, 'failed',
                       fn_iu_idempotency_key(p_route, e.event_type, e.subject, e.version_seq), v_state,
                       'replay: ' || v_message
                from iu_event as e where e.event_id = failed_event_id;
                exit;
            end if;
            v_size := (v_size + 1) / 2;
        end;
    end loop;
    last_event_id := v_ids[events];
end
$$;

comment on function fn_iu_route_replay(text, bigint, bigint, timestamptz, timestamptz, integer, text)
is 'Send past events of a live route again, under their own keys, in order: one batch, or up to the first that fails';
revoke execute on function
fn_iu_route_replay(text, bigint, bigint, timestamptz, timestamptz, integer, text) from public;
