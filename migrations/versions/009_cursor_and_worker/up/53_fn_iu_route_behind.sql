create function fn_iu_route_behind(p_route text, p_event_ids bigint[]) returns bigint[]
language sql volatile
set search_path from current
as $$
    select coalesce(array_agg(e.event_id order by e.event_id), '{}')
    from iu_outbound_route as r
    join iu_event as e on e.event_id = any (p_event_ids)
    where r.route_name = p_route and r.on_dead_letter = 'hold'
      and (select d.event_id from iu_route_dead_letter as d
           where d.route_name = p_route and d.subject = e.subject limit 1) is not null
$$;

comment on function fn_iu_route_behind(text, bigint[])
is 'Events behind a dead letter of their subject, on a route whose policy is to hold them';
revoke execute on function fn_iu_route_behind(text, bigint[]) from public;
