create function fn_iu_route_due(p_route text, p_limit integer) returns bigint[]
language plpgsql volatile
set search_path from current
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_one bigint;
    v_ids bigint[] := '{}'::bigint[];
begin
    select p.event_id into v_one from iu_route_parked as p
    where p.route_name = p_route and p.due_at <= v_now order by p.due_at limit 1;
    if v_one is not null then
        select array_agg(b.event_id order by b.event_id) into v_ids from (
            select f.event_id
            from (
                select d.subject, min(d.event_id) as event_id from (
                    select p.subject, p.event_id from iu_route_parked as p
                    where p.route_name = p_route and p.due_at <= v_now
                    order by p.due_at, p.event_id limit p_limit) as d
                group by d.subject) as s
            cross join lateral (
                -- Up to the first that is not due: what stands behind that one waits for it (P3).
                select w.event_id from (
                    select p.event_id, bool_or(p.due_at > v_now) over (order by p.event_id) as is_behind
                    from iu_route_parked as p
                    where p.route_name = p_route and p.subject = s.subject and p.event_id >= s.event_id
                    order by p.event_id limit p_limit) as w
                where w.is_behind is not true) as f
            order by f.event_id limit p_limit) as b;
    end if;
    return v_ids;
end
$$;

comment on function fn_iu_route_due(text, integer)
is 'Parked events that are due, and those behind them, in event_id order, at most p_limit';
revoke execute on function fn_iu_route_due(text, integer) from public;
