create function fn_iu_route_give_up(
    p_route text, p_event_ids bigint[], p_reason text, p_sqlstate text, p_message text
)
returns void
language sql
set search_path from current
as $$
    insert into iu_route_attempt (route_name, event_id, status, idempotency_key, sqlstate, message)
    select p_route, e.event_id, 'failed',
           fn_iu_idempotency_key(p_route, e.event_type, e.subject, e.version_seq), p_sqlstate, p_message
    from iu_event as e where e.event_id = any (p_event_ids) order by e.event_id;

    insert into iu_route_dead_letter (
        route_name, event_id, idempotency_key, reason, sqlstate, message, tries, subject, version_seq, payload)
    select p_route, e.event_id, fn_iu_idempotency_key(p_route, e.event_type, e.subject, e.version_seq),
           p_reason, p_sqlstate, p_message,
           coalesce((select p.tries from iu_route_parked as p
                     where p.route_name = p_route and p.event_id = e.event_id), 0) + num_nonnulls(p_sqlstate),
           e.subject, e.version_seq, e.payload
    from iu_event as e where e.event_id = any (p_event_ids) order by e.event_id;

    delete from iu_route_parked as p where p.route_name = p_route and p.event_id = any (p_event_ids)
$$;

comment on function fn_iu_route_give_up(text, bigint[], text, text, text)
is 'A failed attempt and a dead letter for each event';
revoke execute on function fn_iu_route_give_up(text, bigint[], text, text, text) from public;
