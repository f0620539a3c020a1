create function fn_iu_route_fail(p_route text, p_event_id bigint, p_reason text, p_sqlstate text, p_message text)
returns boolean
language plpgsql
set search_path from current
as $$
declare
    v_route iu_outbound_route;
    v_tries integer;
    v_wait double precision;
begin
    select r.* into strict v_route from iu_outbound_route as r where r.route_name = p_route;
    select p.tries + 1 into v_tries from iu_route_parked as p
    where p.route_name = p_route and p.event_id = p_event_id;
    v_tries := coalesce(v_tries, 1);
    -- A key that another event has is no matter of luck.
    if v_tries >= v_route.max_tries or p_reason = 'key collision' then
        perform fn_iu_route_give_up(p_route, array[p_event_id], p_reason, p_sqlstate, p_message);
        return false;
    end if;
    insert into iu_route_attempt (route_name, event_id, status, idempotency_key, sqlstate, message)
    select p_route, e.event_id, 'failed',
           fn_iu_idempotency_key(p_route, e.event_type, e.subject, e.version_seq), p_sqlstate, p_message
    from iu_event as e where e.event_id = p_event_id;
    -- Doubled each time up to an hour; up to a quarter more, so that many do not come back at once.
    v_wait := least(v_route.retry_seconds * power(2.0, least(v_tries, 20) - 1), 3600.0) * (1 + random() / 4);
    insert into iu_route_parked (route_name, event_id, subject, tries, due_at)
    select p_route, e.event_id, e.subject, v_tries, clock_timestamp() + make_interval(secs => v_wait)
    from iu_event as e where e.event_id = p_event_id
    on conflict (route_name, event_id) do update set tries = excluded.tries, due_at = excluded.due_at;
    return true;
end
$$;

comment on function fn_iu_route_fail(text, bigint, text, text, text)
is 'Record that an event failed, by the route''s policy: true if it was parked, false if it was given up on';
revoke execute on function fn_iu_route_fail(text, bigint, text, text, text) from public;
