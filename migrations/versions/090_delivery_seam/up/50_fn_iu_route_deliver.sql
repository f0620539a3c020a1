create or replace function fn_iu_route_deliver(p_route text, p_event_ids bigint[])
returns table (event_id bigint, status text, message text, idempotency_key text)
language plpgsql
set search_path from current
as $$
declare
    v_route iu_outbound_route;
begin
    select r.* into strict v_route from iu_outbound_route as r where r.route_name = p_route;
    case v_route.target_kind
        when 'workflow' then
            if v_route.target_ref <> :'iu_outbox_table' then
                raise exception 'route "%": unknown target "%"', p_route, v_route.target_ref
                    using errcode = 'feature_not_supported',
                          hint = format('expected "%s"', :'iu_outbox_table');
            end if;
            return query select d.event_id, d.status, d.message, d.idempotency_key
                         from fn_iu_deliver_workflow(p_route, p_event_ids) as d;
        when 'notify' then
            -- Fire and forget, and with the id alone: 8,000 bytes are the limit (T23).
            perform pg_notify(v_route.target_ref, u.event_id::text)
            from unnest(p_event_ids) with ordinality as u (event_id, n) order by u.n;
            return query select e.event_id, 'sent'::text, 'fire and forget'::text,
                                fn_iu_idempotency_key(p_route, e.event_type, e.subject, e.version_seq)
                         from iu_event as e where e.event_id = any (p_event_ids);
        else
            raise exception 'route "%": targets of kind "%" are not built', p_route, v_route.target_kind
                using errcode = 'feature_not_supported',
                      hint = 'use a target of kind workflow or notify';
    end case;
end
$$;

comment on function fn_iu_route_deliver(text, bigint[]) is 'The seam: the only place where delivery happens';
revoke execute on function fn_iu_route_deliver(text, bigint[]) from public;
