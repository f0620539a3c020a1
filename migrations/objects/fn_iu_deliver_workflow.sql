create function fn_iu_deliver_workflow(p_route text, p_event_ids bigint[])
returns table (event_id bigint, status text, message text)
language plpgsql
set search_path from current
set lock_timeout = '5s'
as $$
declare
    v_key_index text;
begin
    -- Plain first, because ON CONFLICT on every row costs a third; the conflict form only after
    -- a violation of the key's own index (T16). Both wait for a transaction of the host that
    -- holds the same key, but not for ever: the barrier of disable waits for this batch.
    begin
        insert into :"iu_host_schema".:"iu_outbox_table" (:"iu_key_column", :"iu_payload_column" :iu_extra_columns)
        select k.idempotency_key,
               cast(fn_iu_cloud_event(e, p_route, k.idempotency_key) as :iu_payload_type) :iu_extra_values
        from iu_event as e
        cross join lateral (values (
            fn_iu_idempotency_key(p_route, e.event_type, e.subject, e.version_seq))) as k (idempotency_key)
        where e.event_id = any (p_event_ids)
        order by e.event_id;
        return query select u.event_id, 'sent'::text, null::text from unnest(p_event_ids) as u (event_id);
        return;
    exception when unique_violation then
        get stacked diagnostics v_key_index = constraint_name;
        -- On a partitioned outbox it is the index of a partition.
        if v_key_index is distinct from :'iu_key_index' and not exists (
            select from pg_partition_tree(format('%I.%I', :'iu_host_schema', :'iu_key_index')::regclass) as t
            join pg_class as x on x.oid = t.relid and x.relname = v_key_index
        ) then
            raise;
        end if;
    end;
    return query select d.event_id, d.status, d.message from fn_iu_deliver_workflow_again(p_route, p_event_ids) as d;
end
$$;

comment on function fn_iu_deliver_workflow(text, bigint[]) is
'Write events into the host''s outbox, each once, in event_id order';
revoke execute on function fn_iu_deliver_workflow(text, bigint[]) from public;
