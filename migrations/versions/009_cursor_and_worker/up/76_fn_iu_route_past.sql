create function fn_iu_route_past(
    p_route text, p_after bigint, p_to bigint, p_since timestamptz, p_until timestamptz, p_limit bigint
)
returns setof bigint
language plpgsql stable
set search_path from current
as $$
declare
    v_at iu_route_cursor := fn_iu_cursor_current(p_route, 'live');
begin
    -- Not what the cursor has before it, nor what is parked or an open dead letter: each has its own
    -- way. Nor what would go before such a one of its subject (P3).
    return query
    select e.event_id
    from iu_outbound_route as r
    join iu_event as e on e.event_type = r.event_type and fn_iu_route_takes(r.event_filter, e.subject, e.payload)
    where r.route_name = p_route and e.event_id > p_after and e.event_id <= p_to
      and (p_since is null or e.captured_at >= p_since) and (p_until is null or e.captured_at <= p_until)
      and fn_iu_cursor_has_passed(v_at, e)
      and (select c.event_id from iu_route_carry_over as c
           where v_at.is_carry_over and c.route_name = p_route and c.window_stamp = v_at.new_stamp
             and c.event_id = e.event_id and c.event_id > v_at.last_event_id) is null
      and (select p.event_id from iu_route_parked as p
           where p.route_name = p_route and p.subject = e.subject and p.event_id <= e.event_id
           limit 1) is null
      and (select d.event_id from iu_route_dead_letter as d
           where d.route_name = p_route and d.subject = e.subject
             and (d.event_id = e.event_id or (d.event_id < e.event_id and r.on_dead_letter = 'hold'))
             and (select v.dead_letter_id from iu_route_redrive as v
                  where v.dead_letter_id = d.dead_letter_id) is null
           limit 1) is null
    order by e.event_id limit p_limit;
end
$$;

comment on function fn_iu_route_past(text, bigint, bigint, timestamptz, timestamptz, bigint)
is 'Events of a route that its delivery cursor has passed, in order: what a replay hands to the seam again';
revoke execute on function fn_iu_route_past(text, bigint, bigint, timestamptz, timestamptz, bigint) from public;
