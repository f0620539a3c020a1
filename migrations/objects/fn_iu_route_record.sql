create function fn_iu_route_record(p_route text, p_event_ids bigint[], p_status text) returns integer
language plpgsql
set search_path from current
as $$
declare
    v_recorded integer;
begin
    -- A scalar subquery, not NOT EXISTS: as an anti join it reads all attempts of the route (P12).
    insert into iu_route_attempt (route_name, event_id, status, idempotency_key)
    select p_route, e.event_id, p_status, fn_iu_idempotency_key(p_route, e.event_type, e.subject, e.version_seq)
    from iu_event as e
    where e.event_id = any (p_event_ids)
      and (
          select a.event_id from iu_route_attempt as a
          where a.route_name = p_route and a.event_id = e.event_id and a.status in ('dry_run', 'held', 'sent')
            and a.status in (p_status, 'sent')
          limit 1) is null
    order by e.event_id;
    get diagnostics v_recorded = row_count;
    return v_recorded;
end
$$;

comment on function fn_iu_route_record(text, bigint[], text)
is 'Attempts without effect: dry_run or held, one for each event that was not delivered';
revoke execute on function fn_iu_route_record(text, bigint[], text) from public;
