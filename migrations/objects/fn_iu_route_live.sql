create function fn_iu_route_live(p_route text, p_quota bigint, p_approval_id bigint) returns void
language plpgsql
set search_path from current
as $$
begin
    -- The exclusive keys first, in the order gate, route: a worker in hand finishes its batch.
    perform iu_gates.fn_hold_batches();
    perform iu_gates.fn_require_no_new_stop();
    perform iu_gates.fn_lift_stops(p_route);
    perform set_config('iu_gates.switch_by', 'function', true);
    update iu_outbound_route as r set
        enabled = true,
        dry_run = false,
        quota = p_quota,
        live_from = coalesce(r.live_from, clock_timestamp()),
        approval_id = a.approval_id,
        approval_granted_at = a.granted_at,
        approval_expires_at = a.expires_at
    from iu_gates.approval as a
    where r.route_name = p_route and a.approval_id = p_approval_id;
    if not found then
        raise exception 'route "%" or approval % is not there', p_route, p_approval_id using errcode = 'IUG40';
    end if;
    perform set_config('iu_gates.switch_by', '', true);
end
$$;

comment on function fn_iu_route_live(text, bigint, bigint)
is 'Take a route live under an approval, with a quota of deliveries or (null) without';
revoke execute on function fn_iu_route_live(text, bigint, bigint) from public;
