create function fn_iu_route_quota(p_route text, p_quota bigint) returns void
language plpgsql
set search_path from current
as $$
begin
    perform iu_gates.fn_require_no_new_stop();
    perform set_config('iu_gates.switch_by', 'function', true);
    update iu_outbound_route set quota = p_quota where route_name = p_route and not dry_run;
    if not found then
        raise exception 'route "%" is not live', p_route
            using errcode = 'IUG40', hint = 'iu-gates advance --to canary';
    end if;
    perform set_config('iu_gates.switch_by', '', true);
end
$$;

comment on function fn_iu_route_quota(text, bigint) is 'Set what is left to a live route: null lifts the quota, 0 spends it';
revoke execute on function fn_iu_route_quota(text, bigint) from public;
