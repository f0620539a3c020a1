create function fn_iu_route_redrive_lacks(p_dead_letter_ids bigint[])
returns table (dead_letter_id bigint, subject text)
language sql stable
set search_path from current
as $$
    select distinct b.dead_letter_id, b.subject
    from iu_route_dead_letter as d
    join iu_outbound_route as r on r.route_name = d.route_name and r.on_dead_letter = 'hold'
    join iu_route_dead_letter as b
        on b.route_name = d.route_name and b.subject = d.subject and b.event_id < d.event_id
    where d.dead_letter_id = any (p_dead_letter_ids) and b.dead_letter_id <> all (p_dead_letter_ids)
      and not exists (select from iu_route_redrive as v
                      where v.dead_letter_id in (d.dead_letter_id, b.dead_letter_id))
    order by b.dead_letter_id
$$;

comment on function fn_iu_route_redrive_lacks(bigint[])
is 'Open dead letters that come before these in a subject of a route that holds, and are not among them';
revoke execute on function fn_iu_route_redrive_lacks(bigint[]) from public;
