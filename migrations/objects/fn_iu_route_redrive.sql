create function fn_iu_route_redrive(p_dead_letter_ids bigint[], p_asked jsonb) returns bigint
language plpgsql
set search_path from current
as $$
declare
    v_before bigint;
    v_done bigint[];
    v_routes text[];
begin
    select b.dead_letter_id into v_before from fn_iu_route_redrive_lacks(p_dead_letter_ids) as b limit 1;
    if v_before is not null then
        raise exception 'dead letter % of the same subject comes before, and its route holds', v_before
            using errcode = 'IUG40',
                  hint = format('iu-gates dead-letter redrive %s', (
                      select string_agg(u.id::text, ' ' order by u.id) from (
                          select b.dead_letter_id as id from fn_iu_route_redrive_lacks(p_dead_letter_ids) as b
                          union select i.id from unnest(p_dead_letter_ids) as i (id)) as u));
    end if;
    with redriven as (
        insert into iu_route_redrive as v (dead_letter_id)
        select d.dead_letter_id from iu_route_dead_letter as d
        where d.dead_letter_id = any (p_dead_letter_ids) order by d.dead_letter_id
        on conflict (dead_letter_id) do nothing
        returning v.dead_letter_id),
    parked as (
        insert into iu_route_parked as p (route_name, event_id, subject, due_at)
        select d.route_name, d.event_id, d.subject, clock_timestamp()
        from redriven as v join iu_route_dead_letter as d on d.dead_letter_id = v.dead_letter_id
        order by d.event_id
        returning p.route_name)
    select (select array_agg(v.dead_letter_id order by v.dead_letter_id) from redriven as v),
           (select array_agg(distinct p.route_name order by p.route_name) from parked as p)
    into v_done, v_routes;
    if v_done is not null then
        perform iu_gates.fn_ledger_append('redrive', array_to_string(v_routes, ', '), jsonb_build_object(
            'count', cardinality(v_done), 'first', v_done[1], 'last', v_done[cardinality(v_done)],
            'filter', p_asked));
    end if;
    return coalesce(cardinality(v_done), 0);
end
$$;

comment on function fn_iu_route_redrive(bigint[], jsonb)
is 'Put dead letters that are open back under their own keys; what was redriven already stays as it is';
revoke execute on function fn_iu_route_redrive(bigint[], jsonb) from public;
