create function fn_iu_deliver_workflow_again(p_route text, p_event_ids bigint[])
returns table (event_id bigint, status text, message text, idempotency_key text)
language plpgsql
set search_path from current
as $$
-- The host's key column may have the name of one of ours.
#variable_conflict use_column
declare
    v_written text[];
begin
    with written as (
        insert into :"iu_host_schema".:"iu_outbox_table" as o (
            :"iu_key_column", :"iu_payload_column" :iu_extra_columns)
        select k.idempotency_key, cast(:iu_content as :iu_payload_type) :iu_extra_values
        from iu_event as e
        cross join lateral (values (
            fn_iu_idempotency_key(p_route, e.event_type, e.subject, e.version_seq))) as k (idempotency_key)
        where e.event_id = any (p_event_ids)
        order by e.event_id
        on conflict (:"iu_key_column") do nothing
        returning o.:"iu_key_column"::text as idempotency_key
    )
    select array_agg(w.idempotency_key) into v_written from written as w;

    -- In a new snapshot, so that what was waited for is seen. The same event captured anew has
    -- another time; its data is the same (T17),
    -- in whichever content mode it was written.
    return query
    select e.event_id,
           case
               when k.idempotency_key = any (v_written) then 'sent'
               when e.payload in (o.content, o.content -> 'data') then 'duplicate'
               else 'collision'
           end,
           case when k.idempotency_key <> all (coalesce(v_written, '{}')) then 'the target has this key' end,
           k.idempotency_key
    from iu_event as e
    cross join lateral (values (
        fn_iu_idempotency_key(p_route, e.event_type, e.subject, e.version_seq))) as k (idempotency_key)
    cross join lateral (values ((
        select t.:"iu_payload_column"::jsonb
        from :"iu_host_schema".:"iu_outbox_table" as t
        where t.:"iu_key_column" = k.idempotency_key))) as o (content)
    where e.event_id = any (p_event_ids)
    order by e.event_id;
end
$$;

comment on function fn_iu_deliver_workflow_again(text, bigint[]) is
'As fn_iu_deliver_workflow, for events some of which the target has already';
revoke execute on function fn_iu_deliver_workflow_again(text, bigint[]) from public;
