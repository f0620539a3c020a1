create function fn_iu_route_behind(
    p_route text, p_event_ids bigint[], out held bigint[], out waiting bigint[], out has_parked boolean
)
language plpgsql volatile
set search_path from current
as $$
declare
    v_hold bigint;
    v_parked bigint;
begin
    held := '{}'; waiting := '{}';
    -- One look, and nothing more, where there is neither.
    select (select d.dead_letter_id
            from iu_outbound_route as r join iu_route_dead_letter as d on d.route_name = r.route_name
            where r.route_name = p_route and r.on_dead_letter = 'hold' limit 1),
           (select p.event_id from iu_route_parked as p where p.route_name = p_route limit 1)
    into v_hold, v_parked;
    has_parked := false;
    if v_hold is null and v_parked is null then
        return;
    end if;
    -- Dead letters before parked events: a redrive turns the one into the other meanwhile.
    if v_hold is not null then
        select coalesce(array_agg(e.event_id order by e.event_id), '{}') into held
        from iu_event as e
        where e.event_id = any (p_event_ids)
          and (select d.event_id from iu_route_dead_letter as d
               where d.route_name = p_route and d.subject = e.subject and d.event_id < e.event_id
                 and not exists (select from iu_route_redrive as v where v.dead_letter_id = d.dead_letter_id)
               limit 1) is not null;
    end if;
    select p.event_id into v_parked from iu_route_parked as p where p.route_name = p_route limit 1;
    has_parked := v_parked is not null;
    if has_parked then
        -- Retries are taken from a subject's first one on, so that one is enough to look at.
        select coalesce(array_agg(e.event_id order by e.event_id), '{}') into waiting
        from iu_event as e
        cross join lateral (
            select p.event_id from iu_route_parked as p
            where p.route_name = p_route and p.subject = e.subject order by p.event_id limit 1) as f
        where e.event_id = any (p_event_ids) and e.event_id <> all (held)
          and f.event_id < e.event_id and f.event_id <> all (p_event_ids);
    end if;
end
$$;

comment on function fn_iu_route_behind(text, bigint[])
is 'Events that may not be tried now: held behind a dead letter by policy, waiting behind a parked event';
revoke execute on function fn_iu_route_behind(text, bigint[]) from public;
