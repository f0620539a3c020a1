create function fn_iu_route_attempt(p_route text, p_event_ids bigint[])
returns table (sent integer, duplicates integer, dead integer, parked integer)
language plpgsql
set search_path from current
as $$
declare
    v_ids bigint[] := p_event_ids;
    v_behind record;
    v_state text;
    v_message text;
    v_context text;
    v_reason text;
    v_half integer;
    v_dead integer;
    v_parked integer;
begin
    select b.held, b.waiting, b.has_parked into v_behind from fn_iu_route_behind(p_route, p_event_ids) as b;
    v_dead := cardinality(v_behind.held);
    v_parked := cardinality(v_behind.waiting);
    if v_dead > 0 then
        perform fn_iu_route_give_up(p_route, v_behind.held, 'held behind', null, 'behind a dead letter of its subject');
    end if;
    if v_parked > 0 then
        perform fn_iu_route_wait(p_route, v_behind.waiting);
    end if;
    if v_dead + v_parked > 0 then
        v_ids := array(select u.event_id from unnest(p_event_ids) as u (event_id)
                       where u.event_id <> all (v_behind.held || v_behind.waiting) order by u.event_id);
    end if;
    if cardinality(v_ids) = 0 then
        return query select 0, 0, v_dead, v_parked;
        return;
    end if;

    -- All at once first. What may be an event's fault halves the batch until one event stands
    -- alone; anything else ends the transaction, to be tried again (T18). The left half first:
    -- what fails there holds later events of its subject in the right.
    begin
        -- What the host defers to COMMIT would fail the whole batch there, outside of every block.
        set constraints all immediate;
        return query select t.sent, t.duplicates, v_dead + t.dead, v_parked
                     from fn_iu_route_try(p_route, v_ids) as t;
        if v_behind.has_parked then
            delete from iu_route_parked as p where p.route_name = p_route and p.event_id = any (v_ids);
        end if;
        return;
    exception when others or assert_failure then
        get stacked diagnostics v_state = returned_sqlstate, v_message = message_text,
                                v_context = pg_exception_context;
        v_reason := fn_iu_route_fault(v_state, v_context);
        if v_reason is null then
            raise;
        end if;
    end;
    v_half := cardinality(v_ids) / 2;
    if v_half > 0 then
        return query
        select sum(h.sent)::integer, sum(h.duplicates)::integer,
               v_dead + sum(h.dead)::integer, v_parked + sum(h.parked)::integer
        from (select l.* from fn_iu_route_attempt(p_route, v_ids[:v_half]) as l
              union all
              select r.* from fn_iu_route_attempt(p_route, v_ids[v_half + 1:]) as r) as h;
    elsif fn_iu_route_fail(p_route, v_ids[1], v_reason, v_state, v_message) then
        return query select 0, 0, v_dead, v_parked + 1;
    else
        return query select 0, 0, v_dead + 1, v_parked;
    end if;
end
$$;

comment on function fn_iu_route_attempt(text, bigint[])
is 'Hand events to the seam and record what became of each; one bad event fails alone';
revoke execute on function fn_iu_route_attempt(text, bigint[]) from public;
