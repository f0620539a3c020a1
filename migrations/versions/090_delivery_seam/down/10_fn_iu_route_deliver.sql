create or replace function fn_iu_route_deliver(p_route text, p_event_ids bigint[])
returns table (event_id bigint, status text, message text, idempotency_key text)
language plpgsql
set search_path from current
as $$
begin
    raise exception 'route "%": delivery is not built', p_route
        using errcode = 'feature_not_supported',
              detail = format('%s events stay where they are', cardinality(p_event_ids)),
              hint = 'iu-gates advance --to seam';
end
$$;

comment on function fn_iu_route_deliver(text, bigint[]) is 'The seam: the only place where delivery happens';
revoke execute on function fn_iu_route_deliver(text, bigint[]) from public;
