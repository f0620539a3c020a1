create function fn_iu_route_attempt(p_route text, p_event_ids bigint[])
returns table (sent integer, duplicates integer, dead integer)
language plpgsql
set search_path from current
as $$
declare
    v_behind bigint[] := fn_iu_route_behind(p_route, p_event_ids);
    v_ids bigint[] := p_event_ids;
    v_state text;
    v_message text;
    v_half integer;
begin
    if cardinality(v_behind) > 0 then
        perform fn_iu_route_give_up(p_route, v_behind, 'held behind', null, 'behind a dead letter of its subject');
        v_ids := array(select u.event_id from unnest(p_event_ids) as u (event_id)
                       where u.event_id <> all (v_behind) order by u.event_id);
    end if;
    v_half := cardinality(v_ids) / 2;

    -- All at once first. A data error (22, 23, or raised by the target) halves the batch until
    -- one event stands alone; anything else is no event's fault and ends the transaction, to be
    -- tried again (T18). The left half first: what it gives up on may hold events of the right.
    begin
        if cardinality(v_ids) > 0 then
            return query select t.sent, t.duplicates, t.dead + cardinality(v_behind) from fn_iu_route_try(p_route, v_ids) as t;
        else
            return query select 0, 0, cardinality(v_behind);
        end if;
        return;
    exception
        when data_exception or integrity_constraint_violation or raise_exception then
            get stacked diagnostics v_state = returned_sqlstate, v_message = message_text;
    end;
    if v_half = 0 then
        perform fn_iu_route_give_up(p_route, v_ids, 'data error', v_state, v_message);
        return query select 0, 0, 1 + cardinality(v_behind);
        return;
    end if;
    return query
    select sum(h.sent)::integer, sum(h.duplicates)::integer, sum(h.dead)::integer + cardinality(v_behind)
    from (select l.* from fn_iu_route_attempt(p_route, v_ids[:v_half]) as l
          union all
          select r.* from fn_iu_route_attempt(p_route, v_ids[v_half + 1:]) as r) as h;
end
$$;

comment on function fn_iu_route_attempt(text, bigint[])
is 'Hand events to the seam and record what became of each; one bad event fails alone';
revoke execute on function fn_iu_route_attempt(text, bigint[]) from public;
