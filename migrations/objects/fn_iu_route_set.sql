create function fn_iu_route_set(p_route text, p_policy jsonb) returns jsonb
language plpgsql
set search_path from current
as $$
declare
    v_was iu_outbound_route;
    v_new iu_outbound_route;
    v_changed jsonb;
begin
    select r.* into v_was from iu_outbound_route as r where r.route_name = p_route for no key update;
    if not found then
        raise exception 'no route "%"', p_route using errcode = 'IUG40', hint = 'iu-gates route list';
    end if;
    if p_policy - array['on_dead_letter', 'max_tries', 'retry_seconds', 'trip_failures', 'trip_seconds'] <> '{}' then
        raise exception 'no policy: %', p_policy using errcode = 'IUG10', hint = 'iu-gates route set --help';
    end if;
    v_new := jsonb_populate_record(v_was, p_policy);
    select coalesce(jsonb_object_agg(p.key, jsonb_build_array(to_jsonb(v_was) -> p.key, p.value)), '{}') into v_changed
    from jsonb_each(p_policy) as p
    where p.value is distinct from to_jsonb(v_was) -> p.key;
    if v_changed ? 'on_dead_letter' and v_was.dry_run and to_jsonb(v_was) ->> 'approval_id' is not null then
        -- It spoke of another definition. A live route keeps its own, and the key refuses what follows.
        update iu_outbound_route
        set approval_id = null, approval_granted_at = null, approval_expires_at = null
        where route_name = p_route;
    end if;
    if v_changed <> '{}' then
        update iu_outbound_route as r
        set on_dead_letter = v_new.on_dead_letter, max_tries = v_new.max_tries, retry_seconds = v_new.retry_seconds,
            trip_failures = v_new.trip_failures, trip_seconds = v_new.trip_seconds
        where r.route_name = p_route;
    end if;
    return v_changed;
end
$$;

comment on function fn_iu_route_set(text, jsonb)
is 'Change the policy of a route; returns what it changed, each as [before, after]';
revoke execute on function fn_iu_route_set(text, jsonb) from public;
