create function fn_iu_route_again(p_route text, p_event_ids bigint[], out replayed integer, out duplicates integer)
language plpgsql
set search_path from current
as $$
declare
    v_collided bigint;
begin
    with seam as (
        select d.event_id, d.status from fn_iu_route_deliver(p_route, p_event_ids) as d
    ),
    recorded as (
        insert into iu_route_attempt as a (route_name, event_id, status, idempotency_key, message)
        select p_route, s.event_id, case s.status when 'sent' then 'replayed' else s.status end,
               fn_iu_idempotency_key(p_route, e.event_type, e.subject, e.version_seq),
               case s.status when 'duplicate' then 'replay: the target has this key' end
        from seam as s join iu_event as e on e.event_id = s.event_id and e.event_id = any (p_event_ids)
        where s.status in ('sent', 'duplicate')
        order by s.event_id
        returning a.status
    )
    select (select count(*) from recorded as r where r.status = 'replayed'),
           (select count(*) from recorded as r where r.status = 'duplicate'),
           (select min(s.event_id) from seam as s where s.status = 'collision')
    into replayed, duplicates, v_collided;
    if v_collided is not null then
        raise exception 'the target has the key of event % with the content of another event', v_collided
            using errcode = 'unique_violation';
    end if;
end
$$;

comment on function fn_iu_route_again(text, bigint[])
is 'Hand past events to the seam again and record what became of each; raises where a key is another event''s';
revoke execute on function fn_iu_route_again(text, bigint[]) from public;
