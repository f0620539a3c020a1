create function fn_iu_route_wait(p_route text, p_event_ids bigint[]) returns void
language sql
set search_path from current
as $$
    insert into iu_route_parked (route_name, event_id, subject)
    select p_route, e.event_id, e.subject
    from iu_event as e where e.event_id = any (p_event_ids) order by e.event_id
    on conflict (route_name, event_id) do update set due_at = null
$$;

comment on function fn_iu_route_wait(text, bigint[]) is 'Park events behind an earlier one of their subject';
revoke execute on function fn_iu_route_wait(text, bigint[]) from public;
