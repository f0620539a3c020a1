create function fn_iu_route_try(p_route text, p_event_ids bigint[])
returns table (sent integer, duplicates integer, dead integer)
language plpgsql
set search_path from current
as $$
declare
    v_collided bigint[];
begin
    -- The key is the seam's: the events are not read once more for it.
    with seam as (
        select d.event_id, d.status, d.message, d.idempotency_key
        from fn_iu_route_deliver(p_route, p_event_ids) as d
    ),
    recorded as (
        insert into iu_route_attempt as a (route_name, event_id, status, idempotency_key, message)
        select p_route, s.event_id, s.status, s.idempotency_key, s.message
        from seam as s
        where s.status in ('sent', 'duplicate')
        order by s.event_id
        returning a.status
    )
    select count(*) filter (where r.status = 'sent'), count(*) filter (where r.status = 'duplicate'),
           (select array_agg(s.event_id) from seam as s where s.status = 'collision')
    into sent, duplicates, v_collided
    from recorded as r;
    dead := coalesce(cardinality(v_collided), 0);
    if dead > 0 and cardinality(p_event_ids) > 1 then
        raise exception 'a key collision among several events';
    elsif dead > 0 then
        perform fn_iu_route_fail(p_route, v_collided[1], 'key collision', '23505',
                                 'the target has this key with the content of another event');
    end if;
    return next;
end
$$;

comment on function fn_iu_route_try(text, bigint[]) is
'Hand events to the seam and record what became of each; raises if that is not one thing for all';
revoke execute on function fn_iu_route_try(text, bigint[]) from public;
