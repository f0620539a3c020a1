create function fn_iu_route_trip(p_route text) returns boolean
language plpgsql
set search_path from current
as $$
declare
    v_route iu_outbound_route;
    v_since timestamptz;
    v_failures bigint;
    v_last text;
begin
    select r.* into strict v_route from iu_outbound_route as r where r.route_name = p_route;
    -- At most one row more than the budget is read. Each time that it goes live it begins anew.
    v_since := greatest(clock_timestamp() - make_interval(secs => v_route.trip_seconds), v_route.live_since);
    select count(*) into v_failures from (
        select from iu_route_attempt as a
        where a.route_name = p_route and a.status = 'failed' and a.sqlstate is not null and a.attempted_at > v_since
        limit v_route.trip_failures::bigint + 1) as f;
    if v_failures <= v_route.trip_failures then
        return false;
    end if;
    select a.sqlstate || ' ' || left(a.message, 200) into v_last
    from iu_route_attempt as a
    where a.route_name = p_route and a.status = 'failed' and a.sqlstate is not null
    order by a.attempted_at desc limit 1;
    perform iu_gates.fn_stop(p_route, 'trip', format(
        'more than %s failed tries in %s s, the last: %s', v_route.trip_failures, v_route.trip_seconds, v_last));
    perform fn_iu_route_dry(p_route);
    return true;
end
$$;

comment on function fn_iu_route_trip(text)
is 'Stop the route and take it back to dry-run if its failures exceed its budget; true if they do';
revoke execute on function fn_iu_route_trip(text) from public;
