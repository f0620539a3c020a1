create function fn_iu_route_dry(p_route text) returns void
language plpgsql
set search_path from current
as $$
begin
    perform set_config('iu_gates.switch_by', 'function', true);
    update iu_outbound_route set dry_run = true where route_name = p_route;
    perform set_config('iu_gates.switch_by', '', true);
end
$$;

comment on function fn_iu_route_dry(text) is 'Back to dry-run; after live that holds events instead of consuming them';
revoke execute on function fn_iu_route_dry(text) from public;
