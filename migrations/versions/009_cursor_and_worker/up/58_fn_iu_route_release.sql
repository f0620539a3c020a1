create function fn_iu_route_release(p_route text, p_event_ids bigint[]) returns void
language sql
set search_path from current
as $$
    update iu_route_parked as p set due_at = clock_timestamp()
    from (select distinct e.subject from iu_event as e where e.event_id = any (p_event_ids)) as s
    cross join lateral (
        select f.event_id from iu_route_parked as f
        where f.route_name = p_route and f.subject = s.subject order by f.event_id limit 1) as f
    where p.route_name = p_route and p.event_id = f.event_id and p.due_at is null
$$;

comment on function fn_iu_route_release(text, bigint[])
is 'After a retry: what stood behind an event that has gone is due now';
revoke execute on function fn_iu_route_release(text, bigint[]) from public;
