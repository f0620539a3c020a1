create function fn_iu_route_definition(
    p_route_name text, p_event_type text, p_target_kind text, p_target_ref text, p_on_dead_letter text,
    p_event_filter jsonb
)
returns text
language sql immutable
set search_path from current
as $$
    select encode(sha256(convert_to(jsonb_build_array(
        p_route_name, p_event_type, p_target_kind, p_target_ref, p_on_dead_letter, p_event_filter)::text, 'UTF8')), 'hex')
$$;

comment on function fn_iu_route_definition(text, text, text, text, text, jsonb)
is 'SHA-256 of what an approval of a route is about';
revoke execute on function fn_iu_route_definition(text, text, text, text, text, jsonb) from public;
