create function fn_iu_route_redrive_lacks(p_dead_letter_ids bigint[])
returns table (dead_letter_id bigint, subject text)
language sql stable
set search_path from current
as $$
    -- By the last one of each subject: letter by letter it would be the square of their number.
    with asked as (
        select d.route_name, d.subject, max(d.event_id) as last_event_id
        from iu_route_dead_letter as d
        join iu_outbound_route as r on r.route_name = d.route_name and r.on_dead_letter = 'hold'
        where d.dead_letter_id = any (p_dead_letter_ids)
          and not exists (select from iu_route_redrive as v where v.dead_letter_id = d.dead_letter_id)
        group by d.route_name, d.subject
    )

    select b.dead_letter_id, b.subject
    from asked as a
    join iu_route_dead_letter as b
        on b.route_name = a.route_name and b.subject = a.subject and b.event_id < a.last_event_id
    where not exists (select from unnest(p_dead_letter_ids) as i (id) where i.id = b.dead_letter_id)
      and not exists (select from iu_route_redrive as v where v.dead_letter_id = b.dead_letter_id)
    order by b.dead_letter_id
$$;

comment on function fn_iu_route_redrive_lacks(bigint[])
is 'Open dead letters that come before these in a subject of a route that holds, and are not among them';
revoke execute on function fn_iu_route_redrive_lacks(bigint[]) from public;
