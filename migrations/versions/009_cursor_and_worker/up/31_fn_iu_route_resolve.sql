create function fn_iu_route_resolve(p_event_type text) returns setof iu_outbound_route
language sql stable
set search_path from current
as $$
    select r.* from iu_outbound_route as r where r.event_type = p_event_type and r.enabled order by r.route_name
$$;

comment on function fn_iu_route_resolve(text) is 'The enabled routes of an event type';
revoke execute on function fn_iu_route_resolve(text) from public;
