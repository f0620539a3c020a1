create function fn_iu_route_resolve(p_event_type text, p_subject text, p_payload jsonb) returns setof iu_outbound_route
language sql stable
set search_path from current
as $$
    select r.* from iu_outbound_route as r
    where r.event_type = p_event_type and r.enabled and fn_iu_route_takes(r.event_filter, p_subject, p_payload)
    order by r.route_name
$$;

comment on function fn_iu_route_resolve(text, text, jsonb) is 'The enabled routes that take an event';
revoke execute on function fn_iu_route_resolve(text, text, jsonb) from public;
